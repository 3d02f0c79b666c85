package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCanaryOfAWorkload(t *testing.T) {
	c := parse(t, `
sources: {prometheus: {url: http://prometheus}}
canary: {pause: 20%, for: 10m}
workloads:
  - {match: {namespace: batch}, canary: {pause: off}}
  - {match: {name: web}, canary: {freezeOnSuspicion: true}}
`)
	five, ten := Span(5*time.Minute), Span(10*time.Minute)
	for _, w := range []struct {
		name, kind, namespace string
		notes                 []string // annotations, without what they begin with
		want                  CanaryRules
		problem               string
	}{
		{"api", "Deployment", "shop", nil, CanaryRules{Pause: 0.2, For: ten}, ""},
		{"api", "Deployment", "batch", nil, CanaryRules{For: ten}, ""},
		{"web", "Deployment", "batch", nil, CanaryRules{For: ten, FreezeOnSuspicion: true}, ""},
		{"api", "Deployment", "batch", []string{"pause=50%", "for=5m"}, CanaryRules{Pause: 0.5, For: five}, ""},
		{"api", "Deployment", "shop", []string{"pause=off", "freezeOnSuspicion=true"}, CanaryRules{For: ten, FreezeOnSuspicion: true}, ""},
		{"web", "Deployment", "shop", []string{"freezeOnSuspicion=false"}, CanaryRules{Pause: 0.2, For: ten}, ""},
		{"api", "Deployment", "shop", []string{"pause=100%"}, CanaryRules{Pause: 0.2, For: ten}, "must be a share above 0% and below 100% such as 20%, or off"},
		{"api", "Deployment", "shop", []string{"for=1s"}, CanaryRules{Pause: 0.2, For: ten}, "must be from 10s to 24h, not 1s"},
		{"api", "Deployment", "shop", []string{"freezeOnSuspicion=yes"}, CanaryRules{Pause: 0.2, For: ten}, `must be "true" or "false", not "yes"`},
		{"api", "Deployment", "shop", []string{"share=10%"}, CanaryRules{Pause: 0.2, For: ten}, `unknown key "share" of canary (known: pause, for, freezeOnSuspicion)`},
		{"api", "StatefulSet", "shop", []string{"pause=10%"}, CanaryRules{Pause: 0.2, For: ten}, "pauses Deployments only"},
	} {
		target := Target{Kind: w.kind, Namespace: w.namespace, Name: w.name, Annotations: map[string]string{}}
		for _, n := range w.notes {
			key, value, _ := strings.Cut(n, "=")
			target.Annotations["bakewatch.dev/canary."+key] = value
		}
		r, problems := c.For(target)
		if r.Canary != w.want {
			t.Errorf("%s %s/%s %v: %+v, want %+v", w.kind, w.namespace, w.name, w.notes, r.Canary, w.want)
		}
		if told := len(problems) > 0; told != (w.problem != "") || told && !strings.Contains(problems[0].Message, w.problem) {
			t.Errorf("%v: %v, want %q", w.notes, problems, w.problem)
		}
	}
}

// A signal may be called canary, too.
func TestASignalCalledCanary(t *testing.T) {
	c := parse(t, "sources: {prometheus: {url: http://prometheus}}\nsignals: {canary: {prometheus: {errors: a, requests: b}}}\n")
	r, problems := c.For(Target{Kind: "Deployment", Namespace: "shop", Name: "web", Annotations: map[string]string{
		"bakewatch.dev/canary.max": "1%", "bakewatch.dev/canary.pause": "30%"}})
	if len(problems) > 0 || r.Canary.Pause != 0.3 || r.Signals[0].Name != "canary" || r.Signals[0].Threshold.Max != 0.01 {
		t.Errorf("%v: %+v", problems, r)
	}
}

// The share is never overstepped, but for the one pod that there has to be.
func TestPodsOfACanary(t *testing.T) {
	for _, c := range []struct {
		share  Portion
		wanted int32
		want   int32
	}{{0.2, 5, 1}, {0.2, 14, 2}, {0.2, 2, 1}, {0.2, 1, 1}, {0.2, 0, 1}, {0.29, 100, 29}, {0.5, 3, 1}, {0.99, 10, 9}, {0.01, 50, 1}} {
		if got := (CanaryRules{Pause: c.share}).Pods(c.wanted); got != c.want {
			t.Errorf("%s of %d: %d, want %d", c.share, c.wanted, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		percent, wanted := rapid.IntRange(1, 99).Draw(t, "percent"), rapid.Int32Range(0, 5000).Draw(t, "wanted")
		var p Portion
		if err := p.UnmarshalText([]byte(fmt.Sprintf("%d%%", percent))); err != nil {
			t.Fatal(err)
		}
		got := (CanaryRules{Pause: p}).Pods(wanted)
		if want := max(1, int32(percent)*wanted/100); got != want {
			t.Fatalf("%d%% of %d: %d, want %d", percent, wanted, got, want)
		}
	})
}

func TestPortionIsReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Portion(rapid.Float64Range(0, 0.999999).Draw(t, "share"))
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again Portion
		if err := json.Unmarshal(raw, &again); err != nil || again != p {
			t.Fatalf("%v is written as %s, and read back as %v, %v", float64(p), raw, float64(again), err)
		}
	})
	for _, text := range []string{"", "0", "0%", "100%", "1", "-5%", "Off", "2x"} {
		var p Portion
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, p)
		}
	}
}
