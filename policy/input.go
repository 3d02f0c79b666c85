package policy

import (
	"github.com/bakewatch/bakewatch/decide"
)

// Input is what the judge is asked by this policy: of gives what was read of the signal with that key, or says that nothing
// is known of it, which leaves it out. Whoever asks the judge asks through here, so that the same readings have the same
// verdict.
func (r Resolved) Input(to, from string, of func(key string) (e decide.Evidence, ok bool)) decide.Input {
	in := decide.Input{To: to, From: from, Margin: r.Margin, PassEarly: r.PassEarly}
	if r.Layers.Evidence {
		in.FalseAlarm = r.FalseAlarm
	}
	sources := map[string]int{}
	for _, s := range r.Signals {
		sources[s.Name]++
	}
	for _, s := range r.Signals {
		e, ok := of(s.Key())
		if !ok {
			continue
		}
		e.Signal, e.Query, e.Wording, e.Threshold, e.Source = s.Name, s.Query, s.Wording, s.Threshold, ""
		if sources[s.Name] > 1 {
			e.Source = s.From()
		}
		if s.Value != "" {
			in.Values = append(in.Values, e.Values(s.Level, s.Unit))
			continue
		}
		if !r.Layers.Threshold { // any increase matters; the evidence says whether there is one
			e.Threshold.Max, e.Threshold.Increase, e.Threshold.Floor = 1, 1, 0
		}
		if !r.Layers.Blame {
			e.Neighbours = nil
		}
		in.Signals = append(in.Signals, e)
	}
	return in
}
