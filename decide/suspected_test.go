package decide

import (
	"math"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// Evidence gathers against a version that is a few times worse: it is said before it is enough, of no version that is as it was, and
// not of one that only starts badly.
func TestSuspected(t *testing.T) {
	in := func(errors ...float64) Input {
		e := Evidence{Signal: "http-errors", Threshold: Threshold{Max: 0.05, Increase: 2, Floor: 0.002, MinRequests: 5, Ticks: 2},
			History: signals.Side{Counts: signals.Counts{Requests: 24000, Errors: 120}}}
		for _, n := range errors {
			e.Ticks = append(e.Ticks, signals.Reading{Candidate: signals.Side{Counts: signals.Counts{Requests: 100, Errors: n}}})
		}
		return Input{To: "rev 7", From: "rev 6", FalseAlarm: 0.001, Signals: []Evidence{e}}
	}
	worse := []float64{2, 3, 2, 2, 3, 2, 3, 2, 2, 3, 2, 3, 2, 2, 3}
	first, decided := -1, -1
	for i := range worse {
		v := Judge(in(worse[:i+1]...))
		switch {
		case v.Result == Regressed && decided < 0:
			decided = i
		case v.Suspected != nil && first < 0:
			first = i
			if v.Result != Undecided || v.Suspected.Code != CodeSuspicion || v.Suspected.Numbers.LogE < suspicion*math.Log(1000) || v.Suspected.Numbers.LogE >= math.Log(1000) {
				t.Errorf("tick %d: %+v", i, v)
			}
		}
		if v.Result == Regressed && v.Suspected != nil {
			t.Errorf("tick %d: regressed, and suspected, too", i)
		}
	}
	if first < 0 || decided <= first {
		t.Errorf("suspected in tick %d, decided in tick %d", first, decided)
	}
	for name, errors := range map[string][]float64{
		"as before":    {0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0},
		"starts badly": {20, 1, 0},
		"one burst":    {0, 1, 0, 40, 0, 1, 0, 0, 1},
	} {
		for i := range errors {
			if v := Judge(in(errors[:i+1]...)); v.Suspected != nil {
				t.Errorf("%s: suspected in tick %d: %s", name, i, v.Suspected.Sentence)
			}
		}
	}
}
