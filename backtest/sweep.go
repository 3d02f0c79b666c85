package backtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bakewatch/bakewatch/policy"
)

// Sweep is a threshold that is tried with several values.
type Sweep struct {
	Path   string // as it was given
	Signal string // empty: each of them
	Key    string
	Values []string
}

// maxSwept is the most values of a sweep.
const maxSwept = 20

// ParseSweep reads <signal>.threshold.<key>=<value>,<value>…; the word signal stands for each of the signals.
func ParseSweep(text string, config *policy.Config) (Sweep, error) {
	path, values, ok := strings.Cut(text, "=")
	parts := strings.Split(strings.TrimPrefix(path, "signals."), ".")
	if !ok || len(parts) != 3 || parts[1] != "threshold" || values == "" {
		return Sweep{}, fmt.Errorf("--sweep %q: write it as <signal>.threshold.<key>=<value>,<value>…, such as http-errors.threshold.increase=1.5,2,3", text)
	}
	s := Sweep{Path: path, Signal: parts[0], Key: parts[2]}
	for v := range strings.SplitSeq(values, ",") {
		s.Values = append(s.Values, strings.TrimSpace(v))
	}
	if len(s.Values) > maxSwept {
		return Sweep{}, fmt.Errorf("--sweep %s: at most %d values, not %d", path, maxSwept, len(s.Values))
	}
	known := signalNames(config)
	switch {
	case slices.Contains(known, s.Signal):
	case s.Signal == "signal" || s.Signal == "*":
		s.Signal = ""
	default:
		return Sweep{}, fmt.Errorf("--sweep %s: the configuration has no signal %q (it has: %s; the word signal stands for each)", path, s.Signal, strings.Join(known, ", "))
	}
	for _, v := range s.Values { // said at once, not after the first rollout
		if _, err := s.with(config, policy.Target{Kind: "Deployment", Namespace: "sweep", Name: "sweep"}, v); err != nil {
			return Sweep{}, err
		}
	}
	return s, nil
}

func signalNames(config *policy.Config) []string {
	var names []string
	for name := range config.Signals {
		names = append(names, name)
	}
	for _, o := range config.Workloads {
		for name := range o.Signals {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// with is the policy of a workload with one value, set as the workload's own annotation would set it.
func (s Sweep) with(config *policy.Config, t policy.Target, value string) (policy.Resolved, error) {
	before, _ := config.For(t)
	set := map[string]string{}
	for k, v := range t.Annotations {
		set[k] = v
	}
	var keys []string
	for _, signal := range before.Signals {
		if s.Signal == "" || s.Signal == signal.Name {
			keys = append(keys, policy.AnnotationPrefix+signal.Name+"."+s.Key)
			set[keys[len(keys)-1]] = value
		}
	}
	t.Annotations = set
	p, problems := config.For(t)
	for _, problem := range problems {
		if slices.Contains(keys, problem.Key) {
			return p, fmt.Errorf("--sweep %s: %s", s.Path, problem.Message)
		}
	}
	return p, nil
}

// Trade is what one value would have come to.
type Trade struct {
	Value        string  `json:"value"`
	RolledBack   int     `json:"rolledBack"`
	Passed       int     `json:"passed"`
	Inconclusive int     `json:"inconclusive"` // and held
	MeanSeconds  float64 `json:"meanSeconds"`  // from the start of a rollout to its rollback
	Failed       float64 `json:"failed"`       // requests of the versions rolled back that failed until then
	Parameter    string  `json:"parameter,omitempty"`
}

// Trades are what each value would have come to over all rollouts.
func (s Sweep) Trades(rows []Row) []Trade {
	var out []Trade
	for i, value := range s.Values {
		t := Trade{Value: value, Parameter: s.Path}
		var seconds float64
		for _, r := range rows {
			if i >= len(r.swept) {
				continue
			}
			e := r.swept[i]
			switch e.Outcome {
			case "RolledBack":
				t.RolledBack++
				seconds += max(0, e.At.Sub(r.Started).Seconds())
				t.Failed += e.Served.Errors
			case "Passed":
				t.Passed++
			default:
				t.Inconclusive++
			}
		}
		if t.RolledBack > 0 {
			t.MeanSeconds = seconds / float64(t.RolledBack)
		}
		out = append(out, t)
	}
	return out
}
