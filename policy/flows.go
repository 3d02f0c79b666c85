package policy

import (
	"fmt"
	"slices"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// FlowPrefix begins the name of the signal that a user flow is.
const FlowPrefix = "flow-"

// MaxFlows is the most user flows a configuration may have.
const MaxFlows = 100

// UserFlow is a user flow, and the workloads against whose pods it is run.
type UserFlow struct {
	Name      string    `json:"name"`
	Match     Match     `json:"match"`
	Threshold Threshold `json:"threshold"`
	flow.Flow
}

// Signal is the name of the signal that its runs are.
func (f UserFlow) Signal() string { return FlowPrefix + f.Name }

// flowThreshold is what the threshold of a flow starts from. A flow that passes fails hardly ever.
func flowThreshold() Threshold { return threshold(0.1, 2, 0.05, 3, 2) }

// fill sets what the file left out of a flow's threshold.
func (f *UserFlow) fill() {
	f.Threshold = SignalRule{Threshold: flowThreshold()}.with(SignalRule{Threshold: f.Threshold}).Threshold
}

// flows checks the user flows.
func (k *checker) flows(c *Config) {
	if len(c.Flows) > MaxFlows {
		k.errorf("flows", "at most %d flows may be configured, not %d", MaxFlows, len(c.Flows))
		return
	}
	first := map[string]int{}
	for i, f := range c.Flows {
		path := fmt.Sprintf("flows[%d]", i)
		at := join(path, "name")
		before, twice := first[f.Name]
		_, taken := c.Signals[f.Signal()]
		switch {
		case f.Name == "":
			k.errorf(at, "is missing; name the flow, such as checkout")
		case !signalName.MatchString(f.Signal()):
			k.errorf(at, "a flow's name must be lower-case letters, digits and dashes, at most %d, such as checkout", 63-len(FlowPrefix))
		case twice:
			k.errorf(at, "is the name of flows[%d] already; use another", before)
		case taken:
			k.errorf(at, "makes it the signal %s, which is the name of another one; use another", f.Signal())
		}
		first[f.Name] = i
		k.match(join(path, "match"), f.Match)
		k.threshold(join(path, "threshold"), f.Threshold)
		_, faults := flow.Compile(f.Flow)
		for _, fault := range faults {
			at := path
			if fault.Path != "" {
				at += "." + fault.Path
			}
			k.errorf(at, "%s", fault.Message)
		}
	}
}

// userFlows adds those that are run against the workload. Each is a signal, whose threshold annotations may set as that of others.
func (r *resolver) userFlows(all []UserFlow) {
	for _, f := range all {
		if f.Match.selects(r.target) {
			r.signals[f.Signal()] = SignalRule{Threshold: f.Threshold}
			r.flows = append(r.flows, f)
		}
	}
}

// flow is the signal that a user flow is; false where the name is that of no flow.
func (r *resolver) flow(name string, s SignalRule) (Signal, bool) {
	i := slices.IndexFunc(r.flows, func(f UserFlow) bool { return f.Signal() == name })
	if i < 0 {
		return Signal{}, false
	}
	t := s.Threshold
	return Signal{Name: name, Query: signals.Query{Source: signals.Probe, By: signals.ByPod, Flow: r.flows[i].Text()},
		Threshold: decide.Threshold{Max: float64(*t.Max), Increase: float64(*t.Increase), Floor: float64(*t.Floor), MinRequests: float64(*t.MinRequests), Ticks: *t.Ticks}}, true
}

// FlowsFor are the user flows that are run against a workload, by signal; none where it is not watched.
func (c *Config) FlowsFor(t Target) map[string]string {
	if !slices.ContainsFunc(c.Flows, func(f UserFlow) bool { return f.Match.selects(t) }) {
		return nil // of most of many workloads
	}
	out := map[string]string{}
	if r, _ := c.For(t); r.Watched {
		for _, s := range r.Signals {
			if s.Flow != "" {
				out[s.Name] = s.Flow
			}
		}
	}
	return out
}
