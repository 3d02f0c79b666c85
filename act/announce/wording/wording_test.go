package wording_test

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

func TestWrite(t *testing.T) {
	s := wording.Samples()[3]
	s.Why, s.Reasons = "5 < 6\n& so on", []string{"5 < 6\n& so on", "another"}
	for text, want := range map[string]string{
		"  {{.Headline}}\n":                                 s.Headline,
		"<b>{{.Stage}} {{.Why}}</b>":                        "<b>ended 5 &lt; 6 &amp; so on</b>",
		`{{.Stage}}: {{join "; " .Others}}`:                 "ended: another",
		`{{range .Changes}}- {{.}} {{end}}`:                 "- image app:v1 → app:v2 - env LIMIT changed",
		`{{clip 4 .Namespace}} {{.Outcome}}`:                "ann… RolledBack",
		`{{.Severity}} {{.EndedAt.Sub .StartedAt}}`:         "critical 2m0s",
		`{{with $.Others}}{{len .}} {{end}}{{.Stage}}`:      "1 ended",
		`{{with .Changes}}{{range .}}{{.}} {{end}}{{end}}`:  "image app:v1 → app:v2 env LIMIT changed",
		`{{index .Labels "app"}}{{index .Labels "team"}}.`:  "sample.",
		`{{.Stage}}{{range $.Reasons}} {{clip 3 .}}{{end}}`: "ended 5 … an…",
	} {
		template, err := wording.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := template.Write(s, strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace)
		if err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", text, got, err, want)
		}
	}
}

// What is wrong with a template is known when it is read, on one line, and reading it ends.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"{{.Headline":                     "line 1: unclosed action",
		"\n{{if .Why}}":                   "line 2: unexpected EOF",
		"{{.Headlin}}":                    "can't evaluate field Headlin",
		"{{shout .Headline}}":             `function "shout" not defined`,
		"{{index .Reasons 0}}":            "with a story of stage started",
		"{{range 1000000000000}}{{end}}x": "range over 1000000000000",
		"{{$n := 1000000000000}}{{if true}}{{range $n}}{{end}}{{end}}x": "range over $n",
		`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`:         "exceeded maximum template depth",
		`{{printf "%099999d" 1}}`:                                       "more than 65536 bytes",
		"{{with 1000000000000}}{{range .}}{{end}}{{end}}x":              "range over .",
		"{{.Earlier.x.y}}x":                                             "map has no entry",
	} {
		_, err := wording.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestParseTitle(t *testing.T) {
	for text, ok := range map[string]bool{"": false, "{{if .Why}}x{{end}}": false, "{{.Why}}": false, "{{.Headlin": false, "{{.Headline}}": true, "x": true} {
		if _, err := wording.ParseTitle(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := wording.Parse("{{.Why}}"); err != nil {
		t.Errorf("a text may be empty: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"{{.Headline}}", `{{range .Reasons}}{{clip 3 .}}{{else}}x{{end}}`, `{{with $x := .Why}}{{$x}}{{end}}`, "{{/* a */}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := wording.Parse(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 1500 {
				t.Errorf("%q", err)
			}
			return
		}
		for _, stage := range []announce.Stage{announce.Started, announce.Ended} {
			if said, _ := template.Write(announce.Story{Stage: stage}, nil); len(said) > 64<<10 {
				t.Errorf("%d bytes", len(said))
			}
		}
	})
}
