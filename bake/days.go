package bake

import (
	"context"
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// daysBefore are the earlier days whose same hours are read: yesterday's, and those of the same day of the week.
var daysBefore = []int{1, 7}

const (
	// usualRollout is how long a rollout usually takes until it is complete and its window begins.
	usualRollout = 5 * time.Minute
	// patienceForDays bounds how long an answer about earlier days is waited for in a tick: an old range may lie in a slow
	// store, and the verdict must not.
	patienceForDays = 3 * time.Second
)

// daySpans are the spans of earlier days that lie as the bake lies in its day: from the rollout's start to the end of the
// window, as it usually is, and at most as long as a past. They are fixed by what is on record when the bake begins.
func daySpans(spec v1alpha1.BakeSpec, window time.Duration) []past {
	spans := make([]past, len(daysBefore))
	for i, n := range daysBefore {
		from := spec.StartedAt.Add(-time.Duration(n) * 24 * time.Hour)
		spans[i] = past{from, from.Add(min(window+usualRollout, longestPast))}
	}
	return spans
}

// days are a signal's counts in those spans, whichever revision served.
type days struct {
	sides []signals.Side
	tries int
	again int // the tick at which what the source could not say is asked for again
}

// read asks for the days that are not answered. Most sources keep old ranges, some refuse them time and again: one that
// does is asked ever more rarely.
func (d *days) read(ctx context.Context, src Source, q question, s policy.Signal, tick int) {
	if tick < d.again || len(q.days) == 0 || !q.policy.Layers.Evidence || s.Value != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patienceForDays)
	defer cancel()
	if d.sides == nil {
		d.sides = slices.Repeat([]signals.Side{{Missing: signals.Failed, Detail: "not asked for yet"}}, len(q.days))
	}
	ask := q.of(s)
	ask.Candidate, ask.Baseline, ask.Lives, ask.Whole, ask.FromZero = "", "", nil, true, false
	for i, span := range q.days {
		if d.sides[i].Missing == signals.Failed {
			d.sides[i] = inBlocks(ctx, src, ask, span.blocks(q.policy.Interval)).total
		}
	}
	d.tries++
	d.again = tick + 1<<min(d.tries, 10)
}
