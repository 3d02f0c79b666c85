package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// allFail is the ratio that makes every request of the new version fail.
var allFail = math.Inf(1)

var (
	everyRate  = []float64{0.1, 1, 10, 50, 1000}               // requests/s of the whole service
	everyBase  = []float64{0, 0.001, 0.005, 0.01, 0.05}        // share of requests that fails without a fault
	everyRatio = []float64{1, 1.2, 1.5, 2, 4, 10, 50, allFail} // how many times worse the new version is
	usualRates = []float64{1, 10, 50, 1000}
	busyRates  = []float64{10, 50, 1000}
	usualBases = []float64{0.001, 0.005, 0.01, 0.05}
	good       = []float64{1}
	bad        = []float64{4, 10, allFail}
	paths      = []string{"1of4", "replace", "rolling5m"} // each control once
)

// table fixes every scenario: each row stands for all combinations of what it lists. Runs are per scenario; healthy is
// how many where the ratio is 1, for those certify how rarely a good version is rolled back.
//
// A base of 0 counts as 0.1% in ratios, so that 10 and 50 mean 1% and 5% of requests fail that never failed before.
var table = []row{
	// Every request rate, error rate and ratio, with each kind of control. 30,000 runs of them are healthy.
	{shapes: is("step"), noises: is("independent"), rollouts: paths, rates: everyRate, bases: everyBase, ratios: everyRatio, runs: 100, healthy: 420},
	{shapes: is("step"), noises: is("independent"), rollouts: is("2of4", "rolling30s"), rates: usualRates, bases: []float64{0.001, 0.01, 0.05}, ratios: []float64{1, 2, 4, 10, 50, allFail}, runs: 60, healthy: 100},

	// Faults that do not begin with the rollout, or not everywhere.
	{shapes: is("ramp", "late"), noises: is("independent"), rollouts: paths, rates: usualRates, bases: []float64{0.001, 0.01}, ratios: []float64{1, 4, 10, 50, allFail}, runs: 60, healthy: 60},
	{shapes: is("one-bad-pod"), noises: is("independent"), rollouts: is("10of20", "rolling5m-10pods"), rates: usualRates, bases: []float64{0.001, 0.01}, ratios: []float64{1, 10, 50, allFail}, runs: 60, healthy: 60},

	// What is not independent, where nothing is wrong: at least 3,000 runs of each noise.
	{shapes: is("step"), noises: is("gamma-0.5", "gamma-1", "gamma-2"), rollouts: is("1of4", "replace", "rolling5m"), rates: usualRates, bases: usualBases, ratios: good, healthy: 64},
	{shapes: is("step"), noises: is("pods-differ"), rollouts: is("1of4", "3of6", "rolling5m"), rates: usualRates, bases: usualBases, ratios: good, healthy: 64},
	{shapes: is("step"), noises: is("daily", "missing-scrapes", "counter-resets"), rollouts: paths, rates: usualRates, bases: usualBases, ratios: good, healthy: 64},
	{shapes: is("step"), noises: is("startup-errors"), rollouts: paths, rates: usualRates, bases: []float64{0, 0.001, 0.005, 0.01}, ratios: good, healthy: 64},
	{shapes: is("step"), noises: is("surge"), rollouts: is("1of4", "2of4", "3of6"), rates: usualRates, bases: []float64{0.001, 0.005, 0.01}, ratios: good, healthy: 84},
	{shapes: is("step"), noises: is("shared-cause"), rollouts: paths, rates: usualRates, bases: []float64{0.001, 0.005, 0.01}, ratios: good, healthy: 84},
	{shapes: is("step"), noises: is("no-errors-before"), rollouts: is("replace", "rolling30s", "rolling5m"), rates: []float64{0.1}, bases: []float64{0.0002, 0.001, 0.005}, ratios: good, healthy: 201},
	{shapes: is("step"), noises: is("no-errors-before"), rollouts: is("replace", "rolling30s", "rolling5m"), rates: []float64{1}, bases: []float64{0.0002, 0.001}, ratios: good, healthy: 201},

	// The same, where the new version is worse.
	{shapes: is("step"), noises: is("gamma-0.5", "gamma-1", "gamma-2"), rollouts: is("1of4", "replace", "rolling5m"), rates: busyRates, bases: []float64{0.005, 0.01}, ratios: bad, runs: 30},
	{shapes: is("step"), noises: is("pods-differ"), rollouts: is("1of4", "3of6", "rolling5m"), rates: busyRates, bases: []float64{0.005, 0.01}, ratios: bad, runs: 30},
	{shapes: is("step"), noises: is("daily", "missing-scrapes", "counter-resets", "startup-errors", "shared-cause"), rollouts: paths, rates: busyRates, bases: []float64{0.005, 0.01}, ratios: bad, runs: 30},
	{shapes: is("step"), noises: is("surge"), rollouts: is("1of4", "2of4"), rates: busyRates, bases: []float64{0.005, 0.01}, ratios: bad, runs: 30},
	{shapes: is("step"), noises: is("no-errors-before"), rollouts: is("replace", "rolling30s", "rolling5m"), rates: []float64{1}, bases: []float64{0.001}, ratios: []float64{10, 50, allFail}, runs: 30},
}

// rollouts say how the new version takes the place of the old one.
var rollouts = map[string]rollout{
	"replace":          {control: "history", before: 1, after: 1, replaced: 1, service: true},
	"1of4":             {control: "concurrent", before: 3, after: 4},
	"2of4":             {control: "concurrent", before: 2, after: 4},
	"3of6":             {control: "concurrent", before: 3, after: 6},
	"10of20":           {control: "concurrent", before: 10, after: 20},
	"rolling30s":       {control: "both", before: 4, after: 4, replaced: 4, over: 30},
	"rolling5m":        {control: "both", before: 4, after: 4, replaced: 4, over: 300},
	"rolling5m-10pods": {control: "both", before: 10, after: 10, replaced: 10, over: 300},
}

// row is one line of the table.
type row struct {
	shapes, noises, rollouts []string
	rates, bases, ratios     []float64
	runs, healthy            int
}

func is(words ...string) []string { return words }

// rollout is how many pods serve before and after, how many old ones are replaced, and over how many seconds. Old pods
// that are not replaced serve on to the end: the rollout never finishes.
type rollout struct {
	control       string
	before, after int
	replaced      int
	over          float64
	service       bool // the counters are of the whole service, which tells no pods apart
}

// fresh is how many new pods there are in the end.
func (r rollout) fresh() int { return r.after - r.before + r.replaced }

// share is the share of requests on new pods, t seconds after the first of them was ready.
func (r rollout) share(t float64) float64 {
	if r.replaced == 0 {
		return float64(r.fresh()) / float64(r.after)
	}
	n := 0
	for i := range r.replaced {
		if r.born(i) <= t {
			n++
		}
	}
	return float64(n) / float64(r.after)
}

// born is when the i-th new pod is ready, in seconds after the first.
func (r rollout) born(i int) float64 {
	if r.replaced < 2 {
		return 0
	}
	return r.over * float64(i) / float64(r.replaced-1)
}

// scenario is one line of the results.
type scenario struct {
	name              string
	rate, base, ratio float64
	shape, noise      string
	how               string // key of rollouts
	runs              int
}

func (s scenario) rollout() rollout { return rollouts[s.how] }

// bad is the error rate of the new version once the fault is there.
func (s scenario) bad() float64 {
	switch {
	case s.ratio == 1:
		return s.base
	case s.base == 0:
		return math.Min(1, s.ratio*0.001)
	}
	return math.Min(1, s.ratio*s.base)
}

// healthy reports whether the new version is no worse than the margin allows.
func (s scenario) healthy(margin float64) bool { return s.ratio <= margin }

// scenarios expands the table. With only set, the names that match it; runs are scaled, and at least one.
func scenarios(only *regexp.Regexp, scale float64) []scenario {
	var out []scenario
	seen := map[string]bool{}
	for _, r := range table {
		r.each(func(s scenario) {
			if seen[s.name] || (only != nil && !only.MatchString(s.name)) {
				return
			}
			seen[s.name] = true
			s.runs = max(1, int(math.Round(float64(s.runs)*scale)))
			out = append(out, s)
		})
	}
	return out
}

func (r row) each(do func(scenario)) {
	for _, noise := range r.noises {
		for _, shape := range r.shapes {
			for _, how := range r.rollouts {
				for _, rate := range r.rates {
					for _, base := range r.bases {
						for _, ratio := range r.ratios {
							if base == 0 && ratio != 1 && ratio < 10 {
								continue // nothing, a few times over, is nothing
							}
							s := scenario{rate: rate, base: base, ratio: ratio, shape: shape, noise: noise, how: how, runs: r.runs}
							if ratio == 1 {
								s.runs = r.healthy
							}
							s.name = s.title()
							do(s)
						}
					}
				}
			}
		}
	}
}

func (s scenario) title() string {
	fault := "x" + number(s.ratio)
	switch {
	case math.IsInf(s.ratio, 1):
		fault = "all-fail"
	case s.ratio == 1:
		fault = "healthy"
	case s.base == 0:
		fault = "new-" + number(s.bad()*100) + "%"
	}
	return strings.Join([]string{s.shape, s.noise, s.how, number(s.rate) + "rps", number(s.base*100) + "%", fault}, "/")
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// twin is the name of the same scenario with nothing wrong.
func (s scenario) twin() string {
	s.ratio = 1
	return s.title()
}

func (s scenario) String() string { return fmt.Sprintf("%s (%d runs)", s.name, s.runs) }
