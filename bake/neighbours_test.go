package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// street is a source in whose answers other workloads are: the nth serves n requests a second, and fails one a tick from
// noon on.
type street struct {
	others int
	fails  map[int]bool // calls
	calls  int
}

func (s *street) name(i int) string { return fmt.Sprintf("house-%03d", i) }

func (s *street) Read(_ context.Context, q signals.Question) ([]signals.Reading, error) {
	s.calls++
	if s.fails[s.calls] {
		return nil, errors.New("connection refused")
	}
	if q.Others > 0 && len(q.OtherNames) > 0 || q.By != signals.ByPod {
		return nil, errors.New("a question that makes no sense")
	}
	rs := make([]signals.Reading, len(q.Bounds)-1)
	for i := range rs {
		from, to := q.Bounds[i], q.Bounds[i+1]
		rs[i].Window = signals.Window{From: from, To: to}
		rs[i].Candidate.Requests = to.Sub(from).Seconds()
		rs[i].Baseline.Missing = signals.NoSeries
		for n := s.others; n >= 0; n-- {
			if n > s.others-q.Others || slices.Contains(q.OtherNames, s.name(n)) {
				c := signals.Counts{Requests: to.Sub(from).Seconds() * float64(n)}
				if !from.Before(noon) {
					c.Errors = 1
				}
				rs[i].Others = plus(rs[i].Others, map[string]signals.Counts{s.name(n): c})
			}
		}
	}
	return rs, nil
}

var inTheStreet = question{key: web, candidate: "new-", historyOf: "old-", past: past{noon.Add(-time.Hour), noon}, policy: policy.Resolved{
	Interval: 15 * time.Second, Layers: policy.Layers{Blame: true}, Signals: []policy.Signal{{Name: "s", Query: signals.Query{By: signals.ByPod, Errors: "e{}", Requests: "r{}"}}}}}

func TestNeighbours(t *testing.T) {
	src := &street{others: 60}
	v := newEvidence(noon, 15*time.Second)
	for i := range 4 {
		v.read(context.Background(), src, inTheStreet, noon.Add(time.Duration(i+1)*15*time.Second))
	}
	got := v.input("rev 7", "rev 6", inTheStreet.policy, map[string]bool{"house-059": true, "house-011": true}).Signals[0].Neighbours
	if len(got) != maxNeighbours-2 {
		t.Fatalf("%d neighbours: %+v", len(got), got)
	}
	if got[0].Name != "house-012" || got[len(got)-1].Name != "house-060" || got[len(got)-2].Name != "house-058" {
		t.Errorf("they are %+v", got)
	}
	want := decide.Neighbour{Name: "house-012", Before: signals.Counts{Requests: 12 * 3600}, After: signals.Counts{Requests: 12 * 60, Errors: 4}}
	if got[0] != want {
		t.Errorf("%+v, want %+v", got[0], want)
	}
}

// Whenever the source answers: the neighbours are those of one look at the end, as after a restart.
func TestNeighboursReadBitByBitAreThoseReadAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := &street{others: rapid.IntRange(0, 3).Draw(t, "others"), fails: map[int]bool{}}
		n := rapid.SampledFrom([]int{1, 2, 5, 200}).Draw(t, "ticks")
		v := newEvidence(noon, 15*time.Second)
		for i := 1; i <= n; i++ {
			if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
				src.fails[src.calls+rapid.IntRange(1, 3).Draw(t, "call")] = true
			}
			if rapid.IntRange(0, 3).Draw(t, "asked") > 0 {
				v.read(context.Background(), src, inTheStreet, noon.Add(time.Duration(i)*15*time.Second))
			}
		}
		src.fails = nil
		end := noon.Add(time.Duration(n+1) * 15 * time.Second)
		v.read(context.Background(), src, inTheStreet, end)
		fresh := newEvidence(noon, 15*time.Second)
		fresh.read(context.Background(), src, inTheStreet, end)
		if diff := cmp.Diff(fresh.input("", "", inTheStreet.policy, nil), v.input("", "", inTheStreet.policy, nil)); diff != "" {
			t.Fatalf("(-at once +bit by bit):\n%s", diff)
		}
		if got := v.input("", "", inTheStreet.policy, nil).Signals[0].Neighbours; len(got) != src.others {
			t.Fatalf("%d neighbours, want %d", len(got), src.others)
		}
	})
}

func TestDeploys(t *testing.T) {
	bake := func(k Key, started, ended time.Duration) *v1alpha1.Bake {
		b := &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Workload: v1alpha1.WorkloadReference{Kind: k.Kind, Name: k.Name}, StartedAt: *after(started)}}
		b.Namespace = k.Namespace
		if ended != 0 {
			b.Status.Outcome, b.Status.EndedAt = v1alpha1.OutcomePassed, after(ended)
		}
		return b
	}
	var d deploys
	a, b, c := named("shop", "a"), named("shop", "b"), named("shop", "c")
	d.note(bake(a, -2*time.Hour, -time.Hour))
	d.note(bake(b, -2*time.Hour, -time.Hour))
	d.note(bake(b, -30*time.Minute, 0))
	d.note(bake(b, -2*time.Hour, -time.Hour)) // an older one is saved once more
	d.note(bake(c, -30*time.Minute, -10*time.Minute))
	d.note(bake(named("pay", "d"), 0, 0))
	for _, w := range []struct {
		at   time.Duration
		want map[string]bool
	}{
		{-2 * time.Hour, map[string]bool{"a": true, "b": true, "c": true}},
		{-20 * time.Minute, map[string]bool{"b": true, "c": true}},
		{0, map[string]bool{"b": true}},
	} {
		if diff := cmp.Diff(w.want, d.since("shop", noon.Add(w.at))); diff != "" {
			t.Errorf("since %s (-want +got):\n%s", w.at, diff)
		}
	}
	d.forget(b)
	d.forget(named("none", "x"))
	if got := d.since("shop", noon); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// The loop tells who deploys, also after a restart.
func TestTheLoopKnowsWhoDeploys(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		api := named("shop", "api")
		w.create(api, "A")
		w.pass(time.Hour)
		w.since = time.Now()
		p := w.start()
		began := time.Now()
		w.deploy(web, "B")
		w.pass(30 * time.Second)
		who := func(at time.Time) map[string]bool { return w.newest.loop.deploys.since("shop", at) }
		if diff := cmp.Diff(map[string]bool{"web": true}, who(time.Now())); diff != "" {
			t.Error(diff)
		}
		w.deploy(api, "B")
		w.pass(30 * time.Second)
		p.stop()
		w.start()
		w.pass(time.Second)
		if diff := cmp.Diff(map[string]bool{"web": true, "api": true}, who(time.Now())); diff != "" {
			t.Error(diff)
		}
		w.pass(10 * time.Minute)
		if diff := cmp.Diff(map[string]bool{"web": true, "api": true}, who(began)); diff != "" {
			t.Error(diff)
		}
		if got := who(time.Now()); len(got) != 0 {
			t.Errorf("still deploying: %v", got)
		}
		w.remove(api)
		w.pass(10 * time.Minute)
		if diff := cmp.Diff(map[string]bool{"web": true}, who(began)); diff != "" {
			t.Error(diff)
		}
	})
}
