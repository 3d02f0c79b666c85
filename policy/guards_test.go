package policy

import (
	"testing"
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
