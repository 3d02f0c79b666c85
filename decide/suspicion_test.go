package decide

import (
	"math"
	"testing"
)

func TestSuspicious(t *testing.T) {
	within := Reason{Code: CodeWithin, Numbers: Numbers{LogE: 5}}
	suspicion := func(logE float64) Reason {
		return Reason{Code: CodeSuspicion, Signal: "s", Numbers: Numbers{LogE: logE}}
	}
	half := math.Log(1000) / 2
	for _, c := range []struct {
		name       string
		verdict    Verdict
		falseAlarm float64
		want       bool
	}{
		{"half of the evidence", Verdict{Result: Undecided, Reasons: []Reason{suspicion(half)}}, 0.001, true},
		{"less than half", Verdict{Result: Undecided, Reasons: []Reason{suspicion(half - 0.01)}}, 0.001, false},
		{"half of less that is needed", Verdict{Result: Undecided, Reasons: []Reason{suspicion(half - 0.01)}}, 0.01, true},
		{"of the second signal", Verdict{Result: Undecided, Reasons: []Reason{suspicion(1), suspicion(4), within}}, 0.001, true},
		{"evidence, but within the threshold", Verdict{Result: Healthy, Reasons: []Reason{within}}, 0.001, false},
		{"blind", Verdict{Result: Undecided, Reasons: []Reason{{Code: CodeBlind, Numbers: Numbers{LogE: 9}}}}, 0.001, false},
		{"a verdict is in", Verdict{Result: Regressed, Reasons: []Reason{suspicion(9)}}, 0.001, false},
		{"without the evidence layer", Verdict{Result: Undecided, Reasons: []Reason{suspicion(0)}}, 0, true},
		{"nothing", Verdict{Result: Undecided}, 0.001, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, got := c.verdict.Suspicious(c.falseAlarm)
			if got != c.want || got && r.Code != CodeSuspicion {
				t.Errorf("%v %+v", got, r)
			}
		})
	}
}

// What is worse by far is suspicious before it is a regression, and what is as good as before never is.
func TestSuspicionComesBeforeTheVerdict(t *testing.T) {
	history := spoke(20_000, 100)
	for _, c := range []struct {
		errors    float64 // of 50 requests a tick
		suspected bool
	}{{0.25, false}, {5, true}} {
		suspected, regressed := -1, -1
		e := ofHTTP(usual, history)
		for i := range 12 {
			e.Ticks = append(e.Ticks, tick(spoke(50, c.errors)))
			v := Judge(Input{To: "b", From: "a", FalseAlarm: 0.001, Signals: []Evidence{e}})
			if v.Result == Regressed && regressed < 0 {
				regressed = i
			}
			if _, ok := v.Suspicious(0.001); ok && suspected < 0 {
				suspected = i
			}
		}
		if (suspected >= 0) != c.suspected || c.suspected && (regressed <= suspected) {
			t.Errorf("%v errors of 50: suspected in tick %d, regressed in tick %d", c.errors, suspected, regressed)
		}
	}
}
