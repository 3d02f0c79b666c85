package main

import (
	"os"
	"strings"
	"testing"
)

// What the documentation says of the judge is what the results say.
func TestDocsSayWhatWasMeasured(t *testing.T) {
	r, err := readResults("../results/decide.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/deciding.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- figures: begin -->\n")
	said, _, closed := strings.Cut(rest, "<!-- figures: end -->")
	if !ok || !closed {
		t.Fatal("docs/deciding.md has no figures between its marks")
	}
	if want := r.figures(defaultJudge()); said != want {
		t.Errorf("docs/deciding.md says\n%s\nbut bench/results/decide.json\n%s", said, want)
	}
}
