package grafana

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bakewatch/bakewatch/act/announce"
)

var markup = regexp.MustCompile(`<[^>]*>`)

func FuzzText(f *testing.F) {
	f.Add("Deployment shop/web: rolled back", "8.1% > 0.3%", "<script>alert(1)</script>", `"><img src=x onerror=y>`)
	f.Add(strings.Repeat("&", 3000), "why", "", "by")
	f.Add("h", strings.Repeat("ü<", 990), "c", "\xff\x00\n")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, headline, why, change, by string) {
		got := text(announce.Story{Headline: headline, Why: why, Changes: []string{change, change}, ChangedBy: by, From: change, To: by})
		if n := utf8.RuneCountInString(got); n > maxText || !utf8.ValidString(got) {
			t.Errorf("%d characters, want at most %d of valid UTF-8", n, maxText)
		}
		for _, element := range markup.FindAllString(got, -1) {
			if element != "<b>" && element != "</b>" && element != "<br>" {
				t.Errorf("foreign markup %q in %q", element, got)
			}
		}
		if strings.Count(got, "<b>") != strings.Count(got, "</b>") {
			t.Errorf("unbalanced: %q", got)
		}
		bare := markup.ReplaceAllString(got, "")
		if strings.ContainsAny(bare, `<>"'`+"\n\x00") || html.EscapeString(html.UnescapeString(bare)) != bare {
			t.Errorf("not escaped, or cut within an entity: %q", bare)
		}
		if shown := announce.OneLine(headline); len(shown) < maxText/8 && !strings.Contains(html.UnescapeString(got), shown) {
			t.Errorf("the headline is missing: %q", got)
		}
	})
}

func FuzzTag(f *testing.F) {
	f.Add("shop/web-7f3a-7", "shop/web-7f3a-8")
	f.Add(strings.Repeat("a", 200)+"1", strings.Repeat("a", 200)+"2")
	f.Add("a:b", " ü ")
	f.Fuzz(func(t *testing.T, a, b string) {
		got := tag("bake", a)
		value := strings.TrimPrefix(got, "bake:")
		if len(value) > 100 || strings.Contains(value, ":") || !utf8.ValidString(got) {
			t.Errorf("grafana would not keep the tag %q", got)
		}
		clean := func(s string) string { return strings.ReplaceAll(announce.OneLine(s), ":", "-") }
		if same := clean(a) == clean(b); same != (got == tag("bake", b)) {
			t.Errorf("%q and %q: the tags do not tell them apart: %q", a, b, got)
		}
	})
}

func TestTagsFitGrafanasDefaults(t *testing.T) {
	long := strings.Repeat("x", 253)
	length := 2
	for _, tag := range tags(announce.Story{Bake: long[:63] + "/" + long, Namespace: long[:63], Kind: "StatefulSet", Workload: long, Stage: announce.Ended, Outcome: "Inconclusive", Observed: true}) {
		length += len(tag) + 3
	}
	if length > 500 {
		t.Errorf("%d bytes of tags, more than Grafana takes by default", length)
	}
}
