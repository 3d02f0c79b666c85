package decide

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// near reports whether two logarithms are the same but for rounding.
func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-9*math.Max(1, math.Max(math.Abs(a), math.Abs(b)))
}

func TestGridOfRatios(t *testing.T) {
	r := newRatios(1.5)
	for g, want := range map[int]float64{below: 1.5, below + 3: 1.5 * math.E, below - 3: 1.5 / math.E, grid - 1: 1.5 * math.Exp(5)} {
		if math.Abs(r.value[g]-want) > 1e-9 || math.Abs(r.log[g]-math.Log(want)) > 1e-9 {
			t.Errorf("point %d is %v, of logarithm %v, want %v", g, r.value[g], r.log[g], want)
		}
	}
	for g := range grid {
		if worse := !math.IsInf(r.worse[g], -1); worse != (r.value[g] > 1.5*1.0001) {
			t.Errorf("a ratio of %v is among the worse: %v", r.value[g], worse)
		}
		if same := !math.IsInf(r.same[g], -1); same != (r.value[g] < 1.11) {
			t.Errorf("a ratio of %v is among the same: %v", r.value[g], same)
		}
	}
}

// Alternatives are weighed with weights that sum to 1, whatever the margin: that is what the promise of falseAlarm needs.
func TestWeightsSumToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRatios(rapid.Float64Range(1.0001, maxMargin).Draw(t, "margin"))
		for name, w := range map[string]*weights{"worse": &r.worse, "same": &r.same} {
			if sum := total(w); math.Abs(sum-1) > 1e-12 {
				t.Fatalf("the weights of %s sum to %v", name, sum)
			}
		}
	})
}

// The null must not lose weight where it is spread wider than the grid: what it lacks would be evidence against the candidate.
func TestNullLosesNoWeight(t *testing.T) {
	for _, v := range []float64{0, 1e-9, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1, 2, 4, 10, 100, 1e6, 1e12} {
		var w weights
		w.around(v)
		if sum := total(&w); sum < 1-1e-9 || sum > 1.06 {
			t.Errorf("with a variance of %v the weights sum to %v", v, sum)
		}
		if w[below] < w[below+1] || w[below+1] < w[grid-1] || !near(w[below-1], w[below+1]) {
			t.Errorf("with a variance of %v the weights are not around the margin: %v", v, w)
		}
	}
}

// Of nothing seen nothing follows, however much rates vary.
func TestNothingSeenIsNoEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRatios(rapid.Float64Range(1.01, 10).Draw(t, "margin"))
		var l likelihood
		variance := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64Range(0, 1e7))
		shown, likely := variance.Draw(t, "shown"), variance.Draw(t, "likely")
		for name, w := range map[string]*weights{"worse": &r.worse, "same": &r.same} {
			if e := l.bayes(w, shown, likely); e > 1e-6 {
				t.Fatalf("the logarithm of the e-value of %s is %v", name, e)
			}
		}
	})
}

func total(w *weights) float64 {
	sum := 0.0
	for _, x := range w {
		sum += math.Exp(x)
	}
	return sum
}

// drawTicks draws ticks of concurrent pods: the candidate's errors, those of both sides, and the share of requests.
func drawTicks(t *rapid.T) [][3]float64 {
	var out [][3]float64
	for range rapid.IntRange(1, 8).Draw(t, "ticks") {
		x := rapid.IntRange(0, 40).Draw(t, "candidate")
		e := x + rapid.IntRange(0, 40).Draw(t, "baseline")
		out = append(out, [3]float64{float64(x), float64(e), rapid.Float64Range(0.001, 1).Draw(t, "share")})
	}
	return out
}

// Ratios of likelihoods are those of the published test of two streams: each factor is computed here from its definition,
// with powers and products in place of logarithms.
func TestBesideIsTheTestOfTwoStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRatios(rapid.Float64Range(1.1, 3).Draw(t, "margin"))
		var l likelihood
		want := [grid]float64{}
		for _, k := range drawTicks(t) {
			x, e, rho := k[0], k[1], k[2]
			l.beside(r, x, e, rho)
			r0 := r.value[below]
			for g, rj := range r.value {
				want[g] += math.Log(math.Pow(rj/r0, x)) + e*math.Log((1+(r0-1)*rho)/(1+(rj-1)*rho))
			}
		}
		for g := range grid {
			if got := l[g] - l[below]; !near(got, want[g]) {
				t.Fatalf("at a ratio of %v: %v, want %v", r.value[g], got, want[g])
			}
		}
	})
}

// Given how many errors there were on both sides, the candidate's are binomial: the same from Go's own binomial chance.
func TestBesideIsBinomial(t *testing.T) {
	r := newRatios(1.5)
	for _, c := range []struct{ x, e, rho float64 }{{0, 1, 0.5}, {1, 1, 0.5}, {3, 10, 0.2}, {10, 10, 0.9}, {50, 120, 0.33}, {7, 7, 1}} {
		var l likelihood
		l.beside(r, c.x, c.e, c.rho)
		binomial := func(ratio float64) float64 {
			p := ratio * c.rho / (ratio*c.rho + 1 - c.rho)
			other := 0.0
			if c.e > c.x {
				other = (c.e - c.x) * math.Log(1-p)
			}
			return c.x*math.Log(p) + other
		}
		for g := range grid {
			if got, want := l[g]-l[0], binomial(r.value[g])-binomial(r.value[0]); !near(got, want) {
				t.Errorf("%+v at a ratio of %v: %v, want %v", c, r.value[g], got, want)
			}
		}
	}
	var l likelihood
	if l.beside(r, 0, 0, 0.5); l != (likelihood{}) {
		t.Errorf("of no error on either side something follows: %v", l)
	}
}

// negativeBinomial is the logarithm of the chance of n errors where mean are expected, of a rate known from shape errors.
func negativeBinomial(n, mean, shape float64) float64 {
	a, _ := math.Lgamma(n + shape)
	b, _ := math.Lgamma(shape)
	c, _ := math.Lgamma(n + 1)
	p := shape / (shape + mean)
	return a - b - c + shape*math.Log(p) + n*math.Log(1-p)
}

func poisson(n, mean float64) float64 {
	c, _ := math.Lgamma(n + 1)
	return n*math.Log(mean) - mean - c
}

func TestAfterIsNegativeBinomial(t *testing.T) {
	r := newRatios(1.5)
	for _, c := range []struct{ errors, expected, shape float64 }{{0, 1, 1}, {1, 0.1, 1}, {5, 2, 1}, {20, 3, 4}, {100, 80, 31}, {0, 40, 300}} {
		var l likelihood
		l.after(r, c.errors, c.expected, c.shape)
		for g := range grid {
			want := negativeBinomial(c.errors, r.value[g]*c.expected, c.shape) - negativeBinomial(c.errors, r.value[below]*c.expected, c.shape)
			if got := l[g] - l[below]; !near(got, want) {
				t.Errorf("%+v at a ratio of %v: %v, want %v", c, r.value[g], got, want)
			}
		}
	}
	var l likelihood
	if l.after(r, 3, 0, 1); l != (likelihood{}) {
		t.Errorf("of nothing expected something follows: %v", l)
	}
}

// A past of very many errors has a rate that is as good as known: then the candidate's errors are Poisson's.
func TestAfterALongPastIsPoisson(t *testing.T) {
	r := newRatios(1.5)
	for _, c := range []struct{ errors, expected float64 }{{0, 1}, {3, 1}, {30, 10}, {5, 10}} {
		last := math.Inf(1)
		for _, shape := range []float64{1e2, 1e4, 1e8} {
			var l likelihood
			l.after(r, c.errors, c.expected, shape)
			off := 0.0
			for g := range below + 6 { // far above, the mean squared is no longer small against the shape
				want := poisson(c.errors, r.value[g]*c.expected) - poisson(c.errors, r.value[below]*c.expected)
				off = math.Max(off, math.Abs(l[g]-l[below]-want))
			}
			if off > last/10 {
				t.Errorf("%+v with a shape of %v: off by %v, before by %v", c, shape, off, last)
			}
			last = off
		}
		if last > 1e-3 {
			t.Errorf("%+v: off by %v", c, last)
		}
	}
}

// What the past says is the wider, the fewer errors it has: the same candidate is less surely worse.
func TestAThinPastSaysLess(t *testing.T) {
	r := newRatios(1.5)
	last := math.Inf(-1)
	for _, shape := range []float64{1, 2, 5, 20, 100, 1000} {
		var l likelihood
		l.after(r, 40, 4, shape)
		e := l.bayes(&r.worse, 0, 0)
		if e <= last {
			t.Errorf("known from %v errors: %v, from fewer: %v", shape, e, last)
		}
		last = e
	}
}

// Averages in logarithms are those of plain numbers.
func TestAverages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRatios(1.5)
		var l likelihood
		plain := 0.0
		for g := range grid {
			l[g] = rapid.Float64Range(-30, 30).Draw(t, "l")
			plain += math.Exp(l[g]) * math.Exp(r.worse[g])
		}
		if got := l.average(&r.worse); !near(got, math.Log(plain)) {
			t.Fatalf("%v, want %v", got, math.Log(plain))
		}
		shift := rapid.Float64Range(-1e6, 1e6).Draw(t, "shift")
		before := l.bayes(&r.worse, 0.1, 0.2)
		for g := range grid {
			l[g] += shift
		}
		if after := l.bayes(&r.worse, 0.1, 0.2); math.Abs(after-before) > 1e-6 {
			t.Fatalf("a constant factor of all likelihoods changed the e-value: %v, before %v", after, before)
		}
	})
}

// The null is the average of two: how much the past has shown, and for 2% how much there well may be.
func TestNull(t *testing.T) {
	r := newRatios(1.5)
	var l likelihood
	l.beside(r, 12, 20, 0.4)
	plain := func(variance float64) float64 {
		var w weights
		w.around(variance)
		sum := 0.0
		for g := range grid {
			sum += math.Exp(l[g] + w[g])
		}
		return sum
	}
	for _, c := range []struct{ shown, likely, second float64 }{{0, 0, 0}, {0.1, 0.3, 0.3}, {0.3, 0.1, 0.3}, {0, 5, 5}} {
		want := math.Log(0.98*plain(c.shown) + 0.02*plain(c.second))
		if got := l.null(c.shown, c.likely); !near(got, want) {
			t.Errorf("%+v: %v, want %v", c, got, want)
		}
		worse := 0.0
		for g := range grid {
			worse += math.Exp(l[g] + r.worse[g])
		}
		if got := l.bayes(&r.worse, c.shown, c.likely); !near(got, math.Log(worse)-want) {
			t.Errorf("%+v: an e-value of %v, want %v", c, got, math.Log(worse)-want)
		}
	}
}

func TestLogAdd(t *testing.T) {
	for _, c := range []struct{ a, b, want float64 }{
		{0, 0, math.Ln2},
		{math.Log(2), math.Log(3), math.Log(5)},
		{math.Log(3), math.Log(2), math.Log(5)},
		{-inf, 1, 1},
		{1, -inf, 1},
		{-inf, -inf, -inf},
		{1000, 0, 1000},
		{-5, 1e300, 1e300},
		{700, 700, 700 + math.Ln2}, // whose own powers of e would be beyond counting when multiplied
	} {
		if got := logAdd(c.a, c.b); !near(got, c.want) {
			t.Errorf("logAdd(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// However long a bake lasts, the weights of the ticks in which it may have become worse sum to at most 1.
func TestOnsetsShareOneWeight(t *testing.T) {
	sum := 0.0
	for s := range 1_000_000 {
		if isOnset(s) {
			sum += math.Exp(logOnset(s))
		}
		if sum > 1 {
			t.Fatalf("the weights sum to %v after %d ticks", sum, s)
		}
	}
	if sum < 0.95 {
		t.Errorf("the weights sum to %v: the rest is given away", sum)
	}
	if !near(logOnset(-1), logOnset(0)) {
		t.Error("before the first tick is not from the start")
	}
}
