package decide

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// seeded are random numbers that are the same each time.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 20)) }

// draw draws a Poisson count by Knuth's method, in parts small enough for it.
func draw(r *rand.Rand, mean float64) float64 {
	n := 0.0
	for ; mean > 0; mean -= 30 {
		limit := math.Exp(-math.Min(mean, 30))
		for p := r.Float64(); p > limit; p *= r.Float64() {
			n++
		}
	}
	return n
}

// gamma draws a gamma variable of mean 1 and relative variance 1/shape, for whole shapes: a mean of exponential ones.
func gamma(r *rand.Rand, shape int) float64 {
	sum := 0.0
	for range shape {
		sum += r.ExpFloat64()
	}
	return sum / float64(shape)
}

// past are blocks of a service's past: so many requests in each, a rate, and by how much it is off in block i.
func pastOf(r *rand.Rand, n int, requests, rate float64, factor func(i int) float64) []signals.Side {
	out := make([]signals.Side, n)
	for i := range out {
		out[i] = spoke(requests, draw(r, requests*rate*factor(i)))
	}
	return out
}

func sum(sides []signals.Side) signals.Side {
	var all signals.Side
	for _, s := range sides {
		all.Counts = all.Add(s.Counts)
	}
	return all
}

func steady(int) float64 { return 1 }

// By hand: 8 blocks of 100 requests at 4%, so that 4 errors are expected of each. Errors of 0 and 8 in turn are off by 4
// each: over Poisson's variance by 12, of a mean squared of 16, and 8/7 of that.
func TestExcessByHand(t *testing.T) {
	var blocks []signals.Counts
	for i := range 8 {
		blocks = append(blocks, signals.Counts{Requests: 100, Errors: float64(i % 2 * 8)})
	}
	phi, se := excess(blocks, 0.04)
	if want := 12.0 / 16 * 8 / 7; !near(phi, want) {
		t.Errorf("a relative variance of %v, want %v", phi, want)
	}
	v := 4 + 12.0/14*16
	if want := math.Sqrt(8*(2*v*v+4)) / (8 * 16); !near(se, want) {
		t.Errorf("a standard error of %v, want %v", se, want)
	}
}

// What was put in is found: nothing in a steady past, and the variance of gamma bursts.
func TestLearnFindsWhatIsThere(t *testing.T) {
	const runs = 40
	for _, c := range []struct {
		name     string
		requests float64
		factor   func(r *rand.Rand) func(int) float64
		tick     float64 // relative variance from tick to tick
		run16    float64 // of means over 16
	}{
		{"steady", 1000, func(*rand.Rand) func(int) float64 { return steady }, 0, 0},
		{"bursts", 1000, func(r *rand.Rand) func(int) float64 { return func(int) float64 { return gamma(r, 2) } }, 0.5, 0.03},
		{"bursts that last", 1000, func(r *rand.Rand) func(int) float64 {
			now := 1.0
			return func(i int) float64 {
				if i%16 == 0 {
					now = gamma(r, 4)
				}
				return now
			}
		}, 0.25, 0.25},
	} {
		t.Run(c.name, func(t *testing.T) {
			var shown, likely Spread
			for seed := range uint64(runs) {
				r := seeded(seed)
				d := Learn(pastOf(r, 240, c.requests, 0.02, c.factor(r)))
				for _, p := range []struct {
					sum *Spread
					d   Spread
				}{{&shown, d.Shown}, {&likely, d.Likely}} {
					p.sum.Tick += p.d.Tick / runs
					p.sum.Run16 += p.d.Run16 / runs
				}
			}
			if shown.Tick > c.tick+0.01 || shown.Tick < 0.7*c.tick {
				t.Errorf("from tick to tick %.3f is shown of %v", shown.Tick, c.tick)
			}
			if c.tick == 0 && (likely.Tick <= 0 || likely.Tick > 0.03) { // what is drawn to what is assumed
				t.Errorf("from tick to tick %.3f is likely of nothing", likely.Tick)
			}
			if shown.Run16 > c.run16+0.01 || shown.Run16 < 0.2*c.run16-0.02 {
				t.Errorf("over 16 ticks %.3f is shown of %v", shown.Run16, c.run16)
			}
		})
	}
}

func TestLearnFromLittle(t *testing.T) {
	assumed := Dispersion{Likely: Spread{Tick: assumedTick, Pods: assumedPods}}
	for name, blocks := range map[string][]signals.Side{
		"nothing":       nil,
		"seven blocks":  pastOf(seeded(1), 7, 1000, 0.1, steady),
		"no error":      pastOf(seeded(1), 240, 1000, 0, steady),
		"nothing heard": {missing(signals.Late, ""), spoke(0, 0), spoke(nan, 1)},
	} {
		if d := Learn(blocks); d != assumed {
			t.Errorf("from %s: %+v", name, d)
		}
	}
	d := Learn(pastOf(seeded(1), 12, 1000, 0.1, steady)) // too short for runs of 4
	if d.Likely.Run4 != 0 || d.Likely.Run16 != 0 {
		t.Errorf("of 12 blocks runs are known: %+v", d)
	}
}

// withPods splits each block among pods, each with its own lasting factor and, by tick, its own luck.
func withPods(r *rand.Rand, n int, requests, rate float64, lasting []float64, single func() float64) []signals.Side {
	out := make([]signals.Side, n)
	for i := range out {
		out[i].Pods = map[string]signals.Counts{}
		for p, f := range lasting {
			c := signals.Counts{Requests: requests, Errors: draw(r, requests*rate*f*single())}
			out[i].Pods[strconv.Itoa(p)] = c
			out[i].Counts = out[i].Add(c)
		}
	}
	return out
}

func TestLearnHowPodsDiffer(t *testing.T) {
	same := func() float64 { return 1 }
	r := seeded(3)
	equal := []float64{1, 1, 1, 1}
	d := Learn(withPods(r, 240, 500, 0.02, equal, same))
	if d.Shown.Past != 4 || d.Shown.Pods > 0.01 || d.Shown.Single > 0.02 || d.Likely.Pods < assumedPods*0.4 {
		t.Errorf("pods that are the same: %+v", d)
	}
	d = Learn(withPods(r, 240, 500, 0.02, []float64{0.5, 0.8, 1.2, 1.5}, same))
	if d.Shown.Pods < 0.04 || d.Likely.Pods < d.Shown.Pods || d.Likely.Pods > 0.3 { // the variance of the four is 0.19
		t.Errorf("pods that differ: %+v", d)
	}
	d = Learn(withPods(r, 240, 500, 0.02, equal, func() float64 { return gamma(r, 2) }))
	if d.Likely.Single < 0.3 || d.Likely.Single > 0.7 || d.Likely.shared() > 0.1 {
		t.Errorf("pods with bursts of their own: %+v, of it shared %v", d, d.Likely.shared())
	}
	d = Learn(withPods(r, 240, 500, 0.02, []float64{1}, same))
	if d.Shown.Past != 1 || d.Likely.Pods != assumedPods {
		t.Errorf("one pod: %+v", d)
	}
	d = Learn(withPods(r, 240, 500, 0.02, []float64{1, 0}, same)) // one of two never fails
	if d.Likely.Pods < 0.05 {
		t.Errorf("one pod has all errors: %+v", d)
	}
}

// Pods that say what cannot be are not learnt from.
func TestLearnFromPodsThatContradictTheirSum(t *testing.T) {
	for name, pods := range map[string]map[string]signals.Counts{
		"more requests than all":  {"a": {Requests: 200}, "b": {Requests: 1}},
		"more errors than all":    {"a": {Requests: 50, Errors: 90}, "b": {Requests: 50}},
		"less than nothing":       {"a": {Requests: -100}, "b": {Requests: 50}},
		"not a number":            {"a": {Requests: nan}, "b": {Requests: 50, Errors: inf}},
		"no requests, yet errors": {"a": {Errors: 1}, "b": {}},
		"nothing":                 {"a": {}, "b": {}},
	} {
		blocks := pastOf(seeded(4), 40, 100, 0.05, steady)
		want := Learn(blocks)
		for i := range blocks {
			blocks[i].Pods = pods
		}
		got := Learn(blocks)
		for _, v := range []float64{got.Shown.Pods, got.Shown.Single, got.Likely.Pods, got.Likely.Single} {
			if !(v >= 0 && v < 1) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got.Shown.Tick != want.Shown.Tick || got.Likely.Tick != want.Likely.Tick {
			t.Errorf("%s: the service varies by %+v, want %+v", name, got, want)
		}
	}
}

// A blip in the past is not how much the service varies from then on: a version of which all requests fail is found after
// it as well, within a few ticks.
func TestABlipInThePastExcusesNothing(t *testing.T) {
	for _, burst := range []float64{1, 2, 3, 5, 20, 100} {
		for _, bursts := range []int{1, 3} {
			blocks := make([]signals.Side, 240)
			for i := range blocks {
				blocks[i] = spoke(150, 0)
				if i > 0 && i%70 == 0 && i/70 <= bursts {
					blocks[i].Errors = burst
				}
			}
			for name, c := range map[string]struct {
				old    []signals.Side
				within int
			}{"old pods beside": {[]signals.Side{spoke(150, 0)}, 4}, "the past": {nil, 3}} {
				e := Evidence{Signal: "s", Threshold: defaults, History: sum(blocks), Blocks: blocks, Ticks: repeat(c.within, tick(spoke(150, 150), c.old...))}
				if v := Judge(input(e)); v.Result != Regressed {
					t.Errorf("%s, after %d bursts of %v errors: %s after %d ticks: %+v", name, bursts, burst, v.Result, c.within, v.Reasons)
				}
			}
		}
	}
}

// Whatever the past was like, the spread over more ticks and more pods is no larger.
func TestMoreTicksAndPodsVaryLess(t *testing.T) {
	d := Spread{Tick: 0.8, Run4: 0.3, Run16: 0.1, Single: 0.5, Pods: 0.04, Past: 4}
	for n := 1; n < 100; n++ {
		x := float64(n)
		if d.beside(x+1, 2, 2) > d.beside(x, 2, 2) || d.after(x+1, 2) > d.after(x, 2) {
			t.Errorf("over %d ticks more than over %d", n+1, n)
		}
		if d.beside(4, n+1, 2) > d.beside(4, n, 2) || d.beside(4, 2, n+1) > d.beside(4, 2, n) || d.after(4, n+1) > d.after(4, n) {
			t.Errorf("of %d pods more than of %d", n+1, n)
		}
	}
	if d.beside(4, 0, 0) != d.beside(4, 1, 1) || d.after(4, 0) != d.after(4, 1) {
		t.Error("pods that are not told apart do not count as one")
	}
	if got := (Spread{Tick: 0.1, Single: 0.8, Past: 4}).shared(); got != 0 {
		t.Errorf("%v is shared, where pods alone explain it", got)
	}
	if got := (Spread{Tick: 0.1, Single: 0.8, Past: 1}).shared(); got != 0.1 {
		t.Errorf("%v is shared of one pod, want all", got)
	}
}

// The variance of the logarithm of a gamma variable is trigamma of its shape: pi²/6 at 1, pi²/6-1 at 2.
func TestLogGamma(t *testing.T) {
	for v, want := range map[float64]float64{0: 0, 0.1: 0.10516633568, 0.5: math.Pi*math.Pi/6 - 1, 1: math.Pi * math.Pi / 6} {
		if got := logGamma(v); math.Abs(got-want) > 0.02*want {
			t.Errorf("of a relative variance of %v: %v, want %v", v, got, want)
		}
	}
}
