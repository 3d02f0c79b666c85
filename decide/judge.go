package decide

import (
	"math"
	"slices"

	"github.com/bakewatch/bakewatch/signals"
)

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
	Values    []Values   // likewise; their reasons come after those of Signals
}

// Evidence is all that was read of one signal for one bake.
type Evidence struct {
	Signal    string
	Source    string        // in sentences, where more than one source measures the signal
	Query     signals.Query // how it is measured
	Wording   Wording       // of its counts
	Threshold Threshold
	// History is the baseline's side before the rollout, over one window.
	History signals.Side
	// Blocks are the same past, cut into spans as long as a tick, oldest first, each with its pods where the source tells
	// them apart: how much the service varies when nothing is deployed. Empty when only the total is known.
	Blocks []signals.Side
	// Learnt is what Learn makes of Blocks, for those who judge the same past many times; nil: it is learnt anew.
	Learnt *Dispersion
	// Lead is the share of the first tick, 0 to 1, that was over before the candidate served. It matters where pods are not
	// told apart, and the tick's counts are of the old version as well as of the new one.
	Lead float64
	// Days are the workload's counts in the hours of the bake on earlier days, one Side a day, whichever revision served.
	Days []signals.Side
	// Neighbours are workloads of the same source that did not deploy, before the rollout and since.
	Neighbours []Neighbour
	// Ticks are the Readings since the first new pod was ready, oldest first, one a tick.
	Ticks []signals.Reading
}

// Neighbour is a workload that was not deployed while this one baked.
type Neighbour struct {
	Name   string         `json:"name"`
	Before signals.Counts `json:"before"` // over the span of History
	After  signals.Counts `json:"after"`  // over the span of the Ticks
}

// Judge says what the evidence amounts to. One regressed signal is enough for Regressed. Healthy needs at least one
// signal that was judged and found within its threshold, and none that could have spoken and did not; a signal that has
// no series on either side does not belong to this workload and does not count, and beside a healthy one neither does
// a signal of which there was just too little. All else is Undecided.
func Judge(in Input) Verdict {
	if len(in.Signals)+len(in.Values) == 0 {
		return Verdict{Result: Undecided, Reasons: []Reason{{Code: CodeNoSeries, Sentence: "no signal is measured for this workload"}}}
	}
	b := newBench(in)
	early := in.PassEarly
	var regressed, evidence, undecided, quiet, absent, healthy []Reason
	var suspected *Reason
	findings := make([]finding, 0, len(in.Signals)+len(in.Values))
	for _, e := range in.Signals {
		findings = append(findings, b.judge(e))
	}
	b.contest(in.Signals, findings)
	for _, v := range in.Values {
		findings = append(findings, b.judgeValues(v))
	}
	for _, f := range findings {
		if f.suspected && (suspected == nil || f.reason.Numbers.LogE > suspected.Numbers.LogE) {
			suspected = &f.reason
		}
		switch {
		case f.result == Regressed:
			regressed = append(regressed, f.reason)
			if f.evidence != nil {
				evidence = append(evidence, *f.evidence)
			}
		case f.result == Healthy:
			healthy = append(healthy, f.reason)
			early = early && f.early
		case f.reason.Code == CodeNoSeries:
			absent = append(absent, f.reason)
		case f.reason.Code == CodeTooFewRequests || f.reason.Code == CodeNoBaseline:
			quiet = append(quiet, f.reason)
			early = false
		default:
			undecided = append(undecided, f.reason)
		}
	}
	switch {
	case len(regressed) > 0:
		return Verdict{Result: Regressed, Reasons: slices.Concat(regressed, evidence, undecided, quiet)}
	case len(undecided) > 0:
		return Verdict{Result: Undecided, Reasons: slices.Concat(undecided, quiet, absent, healthy), Suspected: suspected}
	case len(healthy) > 0:
		return Verdict{Result: Healthy, Early: early, Reasons: slices.Concat(healthy, quiet, absent)}
	}
	return Verdict{Result: Undecided, Reasons: slices.Concat(quiet, absent)}
}

// bench is where the signals of one input are judged: by the threshold alone, or by threshold and evidence together.
type bench struct {
	names  sides
	ratios *ratios // nil: the evidence layer is off
	odds   float64 // one in how many rollouts may be called Regressed wrongly by one signal
	pass   float64 // the logarithm that the e-value for an early pass must reach
}

// maxMargin is the largest margin the grid of ratios is laid around.
const maxMargin = 100

func newBench(in Input) *bench {
	b := &bench{names: sides{to: in.To, from: in.From}}
	if !(in.FalseAlarm > 0 && in.FalseAlarm < 1) || in.From == "" { // without an earlier revision there is only the ceiling
		return b
	}
	margin := in.Margin
	if !(margin > 1 && margin <= maxMargin) {
		margin = DefaultMargin
	}
	b.ratios = newRatios(margin)
	b.odds = float64(len(in.Signals)+len(in.Values)) / in.FalseAlarm // split evenly: the chances of all signals add up to falseAlarm at most
	b.pass = -math.Log(in.FalseAlarm)                                // all must pass, so that nothing is to be split
	return b
}

// finding is what is found of one signal.
type finding struct {
	result   Result
	reason   Reason
	evidence *Reason // what the evidence layer adds to Regressed
	since    int     // the tick since which it is Regressed
	early    bool    // surely no worse than the margin

	suspected bool // most of the evidence has gathered that Regressed takes
}

// crossCheck is the logarithm of the e-value that must be left without the tick that speaks loudest: 20 to 1.
const crossCheck = 3

// suspicious is the logarithm of the e-value from which a rate over the threshold is worth a mention: 20 to 1.
const suspicious = 3

// suspicion is the share of the logarithm of the e-value that Regressed takes, from which people may be told that evidence is
// gathering. By Ville's inequality the chance that a signal of a rollout which is no worse ever comes so far is at most the chance
// of a false alarm to the power of it: at 1 in 1,000 for a rollout with one signal, 1 in 178.
const suspicion = 0.75

func (b *bench) judge(e Evidence) finding {
	if b.ratios == nil {
		result, reason := e.threshold(b.names)
		return finding{result: result, reason: reason}
	}
	t := e.trial(b.ratios)
	w, weighed := t.weigh()
	if !weighed {
		result, reason := e.threshold(b.names)
		if result == Regressed { // never without evidence
			result, reason.Code = Undecided, CodeSuspicion
		}
		return finding{result: result, reason: reason}
	}
	over := t.over(&w.stretch)
	if over && b.conclusive(w) {
		return b.regressed(t, w)
	}
	if t.lift.count > 0 {
		if f, blamed := b.excused(t); blamed {
			return f
		}
	}
	if (over || t.still(&w.stretch)) && w.logE >= suspicious || over && t.apart() {
		reason := e.reason(CodeSuspicion, t.look(w), b.names.compare(e, t.look(w))+"; "+b.doubt(w, over, e.Threshold.Ticks))
		reason.Numbers.LogE = w.logE
		return finding{result: Undecided, reason: reason, suspected: b.suspects(t, w, over)}
	}
	result, reason := e.standing(b.names)
	reason.Numbers.LogE = w.logE
	if result == Healthy && b.conclusive(w) {
		reason.Sentence += "; worse than before, and within the threshold"
	}
	return finding{result: result, reason: reason, early: w.logPass >= b.pass}
}

// suspects reports whether people may be told of what is suspicious. Who just started is given time to recover, as in over.
func (b *bench) suspects(t *trial, w weighed, over bool) bool {
	return w.logE >= suspicion*math.Log(b.odds) && w.without >= crossCheck && (over || len(t.spans)-t.first > startup)
}

func (b *bench) conclusive(w weighed) bool {
	return w.logE >= math.Log(b.odds) && w.without >= crossCheck
}

// doubt says why what is over the threshold is not yet regressed.
func (b *bench) doubt(w weighed, over bool, wanted int) string {
	switch {
	case w.logE < math.Log(b.odds):
		return "the chance of a false alarm is " + oneIn(math.Exp(math.Max(w.logE, 0))) + ", 1 in " + number(b.odds) + " is needed"
	case over:
		return "most of them in one tick"
	}
	return "not as bad in each of the newest " + ticks(wanted)
}

// regressed says that threshold and evidence agree.
func (b *bench) regressed(t *trial, w weighed) finding {
	l := t.look(w)
	sentence := b.names.compare(t.e, l) + ", chance of a false alarm under 1 in " + number(b.odds)
	if t.lift.count > 0 && w.stretch.after.Requests > 0 {
		sentence += "; " + t.lift.clause() + ", and it far more"
	}
	reason := t.e.reason(CodeThreshold, l, sentence)
	reason.Numbers.LogE = w.logE
	why := t.e.reason(CodeEvidence, l, t.e.title()+": were "+b.names.to+" no worse than "+times(t.r.value[below])+", the chance of this would be "+oneIn(math.Exp(w.logE))+
		", by the last "+ticks(len(t.spans)-w.onset)+", compared with "+w.stretch.control(b.names))
	why.Numbers.LogE = w.logE
	return finding{result: Regressed, reason: reason, evidence: &why, since: w.onset}
}

// excused says that the candidate would be regressed if neighbours had not got worse with it.
func (b *bench) excused(t *trial) (finding, bool) {
	alone := *t
	alone.lift = lift{ratio: 1}
	w, ok := alone.weigh()
	if !ok || !b.conclusive(w) || !alone.over(&w.stretch) {
		return finding{}, false
	}
	l := alone.look(w)
	reason := t.e.reason(CodeShared, l, b.names.compare(t.e, l)+"; "+t.lift.clause()+", so that it is not blamed on this deploy")
	reason.Numbers.LogE = w.logE
	return finding{result: Undecided, reason: reason}, true
}

// look is what a trial's finding is about.
func (t *trial) look(w weighed) look {
	return look{candidate: w.stretch.candidate, baseline: t.compared(&w.stretch), enough: true, known: true}
}
