package prometheus

import (
	"sort"
	"time"

	"github.com/bakewatch/bakewatch/signals"
)

// Where names do not tell of which revision a pod is, a pod of the candidate ends one life of that name, the baseline's, and
// begins another. Its counters begin anew with it, and mostly its series too, since it has another address.

// skew is how far the clock of the API server, which says when a pod was born, and that of the source may be apart.
const skew = 15 * time.Second

// ended is how long after a pod was born a series that has not gone on since can no longer be its.
const ended = time.Minute

// life is the part of what carries one pod's name that belongs to a side.
type life struct {
	born   int64 // milliseconds
	before bool  // what was before it was born; else what came after
}

// of cuts what is in view of a series. goesOn says that the counter goes on from the sample before the part.
func (p *life) of(s *series, l look, w span) look {
	cut, goesOn := p.cut(s, l, w)
	if p.before {
		l.hi = cut
		l.in = min(l.in, l.hi)
		return l
	}
	l.goesOn = goesOn && cut < l.hi
	l.lo = cut
	l.in = max(l.in, l.lo)
	return l
}

// cut finds the first sample of the new life in view. Around the time of birth the clocks do not tell, and the counter
// itself does: a new one begins below the old one, or as a series of its own.
func (p *life) cut(s *series, l look, w span) (first int, goesOn bool) {
	after := func(t int64) int {
		return l.lo + sort.Search(l.hi-l.lo, func(i int) bool { return s.at[l.lo+i] > t })
	}
	early, late := p.born-skew.Milliseconds(), p.born+skew.Milliseconds()
	born, sure := after(p.born-1), after(late)
	for i := min(sure, l.hi-1); i > l.lo && i >= born; i-- {
		if s.value[i] < s.value[i-1] {
			return i, false
		}
	}
	before := after(early)
	if w.since > early {
		before = born
	}
	switch {
	case sure == l.hi && w.to > p.born+ended.Milliseconds(): // it ended just after: it is the end of the old life
		return l.hi, false
	case before > l.lo: // it was there before, and went on
		return sure, true
	}
	return l.lo, false
}

// look is the part of the series, as far as it is the side's, that is in a window's view.
func (t track) look(w span) look {
	l := t.series.look(w)
	if t.life != nil && !l.empty() {
		l = t.life.of(t.series, l, w)
	}
	return l
}

// badIn reports whether the track has samples in view that are no count.
func (t track) badIn(w span) bool {
	switch {
	case t.life == nil:
	case t.life.before:
		w.to = min(w.to, t.life.born)
	default:
		w.since = max(w.since, t.life.born)
	}
	return t.series.badIn(w)
}

// living has the group take of each pod what is the candidate's, or the rest.
func (g *group) living(lives map[string]time.Time, before bool) *group {
	parts := make(map[string]*life, len(lives))
	give := func(tracks []track) {
		for i := range tracks {
			pod := tracks[i].series.pod
			born, ok := lives[pod]
			if !ok {
				continue
			}
			if parts[pod] == nil {
				parts[pod] = &life{born: born.UnixMilli(), before: before}
			}
			tracks[i].life = parts[pod]
		}
	}
	give(g.requests)
	give(g.errors)
	return g
}

// sidesByLives gathers the series of both sides of a question about pods whose names do not tell.
func sidesByLives(q signals.Question, requests, errs *answer) (candidate, baseline *group) {
	prefix := signals.PodPrefix(q.Workload)
	side := func(what string, before bool, belongs func(pod string) bool) *group {
		g := newGroup(requests.ofPods(prefix), errs.ofPods(prefix), false, belongs).living(q.Lives, before).as(q.Query, errs)
		g.nothing = noSeries("the "+what+" pods of "+q.Workload, counted(q.Query), requests)
		return g
	}
	candidate, baseline = side("new", false, func(pod string) bool { _, alive := q.Lives[pod]; return alive }), &group{nothing: noBaseline}
	if q.Baseline != "" {
		baseline = side("old", true, func(pod string) bool { return signals.PodOf(pod, q.Kind, q.Workload) })
	}
	return candidate, baseline
}

// valuesByLives tells of which side a pod's value is at a time.
func valuesByLives(q signals.Question) (candidate, baseline func(pod string, at int64) bool) {
	candidate = func(pod string, at int64) bool {
		born, alive := q.Lives[pod]
		return alive && at > born.UnixMilli()
	}
	baseline = func(pod string, at int64) bool {
		return q.Baseline != "" && !candidate(pod, at) && signals.PodOf(pod, q.Kind, q.Workload)
	}
	return candidate, baseline
}
