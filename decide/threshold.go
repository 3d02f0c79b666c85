package decide

import (
	"math"
	"strings"

	"github.com/bakewatch/bakewatch/signals"
)

// Codes of the reasons the threshold layer and its limits of sight give.
const (
	CodeThreshold      = "threshold"        // over the threshold for enough ticks in a row
	CodeEvidence       = "evidence"         // why threshold and evidence together make Regressed
	CodeSuspicion      = "suspicion"        // over the threshold, but not surely enough yet, or with nothing to compare with
	CodeShared         = "shared"           // neighbours that did not deploy got worse with it
	CodeWithin         = "within-threshold" // judged, and within the threshold
	CodeTooFewRequests = "too-few-requests" // the candidate served fewer requests than may be judged
	CodeNoBaseline     = "no-baseline"      // under the ceiling, but nothing to compare the candidate with
	CodeSilent         = "silent"           // the candidate says nothing, where the baseline spoke
	CodeNoSeries       = "no-series"        // the source has nothing on either side
	CodeBlind          = "blind"            // the source could not be read
)

// zThin is the one-sided 95% point of the normal distribution, for the benefit of the doubt given to a thin baseline.
const zThin = 1.6448536269514722

// upperRate is the upper end of Wilson's one-sided 95% interval for the error rate behind the counts: what the rate may
// well be, given how few requests were seen. No requests at all give 1, so that nothing can be worse than an unknown.
//
// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
func upperRate(c signals.Counts) float64 {
	n := c.Requests
	if n <= 0 {
		return 1
	}
	p := math.Min(c.Errors/n, 1)
	z2 := zThin * zThin
	centre := p + z2/(2*n)
	spread := zThin * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return math.Min((centre+spread)/(1+z2/n), 1)
}

// lowerRate is the lower end of the same interval. No requests at all give 0.
func lowerRate(c signals.Counts) float64 {
	return 1 - upperRate(signals.Counts{Requests: c.Requests, Errors: math.Max(c.Requests-c.Errors, 0)})
}

// over reports whether the candidate's counts are over the threshold, compared with the baseline's. The baseline is
// given the benefit of the doubt: its rate is taken at its upper limit. compared is false for a first revision, which
// has only the ceiling to keep.
func (t Threshold) over(candidate, baseline signals.Counts, compared bool) bool {
	rate := candidate.Rate()
	if !compared {
		return rate > t.Max
	}
	base := upperRate(baseline)
	if rate < base+t.Floor || rate == 0 {
		return false // too small an increase to matter
	}
	crossed := rate > t.Max && baseline.Rate() <= t.Max
	return crossed || rate > t.Increase*base
}

// Limit is the rate above which a candidate is over the threshold, for people to see: over says so above it, and not below.
func (t Threshold) Limit(baseline signals.Counts, compared bool) float64 {
	if !compared {
		return t.Max
	}
	base := upperRate(baseline)
	limit := t.Increase * base
	if baseline.Rate() <= t.Max {
		limit = math.Min(limit, t.Max)
	}
	return math.Max(limit, base+t.Floor)
}

// look is what the threshold is held against at one tick: the newest counts that are enough to be judged.
type look struct {
	candidate, baseline signals.Counts
	enough              bool // the candidate served at least MinRequests
	known               bool // something is known of the baseline
	first               int  // index of the oldest tick the candidate's counts were taken from
}

// lookBack collects counts from tick i backwards until the candidate has served enough requests, so that a busy service
// is judged by its last tick and a quiet one by as many as it takes. Old pods that served in those same ticks are the
// baseline; where they served too little, what they served in earlier ticks and in their past is added.
func (e Evidence) lookBack(i int) look {
	var l look
	for ; i >= 0; i-- {
		if r := e.Ticks[i]; r.Candidate.Spoke() {
			l.candidate = l.candidate.Add(r.Candidate.Counts)
			if r.Baseline.Spoke() {
				l.baseline = l.baseline.Add(r.Baseline.Counts)
			}
		}
		if l.candidate.Requests >= e.Threshold.MinRequests {
			l.enough = true
			break
		}
	}
	l.first = max(i, 0)
	if l.baseline.Requests < e.Threshold.MinRequests {
		for i--; i >= 0; i-- {
			if r := e.Ticks[i]; r.Baseline.Spoke() {
				l.baseline = l.baseline.Add(r.Baseline.Counts)
			}
		}
		if e.History.Spoke() {
			l.baseline = l.baseline.Add(e.History.Counts)
		}
	}
	l.known = l.baseline.Requests > 0
	return l
}

// run counts how many of the newest ticks in a row are over the threshold, none of them judged by a request that another
// one was judged by: on a quiet service a tick stands for as many as it takes. A tick in which the candidate served nothing
// neither adds to the run nor ends it. It stops counting at Threshold.Ticks.
func (e Evidence) run(compared bool) int {
	n := 0
	for i := len(e.Ticks) - 1; i >= 0 && n < e.Threshold.Ticks; i-- {
		if c := e.Ticks[i].Candidate; !c.Spoke() || c.Requests == 0 {
			continue
		}
		l := e.lookBack(i)
		if !l.enough || (compared && !l.known) || !e.Threshold.over(l.candidate, l.baseline, compared) {
			break
		}
		n++
		i = l.first
	}
	return n
}

// threshold judges one signal by its threshold.
func (e Evidence) threshold(names sides) (Result, Reason) {
	compared := names.from != ""
	if run := e.run(compared); run > 0 {
		l := e.lookBack(e.newest())
		if run >= e.Threshold.Ticks {
			return Regressed, e.reason(CodeThreshold, l, names.compare(e, l))
		}
		return Undecided, e.reason(CodeSuspicion, l, names.compare(e, l)+"; over the threshold for "+ticks(run)+", "+ticks(e.Threshold.Ticks)+" needed")
	}

	return e.standing(names)
}

// standing says how a signal stands that is not over its threshold: whether it was seen well enough to be called healthy.
func (e Evidence) standing(names sides) (Result, Reason) {
	compared := names.from != ""
	total := e.total()
	all := look{candidate: total.candidate, baseline: total.baseline}
	switch {
	case blind(e.Ticks), len(e.Ticks) >= 4 && blind(e.Ticks[len(e.Ticks)/2:]): // its second half counts by itself: it must not end blind
		code, clause := e.blindness(total)
		return Undecided, e.reason(code, all, e.title()+": "+clause)
	case total.candidate.Requests == 0 && e.served(total) >= e.Threshold.MinRequests:
		return Undecided, e.reason(CodeSilent, all, e.title()+": "+names.to+" "+e.none()+", while "+names.fromOr("the version before")+" did")
	case total.candidate.Requests < e.Threshold.MinRequests:
		return Undecided, e.reason(CodeTooFewRequests, all, e.title()+": "+number(total.candidate.Requests)+" "+e.Words().Counted+" on "+names.to+
			", fewer than the "+number(e.Threshold.MinRequests)+" needed to judge")
	}
	l := e.lookBack(len(e.Ticks) - 1)
	if compared && !l.known {
		code := CodeNoBaseline
		switch {
		case e.History.Missing == signals.Failed:
			code = CodeBlind
		case l.candidate.Rate() > e.Threshold.Max:
			code = CodeSuspicion
		}
		return Undecided, e.reason(code, l, e.rate(l.candidate)+" on "+names.to+podCount(e.Ticks)+"; nothing is known of "+names.from+" ("+why(e.History)+")")
	}
	// Healthy is said of the whole bake, so the sentence counts all of it.
	if e.History.Spoke() {
		all.baseline = all.baseline.Add(e.History.Counts)
	}
	sentence := names.compare(e, all)
	if gaps := len(e.Ticks) - total.spoke; gaps > 0 {
		sentence += "; could not be read in " + number(float64(gaps)) + " of " + ticks(len(e.Ticks))
	}
	return Healthy, e.reason(CodeWithin, all, sentence)
}

// blind reports whether the candidate could not be read in more than half of the ticks.
func blind(rs []signals.Reading) bool {
	spoke := 0
	for _, r := range rs {
		if r.Candidate.Spoke() {
			spoke++
		}
	}
	return len(rs) == 0 || spoke*2 < len(rs)
}

// served is how many requests the baseline is known to have served, in its past and beside the candidate.
func (e Evidence) served(t totals) float64 {
	if !e.History.Spoke() {
		return t.baseline.Requests
	}
	return t.baseline.Requests + e.History.Requests
}

// newest is the index of the newest tick in which the candidate served something.
func (e Evidence) newest() int {
	for i := len(e.Ticks) - 1; i > 0; i-- {
		if c := e.Ticks[i].Candidate; c.Spoke() && c.Requests > 0 {
			return i
		}
	}
	return 0
}

// totals are the counts over all ticks, and in how many of them the candidate spoke.
type totals struct {
	candidate, baseline signals.Counts
	spoke               int
}

func (e Evidence) total() totals {
	var t totals
	for _, r := range e.Ticks {
		if r.Candidate.Spoke() {
			t.candidate = t.candidate.Add(r.Candidate.Counts)
			t.spoke++
		}
		if r.Baseline.Spoke() {
			t.baseline = t.baseline.Add(r.Baseline.Counts)
		}
	}
	return t
}

// in is what a source says beside a sentence, in brackets; nothing where it only says once more that there is nothing.
func in(detail string) string {
	if detail == "" || strings.HasPrefix(detail, "no ") {
		return ""
	}
	return " (" + detail + ")"
}

// blindness says why the candidate could not be read in most ticks.
func (e Evidence) blindness(t totals) (code, clause string) {
	if len(e.Ticks) == 0 {
		return CodeBlind, "nothing read yet"
	}
	missing := map[signals.Missing]int{}
	var newest signals.Side
	for _, r := range e.Ticks {
		if !r.Candidate.Spoke() {
			missing[r.Candidate.Missing]++
			newest = r.Candidate
		}
	}
	none := missing[signals.NoSeries]
	switch mostly := none > missing[signals.Failed] && none+missing[signals.Failed] == len(e.Ticks)-t.spoke; {
	case mostly && e.served(t) >= e.Threshold.MinRequests && t.spoke == 0:
		return CodeSilent, "the new pods have no series, while the old ones did" + in(newest.Detail)
	case mostly && e.served(t) >= e.Threshold.MinRequests:
		return CodeSilent, "the new pods have no series in " + number(float64(none)) + " of " + ticks(len(e.Ticks)) + ", while the old ones did" + in(newest.Detail)
	case mostly && t.spoke == 0:
		return CodeNoSeries, "no series for this workload"
	}
	return CodeBlind, "could not be read in " + number(float64(len(e.Ticks)-t.spoke)) + " of " + ticks(len(e.Ticks)) + " (" + why(newest) + ")"
}
