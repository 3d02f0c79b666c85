package policy

import (
	"encoding/json"
	"testing"
	"time"
)

func TestConfigurationOfAWorkload(t *testing.T) {
	c, err := Parse("x", []byte(`
sources: {prometheus: {url: http://prometheus}}
configuration: {sync: 30s}
workloads:
  - {match: {namespace: shop}, configuration: {configMaps: true}}
  - {match: {name: web}, configuration: {configMaps: false, showValues: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if !c.FollowsConfigMaps() || Default().FollowsConfigMaps() {
		t.Error("an override has them followed, and the defaults do not")
	}
	const annotation = "bakewatch.dev/config-maps"
	for _, w := range []struct {
		namespace, name, annotated string
		follows, values            bool
		problems                   int
	}{
		{"pay", "api", "", false, false, 0},
		{"pay", "api", "true", false, false, 1},
		{"shop", "api", "", true, false, 0},
		{"shop", "api", "true", true, false, 0},
		{"shop", "api", "false", false, false, 0},
		{"shop", "api", "off", true, false, 1},
		{"shop", "web", "", false, true, 0},
	} {
		target := Target{Kind: "Deployment", Namespace: w.namespace, Name: w.name}
		if w.annotated != "" {
			target.Annotations = map[string]string{annotation: w.annotated}
		}
		r, problems := c.For(target)
		if got := r.Configuration; got.ConfigMaps != w.follows || got.ShowValues != w.values || got.Sync != Span(30*time.Second) || len(problems) != w.problems {
			t.Errorf("%s/%s %q: %+v %v", w.namespace, w.name, w.annotated, got, problems)
		}
	}
}

// A bake that an older version recorded follows nothing.
func TestConfigurationOfAnOlderRecord(t *testing.T) {
	var r Resolved
	if err := json.Unmarshal([]byte(`{"window":"1m","interval":"1s","verify":"1s","deadline":"1s"}`), &r); err != nil || r.Configuration.ConfigMaps {
		t.Errorf("%+v %v", r.Configuration, err)
	}
}
