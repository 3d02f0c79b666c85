package bake

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

func TestHistorySpan(t *testing.T) {
	for _, c := range []struct {
		name  string
		since time.Duration // of good's serving alone, before noon; 0: not known
		from  time.Duration
	}{
		{"an hour", 0, -time.Hour},
		{"not longer than it served", 12 * time.Minute, -12 * time.Minute},
		{"it served long enough", 12 * time.Hour, -time.Hour},
	} {
		spec := v1alpha1.BakeSpec{BaselineUntil: *after(0)}
		if c.since > 0 {
			spec.BaselineSince = after(-c.since)
		}
		if got := historySpan(spec); !got.from.Equal(noon.Add(c.from)) || !got.to.Equal(noon) {
			t.Errorf("%s: from %s to %s", c.name, got.from, got.to)
		}
	}
}

func TestBlocks(t *testing.T) {
	for _, c := range []struct {
		name                 string
		from, to, interval   time.Duration // from noon
		first, last, between time.Duration
	}{
		{"an hour of ticks", -time.Hour, 0, 15 * time.Second, -time.Hour, 0, 15 * time.Second},
		{"off the grid", -100 * time.Second, -4 * time.Second, 15 * time.Second, -90 * time.Second, -15 * time.Second, 15 * time.Second},
		{"an hour of seconds", -time.Hour, 0, time.Second, -time.Hour, 0, 4 * time.Second},
		{"one block", -15 * time.Second, 0, 15 * time.Second, -15 * time.Second, 0, 15 * time.Second},
		{"less than a block", -10 * time.Second, -time.Second, 15 * time.Second, -10 * time.Second, -time.Second, 9 * time.Second},
		{"no whole block on the grid", -20 * time.Second, -5 * time.Second, 15 * time.Second, -20 * time.Second, -5 * time.Second, 15 * time.Second},
		{"long ticks", -time.Hour, 0, 5 * time.Minute, -time.Hour, 0, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			edges := past{noon.Add(c.from), noon.Add(c.to)}.blocks(c.interval)
			if !edges[0].Equal(noon.Add(c.first)) || !edges[len(edges)-1].Equal(noon.Add(c.last)) {
				t.Errorf("from %s to %s", edges[0].Sub(noon), edges[len(edges)-1].Sub(noon))
			}
			for i := 1; i < len(edges); i++ {
				if got := edges[i].Sub(edges[i-1]); got != c.between {
					t.Fatalf("block %d is %s long", i, got)
				}
			}
			if len(edges) > maxBlocks+1 {
				t.Errorf("%d blocks", len(edges)-1)
			}
		})
	}
}

func TestSum(t *testing.T) {
	spoke := signals.Side{Counts: signals.Counts{Requests: 10, Errors: 1}, Pods: map[string]signals.Counts{"a": {Requests: 10, Errors: 1}}}
	none := signals.Side{Missing: signals.NoSeries, Detail: "none"}
	late := signals.Side{Missing: signals.Late, Detail: "late"}
	for _, c := range []struct {
		name  string
		sides []signals.Side
		want  signals.Side
	}{
		{"nothing", nil, signals.Side{Missing: signals.NoSeries}},
		{"all spoke", []signals.Side{spoke, spoke}, signals.Side{Counts: signals.Counts{Requests: 20, Errors: 2}}},
		{"one spoke", []signals.Side{late, spoke, none}, signals.Side{Counts: signals.Counts{Requests: 10, Errors: 1}}},
		{"zero is spoken, too", []signals.Side{{}, none}, signals.Side{}},
		{"none spoke", []signals.Side{none, none}, none},
		{"it was late before it was gone", []signals.Side{late, none}, late},
		{"beyond counting", []signals.Side{{Counts: signals.Counts{Requests: -1}}}, signals.Side{Missing: signals.NotNumber, Detail: "counts that cannot be"}},
	} {
		if diff := cmp.Diff(c.want, sum(c.sides)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// crowd is a source of pods that each serve one request a second.
type crowd struct {
	pods   int
	fail   func(call int) error
	asked  [][2]time.Time
	ofMost int // windows of one question
}

func (c *crowd) Read(_ context.Context, q signals.Question) ([]signals.Reading, error) {
	c.asked = append(c.asked, [2]time.Time{q.Bounds[0], q.Bounds[len(q.Bounds)-1]})
	c.ofMost = max(c.ofMost, len(q.Bounds)-1)
	if c.fail != nil {
		if err := c.fail(len(c.asked)); err != nil {
			return nil, err
		}
	}
	side := func(prefix string, length time.Duration) signals.Side {
		if prefix == "" {
			return signals.Side{Missing: signals.NoSeries}
		}
		s := signals.Side{Pods: map[string]signals.Counts{}}
		for i := range c.pods {
			s.Pods[fmt.Sprint(prefix, i)] = signals.Counts{Requests: length.Seconds()}
			s.Requests += length.Seconds()
		}
		return s
	}
	var rs []signals.Reading
	for i := range len(q.Bounds) - 1 {
		length := q.Bounds[i+1].Sub(q.Bounds[i])
		rs = append(rs, signals.Reading{Window: signals.Window{From: q.Bounds[i], To: q.Bounds[i+1]},
			Candidate: side(q.Candidate, length), Baseline: side(q.Baseline, length)})
	}
	return rs, nil
}

func podsOf(sides ...signals.Side) (n int) {
	for _, s := range sides {
		n += len(s.Pods)
	}
	return n
}

func TestThePastIsReadInBlocks(t *testing.T) {
	q := question{key: web, historyOf: "old-", past: past{noon.Add(-time.Hour), noon},
		policy: policy.Resolved{Interval: 15 * time.Second, Signals: []policy.Signal{{Name: "s", Query: signals.Query{By: signals.ByPod, Errors: "e{}", Requests: "r{}"}}}}}
	src := &crowd{pods: 200}
	h := q.history(context.Background(), src, q.policy.Signals[0])
	if len(h.blocks) != 240 || h.total.Requests != 200*3600 || h.total.Missing != signals.Present {
		t.Errorf("%d blocks, in all %+v", len(h.blocks), h.total)
	}
	if n := podsOf(h.blocks...); n != maxPodsKept {
		t.Errorf("%d pods are kept", n)
	}
	if podsOf(h.blocks[139]) != 0 || podsOf(h.blocks[140]) != 200 {
		t.Errorf("it is not the newest that are kept")
	}
	if len(src.asked) != 2 || src.ofMost != atOnce || !src.asked[0][1].Equal(noon) || !src.asked[1][1].Equal(src.asked[0][0]) {
		t.Errorf("asked for %v", src.asked)
	}

	q.policy.Interval = time.Second
	src = &crowd{pods: 1}
	if h = q.history(context.Background(), src, q.policy.Signals[0]); len(h.blocks) != 900 || src.ofMost > atOnce || podsOf(h.blocks...) != 900 {
		t.Errorf("%d blocks, asked for %v", len(h.blocks), src.asked)
	}

	src = &crowd{pods: 1, fail: func(call int) error {
		if call == 2 {
			return errors.New("connection refused")
		}
		return nil
	}}
	if h = q.history(context.Background(), src, q.policy.Signals[0]); h.total.Missing != signals.Failed || h.total.Detail != "connection refused" || h.blocks != nil {
		t.Errorf("answered in part: %+v", h)
	}
}

// However many pods and ticks there are, no more than the newest pods are kept, and the same after a restart.
func TestPodsOfOldTicksAreForgotten(t *testing.T) {
	q := asked
	q.baseline = "old-"
	for _, pods := range []int{3, 100, 1000} {
		src := &crowd{pods: pods}
		v := newEvidence(noon, q.policy.Interval)
		const n = 400
		for i := 1; i <= n; i++ {
			src.fail = nil
			if i%7 == 0 {
				src.fail = func(int) error { return errors.New("connection refused") }
			}
			v.read(context.Background(), src, q, noon.Add(time.Duration(i)*15*time.Second))
		}
		kept, with := 0, 0
		for _, r := range v.signals["s"].ticks {
			if n := podsOf(r.Candidate, r.Baseline); n > 0 {
				kept, with = kept+n, with+1
			}
		}
		if most := maxPodsKept + 4*pods; kept > most || with < n && kept < most-6*pods {
			t.Errorf("%d pods a side: %d are kept, of %d ticks", pods, kept, with)
		}
		fresh := newEvidence(noon, q.policy.Interval)
		src = &crowd{pods: pods}
		fresh.read(context.Background(), src, q, noon.Add(n*15*time.Second))
		if diff := cmp.Diff(fresh.signals["s"].ticks, v.signals["s"].ticks); diff != "" {
			t.Errorf("%d pods a side (-at once +bit by bit):\n%s", pods, diff)
		}
		if src.ofMost != atOnce {
			t.Errorf("%d ticks were asked for at once", src.ofMost)
		}
	}
}
