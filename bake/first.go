package bake

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// Symptoms spread: a caller fails because the new version of what it calls does. When several bakes of a namespace have
// regressed, the one whose own new pods differ most from its own old pods is rolled back first. The others look again.

const (
	// yieldTicks is for how many ticks a bake waits for others at most. Then it goes on by itself: waiting must never
	// become a way not to act.
	yieldTicks = 3
	// yieldForTick is how long after its own tick a bake waits for the others to have judged theirs of the same instant.
	yieldForTick = 2 * time.Second
)

// finding is what a bake has found by its newest tick, for the others of its namespace.
type finding struct {
	bake      string // its id
	ref       string // its workload, for people
	judgedTo  time.Time
	interval  time.Duration
	regressed bool      // it is to be rolled back: it regressed, and no guard holds it
	worse     float64   // how many times as often its new pods fail as its old ones
	undone    time.Time // when it was rolled back; zero: it was not
}

// first is the finding of the bake to be rolled back first: that which is worse, or else the first by name.
func first(fs []finding) finding {
	return slices.MinFunc(fs, func(a, b finding) int {
		return cmp.Or(cmp.Compare(b.worse, a.worse), cmp.Compare(a.bake, b.bake))
	})
}

// yields has a bake that regressed wait while another one of the namespace is to be rolled back before it.
func (s State) yields() (Step, bool) {
	for _, o := range s.Others {
		next := o.judgedTo.Add(o.interval)
		if late := s.Now.After(s.JudgedTo.Add(settle(s.Frozen.Interval) + yieldForTick)); !late && !o.regressed && !next.After(s.JudgedTo) {
			return Step{Do: Wait, Until: s.Now.Add(100 * time.Millisecond)}, true // it is just being judged
		}
	}
	since := s.WaitedSince
	if since.IsZero() {
		since = s.Now
	}
	limit := since.Add(yieldTicks * s.Frozen.Interval)
	if !s.Now.Before(limit) {
		return Step{}, false
	}
	fs := []finding{s.Own}
	for _, o := range s.Others {
		stale := o.undone.IsZero() && s.JudgedTo.Sub(o.judgedTo) > yieldTicks*max(o.interval, s.Frozen.Interval)
		seen := !o.undone.IsZero() && !s.JudgedTo.Before(o.undone.Add(s.Frozen.Interval)) // a whole tick since it was rolled back
		if o.regressed && !stale && !seen {
			fs = append(fs, o)
		}
	}
	f := first(fs)
	if f.bake == s.Own.bake {
		return Step{}, false
	}
	return Step{Do: Wait, Until: limit, Why: fmt.Sprintf("%s, whose new pods fail %.1f times as often as its old ones, is rolled back before %s with %.1f times",
		f.ref, f.worse, s.Own.ref, s.Own.worse)}, true
}

// worse is how many times as often the new pods fail as the old ones beside them, by the signal that says most. Where no
// old pods served beside them, the verdict's own comparison stands for it. Half an error is added to both sides, so that
// no errors are not endlessly few.
func (v *evidence) worse(verdict *decide.Verdict) float64 {
	if verdict == nil || len(verdict.Reasons) == 0 {
		return 0
	}
	reason := verdict.Reasons[0]
	candidate, baseline := reason.Numbers.Candidate, reason.Numbers.Baseline
	if t := v.signals[reason.Signal]; t != nil {
		var c, b signals.Counts
		for _, r := range t.ticks {
			if r.Candidate.Spoke() && r.Baseline.Spoke() {
				c, b = c.Add(r.Candidate.Counts), b.Add(r.Baseline.Counts)
			}
		}
		if c.Requests > 0 && b.Requests > 0 {
			candidate, baseline = c, b
		}
	}
	rate := func(c signals.Counts) float64 { return (c.Errors + 0.5) / (c.Requests + 1) }
	return rate(candidate) / rate(baseline)
}

// findings are those of all bakes that are judged now, for each other to see.
type findings struct {
	mu          sync.Mutex
	byNamespace map[string]map[string]finding // by namespace, by bake
}

func (fs *findings) note(namespace string, f finding) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.byNamespace == nil {
		fs.byNamespace = map[string]map[string]finding{}
	}
	of := fs.byNamespace[namespace]
	if of == nil {
		of = map[string]finding{}
		fs.byNamespace[namespace] = of
	}
	of[f.bake] = f
}

// undone notes when a bake was rolled back.
func (fs *findings) undone(namespace, bake string, at time.Time) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f, ok := fs.byNamespace[namespace][bake]; ok {
		f.undone = at
		fs.byNamespace[namespace][bake] = f
	}
}

func (fs *findings) forget(namespace, bake string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.byNamespace[namespace], bake)
	if len(fs.byNamespace[namespace]) == 0 {
		delete(fs.byNamespace, namespace)
	}
}

// others are the findings of the other bakes of a namespace, by name.
func (fs *findings) others(namespace, bake string) []finding {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	of := fs.byNamespace[namespace]
	var out []finding
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if name != bake {
			out = append(out, of[name])
		}
	}
	return out
}
