package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// counters is a source of pods whose counters are scraped every five seconds, from their first second on. It keeps to
// what signals.Question asks: a pod first seen in an answer counts from zero if FromZero says so and it is not in Seen,
// and else from its first sample.
type counters struct {
	born  map[string]time.Duration // after noon, by pod
	fails map[int]bool             // calls that are not answered
	late  map[int]bool             // calls whose newest scrape has not arrived
	calls int
}

const scrape = 5 * time.Second

func (c *counters) Read(_ context.Context, q signals.Question) ([]signals.Reading, error) {
	c.calls++
	if c.fails[c.calls] {
		return nil, errors.New("connection refused")
	}
	upTo := q.Bounds[len(q.Bounds)-1]
	if c.late[c.calls] {
		upTo = upTo.Add(-scrape)
	}
	var out []signals.Reading
	known := map[string]bool{}
	for i := range len(q.Bounds) - 1 {
		side := signals.Side{Pods: map[string]signals.Counts{}}
		for pod, born := range c.born {
			if !strings.HasPrefix(pod, q.Candidate) {
				continue
			}
			first, base, last, any := 0.0, -1.0, 0.0, false
			for at := noon.Add(born + time.Second); !at.After(q.Bounds[i+1]) && !at.After(upTo); at = at.Add(scrape) {
				v := at.Sub(noon.Add(born)).Seconds() * 10
				if at.Before(q.Bounds[0].Add(-time.Minute)) {
					continue // before what the answer holds
				}
				if !any {
					first, any = v, true
				}
				if !at.After(q.Bounds[i]) {
					base = v
				}
				last = v
			}
			if !any {
				continue
			}
			if base < 0 {
				base = first
				if q.FromZero && !q.Seen[pod] && !known[pod] {
					base = 0
				}
			}
			known[pod] = true
			side.Pods[pod] = signals.Counts{Requests: last - base}
			side.Counts = side.Add(side.Pods[pod])
		}
		out = append(out, signals.Reading{Window: signals.Window{From: q.Bounds[i], To: q.Bounds[i+1]}, Candidate: side, Baseline: signals.Side{Missing: signals.NoSeries}})
	}
	return out, nil
}

var asked = question{key: web, candidate: "new-", fromZero: true,
	policy: policy.Resolved{Interval: 15 * time.Second, Signals: []policy.Signal{{Name: "s", Query: signals.Query{By: signals.ByPod, Errors: "e{}", Requests: "r{}"}}}}}

// counted are the counts of every tick.
func counted(v *evidence) []string {
	var out []string
	for _, r := range v.signals["s"].ticks {
		out = append(out, fmt.Sprint(r.Window.To.Sub(noon), " ", r.Candidate.Requests, string(r.Candidate.Missing)))
	}
	return out
}

// However often the source did not answer, or answered without its newest scrape: once it answers, the ticks are those
// that one look at the end reads, as after a restart.
func TestTicksReadBitByBitAreThoseReadAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "ticks")
		src := &counters{born: map[string]time.Duration{}, fails: map[int]bool{}, late: map[int]bool{}}
		for i, s := range rapid.SliceOfN(rapid.IntRange(0, 15*n), 1, 3).Draw(t, "born") {
			src.born[fmt.Sprintf("new-%d", i)] = time.Duration(s) * time.Second
		}
		v := newEvidence(noon, asked.policy.Interval)
		for i := 1; i <= n; i++ {
			switch rapid.SampledFrom([]string{"well", "well", "fails", "late", "not asked"}).Draw(t, "answer") {
			case "fails":
				src.fails[src.calls+1] = true
			case "late":
				src.late[src.calls+1] = i < n
			case "not asked":
				continue
			}
			v.read(context.Background(), src, asked, noon.Add(time.Duration(i)*15*time.Second))
		}
		end := noon.Add(time.Duration(n+1) * 15 * time.Second)
		v.read(context.Background(), src, asked, end)
		fresh := newEvidence(noon, asked.policy.Interval)
		fresh.read(context.Background(), src, asked, end)
		if diff := cmp.Diff(counted(fresh), counted(v)); diff != "" {
			t.Fatalf("(-at once +bit by bit):\n%s", diff)
		}
	})
}

// What the source said before it died is not forgotten.
func TestAFailureForgetsNothing(t *testing.T) {
	src := &counters{born: map[string]time.Duration{"new-1": 0}, fails: map[int]bool{4: true, 5: true}}
	v := newEvidence(noon, asked.policy.Interval)
	for i := 1; i <= 5; i++ {
		v.read(context.Background(), src, asked, noon.Add(time.Duration(i)*15*time.Second))
	}
	want := []string{"15s 110", "30s 150", "45s 150", "1m0s 0unavailable", "1m15s 0unavailable"}
	if diff := cmp.Diff(want, counted(v)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDue(t *testing.T) {
	v := newEvidence(noon.Add(7*time.Second), 15*time.Second)
	if !v.anchor.Equal(noon) {
		t.Errorf("the first edge is %s", v.anchor)
	}
	for _, c := range []struct{ now, edge, next time.Duration }{
		{15 * time.Second, 0, 16 * time.Second}, // a scrape under way has a second to arrive
		{16 * time.Second, 15 * time.Second, 31 * time.Second},
		{30 * time.Second, 15 * time.Second, 31 * time.Second},
	} {
		if edge, next := v.due(noon.Add(c.now)); !edge.Equal(noon.Add(c.edge)) || !next.Equal(noon.Add(c.next)) {
			t.Errorf("at %s due is %s, and the next at %s; want %s and %s", c.now, edge.Sub(noon), next.Sub(noon), c.edge, c.next)
		}
	}
}

// born notes since when what it is asked about began.
type born struct {
	counters
	asked []time.Duration
}

func (b *born) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	b.asked = append(b.asked, q.Born.Sub(noon))
	return b.counters.Read(ctx, q)
}

// What was so when the old revision was back is not its doing: an alert lasts a while longer. What was before the rollout is its past.
func TestWhatTheRestoredRevisionIsAskedAbout(t *testing.T) {
	q := asked
	q.born, q.restored, q.fromZero = noon.Add(-time.Minute), noon.Add(-time.Second), false
	q.historyOf, q.past = "new-", past{noon.Add(-time.Hour), noon.Add(-time.Minute)}
	src := &born{}
	v := newEvidence(noon, q.policy.Interval)
	v.read(context.Background(), src, q, noon.Add(30*time.Second))
	if want := []time.Duration{-time.Minute, -time.Minute, -time.Second}; !slices.Equal(src.asked, want) {
		t.Errorf("asked about %s, want %s: twice the past, and the ticks", src.asked, want)
	}
}
