package decide

import (
	"maps"
	"math"
	"slices"

	"github.com/bakewatch/bakewatch/signals"
)

// Dispersion is how much error rates vary when nothing is deployed, beyond the chance of single requests, learnt from the
// past: as much as it has shown, and as much as there well may be.
type Dispersion struct {
	Shown, Likely Spread
}

// Spread holds relative variances of error rates.
type Spread struct {
	Tick   float64 // of the service's rate from tick to tick, 1/ticks of it left in the mean of many
	Run4   float64 // of its mean over 4 ticks: what lasts longer than a tick does not average out within them
	Run16  float64 // of its mean over 16 ticks
	Single float64 // of one pod's rate from tick to tick, against its fellows
	Pods   float64 // of pods' own lasting rates
	Past   int     // pods that served in the past; 0: not told apart
}

const (
	// assumedPods is the relative variance of pods' lasting error rates that there may be until the past has shown
	// otherwise: a standard deviation of 10%. It counts as much as assumedWeight pods.
	assumedPods   = 0.01
	assumedWeight = 4
	// assumedTick is the variance from tick to tick that there may be where the past says little, and as much again is
	// how far that may be off.
	assumedTick = 0.02
	// mostLearnt is the largest relative variance of a tick that is believed, which errors have that come in bursts. What a
	// short past has shown beyond it is a burst or two, each as large as itself and as rare as the past is long, after
	// which no candidate could be found worse. One burst does not convict anyway.
	mostLearnt = 2
)

// Learn learns the dispersion from the blocks of the past.
func Learn(blocks []signals.Side) Dispersion {
	d := Dispersion{Likely: Spread{Tick: assumedTick, Pods: assumedPods}}
	var spoke []signals.Counts
	var total signals.Counts
	for _, b := range blocks {
		if b.Spoke() && b.Requests > 0 {
			spoke = append(spoke, b.Counts)
			total = total.Add(b.Counts)
		}
	}
	if len(spoke) < 8 || total.Errors == 0 {
		return d
	}
	rate := total.Errors / total.Requests
	phi, se := excess(spoke, rate)
	d.Shown.Tick = math.Max(phi-se, 0)
	// The likely one is drawn to what is assumed by as much as the past is unsure.
	known, assumed := 1/(se*se), 1/(assumedTick*assumedTick)
	d.Likely.Tick = (math.Max(phi, 0)*known+assumedTick*assumed)/(known+assumed) + 1/math.Sqrt(known+assumed)
	if phi > 2*se { // it is there for sure, and what was assumed no longer matters
		d.Likely.Tick = math.Max(d.Likely.Tick, phi+se)
	}
	d.Shown.Run4, d.Likely.Run4 = lasting(spoke, rate, 4)
	d.Shown.Run16, d.Likely.Run16 = lasting(spoke, rate, 16)
	d.podwise(blocks)
	d.Shown.bound()
	d.Likely.bound()
	return d
}

func (d *Spread) bound() {
	for _, v := range []*float64{&d.Tick, &d.Run4, &d.Run16, &d.Single, &d.Pods} {
		*v = math.Min(*v, mostLearnt)
	}
}

// excess estimates the relative variance of the rate behind counts, beyond Poisson's, by moments, and its standard error.
// With X the errors of a block and mu those expected of it, E[(X-mu)^2] = mu + phi·mu^2.
func excess(blocks []signals.Counts, rate float64) (phi, se float64) {
	var over, squares float64
	for _, b := range blocks {
		mu := rate * b.Requests
		over += (b.Errors-mu)*(b.Errors-mu) - mu
		squares += mu * mu
	}
	n := float64(len(blocks))
	phi = over * n / (n - 1) / squares
	var variance float64
	for _, b := range blocks {
		mu := rate * b.Requests
		v := mu + math.Max(phi, 0)*mu*mu
		variance += 2*v*v + mu
	}
	return phi, math.Sqrt(variance) / squares
}

// lasting is the relative variance of means over n blocks in a row: shown, and likely.
func lasting(blocks []signals.Counts, rate float64, n int) (shown, likely float64) {
	var runs []signals.Counts
	for ; len(blocks) >= n; blocks = blocks[n:] {
		var sum signals.Counts
		for _, b := range blocks[:n] {
			sum = sum.Add(b)
		}
		runs = append(runs, sum)
	}
	if len(runs) < 4 {
		return 0, 0
	}
	phi, se := excess(runs, rate)
	known, assumed := 1/(se*se), 1/(assumedTick*assumedTick)
	return math.Max(phi-2*se, 0), math.Max(phi, 0) * known / (known + assumed)
}

// podwise learns how pods differ from each other: from tick to tick, and lastingly.
func (d *Dispersion) podwise(blocks []signals.Side) {
	totals := map[string]signals.Counts{}
	var tick moments
	for _, b := range blocks {
		if !b.Spoke() || b.Requests == 0 || !told(b) {
			continue
		}
		for pod, c := range b.Pods {
			totals[pod] = totals[pod].Add(c)
		}
		if len(b.Pods) < 2 || b.Errors == 0 {
			continue
		}
		for _, pod := range slices.Sorted(maps.Keys(b.Pods)) {
			tick.add(b.Pods[pod], b.Counts)
		}
	}
	n := len(totals)
	d.Shown.Past, d.Likely.Past = n, n
	if n < 2 {
		return
	}
	d.Shown.Single = tick.shown()
	d.Likely.Single = tick.estimate()
	names := slices.Sorted(maps.Keys(totals)) // in order, so that the sums are the same each time
	var all signals.Counts
	for _, pod := range names {
		all = all.Add(totals[pod])
	}
	var pods moments
	for _, pod := range names {
		pods.add(totals[pod], all)
	}
	weight := float64(n-1) / (assumedWeight + float64(n-1))
	d.Shown.Pods = weight * pods.shown()
	d.Likely.Pods = weight*pods.estimate() + (1-weight)*assumedPods
}

// told reports whether a side's pods may be believed: none of them says more than all.
func told(s signals.Side) bool {
	for _, c := range s.Pods {
		if !sane(c.Requests, c.Errors) || c.Requests > s.Requests || c.Errors > s.Errors {
			return false
		}
	}
	return true
}

// moments estimate the relative variance of parts' rates around that of their whole, beyond Poisson's: with X the errors of
// a part, mu those expected of it and f its share of the whole, E[(X-mu)^2] = (mu + phi·mu^2)·(1-f), or nearly.
type moments struct{ over, squares, variance float64 }

func (m *moments) add(part, whole signals.Counts) {
	if whole.Errors == 0 || part.Requests == 0 {
		return
	}
	mu := whole.Errors / whole.Requests * part.Requests
	rest := 1 - part.Requests/whole.Requests
	m.over += (part.Errors-mu)*(part.Errors-mu) - mu*rest
	m.squares += mu * mu * rest
	m.variance += (2*mu*mu + mu) * rest * rest
}

func (m *moments) estimate() float64 {
	if m.squares == 0 {
		return 0
	}
	return math.Max(m.over/m.squares, 0)
}

// shown is the estimate less its standard error where there is no such variance.
func (m *moments) shown() float64 {
	if m.squares == 0 {
		return 0
	}
	return math.Max((m.over-math.Sqrt(m.variance))/m.squares, 0)
}

// shared is what moves all pods of a side from tick to tick.
func (d Spread) shared() float64 {
	if d.Past < 2 {
		return d.Tick
	}
	return math.Max(d.Tick-d.Single/float64(d.Past), 0)
}

// beside is the variance of the logarithm of the two sides' rates in the mean of so many ticks, for candidate pods beside
// old ones. A number of pods of 0 is not known.
func (d Spread) beside(ticks float64, candidates, old int) float64 {
	each := 1/atLeastOne(candidates) + 1/atLeastOne(old)
	return 2*logGamma(d.shared()/ticks) + logGamma(d.Single/atLeastOne(candidates)/ticks) + logGamma(d.Single/atLeastOne(old)/ticks) + d.Pods*each
}

// after is the same for a candidate compared with the past.
func (d Spread) after(ticks float64, candidates int) float64 {
	each := 1/atLeastOne(candidates) + 1/atLeastOne(d.Past)
	v := math.Max(d.shared()/ticks, math.Max(d.Run4*math.Min(1, 4/ticks), d.Run16*math.Min(1, 16/ticks)))
	return math.Log1p(v) + math.Log1p(d.Single/atLeastOne(candidates)/ticks) + d.Pods*each
}

// logGamma is the variance of the logarithm of a gamma variable with a relative variance: trigamma(1/v), by the first
// terms of its series. Where rates vary so much that they come near nothing now and then, it is far above v itself, and a
// ratio to them goes as far up.
func logGamma(v float64) float64 { return v + v*v/2 + v*v*v/6 }

func atLeastOne(n int) float64 { return math.Max(float64(n), 1) }
