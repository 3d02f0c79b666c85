package decide

// Input is everything the judge may know of a bake.
type Input struct {
	To   string // the candidate in sentences, e.g. "rev 7"
	From string // the baseline in sentences; empty when there is no earlier revision
	// FalseAlarm is the accepted chance, above 0 and below 1, that a rollout which is no worse than Margin allows is ever
	// called Regressed. It is split over the signals. 0 turns the evidence layer off: the threshold decides alone.
	FalseAlarm float64
	// Margin is how many times the baseline's error rate is not yet worse, above 1; anything else means DefaultMargin.
	Margin    float64
	PassEarly bool       // whether Healthy may be said to be certain before the window is over: Verdict.Early
	Signals   []Evidence // in a fixed order; reasons keep it
}

// Judge says what the evidence amounts to. One regressed signal is enough for Regressed. Healthy needs at least one
// signal that was judged and found within its threshold, and none that could have spoken and did not; a signal that has
// no series on either side does not belong to this workload and does not count. All else is Undecided.
func Judge(in Input) Verdict {
	if len(in.Signals) == 0 {
		return Verdict{Result: Undecided, Reasons: []Reason{{Code: CodeNoSeries, Sentence: "no signal is measured for this workload"}}}
	}
	names := sides{to: in.To, from: in.From}
	var regressed, undecided, absent, healthy []Reason
	for _, e := range in.Signals {
		result, reason := e.threshold(names)
		switch {
		case result == Regressed:
			regressed = append(regressed, reason)
		case result == Healthy:
			healthy = append(healthy, reason)
		case reason.Code == CodeNoSeries:
			absent = append(absent, reason)
		default:
			undecided = append(undecided, reason)
		}
	}
	switch {
	case len(regressed) > 0:
		return Verdict{Result: Regressed, Reasons: append(regressed, undecided...)}
	case len(undecided) > 0:
		return Verdict{Result: Undecided, Reasons: append(append(undecided, absent...), healthy...)}
	case len(healthy) > 0:
		return Verdict{Result: Healthy, Reasons: append(healthy, absent...)}
	}
	return Verdict{Result: Undecided, Reasons: absent}
}
