package policy

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

func flowsConfig(t *testing.T) *Config {
	t.Helper()
	data, err := os.ReadFile("testdata/good/flows.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("f", data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A flow is a signal of the workloads that it matches, with a threshold that their annotations may set.
func TestFlowsResolve(t *testing.T) {
	c := flowsConfig(t)
	home := Target{Kind: "Deployment", Namespace: "shop", Name: "web", Annotations: map[string]string{"bakewatch.dev/flow-home.max": "33%", "bakewatch.dev/flow-checkout.max": "1%"}}
	r, problems := c.For(home)
	if len(problems) != 1 || !strings.Contains(problems[0].String(), `no signal "flow-checkout" applies`) {
		t.Errorf("problems: %v", problems)
	}
	flows := c.FlowsFor(home)
	if names := slices.Sorted(maps.Keys(flows)); fmt.Sprint(names) != "[flow-home]" {
		t.Errorf("flows: %v", names)
	}
	i := slices.IndexFunc(r.Signals, func(s Signal) bool { return s.Name == "flow-home" })
	if s := r.Signals[i]; s.Source != signals.Probe || s.By != signals.ByPod || s.Threshold.Max != 0.33 || s.Threshold.MinRequests != 3 || s.Key() != "flow-home@probe" || !s.Known() {
		t.Errorf("%+v", s)
	}
	if slices.Contains(r.Unfound(), "flow-home") {
		t.Error("it is looked for what measures a flow")
	}

	checkout := Target{Kind: "Deployment", Namespace: "shop-eu", Name: "web", Labels: map[string]string{"tier": "web"}}
	text := c.FlowsFor(checkout)["flow-checkout"]
	f, err := flow.Parse(text)
	if err != nil || f.Text() != text || len(f.Steps) != 4 || f.Steps[1].HTTP.Port != "8080" || fmt.Sprint(f.Steps[0].Expect.Status) != "[200 2xx]" {
		t.Errorf("%s: %v", text, err)
	}
	checkout.Annotations = map[string]string{"bakewatch.dev/enabled": "false"}
	if len(c.FlowsFor(checkout)) != 0 {
		t.Error("a workload that opted out has a flow run against its pods")
	}
}

func TestFlowsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString(smallest + "flows:\n")
	for i := range MaxFlows + 1 {
		fmt.Fprintf(&text, "  - {name: f%d, match: {name: web}, steps: [{http: {}}]}\n", i)
	}
	if _, err := Parse("f", []byte(text.String())); err == nil || !strings.Contains(err.Error(), "flows: at most 100 flows") {
		t.Errorf("got %v", err)
	}
}
