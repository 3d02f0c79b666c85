package main

import (
	"encoding/json"
	"fmt"
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

// readResults reads what write wrote.
func readResults(path string) (results, error) {
	var r results
	data, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("read results: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read results from %s: %w", path, err)
	}
	known := map[string]scenario{}
	for _, s := range scenarios(nil, 1) {
		known[s.name] = s
	}
	for i, s := range r.Scenarios {
		of, ok := known[s.Name]
		if !ok {
			return r, fmt.Errorf("%s: no scenario is called %s any more; make bench-decide writes it anew", path, s.Name)
		}
		r.Scenarios[i].scenario = of
	}
	return r, nil
}
