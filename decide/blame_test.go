package decide

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// By hand: each log ratio has half an error added on either side, and weighs as much as its errors say.
func TestLiftByHand(t *testing.T) {
	moved := func(before, after float64) Neighbour {
		return Neighbour{Before: counts(1000, before), After: counts(1000, after)}
	}
	one := newLift([]Neighbour{moved(9.5, 39.5)})
	if !near(one.ratio, 4) || !near(one.variance, 1.0/10+1.0/40) || one.count != 1 {
		t.Errorf("one neighbour: %+v", one)
	}
	// Two that moved alike differ by nothing: the weights add up.
	two := newLift([]Neighbour{moved(9.5, 39.5), moved(19.5, 79.5)})
	if want := 1 / (8.0 + 16); !near(two.ratio, 4) || math.Abs(two.variance-want) > 1e-9 || two.count != 2 {
		t.Errorf("two that moved alike: %+v, want a variance of %v", two, want)
	}
	// Two that did not, of weight 8 each: log 4 and log 16, around log 8. Q = 2·8·(log 2)², tau² = (Q-1)/(16-128/16).
	apart := newLift([]Neighbour{moved(9.5, 39.5), {Before: counts(4000, 9.5), After: counts(1000, 39.5)}})
	between := (16*math.Ln2*math.Ln2 - 1) / 8
	if want := (1.0/8+between)/2 + between; !near(apart.ratio, 8) || !near(apart.variance, want) {
		t.Errorf("two that moved apart: %+v, want a variance of %v", apart, want)
	}
}

func TestLiftOfNothing(t *testing.T) {
	for name, n := range map[string]Neighbour{
		"did not move":           {Before: counts(1000, 50), After: counts(1000, 50)},
		"got better":             {Before: counts(1000, 50), After: counts(1000, 5)},
		"moved by chance":        {Before: counts(1000, 5), After: counts(1000, 6)},
		"too few errors":         {Before: counts(1000, 0), After: counts(1000, 4)},
		"served nothing before":  {Before: counts(0, 0), After: counts(1000, 50)},
		"serves nothing now":     {Before: counts(1000, 50), After: counts(0, 9)},
		"not a number":           {Before: counts(1000, 50), After: counts(1000, nan)},
		"less than nothing":      {Before: counts(1000, 50), After: counts(-1000, 500)},
		"beyond counting":        {Before: counts(1000, 50), After: counts(1000, math.MaxFloat64)},
		"without end":            {Before: counts(1000, 50), After: counts(1000, inf)},
		"hardly served anything": {Before: counts(math.SmallestNonzeroFloat64, 50), After: counts(math.SmallestNonzeroFloat64, 50)},
	} {
		if got := newLift([]Neighbour{n}); got != (lift{ratio: 1}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := newLift(nil); got != (lift{ratio: 1}) {
		t.Errorf("no neighbours: %+v", got)
	}
}

// Neighbours that got worse are no evidence against the candidate: where it is Regressed with them, it was surely worse
// without them. (It need not have been Regressed: since when it is worse is chosen by what is most likely, and a past that
// is lifted may choose a longer stretch, over which it does not look like recovering.)
func TestNeighboursOnlyExcuse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := aBake().Draw(t, "bake")
		alone := Judge(input(e))
		for range rapid.IntRange(1, 3).Draw(t, "neighbours") {
			e.Neighbours = append(e.Neighbours, Neighbour{Name: "n",
				Before: counts(1000, float64(rapid.IntRange(0, 100).Draw(t, "before"))), After: counts(1000, float64(rapid.IntRange(0, 100).Draw(t, "after")))})
		}
		if v := Judge(input(e)); v.Result == Regressed && alone.Result != Regressed && alone.Reasons[0].Numbers.LogE < math.Log(1000) {
			t.Fatalf("regressed for its neighbours: %+v; alone: %+v", v, alone)
		}
		if l := newLift(e.Neighbours); l.ratio < 1 || l.variance < 0 {
			t.Fatalf("the neighbours are made better: %+v", l)
		}
	})
}

// A surge that all share is excused, and what comes on top of it is not.
func TestDifferenceOfDifferences(t *testing.T) {
	past := spoke(60_000, 300)
	surge := []Neighbour{{Name: "a", Before: counts(60_000, 300), After: counts(4000, 100)}, {Name: "b", Before: counts(30_000, 60), After: counts(2000, 20)}}
	for _, c := range []struct {
		errors float64
		want   Result
		code   string
	}{
		{5, Healthy, CodeWithin},
		{25, Undecided, CodeShared},
		{40, Undecided, CodeShared},
		{600, Regressed, CodeThreshold},
	} {
		e := against(past, repeat(4, tick(spoke(1000, c.errors)))...)
		e.Neighbours = surge
		if v := Judge(input(e)); v.Result != c.want || v.Reasons[0].Code != c.code {
			t.Errorf("%v errors of 1000: %s (%s), want %s (%s): %s", c.errors, v.Result, v.Reasons[0].Code, c.want, c.code, v.Reasons[0].Sentence)
		}
	}
}

// Where old pods serve in part of the ticks, the neighbours' move is laid upon the rest of them.
func TestLiftOfARollout(t *testing.T) {
	ticks := concat(repeat(2, tick(spoke(500, 2), spoke(500, 2))), repeat(2, tick(spoke(1000, 50))))
	e := against(spoke(60_000, 300), ticks...)
	e.Neighbours = []Neighbour{{Before: counts(60_000, 300), After: counts(4000, 100)}} // 5x over all four ticks
	tr := e.trial(newRatios(DefaultMargin))
	var s stretch
	for i := range tr.spans {
		tr.add(&s, i)
	}
	if got, want := tr.lifted(&s), 1+(tr.lift.ratio-1)*2; !near(got, want) {
		t.Errorf("lifted by %v, want %v", got, want)
	}
	if v := Judge(input(e)); v.Result != Undecided || v.Reasons[0].Code != CodeShared {
		t.Errorf("%s: %+v", v.Result, v.Reasons)
	}
	e.Neighbours = nil
	if v := Judge(input(e)); v.Result != Regressed {
		t.Errorf("without neighbours %s: %+v", v.Result, v.Reasons)
	}
}
