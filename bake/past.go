package bake

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// past is a span in which the baseline served alone; a zero from means that its beginning is not known.
type past struct{ from, to time.Time }

func (p past) length() time.Duration { return p.to.Sub(p.from) } // at its largest when from is zero

// shortPast is how long a past is long enough for not looking at an earlier one.
const shortPast = 10 * time.Minute

// longestPast is how much of the past is read. What it tells of a service, how much it varies while nothing is deployed
// above all, does not depend on how long a new version is watched, so that it is the same for every bake window. With
// less, a service that is quiet or fails in bursts is not known well enough; with more, it speaks of another hour of the
// day than the bake's.
const longestPast = time.Hour

// maxBlocks bounds into how many blocks a past is cut.
const maxBlocks = 1000

// historySpan is the span before the rollout in which the baseline served alone: the last hour, or as much of it as it
// served.
func historySpan(spec v1alpha1.BakeSpec) past {
	to := spec.BaselineUntil.Time
	from := to.Add(-longestPast)
	if since := spec.BaselineSince; since != nil && since.After(from) {
		from = since.Time
	}
	return past{from, to}
}

// blocks are the edges that cut a past into blocks as long as a tick, on the ticks' own grid, so that bakes that began
// together ask for the same instants. What does not fill a block at either end is left out; a past that holds no whole
// block is one. Where an interval is so short that there would be too many, a block is several ticks long.
func (p past) blocks(interval time.Duration) []time.Time {
	step := interval
	for p.length() > maxBlocks*step {
		step += interval
	}
	first := p.from.Truncate(step)
	if first.Before(p.from) {
		first = first.Add(step)
	}
	var edges []time.Time
	for at := first; !at.After(p.to); at = at.Add(step) {
		edges = append(edges, at)
	}
	if len(edges) < 2 {
		return []time.Time{p.from, p.to}
	}
	return edges
}

// history is the baseline's past as it was read.
type history struct {
	total  signals.Side              // over all blocks
	blocks []signals.Side            // oldest first; empty when the source did not answer
	others map[string]signals.Counts // of the other workloads in the same answers, over all blocks

	dispersion *decide.Dispersion // learnt from the blocks when it is first asked for
}

// learnt is how much the baseline varied.
func (h *history) learnt() *decide.Dispersion {
	if h.dispersion == nil {
		d := decide.Learn(h.blocks)
		h.dispersion = &d
	}
	return h.dispersion
}

// without is a past of which nothing is known.
func without(missing signals.Missing, detail string) *history {
	return &history{total: signals.Side{Missing: missing, Detail: detail}}
}

// history reads the baseline's past: in it, the baseline's pods are the only side there is. For a service-level signal all
// that was counted then is the baseline's.
func (q question) history(ctx context.Context, src Source, s policy.Signal) *history {
	if q.historyOf == "" {
		return without(signals.NoSeries, "there is no earlier revision")
	}
	if !q.past.from.Before(q.past.to) {
		return without(signals.NoSeries, "it had not served alone before")
	}
	ask := q.of(s)
	ask.Candidate, ask.Baseline, ask.FromZero = q.historyOf, "", false
	ask.CandidateVersion, ask.BaselineVersion = q.versionBefore, ""
	if q.lives != nil {
		ask.Lives, ask.Whole = nil, true // the baseline served alone: all there was is its
	} else {
		ask.Vars["pods_candidate"] = pattern(q.historyOf)
	}
	if ask.BaselineValue != "" {
		ask.Value, ask.BaselineValue = ask.BaselineValue, ""
	}
	if q.policy.Layers.Blame {
		ask.Others = maxNeighbours
	}
	return inBlocks(ctx, src, ask, q.past.blocks(q.policy.Interval))
}

// inBlocks asks for the blocks between the edges. The newest are read first: should there be more pods than are kept,
// theirs are. What was not answered in full was not answered, so that it does not matter when it was asked for.
func inBlocks(ctx context.Context, src Source, ask signals.Question, edges []time.Time) *history {
	h := &history{blocks: make([]signals.Side, len(edges)-1), others: map[string]signals.Counts{}}
	kept := 0
	for end := len(h.blocks); end > 0; {
		begin := max(0, end-atOnce)
		ask.Bounds = edges[begin : end+1]
		rs, err := src.Read(ctx, ask)
		switch {
		case err != nil:
			return without(signals.Failed, err.Error())
		case len(rs) != end-begin:
			return without(signals.Failed, "the source gave no answer")
		}
		for end > begin {
			end--
			r := rs[end-begin]
			if r.Candidate.Missing == signals.Failed {
				return without(signals.Failed, r.Candidate.Detail)
			}
			if kept += len(r.Candidate.Pods); kept > maxPodsKept {
				r.Candidate.Pods = nil
			}
			h.blocks[end] = r.Candidate
			h.others = plus(h.others, r.Others)
		}
		ask.Others, ask.OtherNames = 0, slices.Sorted(maps.Keys(h.others)) // the newest say which they are
	}
	h.total = sum(h.blocks)
	return h
}

// sum adds up the sides that spoke. Where none did, it says why the newest did not that had anything at all.
func sum(sides []signals.Side) signals.Side {
	var total signals.Side
	spoke := false
	why := signals.Side{Missing: signals.NoSeries}
	for _, s := range sides {
		switch {
		case s.Spoke():
			total.Counts, spoke = total.Add(s.Counts), true
		case s.Missing == signals.Present: // beyond counting
			why = signals.Side{Missing: signals.NotNumber, Detail: "counts that cannot be"}
		case s.Missing != signals.NoSeries || why.Missing == signals.NoSeries:
			why = signals.Side{Missing: s.Missing, Detail: s.Detail}
		}
	}
	if !spoke {
		return why
	}
	return total
}
