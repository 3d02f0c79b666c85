package policy

import (
	"testing"
	"time"
)

func TestHelmOfAWorkload(t *testing.T) {
	c, err := Parse("x", []byte(`
sources: {prometheus: {url: http://prometheus}}
rollback: {helm: {enabled: true, timeout: 1m}}
workloads:
  - {match: {namespace: shop}, rollback: {helm: {hooks: skip}}}
  - {match: {name: web}, rollback: {helm: {enabled: false, fallback: patch}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		namespace, name string
		want            HelmRules
	}{
		{"pay", "api", HelmRules{true, RunHooks, FallbackHold, Span(time.Minute)}},
		{"shop", "api", HelmRules{true, SkipHooks, FallbackHold, Span(time.Minute)}},
		{"shop", "web", HelmRules{false, SkipHooks, FallbackPatch, Span(time.Minute)}},
	} {
		r, problems := c.For(Target{Kind: "Deployment", Namespace: w.namespace, Name: w.name})
		if r.Helm != w.want || len(problems) > 0 {
			t.Errorf("%s/%s: %+v %v", w.namespace, w.name, r.Helm, problems)
		}
	}
}
