package decide

import (
	"math"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// usual is the threshold that applies when nobody tunes anything.
var usual = Threshold{Max: 0.05, Increase: 2, Floor: 0.005, MinRequests: 50, Ticks: 2}

// spoke is a side with counts.
func spoke(requests, errors float64) signals.Side {
	return signals.Side{Counts: signals.Counts{Requests: requests, Errors: errors}}
}

// missing is a side without.
func missing(why signals.Missing, detail string) signals.Side {
	return signals.Side{Missing: why, Detail: detail}
}

// tick is a reading; without a baseline the old pods are gone.
func tick(candidate signals.Side, baseline ...signals.Side) signals.Reading {
	r := signals.Reading{Candidate: candidate, Baseline: missing(signals.NoSeries, "")}
	if len(baseline) > 0 {
		r.Baseline = baseline[0]
	}
	return r
}

// repeat repeats a reading.
func repeat(n int, r signals.Reading) []signals.Reading {
	var out []signals.Reading
	for range n {
		out = append(out, r)
	}
	return out
}

func concat(parts ...[]signals.Reading) []signals.Reading {
	var out []signals.Reading
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func ofHTTP(t Threshold, history signals.Side, ticks ...signals.Reading) Evidence {
	return Evidence{Signal: "http-errors", Threshold: t, History: history, Ticks: ticks}
}

// judged is the verdict on one signal of rev 7 against rev 6, and its first reason.
func judged(t *testing.T, e Evidence) (Result, Reason) {
	t.Helper()
	v := Judge(Input{To: "rev 7", From: "rev 6", Signals: []Evidence{e}})
	if len(v.Reasons) != 1 {
		t.Fatalf("%d reasons for one signal: %+v", len(v.Reasons), v)
	}
	return v.Result, v.Reasons[0]
}

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

// defaults is the threshold beside which the evidence layer is used.
var defaults = Threshold{Max: 0.05, Increase: 2, Floor: 0.002, MinRequests: 5, Ticks: 2}

// input asks for the evidence layer as people have it who tune nothing.
func input(es ...Evidence) Input {
	return Input{To: "rev 7", From: "rev 6", FalseAlarm: 0.001, Margin: DefaultMargin, Signals: es}
}
