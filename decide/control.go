package decide

import (
	"maps"
	"slices"

	"github.com/bakewatch/bakewatch/signals"
)

// What the candidate is compared with, tick by tick.

// control is what a tick's candidate is compared with.
type control byte

const (
	none   control = iota // nothing was served, or nothing is known to compare it with
	beside                // old pods that served in the same seconds
	after                 // the past
)

// span is one tick as the evidence layer sees it.
type span struct {
	control             control
	candidate, baseline signals.Counts
	pods, old           int // how many pods served on each side; 0: not told apart
}

func (s span) share() float64 {
	return s.candidate.Requests / (s.candidate.Requests + s.baseline.Requests)
}

// past is what ticks without old pods are compared with.
type past struct {
	signals.Counts
	shape float64 // how many errors its rate is known from
	rate  float64
}

// newPast adds one error to those counted: the past was counted back from the rollout and not from its last error, and
// with one more error it reaches back to the one before its first. That makes the test exact on the safe side, and a past
// without any error one that may have had one.
func newPast(c signals.Counts) past {
	if c.Requests == 0 {
		return past{}
	}
	return past{Counts: c, shape: c.Errors + 1, rate: (c.Errors + 1) / c.Requests}
}

// past is the worse of the hours just before the rollout and of the same hours on earlier days, so that neither a daily
// peak nor a bad yesterday is a regression. Where nothing is known of either, it is what old pods served during the bake.
func (e Evidence) past() past {
	var before, days signals.Counts
	if e.History.Spoke() {
		before = e.History.Counts
	}
	for _, d := range e.Days {
		if d.Spoke() {
			days = days.Add(d.Counts)
		}
	}
	if before.Requests == 0 {
		before = e.total().baseline
	}
	b, d := newPast(before), newPast(days)
	if d.rate > b.rate && d.Requests >= e.Threshold.MinRequests && b.Requests > 0 {
		return d
	}
	return b
}

// mostShare is the largest share of the requests the candidate may have for the old pods beside it to be the better
// control. Above it they see too little, and the past says more.
const mostShare = 0.8

// spans are the ticks, each with its control.
func (e Evidence) spans(p past) []span {
	spans := make([]span, len(e.Ticks))
	counts := e.settled()
	for i, t := range e.Ticks {
		s := &spans[i]
		if !t.Candidate.Spoke() || counts[i].Requests == 0 {
			continue
		}
		s.candidate, s.pods = counts[i], len(t.Candidate.Pods)
		if t.Baseline.Spoke() && t.Baseline.Requests > 0 {
			s.control, s.baseline, s.old = beside, t.Baseline.Counts, len(t.Baseline.Pods)
		}
		if p.Requests > 0 && (s.control == none || s.share() > mostShare) {
			s.control, s.baseline, s.old = after, signals.Counts{}, 0
		}
	}
	return spans
}

// settled are the candidate's counts of each tick without those of pods in the first two ticks of their life. Any
// rollout's pods may fail some requests in their first seconds; while the rollout goes on there are always some such. The
// pods the bake began with are counted from the start: that they begin badly and recover is seen by itself.
func (e Evidence) settled() []signals.Counts {
	out := make([]signals.Counts, len(e.Ticks))
	var born map[string]int // by pod, the tick it was seen in first
	for i, t := range e.Ticks {
		c := t.Candidate
		out[i] = c.Counts
		if !c.Spoke() || len(c.Pods) == 0 || (len(c.Pods) <= len(born) && i > 0 && !young(born, i)) {
			continue
		}
		first := born == nil
		if first {
			born = make(map[string]int, len(c.Pods))
		}
		var fresh signals.Counts
		for _, pod := range slices.Sorted(maps.Keys(c.Pods)) {
			at, known := born[pod]
			switch {
			case !known && first:
				at = -2
				born[pod] = at
			case !known:
				at = i
				born[pod] = at
			}
			if i-at < 2 {
				fresh = fresh.Add(c.Pods[pod])
			}
		}
		if sane(fresh.Requests, fresh.Errors) && fresh.Requests <= c.Requests && fresh.Errors <= c.Errors { // pods that contradict their sum are no reason to change it
			out[i].Requests -= fresh.Requests
			out[i].Errors -= fresh.Errors
		}
	}
	return out
}

// young reports whether a pod was seen first in the tick before.
func young(born map[string]int, tick int) bool {
	for _, at := range born {
		if at == tick-1 {
			return true
		}
	}
	return false
}
