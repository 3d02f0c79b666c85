package policy

import "github.com/bakewatch/bakewatch/decide"

// Logs is the signal that is measured by logs.
const Logs = "log-errors"

// DefaultSignal is the signal that most workloads have.
const DefaultSignal = "http-errors"

// defaults is what a signal of a name starts from, and how sentences speak of it.
type defaults struct {
	about     string // what it measures, in a few words
	threshold Threshold
	wording   decide.Wording
	unit      string
	value     bool
}

// threshold makes the table below readable.
func threshold(limit, increase, floor float64, minRequests, ticks int) Threshold {
	return Threshold{Max: new(Share(limit)), Increase: new(Ratio(increase)), Floor: new(Share(floor)), MinRequests: new(minRequests), Ticks: new(ticks)}
}

// presets are the signals that have presets. All of them apply where a configuration names none.
var presets = map[string]defaults{
	DefaultSignal:    {about: "HTTP requests that failed, by pod", threshold: threshold(0.05, 2, 0.002, 5, 2)},
	"grpc-errors":    {about: "gRPC calls that failed by the server's own fault, by pod", threshold: threshold(0.05, 2, 0.002, 5, 2)},
	"ingress-errors": {about: "HTTP requests that failed as the ingress or the callers count them", threshold: threshold(0.05, 2, 0.002, 5, 2)},
	// Slow is what takes more than twice as long as 95 of 100 requests did before: few are, and some more is no harm.
	"http-latency":    {about: "HTTP requests that took more than twice as long as 95 of 100 did before, by pod", threshold: threshold(0.5, 3, 0.1, 20, 4)},
	"grpc-latency":    {about: "gRPC calls, likewise", threshold: threshold(0.5, 3, 0.1, 20, 4)},
	"ingress-latency": {about: "HTTP requests, likewise, as the ingress or the callers measure them", threshold: threshold(0.5, 3, 0.1, 20, 4)},
	// A look at a pod in a tick finds that its container was restarted, or it does not.
	"restarts":  {about: "looks at a pod, one a tick, that found its container restarted", threshold: threshold(0.5, 3, 0.05, 2, 2), wording: decide.Wording{Counted: "looks at pods", Bad: "found a restart"}},
	"oom-kills": {about: "looks at a pod, one a tick, that found its container killed for want of memory", threshold: threshold(0.5, 3, 0.02, 2, 2), wording: decide.Wording{Counted: "looks at pods", Bad: "found an OOM kill"}},

	"cpu-throttling": {about: "CPU periods in which a container was throttled", threshold: threshold(0.75, 3, 0.25, 100, 4), wording: decide.Wording{Counted: "CPU periods", Bad: "were throttled"}, unit: "of the CPU periods throttled"},
	// A second of a pod is bad when a line in it tells of an error, however many do: a storm counts no more than its length.
	Logs: {about: "seconds of pods in which they wrote a line of level error or a stack, in their containers' logs", threshold: threshold(0.5, 3, 0.1, 20, 3), wording: decide.Wording{Counted: "seconds of pods", Bad: "had an error in the log"}},
	// Near its limit a container is about to be killed; what it uses below is its own business.
	"memory": {about: "memory in use, as a share of the limit; of the pod that uses most", threshold: threshold(0.9, 10, 0.1, 1, 4), unit: "of the memory limit", value: true},
}

// About says in a few words what a signal with presets measures; empty for others.
func About(name string) string { return presets[name].about }

func defaultSignals() map[string]SignalRule {
	out := make(map[string]SignalRule, len(presets))
	for name := range presets {
		out[name] = defaultRule(name)
	}
	return out
}

// defaultRule is what a signal of that name starts from.
func defaultRule(name string) SignalRule {
	d, ok := presets[name]
	if !ok {
		d = presets[DefaultSignal]
	}
	t := d.threshold
	return SignalRule{Unit: d.unit, Threshold: Threshold{Max: new(*t.Max), Increase: new(*t.Increase), Floor: new(*t.Floor), MinRequests: new(*t.MinRequests), Ticks: new(*t.Ticks)}}
}
