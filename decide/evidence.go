package decide

import (
	"math"

	"github.com/bakewatch/bakewatch/signals"
)

// trial is one signal before the evidence layer.
type trial struct {
	e     Evidence
	r     *ratios
	d     Dispersion
	past  past
	lift  lift
	spans []span
	first int // the first tick in which the candidate served
}

// weighed is what the evidence layer makes of a signal.
type weighed struct {
	logE    float64 // logarithm of the e-value against "no worse than the margin"
	logPass float64 // logarithm of the e-value against "as bad as the margin, or worse"
	onset   int     // the tick since which the candidate is most likely worse
	stretch stretch // what was seen since
	without float64 // logarithm of the e-value of it without the tick that speaks loudest
}

func (e Evidence) trial(r *ratios) *trial {
	t := &trial{e: e, r: r, d: e.dispersion(), past: e.past(), lift: newLift(e.Neighbours)}
	t.spans = e.spans(t.past)
	for t.first < len(t.spans) && t.spans[t.first].candidate.Requests == 0 {
		t.first++
	}
	return t
}

// dispersion is what the past has taught, or else what old pods beside the candidate teach while they serve.
func (e Evidence) dispersion() Dispersion {
	switch {
	case len(e.Blocks) == 0:
		old := make([]signals.Side, len(e.Ticks))
		for i, r := range e.Ticks {
			old[i] = r.Baseline
		}
		return Learn(old)
	case e.Learnt == nil:
		return Learn(e.Blocks)
	}
	return *e.Learnt
}

// weigh weighs all ticks. It reports false where none can be compared with anything.
func (t *trial) weigh() (weighed, bool) {
	w, ok := t.mix(-1)
	if !ok {
		return w, false
	}
	w.without = math.Inf(-1)
	if w.logE >= crossCheck { // else it does not matter
		if rest, ok := t.mix(t.loudest(w)); ok {
			w.without = rest.logE
		}
	}
	return w, true
}

// mix averages over onsets what was seen since each, leaving out tick skip.
func (t *trial) mix(skip int) (weighed, bool) {
	w := weighed{logE: math.Inf(-1)}
	best := math.Inf(-1)
	var seen stretch
	// From the newest tick backwards, so that each step knows what was seen since the tick it is at.
	for s := len(t.spans) - 1; s >= 0; s-- {
		if s != skip {
			t.add(&seen, s)
		}
		if seen.ticks == 0 || t.spans[s].control == none || !isOnset(s-t.first) {
			continue
		}
		l := t.likelihood(&seen)
		shown, likely := t.variance(&seen)
		if s == t.first {
			w.logPass = l.bayes(&t.r.same, shown, shown)
		}
		e := l.atMost(math.Max(shown, likely)) + logOnset(s-t.first)
		if e > hopeless {
			e = l.bayes(&t.r.worse, shown, likely) + logOnset(s-t.first)
			w.logE = logAdd(w.logE, e)
		}
		if e > best || w.stretch.ticks < 2 { // of one tick alone nothing is made: see loudest
			best, w.onset, w.stretch = e, s, seen
		}
	}
	if math.IsInf(best, 0) || math.IsNaN(best) || math.IsInf(w.logE, 1) || math.IsNaN(w.logE) {
		return w, false // nothing was compared, or counts too small to be divided by
	}
	w.logE = math.Max(w.logE, hopeless)
	return w, true
}

// hopeless is the logarithm of an e-value that need not be known any better: whatever falseAlarm is, more is needed. An onset
// that has no more is left out, and where all have no more, this stands for "no more".
const hopeless = -2

// stretch is what was seen in a number of ticks.
type stretch struct {
	likelihood     likelihood     // of the ticks with old pods beside
	candidate      signals.Counts // in all ticks
	baseline       signals.Counts // of old pods beside
	after          signals.Counts // the candidate's, in ticks that are compared with the past
	foreign        float64        // how many requests of these the old version served
	ticks, beside  float64        // how many ticks, and how many of them had old pods beside
	pods, old      int            // most pods on each side
	weight, square float64        // sums of the ticks' requests, and of their squares
}

// add adds tick i to a stretch. It reports whether there was anything to add.
func (t *trial) add(s *stretch, i int) bool {
	x := &t.spans[i]
	switch x.control {
	case none:
		return false
	case beside:
		s.likelihood.beside(t.r, x.candidate.Errors, x.candidate.Errors+x.baseline.Errors, x.share())
		s.baseline = s.baseline.Add(x.baseline)
		s.beside++
		s.old = max(s.old, x.old)
	case after:
		s.after = s.after.Add(x.candidate)
		if i == 0 && x.pods == 0 {
			s.foreign = x.candidate.Requests * t.e.lead()
		}
	}
	s.candidate = s.candidate.Add(x.candidate)
	s.pods = max(s.pods, x.pods)
	s.ticks++
	s.weight += x.candidate.Requests
	s.square += x.candidate.Requests * x.candidate.Requests
	return true
}

// likelihood is that of all that was seen in a stretch.
func (t *trial) likelihood(s *stretch) likelihood {
	l := s.likelihood
	if s.after.Requests > 0 {
		rate := t.past.rate * t.lifted(s)
		l.diluted(t.r, s.after.Errors, (s.after.Requests-s.foreign)*rate, s.foreign*rate, t.past.shape)
	}
	return l
}

// lifted is how many times worse than the past a good candidate would be in a stretch, if all that made the neighbours worse
// happened in those of its ticks that are compared with the past.
func (t *trial) lifted(s *stretch) float64 {
	return 1 + (t.lift.ratio-1)*float64(len(t.spans))/(s.ticks-s.beside)
}

// variance is that of the logarithm of the two sides' ratio over a stretch, beyond the chance of single requests.
func (t *trial) variance(s *stretch) (shown, likely float64) {
	ticks := s.weight * s.weight / s.square // as many equal ones vary as little
	of := func(d Spread) float64 {
		part := s.beside / s.ticks
		v := 0.0
		if part > 0 {
			v += part * d.beside(ticks, s.pods, s.old)
		}
		if part < 1 {
			v += (1 - part) * (d.after(ticks, s.pods) + t.lift.variance)
		}
		return v
	}
	return of(t.d.Shown), of(t.d.Likely)
}

// loudest is the tick since the onset that has the most errors beyond the margin: one burst alone, however long its shadow, is
// not a regression, so that the evidence is weighed again without it.
func (t *trial) loudest(w weighed) int {
	loudest, most := -1, math.Inf(-1)
	for i := w.onset; i < len(t.spans); i++ {
		x := t.spans[i]
		if x.control == none {
			continue
		}
		expected := (x.candidate.Errors + x.baseline.Errors) * x.share()
		if x.control == after {
			expected = x.candidate.Requests * t.past.rate * t.lifted(&w.stretch)
		}
		if over := x.candidate.Errors - expected*t.r.value[below]; over > most {
			loudest, most = i, over
		}
	}
	return loudest
}

// compared are the counts a stretch's candidate is held against.
func (t *trial) compared(s *stretch) signals.Counts {
	if s.after.Requests == 0 {
		return s.baseline
	}
	return s.baseline.Add(t.past.Counts)
}

// base is the rate a stretch's candidate is held against.
func (t *trial) base(s *stretch) float64 {
	base := t.compared(s).Rate()
	if s.beside == 0 {
		base *= t.lifted(s)
	}
	return base
}

// still reports whether the newest counts that can be judged are over the threshold: a stretch that is not over it as a
// whole, since the candidate was worse before, is not well yet.
func (t *trial) still(s *stretch) bool {
	c := t.newest(len(t.spans) - 1)
	return c.Requests >= t.e.Threshold.MinRequests && t.e.Threshold.beyond(c.Rate(), t.base(s))
}

// apart reports whether the candidate is over the threshold by all it ever served, even with the benefit of the doubt on both
// sides. Where little is known of the baseline, the evidence may never be enough; but this is not healthy.
func (t *trial) apart() bool {
	var all stretch
	for i := range t.spans {
		t.add(&all, i)
	}
	base := upperRate(t.compared(&all))
	if all.beside == 0 {
		base *= t.lifted(&all)
	}
	return t.e.Threshold.beyond(lowerRate(all.candidate), base)
}

// over reports whether a stretch is over the threshold, and still is in each of the newest ticks.
func (t *trial) over(s *stretch) bool {
	th := t.e.Threshold
	base := t.base(s)
	rate := s.candidate.Rate()
	if s.candidate.Requests < th.MinRequests || !th.beyond(rate, base) {
		return false
	}
	if th.Ticks > len(t.spans) {
		return false
	}
	var newest signals.Counts
	n := 0
	for i := len(t.spans) - 1; i >= 0 && n < th.Ticks; i-- {
		if t.spans[i].candidate.Requests == 0 {
			continue
		}
		c := t.newest(i)
		if i == 0 {
			c = t.undiluted(base)
		}
		if c.Requests < th.MinRequests || !th.beyond(c.Rate(), base) {
			return false
		}
		if n == 0 {
			newest = c
		} else if i < t.first+startup && (newest.Rate() < c.Rate()/2 || c.Requests < newest.Requests/3) {
			return false // it begins badly, as rollouts do, and recovers; or too little was seen of how it began
		}
		n++
	}
	return n >= th.Ticks && newest.Rate() >= rate/2
}

// startup is how many ticks from its first the candidate may be recovering from having been started.
const startup = 3

// newest are the candidate's counts from tick i backwards, as many as can be judged.
func (t *trial) newest(i int) signals.Counts {
	var c signals.Counts
	for ; i >= 0 && c.Requests < t.e.Threshold.MinRequests; i-- {
		c = c.Add(t.spans[i].candidate)
	}
	return c
}

// undiluted are the candidate's counts in the first tick, without what the old version served in it before.
func (t *trial) undiluted(base float64) signals.Counts {
	c := t.spans[0].candidate
	if lead := t.e.lead(); t.spans[0].pods == 0 {
		c.Errors = math.Max(0, c.Errors-base*lead*c.Requests)
		c.Requests *= 1 - lead
	}
	return c
}

// lead is Lead, or nothing where it makes no sense.
func (e Evidence) lead() float64 {
	if e.Lead > 0 && e.Lead < 1 {
		return e.Lead
	}
	return 0
}

// beyond reports whether a rate is over the threshold, compared with a baseline's.
func (t Threshold) beyond(rate, base float64) bool {
	if rate == 0 || rate < base+t.Floor {
		return false
	}
	return rate > t.Increase*base || (rate > t.Max && base <= t.Max)
}

// isOnset reports whether "worse since tick s", counted from the candidate's first, is weighed. Beyond the first ticks every
// third is, and later every sixth: a fault that began between two of them is found by either.
func isOnset(s int) bool { return s <= 6 || (s <= 30 && s%3 == 0) || s%6 == 0 }

// logOnset is the logarithm of the weight of "worse since tick s". The weights sum to less than 1 over all ticks, however
// many there are, so that the e-value holds for a bake of any length. Most faults are there from the start and have most of
// the weight; the rest is spread as c/((s+c)(s+c-1)), which sums to 1 over all later ticks s.
func logOnset(s int) float64 {
	const atStart, c = 0.85, 30
	if s <= 0 {
		return math.Log(atStart)
	}
	x := float64(s) + c
	w := (1 - atStart) * c / (x * (x - 1))
	switch { // of those between, which are left out
	case s > 30:
		w *= 5.5
	case s > 6:
		w *= 2.8
	}
	return math.Log(w)
}
