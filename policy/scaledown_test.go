package policy

import (
	"encoding/json"
	"testing"
)

// TestScaleDown: it is off unless somebody asks for it, and an entry of workloads may turn it off again.
func TestScaleDown(t *testing.T) {
	cfg, err := Parse("bakewatch.yaml", []byte(`sources: {prometheus: {url: http://prometheus}}
scaleDown: {oom: 2}
workloads:
  - {match: {name: small}, scaleDown: {oom: 1}}
  - {match: {name: vital}, scaleDown: {oom: off}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Replicas{"web": 2, "small": 1, "vital": 0} {
		r, _ := cfg.For(Target{Kind: "Deployment", Namespace: "shop", Name: name})
		if r.ScaleDown.OOM != want {
			t.Errorf("%s: %s, want %s", name, r.ScaleDown.OOM, want)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back Resolved
		if err := json.Unmarshal(text, &back); err != nil || back.ScaleDown != r.ScaleDown {
			t.Errorf("%s: read again it is %s, %v", name, back.ScaleDown.OOM, err)
		}
	}
	if r, _ := Default().For(Target{Kind: "Deployment", Namespace: "shop", Name: "web"}); r.ScaleDown.OOM != 0 {
		t.Errorf("by default it is %s", r.ScaleDown.OOM)
	}
}
