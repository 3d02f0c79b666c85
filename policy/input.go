package policy

import "github.com/bakewatch/bakewatch/decide"

// Input is what the judge is asked by this policy: of gives what was read of a signal, or says that nothing is known of
// it, which leaves it out. Whoever asks the judge asks through here, so that the same readings have the same verdict.
func (r Resolved) Input(to, from string, of func(signal string) (e decide.Evidence, ok bool)) decide.Input {
	in := decide.Input{To: to, From: from, Margin: r.Margin, PassEarly: r.PassEarly}
	if r.Layers.Evidence {
		in.FalseAlarm = r.FalseAlarm
	}
	for _, s := range r.Signals {
		e, ok := of(s.Name)
		if !ok {
			continue
		}
		e.Signal, e.Threshold = s.Name, s.Threshold
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
