package probe

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func ask(bounds ...float64) signals.Question {
	q := signals.Question{Signal: "flow-pay", Query: signals.Query{Source: signals.Probe, By: signals.ByPod, Flow: "{}"}, Kind: "Deployment", Workload: "web", Candidate: "web-2-", Baseline: "web-1-"}
	for _, b := range bounds {
		q.Bounds = append(q.Bounds, at(b))
	}
	return q
}

func TestReadings(t *testing.T) {
	tl := tally{begun: at(10)}
	tl.add(run{at: at(11), pod: "web-1-a"})
	tl.add(run{at: at(12), pod: "web-2-a", failure: "step a"})
	tl.add(run{at: at(13), pod: "web-2-b", failure: "step b"})
	tl.add(run{at: at(14), pod: "web-2-b", failure: "step b"})
	tl.add(run{at: at(15), pod: "web-3-a"}) // of neither side
	tl.add(run{at: at(20), pod: "web-2-a"}) // closes the window
	tl.add(run{at: at(25), pod: "web-2-a", blind: "no port"})
	got := tl.readings(ask(0, 10, 20, 30, 40))
	none := signals.Side{Missing: signals.NoSeries, Detail: "the flow was not run at that time"}
	two := func(requests, errors float64) signals.Counts {
		return signals.Counts{Requests: requests, Errors: errors}
	}
	want := []signals.Reading{
		{Candidate: none, Baseline: none},
		{Candidate: signals.Side{Counts: two(4, 3), Detail: "step b", Pods: map[string]signals.Counts{"web-2-a": two(2, 1), "web-2-b": two(2, 2)}},
			Baseline: signals.Side{Counts: two(1, 0), Pods: map[string]signals.Counts{"web-1-a": two(1, 0)}}},
		{Candidate: signals.Side{Missing: signals.Failed, Detail: "the flow cannot be run: no port"}}, // nothing was asked of the old pods
		{}, // run, and nothing was asked: a true zero
	}
	for i := range want {
		want[i].Window = signals.Window{From: at(float64(10 * i)), To: at(float64(10 * (i + 1)))}
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("window %d:\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
	past := ask(10, 20)
	past.Candidate, past.Baseline = "web-1-", ""
	if got := tl.readings(past)[0]; got.Candidate.Counts != two(1, 0) || got.Baseline.Missing != signals.NoSeries {
		t.Errorf("the past: %+v", got)
	}
	past.Whole = true
	if got := tl.readings(past)[0]; got.Candidate.Counts != two(6, 3) {
		t.Errorf("all of it: %+v", got)
	}
	tl.add(run{at: at(41), blind: "the pods are not known"})
	if got := tl.readings(ask(40, 50))[0]; got.Candidate.Missing != signals.Failed || got.Baseline.Missing != signals.Failed {
		t.Errorf("nothing is known of either side: %+v", got)
	}
}

// A StatefulSet's pod is the old one until it was born anew under its name.
func TestReadingsByLives(t *testing.T) {
	tl := tally{begun: at(0)}
	for i := range 10 {
		tl.add(run{at: at(float64(i) + 0.5), pod: "db-0"})
	}
	q := ask(0, 10)
	q.Kind, q.Workload, q.Candidate, q.Baseline, q.Lives = "StatefulSet", "db", "", "db-", map[string]time.Time{"db-0": at(7)}
	if got := tl.readings(q)[0]; got.Candidate.Requests != 3 || got.Baseline.Requests != 7 {
		t.Errorf("%+v", got)
	}
}

// What was counted once stays as it is, nothing is counted twice, and nothing is kept without bounds.
func TestReadingsAreFinal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := tally{begun: at(0)}
		now, runs, failures := 1.0, 0.0, 0.0
		var before []signals.Reading
		for range rapid.IntRange(1, 60).Draw(t, "runs") {
			now += rapid.Float64Range(0, 7).Draw(t, "wait")
			r := run{at: at(now), pod: fmt.Sprintf("web-%d-a", rapid.IntRange(1, 2).Draw(t, "revision"))}
			if rapid.Bool().Draw(t, "fails") {
				r.failure = "step x"
				failures++
			}
			runs++
			done := int(now / 5) // windows that are over
			tl.add(r)
			var bounds []float64
			for b := 0; b <= done+1; b++ {
				bounds = append(bounds, float64(5*b))
			}
			got := tl.readings(ask(bounds...))
			if r.at.Equal(at(float64(5 * done))) {
				done-- // it closes a window
			}
			if n := min(len(before), max(done, 0)); n > 0 && !reflect.DeepEqual(got[:n], before[:n]) {
				t.Fatalf("a window that was over has changed:\n%+v\n%+v", before[:n], got[:n])
			}
			before = got
			var sum signals.Counts
			for _, r := range got {
				sum = sum.Add(r.Candidate.Counts).Add(r.Baseline.Counts)
			}
			if sum.Requests != runs || sum.Errors != failures {
				t.Fatalf("counted %+v of %v runs, %v failed", sum, runs, failures)
			}
		}
	})
}

func TestTallyIsBounded(t *testing.T) {
	tl := tally{begun: at(0)}
	for i := range maxRuns + 500 {
		tl.add(run{at: at(float64(i) / 100), pod: "web-2-a", failure: fmt.Sprintf("step a: expected this, got %d", i)})
	}
	if len(tl.runs) != maxRuns || len(tl.texts) > 2*maxTexts {
		t.Fatalf("%d runs and %d texts are kept", len(tl.runs), len(tl.texts))
	}
	if got := tl.readings(ask(1, 2, 6))[0].Candidate; got.Missing != signals.NoSeries {
		t.Errorf("what was forgotten is counted: %+v", got)
	}
	if got := tl.readings(ask(6, 7))[0].Candidate; got.Requests != 100 || !strings.HasPrefix(got.Detail, "step a") {
		t.Errorf("%+v", got)
	}
	tl.add(run{at: at(3 * 3600), pod: "web-2-a"})
	if len(tl.runs) != 1 {
		t.Errorf("%d runs are kept after hours", len(tl.runs))
	}
	tl.add(run{at: at(0), pod: "web-2-a"}) // the clock was set back
	if !tl.runs[1].at.Equal(at(3 * 3600)) {
		t.Error("runs are out of order")
	}
}
