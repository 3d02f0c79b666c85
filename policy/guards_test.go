package policy

import (
	"encoding/json"
	"testing"
	"time"
)

func TestGuardsOfAWorkload(t *testing.T) {
	c, err := Parse("x", []byte(`
sources: {prometheus: {url: http://prometheus}}
guards: {owner: false}
workloads:
  - {match: {namespace: shop}, guards: {gitOps: false}}
  - {match: {name: web}, guards: {owner: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		namespace, name string
		gitOps, owner   bool
	}{
		{"pay", "api", true, false},
		{"shop", "api", false, false},
		{"shop", "web", false, true},
	} {
		r, problems := c.For(Target{Kind: "Deployment", Namespace: w.namespace, Name: w.name})
		if r.Guards.GitOps != w.gitOps || r.Guards.Owner != w.owner || len(problems) > 0 {
			t.Errorf("%s/%s: %+v %v", w.namespace, w.name, r.Guards, problems)
		}
	}
}

func TestLimitIsReadBackAsWritten(t *testing.T) {
	for text, want := range map[string]Limit{"off": 0, "5m": Limit(5 * time.Minute), "1d": Limit(24 * time.Hour), "90s": Limit(90 * time.Second)} {
		var l, again Limit
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%s is read as %s, %v", text, l, err)
		}
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &again); err != nil || again != want {
			t.Errorf("%s is written as %s, and read back as %s, %v", text, raw, again, err)
		}
	}
	for _, text := range []string{"", "0s", "-5m", "Off", "never", "5"} {
		var l Limit
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, l)
		}
	}
}

func TestAnnotationOnMigrations(t *testing.T) {
	for value, wrong := range map[string]bool{"reversible": false, "true": true, "": true} {
		_, problems := parse(t, smallest).For(Target{Kind: "Deployment", Namespace: "shop", Name: "web", Annotations: map[string]string{AnnotationMigrations: value}})
		if (len(problems) > 0) != wrong {
			t.Errorf("%q: %v", value, problems)
		}
	}
	_, problems := parse(t, smallest).For(Target{Annotations: map[string]string{AnnotationPrefix + "migration": "reversible"}})
	if len(problems) != 1 {
		t.Errorf("a misspelt annotation is not noticed: %v", problems)
	}
}
