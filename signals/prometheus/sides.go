package prometheus

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// maxPods is how many pods of a side are told one by one. A side with more has only its total, and none of its pods
// counts from zero: who asked could not tell us next time that it was counted.
const maxPods = 1000

// Lookback is how far before a window samples are looked at, for a window of the given length: two minutes, or four
// windows. A target that is scraped less often than that is never counted.
func Lookback(window time.Duration) time.Duration {
	return max(2*time.Minute, 4*window)
}

// spans gives the windows between successive bounds.
func spans(bounds []time.Time) []span {
	windows := make([]span, len(bounds)-1)
	for i := range windows {
		from, to := bounds[i].UnixMilli(), bounds[i+1].UnixMilli()
		back := Lookback(time.Duration(to-from) * time.Millisecond).Milliseconds()
		windows[i] = span{since: from - back, from: from, to: to}
	}
	return windows
}

// tellSides counts what both answers hold into a candidate and a baseline for each window. seen holds the candidate's
// pods that were counted before; the pods counted here are added to it.
func tellSides(q signals.Question, windows []span, requests, errs *answer, seen map[string]bool) (candidates, baselines []signals.Side) {
	candidates = make([]signals.Side, len(windows))
	baselines = make([]signals.Side, len(windows))
	switch {
	case q.By == signals.ByPod && q.Whole:
		prefix := signals.PodPrefix(q.Workload)
		of := func(pod string) bool { return signals.PodOf(pod, q.Kind, q.Workload) }
		pods := newGroup(requests.ofPods(prefix), errs.ofPods(prefix), false, of).as(q.Query, errs)
		for i, w := range windows {
			t := pods.count(w, nil)
			candidates[i] = pods.side(w, t, t.spacing, noSeries("pods "+prefix+"*", counted(q.Query), requests))
			baselines[i] = signals.Side{Missing: signals.NoSeries, Detail: "all revisions are counted together"}
		}
		return candidates, baselines
	case q.By != signals.ByPod:
		all := func(string) bool { return true }
		service := newGroup(requests.series, errs.series, true, all).as(q.Query, errs)
		for i, w := range windows {
			t := service.count(w, nil)
			candidates[i] = service.side(w, t, t.spacing, "no series for "+upstream.Bounded(counted(q.Query)))
			candidates[i].Pods = nil
			baselines[i] = signals.Side{Missing: signals.NoSeries, Detail: "counted for the whole service; compared with its past"}
		}
		return candidates, baselines
	}

	by := sidesByName
	if q.Lives != nil {
		by = sidesByLives
	}
	candidate, baseline := by(q, requests, errs)
	born := int64(math.MinInt64)
	if !q.Born.IsZero() {
		born = q.Born.UnixMilli()
	}
	fresh := func(pod string, first int64) bool { return !seen[pod] && first >= born }
	if !q.FromZero {
		fresh = nil
	}
	for i, w := range windows {
		c, b := candidate.count(w, fresh), baseline.count(w, nil)
		// A side that was sampled only once does not tell how often it is scraped; the other side, of the same
		// workload, does.
		candidates[i] = candidate.side(w, c, firstKnown(c.spacing, b.spacing), candidate.nothing)
		baselines[i] = baseline.side(w, b, firstKnown(b.spacing, c.spacing), baseline.nothing)
		for pod := range candidates[i].Pods {
			seen[pod] = true
		}
	}
	return candidates, baselines
}

// sidesByName gathers the series of both sides by how the names of their pods begin.
func sidesByName(q signals.Question, requests, errs *answer) (candidate, baseline *group) {
	side := func(prefix, rival string) *group {
		g := newGroup(requests.ofPods(prefix), errs.ofPods(prefix), false, closer(prefix, rival)).as(q.Query, errs)
		g.nothing = noSeries("pods "+prefix+"*", counted(q.Query), requests)
		return g
	}
	candidate, baseline = side(q.Candidate, q.Baseline), &group{nothing: noBaseline}
	if q.Baseline != "" {
		baseline = side(q.Baseline, q.Candidate)
	}
	return candidate, baseline
}

const noBaseline = "there are no old pods"

// closer tells the pods of a prefix from those of the rival prefix: where both match, the longer does.
func closer(prefix, rival string) func(pod string) bool {
	return func(pod string) bool {
		return rival == "" || len(prefix) > len(rival) || !strings.HasPrefix(pod, rival)
	}
}

// side says what a tally amounts to: counts, or why there are none.
func (g *group) side(w span, t tally, spacing int64, nothing string) signals.Side {
	switch {
	case t.badRequests:
		return signals.Side{Missing: signals.NotNumber, Detail: "the requests counter is NaN, infinite, negative or a histogram"}
	case t.badErrors:
		return signals.Side{Missing: signals.NotNumber, Detail: "the errors counter is NaN, infinite, negative or a histogram"}
	case t.heard == 0:
		return signals.Side{Missing: signals.NoSeries, Detail: nothing}
	case t.lacks:
		return signals.Side{Missing: signals.NoSeries, Detail: "no series for " + g.goodText}
	}
	// Late means that not even one sample lies in the window, so that no counts are dropped here: they are in the next
	// window that is not late.
	patience := max(spacing*5/2, w.to-w.from)
	if age := w.to - t.newest; age > patience {
		return signals.Side{Missing: signals.Late, Detail: fmt.Sprintf("newest sample is %ds old", age/1000)}
	}
	var side signals.Side
	if t.heard <= maxPods {
		side.Pods = make(map[string]signals.Counts, t.heard)
	}
	for i, c := range t.pods {
		side.Counts = side.Add(c)
		if t.seen[i] && side.Pods != nil {
			side.Pods[g.pods[i]] = c
		}
	}
	return side
}

func noSeries(pods, query string, requests *answer) string {
	switch {
	case len(requests.series) == 0:
		return "no series for " + upstream.Bounded(query)
	case requests.podless():
		return "the series carry no pod label: " + upstream.Bounded(query)
	}
	return "no series for " + pods
}

func firstKnown(spacing, other int64) int64 {
	if spacing == 0 {
		return other
	}
	return spacing
}
