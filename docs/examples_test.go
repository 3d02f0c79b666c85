package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/policy"
)

// Whole configurations on the pages of the sources are accepted as they stand.
func TestExamplesOfSources(t *testing.T) {
	pages, err := filepath.Glob("sources/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	found := 0
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
			if !strings.HasPrefix(m[1], "mode:") {
				continue // a part of one
			}
			found++
			if _, err := policy.Parse(page, []byte(m[1])); err != nil {
				t.Errorf("an example is refused: %v\n%s", err, m[1])
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d examples were found", found)
	}
}
