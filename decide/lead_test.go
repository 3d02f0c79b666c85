package decide

import (
	"math"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// What the old version served in the first tick says nothing for or against the new one: with half of the tick its own, the
// same errors speak for a larger ratio than over all of it.
func TestDiluted(t *testing.T) {
	r := newRatios(1.5)
	var whole, half, plain likelihood
	whole.diluted(r, 8, 2, 0, 50)
	plain.after(r, 8, 2, 50)
	if whole != plain {
		t.Errorf("undiluted: %v, want %v", whole, plain)
	}
	half.diluted(r, 8, 1, 1, 50)
	if half.best() <= whole.best() {
		t.Errorf("the likeliest ratio is point %d when half of the tick was the old version's, and %d when none was", half.best(), whole.best())
	}
	// 8 errors where 1 is the old version's and 1 is expected of the new one: 7 times.
	if got := r.value[half.best()]; math.Abs(math.Log(got/7)) > step {
		t.Errorf("the likeliest ratio is %.1f, want one near 7", got)
	}
}

func (l *likelihood) best() int {
	best := 0
	for g := range grid {
		if l[g] > l[best] {
			best = g
		}
	}
	return best
}

// A version that begins late in its first tick and fails all its requests is as sure a case as one that began with it.
func TestLead(t *testing.T) {
	for _, c := range []struct {
		lead    float64
		foreign float64
	}{{0, 0}, {0.8, 80}, {1, 0}, {-1, 0}, {nan, 0}} {
		first := tick(spoke(100, 100*(1-c.lead)))
		if c.foreign == 0 {
			first = tick(spoke(100, 100))
		}
		e := ofHTTP(usual, spoke(10_000, 10), first, tick(spoke(100, 100)), tick(spoke(100, 100)))
		e.Lead = c.lead
		tr := e.trial(newRatios(1.5))
		var s stretch
		for i := range e.Ticks {
			tr.add(&s, i)
		}
		if math.Abs(s.foreign-c.foreign) > 1e-9 {
			t.Errorf("lead %v: %v requests were the old version's, want %v", c.lead, s.foreign, c.foreign)
		}
		if v := Judge(Input{To: "b", From: "a", FalseAlarm: 0.001, Signals: []Evidence{e}}); v.Result != Regressed {
			t.Errorf("lead %v: %+v", c.lead, v)
		}
	}
	// Pods that are told apart are counted from their own first request on.
	e := ofHTTP(usual, spoke(10_000, 10), tick(signals.Side{Counts: signals.Counts{Requests: 10}, Pods: map[string]signals.Counts{"p": {Requests: 10}}}))
	e.Lead = 0.5
	tr := e.trial(newRatios(1.5))
	var s stretch
	tr.add(&s, 0)
	if s.foreign != 0 {
		t.Errorf("by pod: %v requests were the old version's", s.foreign)
	}
}
