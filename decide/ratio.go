package decide

import "math"

// The evidence layer asks one thing: how many times the baseline's error rate is the candidate's? It does not estimate the
// ratio but keeps a likelihood for each of a fixed grid of ratios. So what concurrent old pods say and what the past says
// add up in the same terms, and the null and its alternatives are two weighings of one grid.
const (
	below = 4  // points of the grid below the margin
	above = 15 // points above it
	grid  = below + 1 + above
	step  = 1.0 / 3 // distance of two points, in natural logarithms: a factor of 1.4
)

// logRatio is the natural logarithm of point g's ratio in units of the margin: 0 at the margin itself.
func logRatio(g int) float64 { return float64(g-below) * step }

// likelihood holds the logarithm of the likelihood of what was seen, but for a constant, at each point of the grid.
type likelihood [grid]float64

// weights are the logarithms of weights of the grid's points; -Inf where there is none.
type weights [grid]float64

// ratios are the grid for one margin.
type ratios struct {
	value [grid]float64 // the ratios themselves
	log   [grid]float64
	worse weights // of the alternatives "worse than the margin": they sum to 1
	same  weights // of the alternatives "as good as the baseline, or better": they sum to 1
}

// usualRatios are the grid for the usual margin, which most judge by.
var usualRatios = layRatios(DefaultMargin)

func newRatios(margin float64) *ratios {
	if margin == DefaultMargin {
		return usualRatios
	}
	return layRatios(margin)
}

// layRatios lays the grid around a margin. The weights of "worse" fall with the ratio: a large one shows quickly whatever
// its weight, and it is the small ones that need what there is. Any weights that sum to 1 keep the promise of falseAlarm;
// these choose where it is kept soonest.
func layRatios(margin float64) *ratios {
	r := &ratios{}
	var worse, same float64
	for g := range grid {
		r.log[g] = math.Log(margin) + logRatio(g)
		r.value[g] = math.Exp(r.log[g])
		if i := g - below; i >= 1 {
			r.worse[g] = math.Exp(-0.1 * float64(i))
		}
		if r.log[g] <= 0.1 { // at the latest a ratio of 1.1
			r.same[g] = 1
		}
		worse += r.worse[g]
		same += r.same[g]
	}
	for g := range grid {
		r.worse[g] = math.Log(r.worse[g] / worse)
		r.same[g] = math.Log(r.same[g] / same)
	}
	return r
}

// beside adds what one tick of concurrent old pods says: of all errors of the tick, how many were the candidate's, given
// its share of the requests. Whatever moves both sides alike cancels. Errors are Poisson counts, so that given their sum
// the candidate's are binomial, with chance r·share / (1 + (r-1)·share) at ratio r.
func (l *likelihood) beside(r *ratios, errors, all, share float64) {
	if all == 0 {
		return
	}
	for g := range grid {
		l[g] += errors*r.log[g] - all*math.Log(1+(r.value[g]-1)*share)
	}
}

// after adds what ticks without old pods say, compared with the past: the candidate's errors, of which so many would be
// expected at a ratio of 1. The past's rate is known from as many errors as shape, and so has a gamma distribution of that
// shape; then the candidate's errors are negative binomial: the fewer errors the past has, the wider.
func (l *likelihood) after(r *ratios, errors, expected, shape float64) {
	if expected == 0 {
		return
	}
	for g := range grid {
		l[g] += errors*r.log[g] - (errors+shape)*math.Log(1+r.value[g]*expected/shape)
	}
}

// diluted is the same where some of the errors are the old version's own: so many of those would be expected.
func (l *likelihood) diluted(r *ratios, errors, expected, foreign, shape float64) {
	if foreign == 0 {
		l.after(r, errors, expected, shape)
		return
	}
	for g := range grid {
		mean := r.value[g]*expected + foreign
		l[g] += errors*math.Log(mean) - (errors+shape)*math.Log(1+mean/shape)
	}
}

// average is the logarithm of the average of the likelihood under weights.
func (l *likelihood) average(w *weights) float64 {
	top := math.Inf(-1)
	for g := range grid {
		if x := l[g] + w[g]; x > top {
			top = x
		}
	}
	return top + math.Log(l.sum(w, top))
}

// negligible is how far below the largest a logarithm may be left out of a sum: e^-40 is beyond a float's digits.
const negligible = -40

func (l *likelihood) sum(w *weights, top float64) float64 {
	sum := 0.0
	for g := range grid {
		if d := l[g] + w[g] - top; d > negligible {
			sum += math.Exp(d)
		}
	}
	return sum
}

// surprise is the weight, in the null, of "the two sides differ as much as they well may"; the rest is "as much as the
// past has shown". The larger it is, the longer small ratios take; the smaller, the more is staked on the past.
const surprise = 0.02

// null is the logarithm of the average of the likelihood under the null: the ratio is the margin, times a random factor by
// which the two sides differ for no fault of the version. The factor's logarithm is normal, with the variance that the past
// has shown, or with the larger one that it may well have.
func (l *likelihood) null(shown, likely float64) float64 {
	var w weights
	w.around(shown)
	a := l.average(&w) + math.Log(1-surprise)
	w.around(math.Max(likely, shown))
	return logAdd(a, l.average(&w)+math.Log(surprise))
}

// around is a normal distribution around the margin with a variance. The weights sum to 1 or a little more: what the grid
// cuts off is given to what is left, since a null that lacks weight would be evidence against any candidate.
func (w *weights) around(variance float64) {
	variance = math.Max(variance, step*step/32) // narrower than the grid can show
	wide := math.Sqrt(2 * variance)
	inside := (math.Erf((above+0.5)*step/wide) + math.Erf((below+0.5)*step/wide)) / 2
	norm := math.Max(0, math.Log(inside*math.Sqrt(math.Pi)*wide/step))
	for g := range grid {
		z := logRatio(g)
		w[g] = -z*z/(2*variance) - norm
	}
}

// bayes is the logarithm of the e-value of what was seen: how much likelier it is under the alternatives than under the
// null. Under the null its expectation is at most 1.
func (l *likelihood) bayes(alternatives *weights, shown, likely float64) float64 {
	return l.average(alternatives) - l.null(shown, likely)
}

// atMost is what bayes is at most, at a fraction of its cost: all alternatives as likely as the likeliest, and of the null
// the margin alone.
func (l *likelihood) atMost(likely float64) float64 {
	top := math.Inf(-1)
	for g := below + 1; g < grid; g++ {
		if l[g] > top {
			top = l[g]
		}
	}
	wide := math.Log(math.Sqrt(2*math.Pi*math.Max(likely, step*step/32))/step + 1)
	return top - l[below] + wide
}

// logAdd is log(e^a + e^b).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, -1) || b-a < negligible {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
