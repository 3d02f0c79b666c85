package docs

import (
	"regexp"
	"testing"

	"github.com/bakewatch/bakewatch/policy"
)

// The examples of user flows can be copied.
func TestFlowExamples(t *testing.T) {
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, "sources/flows.md"), -1)
	if len(examples) != 2 {
		t.Fatalf("found %d examples", len(examples))
	}
	for _, e := range examples {
		if _, err := policy.Parse("example", []byte(e[1])); err != nil {
			t.Errorf("an example is refused: %v\n%s", err, e[1])
		}
	}
}
