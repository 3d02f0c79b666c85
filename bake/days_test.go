package bake

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

func TestDaySpans(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct{ window, length time.Duration }{{15 * time.Minute, 20 * time.Minute}, {5 * time.Hour, time.Hour}} {
		var got []time.Duration
		for _, p := range daySpans(v1alpha1.BakeSpec{StartedAt: *after(0)}, c.window) {
			got = append(got, noon.Sub(p.from), p.length())
		}
		if diff := cmp.Diff([]time.Duration{day, c.length, 7 * day, c.length}, got); diff != "" {
			t.Errorf("a window of %s (-want +got):\n%s", c.window, diff)
		}
	}
}

// almanac is a source that answers differently for each day.
type almanac struct {
	today   crowd
	refuses map[int]error // by days ago
	has     map[int]signals.Counts
	asked   map[int]int
}

func (a *almanac) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	ago := int(noon.Add(time.Hour).Sub(q.Bounds[0]) / (24 * time.Hour))
	if ago == 0 {
		return a.today.Read(ctx, q)
	}
	if !q.Whole || q.Kind != web.Kind || q.Workload != web.Name || q.FromZero {
		return nil, errors.New("not asked for the whole workload")
	}
	a.asked[ago]++
	if err := a.refuses[ago]; err != nil {
		return nil, err
	}
	rs := make([]signals.Reading, len(q.Bounds)-1)
	for i := range rs {
		rs[i].Candidate = signals.Side{Missing: signals.NoSeries, Detail: "no series for r{}"}
		if c, ok := a.has[ago]; ok {
			rs[i].Candidate = signals.Side{Counts: c, Pods: map[string]signals.Counts{"web-7d9f-abcde": c}}
		}
	}
	return rs, nil
}

func TestEarlierDaysAreRead(t *testing.T) {
	q := asked
	q.days = daySpans(v1alpha1.BakeSpec{StartedAt: *after(0)}, 15*time.Minute)
	q.policy.Layers.Evidence = true
	src := &almanac{asked: map[int]int{}, has: map[int]signals.Counts{1: {Requests: 10, Errors: 1}}, refuses: map[int]error{7: errors.New("out of range")}}
	v := newEvidence(noon, q.policy.Interval)
	tick := func(i int) []signals.Side {
		v.read(context.Background(), src, q, noon.Add(time.Duration(i)*15*time.Second))
		return v.input("rev 7", "rev 6", q.policy, nil).Signals[0].Days
	}
	yesterday := signals.Side{Counts: signals.Counts{Requests: 800, Errors: 80}}
	want := []signals.Side{yesterday, {Missing: signals.Failed, Detail: "out of range"}}
	if diff := cmp.Diff(want, tick(1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := 2; i <= 100; i++ {
		tick(i)
	}
	if src.asked[1] != 1 || src.asked[7] != 6 {
		t.Errorf("asked %v", src.asked)
	}
	src.refuses = nil
	for i := 101; i <= 200; i++ {
		tick(i)
	}
	want[1] = signals.Side{Missing: signals.NoSeries, Detail: "no series for r{}"} // it does not go back that far
	if diff := cmp.Diff(want, tick(201)); diff != "" || src.asked[7] != 7 {
		t.Errorf("asked %v (-want +got):\n%s", src.asked, diff)
	}
	fresh := newEvidence(noon, q.policy.Interval)
	fresh.read(context.Background(), src, q, noon.Add(time.Minute))
	if diff := cmp.Diff(want, fresh.input("", "", q.policy, nil).Signals[0].Days); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}

	q.policy.Layers = policy.Layers{}
	src.asked = map[int]int{}
	if newEvidence(noon, q.policy.Interval).read(context.Background(), src, q, noon.Add(time.Minute)); len(src.asked) != 0 {
		t.Errorf("asked %v although nobody wants to know", src.asked)
	}
}
