package decide

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

// against is evidence by the default threshold.
func against(history signals.Side, ticks ...signals.Reading) Evidence {
	return Evidence{Signal: "http-errors", Threshold: defaults, History: history, Ticks: ticks}
}

// named are counts of a side by pod; the side is their sum.
func named(pods map[string]signals.Counts) signals.Side {
	s := signals.Side{Pods: pods}
	for _, c := range pods {
		s.Counts = s.Add(c)
	}
	return s
}

func counts(requests, errors float64) signals.Counts {
	return signals.Counts{Requests: requests, Errors: errors}
}

// Each rule in both directions.
func TestEvidenceRules(t *testing.T) {
	known := spoke(60_000, 300) // 0.5%, known well
	neighbour := func(before, after float64) Neighbour {
		return Neighbour{Name: "other", Before: counts(60_000, before), After: counts(10_000, after)}
	}
	with := func(e Evidence, change func(*Evidence)) Evidence {
		change(&e)
		return e
	}
	late := concat(repeat(20, tick(spoke(1000, 5))), repeat(4, tick(spoke(1000, 50))))
	tenfold := against(known, repeat(3, tick(spoke(1000, 50)))...)
	for _, c := range []struct {
		name   string
		e      Evidence
		result Result
		code   string
		says   string // a part of the first reason's sentence
	}{
		// Both controls.
		{"ten times the past", tenfold, Regressed, CodeThreshold, "5% of 3,000 requests failed on rev 7 against 0.5% of 60,000 on rev 6; 10x worse, chance of a false alarm under 1 in 1,000"},
		{"ten times the old pods", against(known, repeat(3, tick(spoke(1000, 50), spoke(1000, 5)))...), Regressed, CodeThreshold, ""},
		{"old pods excuse a surge they share", against(known, repeat(20, tick(spoke(1000, 50), spoke(1000, 50)))...), Healthy, CodeWithin, ""},
		{"and with few of them left the past is what counts", against(known, repeat(3, tick(spoke(1000, 50), spoke(100, 5)))...), Regressed, CodeThreshold, ""},
		{"both controls together", against(known, concat(repeat(2, tick(spoke(500, 9), spoke(500, 2))), repeat(2, tick(spoke(1000, 18))))...), Regressed, CodeThreshold, ""},
		{"nothing to compare with", against(missing(signals.Late, ""), repeat(5, tick(spoke(1000, 500)))...), Undecided, CodeSuspicion, "nothing is known of rev 6"},
		{"no past, but old pods that served earlier", against(missing(signals.Late, ""), concat(repeat(8, tick(spoke(500, 2), spoke(500, 2))), repeat(4, tick(spoke(1000, 200))))...), Regressed, CodeThreshold, ""},
		// The margin and the threshold.
		{"just under the margin, for long", against(spoke(6_000_000, 30_000), repeat(200, tick(spoke(10_000, 74)))...), Healthy, CodeWithin, ""},
		{"surely worse, but within the threshold", with(tenfold, func(e *Evidence) { e.Threshold.Increase = 11 }), Healthy, CodeWithin, "10x worse; worse than before, and within the threshold"},
		{"surely worse, but under the floor", with(tenfold, func(e *Evidence) { e.Threshold.Floor = 0.05 }), Healthy, CodeWithin, "10x worse; worse than before, and within the threshold"},
		{"over the threshold, by too little to be sure", against(spoke(600, 3), repeat(3, tick(spoke(20, 2)))...), Undecided, CodeSuspicion, "the chance of a false alarm is 1 in "},
		{"hardly known before, and far over the threshold", against(spoke(19, 0), repeat(5, tick(spoke(40, 15)))...), Undecided, CodeSuspicion, "1 in 1,000 is needed"},
		{"over the threshold by chance", against(spoke(600, 3), repeat(3, tick(spoke(20, 0.5)))...), Healthy, CodeWithin, ""},
		// Onset.
		{"late onset", against(known, late...), Regressed, CodeThreshold, ""},
		{"a steady rate has none", against(known, repeat(24, tick(spoke(1000, 5)))...), Healthy, CodeWithin, ""},
		// One burst alone does not convict, and is over when it is over.
		{"the loudest tick alone", against(known, concat(repeat(5, tick(spoke(1000, 5))), repeat(1, tick(spoke(1000, 800))))...), Undecided, CodeSuspicion, ""},
		{"the loudest tick alone, a while ago", against(known, concat(repeat(5, tick(spoke(1000, 5))), repeat(1, tick(spoke(1000, 800))), repeat(5, tick(spoke(1000, 5))))...), Healthy, CodeWithin, ""},
		{"two such", against(known, concat(repeat(5, tick(spoke(1000, 5))), repeat(2, tick(spoke(1000, 800))))...), Regressed, CodeThreshold, ""},
		{"one tick, however bad", against(known, tick(spoke(1000, 1000))), Undecided, CodeSuspicion, ""},
		{"most in one tick, the rest a little worse", against(spoke(60_000, 300), concat(repeat(5, tick(spoke(100, 0))), repeat(1, tick(spoke(100, 3))), repeat(1, tick(spoke(100, 80))))...), Undecided, CodeSuspicion, "most of them in one tick"},
		// Starting up.
		{"it began badly and recovers", against(known, tick(spoke(1000, 300)), tick(spoke(1000, 60))), Undecided, CodeSuspicion, "not as bad in each of the newest 2 ticks"},
		{"it began badly and has recovered", against(known, concat(repeat(1, tick(spoke(1000, 300))), repeat(1, tick(spoke(1000, 60))), repeat(10, tick(spoke(1000, 5))))...), Healthy, CodeWithin, ""},
		{"it began badly and stays so", against(known, repeat(3, tick(spoke(1000, 300)))...), Regressed, CodeThreshold, ""},
		{"it was bad for long, and gets better", against(known, concat(repeat(6, tick(spoke(1000, 400))), repeat(3, tick(spoke(1000, 60))))...), Undecided, CodeSuspicion, "not as bad in each of the newest 2 ticks"},
		// Lead: 90% of the first tick were the old version's. Without them 30% of 100 requests failed, and 15% in the next.
		{"it recovers, by the part of the first tick that it served", with(against(known, tick(spoke(1000, 35)), tick(spoke(1000, 100))), func(e *Evidence) { e.Lead = 0.9 }), Undecided, CodeSuspicion, ""},
		{"it does not, if it served all of it", against(known, tick(spoke(1000, 35)), tick(spoke(1000, 100))), Regressed, CodeThreshold, ""},
		{"a lead that cannot be is none", with(against(known, tick(spoke(1000, 35)), tick(spoke(1000, 100))), func(e *Evidence) { e.Lead = nan }), Regressed, CodeThreshold, ""},
		// Days.
		{"a daily peak", with(tenfold, func(e *Evidence) { e.Days = []signals.Side{spoke(3000, 140), spoke(3000, 160)} }), Healthy, CodeWithin, ""},
		{"earlier days that were no worse", with(tenfold, func(e *Evidence) { e.Days = []signals.Side{spoke(3000, 14), spoke(3000, 16)} }), Regressed, CodeThreshold, ""},
		{"earlier days that hardly served", with(tenfold, func(e *Evidence) { e.Days = []signals.Side{spoke(4, 4), missing(signals.NoSeries, "")} }), Regressed, CodeThreshold, ""},
		// Neighbours.
		{"a neighbour that got as much worse", with(tenfold, func(e *Evidence) { e.Neighbours = []Neighbour{neighbour(300, 500)} }), Undecided, CodeShared, "a neighbour that did not deploy got 10x worse, too, so that it is not blamed on this deploy"},
		{"two such", with(tenfold, func(e *Evidence) { e.Neighbours = []Neighbour{neighbour(300, 500), neighbour(600, 1000)} }), Undecided, CodeShared, "2 neighbours that did not deploy got 10x worse, too"},
		{"a neighbour that did not", with(tenfold, func(e *Evidence) { e.Neighbours = []Neighbour{neighbour(300, 50)} }), Regressed, CodeThreshold, ""},
		{"a neighbour that got a little worse, and it far more", with(against(known, repeat(6, tick(spoke(1000, 300)))...), func(e *Evidence) { e.Neighbours = []Neighbour{neighbour(300, 100), neighbour(300, 105)} }), Regressed, CodeThreshold, "2 neighbours that did not deploy got 2.1x worse, too, and it far more"},
		{"neighbours matter only where the past is the control", with(against(known, repeat(3, tick(spoke(1000, 50), spoke(1000, 5)))...), func(e *Evidence) { e.Neighbours = []Neighbour{neighbour(300, 500)} }), Regressed, CodeThreshold, ""},
		// Ticks in which nothing was served.
		{"an empty tick between", against(known, tick(spoke(1000, 50)), tick(spoke(0, 0)), tick(spoke(1000, 50))), Regressed, CodeThreshold, ""},
		{"blind ticks between", against(known, tick(spoke(1000, 50)), tick(missing(signals.Late, "")), tick(spoke(1000, 50)), tick(spoke(1000, 50))), Regressed, CodeThreshold, ""},
		{"too few requests to be judged", against(known, repeat(2, tick(spoke(2, 2)))...), Undecided, CodeTooFewRequests, ""},
		{"as few in each tick, but enough together", against(known, repeat(10, tick(spoke(2, 2)))...), Regressed, CodeThreshold, ""},
		{"more ticks wanted than there are", with(tenfold, func(e *Evidence) { e.Threshold.Ticks = 4 }), Undecided, CodeSuspicion, "not as bad in each of the newest 4 ticks"},
		{"under the floor", against(spoke(60_000, 0), repeat(30, tick(spoke(10_000, 15)))...), Healthy, CodeWithin, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(input(c.e))
			r := v.Reasons[0]
			if v.Result != c.result || r.Code != c.code || !strings.Contains(r.Sentence, c.says) {
				t.Errorf("%s (%s), want %s (%s), %q: %s; log e %.2f", v.Result, r.Code, c.result, c.code, c.says, r.Sentence, r.Numbers.LogE)
			}
		})
	}
}

// Regressed has two reasons for each signal: by how much, and how sure that is and compared with what.
func TestWhyItIsSure(t *testing.T) {
	known := spoke(60_000, 300)
	for _, c := range []struct {
		e    Evidence
		says string
	}{
		{against(known, repeat(4, tick(spoke(1000, 50)))...), "http-errors: were rev 7 no worse than 1.5x, the chance of this would be under 1 in 1,000,000,000, by the last 4 ticks, compared with the past"},
		{against(known, repeat(4, tick(spoke(1000, 50), spoke(1000, 5)))...), "compared with pods of rev 6 beside it"},
		{against(known, concat(repeat(2, tick(spoke(1000, 50), spoke(1000, 5))), repeat(2, tick(spoke(1000, 50))))...), "compared with pods of rev 6 beside it, and the past"},
	} {
		v := Judge(input(c.e))
		if len(v.Reasons) != 2 || v.Reasons[1].Code != CodeEvidence || !strings.Contains(v.Reasons[1].Sentence, c.says) {
			t.Errorf("said %+v, want %s", v.Reasons, c.says)
		}
		if l := v.Reasons[0].Numbers.LogE; l < math.Log(1000) || l != v.Reasons[1].Numbers.LogE {
			t.Errorf("surely, with %v", l)
		}
	}
}

// Counts too small to be divided by are no evidence: the verdict has no e-value, and can be written down.
func TestCountsThatAreHardlyAny(t *testing.T) {
	const tiny = math.SmallestNonzeroFloat64
	var blocks []signals.Side
	for range 40 {
		blocks = append(blocks, spoke(100, tiny))
	}
	learnt := against(spoke(1000, 3), repeat(3, tick(spoke(100, 0)))...)
	learnt.Blocks = blocks
	for name, e := range map[string]Evidence{
		"the candidate's": against(spoke(1000, 3), repeat(3, tick(spoke(tiny, 0)))...),
		"the past's":      against(spoke(tiny, 3), repeat(3, tick(spoke(100, 0)))...),
		"the old pods'":   against(spoke(1000, 3), repeat(3, tick(spoke(tiny, 0), spoke(tiny, 0)))...),
		"the blocks'":     learnt,

		"the past's, and all requests fail": against(spoke(tiny, 0), repeat(3, tick(spoke(100, 100)))...),
	} {
		v := Judge(input(e))
		encode(t, v)
		if v.Result == Regressed || v.Reasons[0].Numbers.LogE != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// How soon: the fewest ticks of 15 s after which a fault that began with the rollout is found.
func TestHowSoon(t *testing.T) {
	for _, c := range []struct {
		name      string
		past      signals.Side
		candidate signals.Side
		old       []signals.Side
		within    int
	}{
		{"all fail, 10 a second", spoke(36_000, 36), spoke(150, 150), nil, 2},
		{"all fail, 10 a second, a past without errors", spoke(36_000, 0), spoke(150, 150), nil, 2},
		{"all fail, 10 a second, old pods beside", spoke(36_000, 36), spoke(75, 75), []signals.Side{spoke(75, 0)}, 3},
		{"all fail, 1 a second", spoke(3600, 4), spoke(15, 15), nil, 3},
		{"tenfold, 50 a second", spoke(180_000, 900), spoke(750, 37), nil, 2},
		{"tenfold, old pods beside", spoke(180_000, 900), spoke(375, 19), []signals.Side{spoke(375, 2)}, 4},
		{"tenfold, 1 a second", spoke(3600, 18), spoke(15, 0.75), nil, 20},
		{"fourfold, 50 a second", spoke(180_000, 900), spoke(750, 15), nil, 6},
	} {
		e := against(c.past)
		for n := 1; ; n++ {
			e.Ticks = append(e.Ticks, tick(c.candidate, c.old...))
			if Judge(input(e)).Result == Regressed {
				break
			}
			if n == c.within {
				t.Errorf("%s: not found in %d ticks", c.name, n)
				break
			}
		}
	}
}

// falseAlarm is split over the signals: what is sure enough of one alone is not of one among ten.
func TestFalseAlarmIsSplit(t *testing.T) {
	e := against(spoke(60_000, 300), repeat(2, tick(spoke(100, 6)))...)
	in := input(e)
	alone := Judge(in).Reasons[0].Numbers.LogE
	in.FalseAlarm = math.Exp(-alone) * 1.01
	if v := Judge(in); v.Result != Regressed {
		t.Fatalf("alone: %+v", v)
	}
	well := against(spoke(60_000, 300), repeat(2, tick(spoke(100, 0)))...)
	in.Signals = append(in.Signals, well)
	if v := Judge(in); v.Result != Undecided || v.Reasons[0].Code != CodeSuspicion {
		t.Errorf("one of two: %+v", v)
	}
	in.FalseAlarm *= 2
	if v := Judge(in); v.Result != Regressed {
		t.Errorf("one of two, with twice the chance: %+v", v)
	}
}

// A margin that is none is the default; a larger one excuses more.
func TestMargin(t *testing.T) {
	in := input(against(spoke(600_000, 3000), repeat(10, tick(spoke(1000, 12)))...))
	usual := Judge(in).Reasons[0].Numbers.LogE
	for _, m := range []float64{0, 1, -2, 0.5, nan, inf, 101} {
		in.Margin = m
		if got := Judge(in).Reasons[0].Numbers.LogE; got != usual {
			t.Errorf("with a margin of %v: %v, want the default's %v", m, got, usual)
		}
	}
	last := inf
	for _, m := range []float64{1.1, 1.5, 2, 3, 100} {
		in.Margin = m
		got := Judge(in).Reasons[0].Numbers.LogE
		if got >= last && last > hopeless {
			t.Errorf("with a margin of %v: %v, before %v", m, got, last)
		}
		last = got
	}
}

// Without an accepted chance, or without an earlier revision, the threshold alone decides.
func TestWithoutEvidenceTheThresholdAlone(t *testing.T) {
	e := against(spoke(600, 3), repeat(3, tick(spoke(20, 2)))...)
	in := input(e)
	for _, f := range []float64{0, -1, 1, 2, nan} {
		in.FalseAlarm = f
		v := Judge(in)
		if v.Result != Regressed || len(v.Reasons) != 1 || v.Reasons[0].Numbers.LogE != 0 {
			t.Errorf("with a chance of %v: %+v", f, v)
		}
	}
	in = input(e)
	in.From = ""
	if v := Judge(in); v.Result != Regressed || !strings.Contains(v.Reasons[0].Sentence, "the ceiling is 5%, and there is no earlier revision") {
		t.Errorf("of a first revision: %+v", v)
	}
}

// Early is said only when each signal is surely no worse.
func TestPassEarly(t *testing.T) {
	past := spoke(600_000, 3000)
	well := against(past, repeat(20, tick(spoke(1000, 5)))...)
	unsure := against(past, repeat(20, tick(spoke(20, 0)))...)
	absent := against(missing(signals.NoSeries, ""), repeat(20, tick(missing(signals.NoSeries, "")))...)
	for _, c := range []struct {
		name  string
		es    []Evidence
		early bool
	}{
		{"surely well", []Evidence{well}, true},
		{"well as it seems", []Evidence{unsure}, false},
		{"both", []Evidence{well, unsure}, false},
		{"one that is not of this workload", []Evidence{well, absent}, true},
		{"compared with old pods", []Evidence{against(past, repeat(40, tick(spoke(1000, 5), spoke(1000, 5)))...)}, true},
		{"after a few requests", []Evidence{against(past, tick(spoke(100, 0)))}, false},
		{"as bad as the margin", []Evidence{against(past, repeat(60, tick(spoke(1000, 7.5)))...)}, false},
	} {
		in := input(c.es...)
		in.FalseAlarm = 0.05
		in.PassEarly = true
		if v := Judge(in); v.Result != Healthy || v.Early != c.early {
			t.Errorf("%s: %s, early %v, want %v: %+v", c.name, v.Result, v.Early, c.early, v.Reasons)
		}
		in.PassEarly = false
		if Judge(in).Early {
			t.Errorf("%s: early, where that is not wanted", c.name)
		}
	}
}

// What is left out of the sum for being hopeless is no more than was allowed for it.
func TestAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRatios(rapid.Float64Range(1.05, 5).Draw(t, "margin"))
		var l likelihood
		for _, k := range drawTicks(t) {
			l.beside(r, k[0], k[1], k[2])
		}
		l.after(r, float64(rapid.IntRange(0, 100).Draw(t, "errors")), rapid.Float64Range(0, 100).Draw(t, "expected"), rapid.Float64Range(1, 50).Draw(t, "shape"))
		shown, likely := rapid.Float64Range(0, 10).Draw(t, "shown"), rapid.Float64Range(0, 10).Draw(t, "likely")
		if most, e := l.atMost(math.Max(shown, likely)), l.bayes(&r.worse, shown, likely); e > most+1e-9 {
			t.Fatalf("%v, said to be at most %v", e, most)
		}
	})
}

// aBake is a bake with counts as services have them.
func aBake() *rapid.Generator[Evidence] {
	return rapid.Custom(func(t *rapid.T) Evidence {
		per := rapid.SampledFrom([]int{5, 20, 100, 1000}).Draw(t, "per")
		e := against(spoke(float64(60*per), float64(rapid.IntRange(0, 60).Draw(t, "past"))))
		n, old := rapid.IntRange(1, 14).Draw(t, "ticks"), 0
		if rapid.Bool().Draw(t, "rolling") {
			old = rapid.IntRange(0, n).Draw(t, "old")
		}
		for i := range n {
			requests := rapid.IntRange(per/2, 3*per/2).Draw(t, "requests")
			r := tick(spoke(float64(requests), float64(rapid.IntRange(0, min(requests, 30)).Draw(t, "errors"))))
			if i < old {
				r.Baseline = spoke(float64(per), float64(rapid.IntRange(0, min(per, 5)).Draw(t, "old errors")))
			}
			e.Ticks = append(e.Ticks, r)
		}
		return e
	})
}

// The monotonicity that holds with the evidence layer: whatever errors are added to a candidate that is Regressed, in
// whichever ticks, it is never Healthy. It may be Undecided: errors that come in one tick are no proof without the others,
// and those of earlier ticks may look like a start from which it recovers.
func TestMoreErrorsNeverAcquit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := input(aBake().Draw(t, "bake"))
		in.FalseAlarm = rapid.SampledFrom([]float64{0.001, 0.05}).Draw(t, "falseAlarm")
		if Judge(in).Result != Regressed {
			return
		}
		worse := each(in, func(s signals.Side) signals.Side {
			s.Errors = math.Min(s.Requests, s.Errors+float64(rapid.IntRange(0, 100).Draw(t, "more")))
			return s
		})
		if v := Judge(worse); v.Result == Healthy {
			t.Fatalf("with more errors: %+v", v)
		}
	})
}

// In ticks that are alike, the loudest is none and there is nothing to recover from: with as large a part more errors in each
// of them Regressed stays Regressed.
func TestEvenlyWorseIsNeverBetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests := rapid.IntRange(5, 1000).Draw(t, "requests")
		x := rapid.IntRange(0, requests).Draw(t, "errors")
		y := rapid.IntRange(x, requests).Draw(t, "more")
		n := rapid.IntRange(2, 20).Draw(t, "ticks")
		past := spoke(float64(60*requests), float64(rapid.IntRange(0, 100).Draw(t, "past")))
		var old []signals.Side
		if rapid.Bool().Draw(t, "beside") {
			old = []signals.Side{spoke(float64(requests), float64(rapid.IntRange(0, 5).Draw(t, "old errors")))}
		}
		of := func(errors int) Input {
			return input(against(past, repeat(n, tick(spoke(float64(requests), float64(errors)), old...))...))
		}
		if Judge(of(x)).Result != Regressed {
			return
		}
		if v := Judge(of(y)); v.Result != Regressed {
			t.Fatalf("%d errors in each tick are regressed, %d are not: %+v", x, y, v)
		}
	})
}

// The evidence does not depend on the order in which a map is walked, nor does weighing change it.
func TestEvidenceIsTheSameEachTime(t *testing.T) {
	pods := func(r float64, names ...string) signals.Side {
		m := map[string]signals.Counts{}
		for i, n := range names {
			m[n] = counts(r/3+math.Pow(7, float64(i%5))/3, 0.1+math.Pow(0.3, float64(i%5))) // their sum depends on their order
		}
		return named(m)
	}
	var blocks []signals.Side
	for i := range 40 {
		blocks = append(blocks, pods(100+float64(i%7), "a", "b", "c", "d", "e"))
	}
	e := against(sum(blocks), tick(pods(90, "n"), pods(200, "a", "b", "c")))
	names := strings.Split("nopqrstuvwxyz", "")
	for i := range 5 { // two more each tick
		e.Ticks = append(e.Ticks, tick(pods(90, names[:3+2*i]...)))
	}
	e.Blocks = blocks
	want, before := encode(t, Judge(input(e))), encode(t, e)
	for range 200 {
		if got := encode(t, Judge(input(e))); !slices.Equal(got, want) {
			t.Fatalf("said\n%s, at first\n%s", got, want)
		}
	}
	if !slices.Equal(encode(t, e), before) {
		t.Error("the evidence was changed")
	}
	learnt := Learn(blocks)
	e.Learnt = &learnt
	if got := encode(t, Judge(input(e))); !slices.Equal(got, want) {
		t.Errorf("with what was learnt before\n%s, without\n%s", got, want)
	}
}
