package probe

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals"
)

const (
	// keptFor is how long runs are kept: for longer than the past that a bake compares with, and a rollout that is slow to begin.
	keptFor = 2 * time.Hour
	maxRuns = 20_000 // that are kept of a flow of a workload
	// maxTexts is how many different failures are kept word for word. Beyond, only their steps are.
	maxTexts = 100
)

// run is one run of a flow against a pod. It belongs to the moment of its end, so that what was counted once never changes.
type run struct {
	at      time.Time
	pod     string // empty: it concerns all pods
	failure string // what went otherwise than expected; empty: nothing
	blind   string // why it tells nothing; empty: it counts
}

// tally is what was counted of one flow of one workload.
type tally struct {
	begun time.Time // since when all is counted that is kept
	runs  []run     // oldest first
	texts map[string]string
}

// add adds a run that ended at a time not before any other's.
func (t *tally) add(r run) {
	if len(t.runs) > 0 && r.at.Before(t.runs[len(t.runs)-1].at) { // the clock was set back
		r.at = t.runs[len(t.runs)-1].at
	}
	r.failure, r.blind = t.text(r.failure), t.text(r.blind)
	t.runs = append(t.runs, r)
	drop := max(0, len(t.runs)-maxRuns)
	for drop < len(t.runs) && r.at.Sub(t.runs[drop].at) > keptFor {
		drop++
	}
	if drop > 0 {
		t.begun = t.runs[drop-1].at
		t.runs = t.runs[drop:] // append moves what is left, once there is no room behind it
	}
}

// text is one copy of a text for all runs that have it.
func (t *tally) text(s string) string {
	if s == "" {
		return ""
	}
	if known, ok := t.texts[s]; ok {
		return known
	}
	if t.texts == nil {
		t.texts = map[string]string{}
	}
	if len(t.texts) >= maxTexts {
		if step, _, ok := strings.Cut(s, ": "); ok {
			s = step
		}
		if len(t.texts) >= 2*maxTexts {
			return "various"
		}
	}
	t.texts[s] = s
	return s
}

// readings answer a question.
func (t *tally) readings(q signals.Question) []signals.Reading {
	out := make([]signals.Reading, len(q.Bounds)-1)
	of := telling(q)
	for i := range out {
		w := signals.Window{From: q.Bounds[i], To: q.Bounds[i+1]}
		out[i].Window = w
		if !w.To.After(t.begun) {
			nothing := signals.Side{Missing: signals.NoSeries, Detail: "the flow was not run at that time"}
			out[i].Candidate, out[i].Baseline = nothing, nothing
			continue
		}
		out[i].Candidate, out[i].Baseline = t.count(w, of)
		if q.Baseline == "" {
			out[i].Baseline = signals.Side{Missing: signals.NoSeries, Detail: "there are no old pods"}
		}
	}
	return out
}

// The sides of a run.
const (
	neither = iota
	candidate
	baseline
)

// telling tells of which side a run is.
func telling(q signals.Question) func(run) int {
	switch {
	case q.By != signals.ByPod || q.Whole:
		return func(run) int { return candidate }
	case q.Lives != nil:
		return func(r run) int {
			if born, ok := q.Lives[r.pod]; ok && !r.at.Before(born) {
				return candidate
			}
			return baseline
		}
	}
	begins := func(pod, prefix string) bool { return prefix != "" && strings.HasPrefix(pod, prefix) }
	return func(r run) int {
		switch {
		case begins(r.pod, q.Candidate):
			return candidate
		case begins(r.pod, q.Baseline):
			return baseline
		}
		return neither
	}
}

// counter counts one side.
type counter struct {
	signals.Counts
	pods   map[string]signals.Counts
	texts  map[string]int // failures, how many of each
	blind  string
	blinds int
}

func (c *counter) add(r run) {
	if r.blind != "" {
		c.blind = r.blind
		c.blinds++
		return
	}
	one := signals.Counts{Requests: 1}
	if r.failure != "" {
		one.Errors = 1
		if c.texts == nil {
			c.texts = map[string]int{}
		}
		c.texts[r.failure]++
	}
	if c.pods == nil {
		c.pods = map[string]signals.Counts{}
	}
	c.Counts, c.pods[r.pod] = c.Add(one), c.pods[r.pod].Add(one)
}

// side is what was counted. Where only runs were tried that tell nothing, nothing is known.
func (c *counter) side() signals.Side {
	if c.Requests == 0 && c.blinds > 0 {
		return signals.Side{Missing: signals.Failed, Detail: "the flow cannot be run: " + c.blind}
	}
	s := signals.Side{Counts: c.Counts, Pods: c.pods}
	if len(c.texts) > 0 { // the most frequent, or the first by its letters
		s.Detail = slices.MinFunc(slices.Collect(maps.Keys(c.texts)), func(a, b string) int {
			return cmp.Or(cmp.Compare(c.texts[b], c.texts[a]), cmp.Compare(a, b))
		})
	}
	return s
}

// count counts the runs that ended in a window.
func (t *tally) count(w signals.Window, of func(run) int) (signals.Side, signals.Side) {
	first, _ := slices.BinarySearchFunc(t.runs, w.From, func(r run, at time.Time) int {
		if r.at.After(at) {
			return 1
		}
		return -1
	})
	var c, b counter
	for _, r := range t.runs[first:] {
		if r.at.After(w.To) {
			break
		}
		side := of(r)
		if side == candidate || r.pod == "" {
			c.add(r)
		}
		if side == baseline || r.pod == "" {
			b.add(r)
		}
	}
	return c.side(), b.side()
}
