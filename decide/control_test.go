package decide

import (
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

func TestPast(t *testing.T) {
	gone := missing(signals.NoSeries, "")
	for _, c := range []struct {
		name    string
		history signals.Side
		days    []signals.Side
		ticks   []signals.Reading
		want    past
	}{
		{"nothing is known", gone, nil, nil, past{}},
		{"one error more than were seen", spoke(1000, 9), nil, nil, past{counts(1000, 9), 10, 0.01}},
		{"a past without errors", spoke(1000, 0), nil, nil, past{counts(1000, 0), 1, 0.001}},
		{"days that were worse", spoke(1000, 9), []signals.Side{spoke(500, 19), spoke(500, 20)}, nil, past{counts(1000, 39), 40, 0.04}},
		{"days that were better", spoke(1000, 9), []signals.Side{spoke(500, 1), spoke(500, 2)}, nil, past{counts(1000, 9), 10, 0.01}},
		{"days that cannot be read", spoke(1000, 9), []signals.Side{gone, spoke(500, -1), spoke(nan, 1)}, nil, past{counts(1000, 9), 10, 0.01}},
		{"days with hardly a request", spoke(1000, 9), []signals.Side{spoke(4, 4)}, nil, past{counts(1000, 9), 10, 0.01}},
		{"days alone", gone, []signals.Side{spoke(500, 19)}, nil, past{}},
		{"old pods in place of what is not known", gone, nil, []signals.Reading{tick(spoke(10, 1), spoke(600, 3)), tick(spoke(10, 1), gone), tick(spoke(10, 1), spoke(400, 6))}, past{counts(1000, 9), 10, 0.01}},
		{"old pods add nothing to what is known", spoke(1000, 9), nil, []signals.Reading{tick(spoke(10, 1), spoke(600, 300))}, past{counts(1000, 9), 10, 0.01}},
	} {
		e := Evidence{Threshold: defaults, History: c.history, Days: c.days, Ticks: c.ticks}
		if got := e.past(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestEachTickHasItsControl(t *testing.T) {
	known := newPast(counts(1000, 9))
	gone := missing(signals.NoSeries, "")
	for _, c := range []struct {
		name string
		tick signals.Reading
		past past
		want control
	}{
		{"old pods beside", tick(spoke(100, 1), spoke(100, 1)), known, beside},
		{"old pods that have just enough", tick(spoke(80, 1), spoke(20, 1)), known, beside},
		{"old pods that see too little", tick(spoke(81, 1), spoke(19, 1)), known, after},
		{"but are all there is", tick(spoke(81, 1), spoke(19, 1)), past{}, beside},
		{"no old pods", tick(spoke(100, 1)), known, after},
		{"old pods that serve nothing", tick(spoke(100, 1), spoke(0, 0)), known, after},
		{"neither", tick(spoke(100, 1)), past{}, none},
		{"the candidate serves nothing", tick(spoke(0, 0), spoke(100, 1)), known, none},
		{"the candidate cannot be read", tick(gone, spoke(100, 1)), known, none},
		{"the candidate is not a number", tick(spoke(nan, 1), spoke(100, 1)), known, none},
	} {
		e := Evidence{Threshold: defaults, Ticks: []signals.Reading{c.tick}}
		s := e.spans(c.past)[0]
		if s.control != c.want {
			t.Errorf("%s: control %v, want %v", c.name, s.control, c.want)
		}
		if (s.baseline.Requests > 0) != (c.want == beside) {
			t.Errorf("%s: a baseline of %v", c.name, s.baseline)
		}
	}
}

// Pods in the first two ticks of their life are left out, but for those the bake began with.
func TestSettled(t *testing.T) {
	c := func(requests, errors float64) signals.Counts { return counts(requests, errors) }
	pods := func(m map[string]signals.Counts) signals.Reading { return tick(named(m)) }
	type m = map[string]signals.Counts
	for _, x := range []struct {
		name  string
		ticks []signals.Reading
		want  []signals.Counts
	}{
		{"the first pods count from the start", []signals.Reading{pods(m{"a": c(10, 9), "b": c(10, 8)}), pods(m{"a": c(10, 1), "b": c(10, 2)})},
			[]signals.Counts{c(20, 17), c(20, 3)}},
		{"later ones from their third tick", []signals.Reading{pods(m{"a": c(10, 0)}), pods(m{"a": c(10, 0), "b": c(7, 5)}), pods(m{"a": c(10, 0), "b": c(8, 4)}), pods(m{"a": c(10, 0), "b": c(9, 3)})},
			[]signals.Counts{c(10, 0), c(10, 0), c(10, 0), c(19, 3)}},
		{"each by its own life", []signals.Reading{pods(m{"a": c(1, 0)}), pods(m{"a": c(1, 0), "b": c(2, 2)}), pods(m{"a": c(1, 0), "b": c(2, 2), "c": c(4, 4)}), pods(m{"a": c(1, 0), "b": c(2, 2), "c": c(4, 4)}), pods(m{"a": c(1, 0), "b": c(2, 2), "c": c(4, 4)})},
			[]signals.Counts{c(1, 0), c(1, 0), c(1, 0), c(3, 2), c(7, 6)}},
		{"the first that are told apart", []signals.Reading{tick(spoke(10, 1)), pods(m{"a": c(10, 2)}), tick(missing(signals.Late, "")), pods(m{"a": c(10, 3)})},
			[]signals.Counts{c(10, 1), c(10, 2), {}, c(10, 3)}},
		{"not told apart", []signals.Reading{tick(spoke(10, 1)), tick(spoke(20, 2))}, []signals.Counts{c(10, 1), c(20, 2)}},
		{"pods beyond their sum", []signals.Reading{pods(m{"a": c(10, 0)}), tick(signals.Side{Counts: c(10, 1), Pods: m{"a": c(10, 0), "b": c(11, 0)}})},
			[]signals.Counts{c(10, 0), c(10, 1)}},
		{"pods with more errors than their sum", []signals.Reading{pods(m{"a": c(10, 0)}), tick(signals.Side{Counts: c(10, 1), Pods: m{"a": c(1, 0), "b": c(2, 2)}})},
			[]signals.Counts{c(10, 0), c(10, 1)}},
		{"pods with less than nothing", []signals.Reading{pods(m{"a": c(10, 0)}), tick(signals.Side{Counts: c(10, 1), Pods: m{"a": c(1, 0), "b": c(2, -300)}})},
			[]signals.Counts{c(10, 0), c(10, 1)}},
		{"pods that are not numbers", []signals.Reading{pods(m{"a": c(10, 0)}), tick(signals.Side{Counts: c(10, 1), Pods: m{"a": c(1, 0), "b": c(nan, inf)}})},
			[]signals.Counts{c(10, 0), c(10, 1)}},
	} {
		got := Evidence{Ticks: x.ticks}.settled()
		for i, want := range x.want {
			if x.ticks[i].Candidate.Spoke() && got[i] != want {
				t.Errorf("%s: tick %d has %v, want %v", x.name, i, got[i], want)
			}
		}
	}
}

// Errors that every rollout's pods have in their first seconds are no regression while it goes on; those that last are.
func TestARollingUpdateWithErrorsAtStart(t *testing.T) {
	rolling := func(later float64) []signals.Reading {
		var ticks []signals.Reading
		for i := range 24 { // every third tick a pod more, up to 8
			pods := map[string]signals.Counts{}
			for p := 0; p <= min(i/3, 7); p++ {
				x := counts(500, later)
				if p > 0 && i-3*p < 2 {
					x.Errors = 100
				}
				pods[string(rune('a'+p))] = x
			}
			old := signals.Side{}
			if n := 8 - len(pods); n > 0 {
				old = spoke(float64(500*n), float64(2*n))
			}
			ticks = append(ticks, tick(named(pods), old))
		}
		return ticks
	}
	past := spoke(4000*240, 16*240)
	if v := Judge(input(against(past, rolling(2)...))); v.Result != Healthy {
		t.Errorf("errors at start: %s: %+v", v.Result, v.Reasons)
	}
	if v := Judge(input(against(past, rolling(20)...))); v.Result != Regressed {
		t.Errorf("errors that last: %s: %+v", v.Result, v.Reasons)
	}
}
