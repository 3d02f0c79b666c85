package wording_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

func TestLinks(t *testing.T) {
	s := announce.Story{Namespace: "shop", Workload: "web", Kind: "Deployment", Headline: `"/><script> & more`, Stage: announce.Started}
	for template, want := range map[string]string{
		"https://wiki/runbooks/{{.Namespace}}/{{.Workload}}":     "https://wiki/runbooks/shop/web",
		"https://grafana/explore?left={{.Headline}}&x={{.Kind}}": "https://grafana/explore?left=%22%2F%3E%3Cscript%3E%20%26%20more&x=Deployment",
		"http://logs/{{if .Observed}}a{{else}}b{{end}}":          "http://logs/b",
	} {
		link, err := wording.ParseLink(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if got, err := link.Address(s); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", template, got, err, want)
		}
	}
	for _, template := range []string{"", "wiki/x", "javascript:alert(1)", "{{.Headline}}", "https://user:pass@host/", "https://{{.Nothing}}/", "https://host/ x", `https://host/"`, "https://host/" + strings.Repeat("x", 2000)} {
		if _, err := wording.ParseLink(template); err == nil {
			t.Errorf("%q is accepted", template)
		}
	}
}

func FuzzLink(f *testing.F) {
	f.Add("https://wiki/{{.Namespace}}?q={{.Headline}}", "a/b?c#d", `"><script>`)
	f.Add("https://{{.Namespace}}/x", "evil.example/", "")
	f.Fuzz(func(t *testing.T, template, namespace, headline string) {
		link, err := wording.ParseLink(template)
		if err != nil {
			return
		}
		got, err := link.Address(announce.Story{Namespace: namespace, Headline: headline})
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(got, " \"<>\n") {
			t.Errorf("%q gives %q", template, got)
		}
	})
}
