package prometheus

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/bakewatch/bakewatch/signals"
)

// How a window is counted. Everything that is said about a window (from, to] follows from the samples in (since, to]
// alone, since being one lookback before from. So it makes no difference whether a window is counted by itself at its
// tick or among many after a restart, nor how much more an answer holds.

// span is one window in milliseconds, open at from, closed at to, with where the samples looked at begin.
type span struct {
	since, from, to int64
}

// growth is what a counter counted over its values, the first being where it starts. A counter that drops began anew
// at zero.
func growth(values []float64) float64 { return growthOf(values, values) }

// growthOf is the growth of a part of a counter, which began anew where the whole did. A part that drops while the whole
// does not was cut another way: the buckets of a native histogram may change their widths.
func growthOf(values, whole []float64) float64 {
	var sum float64
	for i := 1; i < len(values); i++ {
		if whole[i] < whole[i-1] {
			sum += values[i]
		} else {
			sum += max(0, values[i]-values[i-1])
		}
	}
	return sum
}

// growth is what the series counted over samples from to to, the first being where it starts.
func (s *series) growth(from, to int) float64 {
	whole := s.whole
	if whole == nil {
		whole = s.value
	}
	return growthOf(s.value[from:to], whole[from:to])
}

// track is a series in its place: which pod of the side, and which scraped target of it.
type track struct {
	*series
	pod, target int
	life        *life // the part of the series that belongs to the side; nil: all of it
}

// group is the series of one side, of both counters.
type group struct {
	pods     []string // sorted
	targets  int
	requests []track
	errors   []track

	nothing string // why there is nothing, if there is nothing

	each bool // each pod is one request, which failed if its counter grew
	// goods is set where errors are of a counter of what did not fail: all there is of it, of any pod.
	goods    *answer
	goodText string
}

// newGroup gathers the series whose pod belongs. With whole set, all series belong, to one unnamed pod.
func newGroup(requests, errs []series, whole bool, belongs func(pod string) bool) *group {
	g := &group{}
	pods, targets := map[string]int{}, map[string]int{}
	number := func(of map[string]int, key string) int {
		n, ok := of[key]
		if !ok {
			n = len(of)
			of[key] = n
		}
		return n
	}
	gather := func(from []series) []track {
		tracks := make([]track, 0, len(from))
		for i := range from {
			s := &from[i]
			if !belongs(s.pod) {
				continue
			}
			pod := s.pod
			if whole {
				pod = ""
			}
			if _, ok := pods[pod]; !ok {
				g.pods = append(g.pods, pod)
			}
			tracks = append(tracks, track{series: s, pod: number(pods, pod), target: number(targets, s.target)})
		}
		return tracks
	}
	g.requests, g.errors = gather(requests), gather(errs)
	g.targets = len(targets)
	return g
}

// tally is what a group's samples say about one window.
type tally struct {
	pods    []signals.Counts // by the group's pod numbers
	seen    []bool           // pods that have samples of the requests counter
	heard   int              // how many of them
	newest  int64            // time of the newest sample of the requests counter
	spacing int64            // median time between samples of a target; 0 when no target has two

	lacks                  bool // there is nothing in view of what did not fail, of any pod
	badRequests, badErrors bool // a counter has samples in view, and none of them is a count
}

// look is the part of a series that lies in a window's view: samples lo to hi, of which those before in were taken at
// or before the window's beginning. goesOn says that the sample before lo is where its counter starts.
type look struct {
	lo, in, hi int
	goesOn     bool
}

func (s *series) look(w span) look {
	after := func(from int, t int64) int {
		return from + sort.Search(len(s.at)-from, func(i int) bool { return s.at[from+i] > t })
	}
	lo := after(0, w.since)
	in := after(lo, w.from)
	return look{lo: lo, in: in, hi: after(in, w.to)}
}

func (l look) empty() bool { return l.lo == l.hi }

// badIn reports whether the series has samples in view that are no count.
func (s *series) badIn(w span) bool {
	i := sort.Search(len(s.bad), func(i int) bool { return s.bad[i] > w.since })
	return i < len(s.bad) && s.bad[i] <= w.to
}

// count tallies one window. fromZero says of a pod, by name and the time of its first sample in view, that what its
// counters stand at was counted in its own life and in no earlier window; it is asked only when the group has no more than
// maxPods pods in view.
func (g *group) count(w span, fromZero func(pod string, first int64) bool) tally {
	t := tally{pods: make([]signals.Counts, len(g.pods)), seen: make([]bool, len(g.pods))}
	requests, errs := make([]look, len(g.requests)), make([]look, len(g.errors))
	first := make([]int64, g.targets) // the first sample in view of any series of the target
	for i := range first {
		first[i] = math.MaxInt64 // later than any sample
	}
	born := make([]int64, len(g.pods)) // likewise of the pod
	for i := range born {
		born[i] = math.MaxInt64
	}

	survey := func(tracks []track, looks []look) (good, bad bool) {
		for i, tr := range tracks {
			l := tr.look(w)
			looks[i] = l
			if l.empty() {
				bad = bad || tr.badIn(w)
				continue
			}
			good = true
			first[tr.target] = min(first[tr.target], tr.at[l.lo])
			born[tr.pod] = min(born[tr.pod], tr.at[l.lo])
		}
		return good, bad
	}
	good, bad := survey(g.requests, requests)
	t.badRequests = bad && !good
	good, bad = survey(g.errors, errs)
	t.badErrors = bad && !good

	for i, tr := range g.requests {
		if l := requests[i]; !l.empty() {
			t.newest = max(t.newest, tr.at[l.hi-1])
			if !t.seen[tr.pod] {
				t.seen[tr.pod] = true
				t.heard++
			}
		}
	}
	t.spacing = g.spacing(requests)
	t.lacks = g.lacks(w)

	whole := make([]bool, len(g.pods)) // the pods that count from zero
	if fromZero != nil && t.heard <= maxPods {
		for i, pod := range g.pods {
			whole[i] = fromZero(pod, born[i])
		}
	}
	grown := func(tr track, l look) float64 {
		switch {
		case l.empty():
			return 0
		case l.goesOn && (whole[tr.pod] || l.in == l.lo):
			return growth(tr.value[l.lo-1 : l.hi])
		case whole[tr.pod]: // the process began in this bake: it counted its first sample, too
			return tr.value[l.lo] + tr.growth(l.lo, l.hi)
		case l.in > l.lo:
			return tr.growth(l.in-1, l.hi)
		case first[tr.target] < tr.at[l.lo]:
			// The process was there before and this counter was not: its first sample counts what has happened since.
			// So it is with the first code="500".
			return tr.value[l.lo] + tr.growth(l.lo, l.hi)
		}
		return tr.growth(l.lo, l.hi) // it may have stood there for long: count from its first sample on
	}
	for i, tr := range g.requests {
		t.pods[tr.pod].Requests += grown(tr, requests[i])
	}
	for i, tr := range g.errors {
		t.pods[tr.pod].Errors += grown(tr, errs[i])
	}
	for i := range t.pods {
		switch p := &t.pods[i]; {
		case g.each && t.seen[i]:
			*p = signals.Counts{Requests: 1, Errors: min(1, math.Ceil(p.Errors))}
		case g.goods != nil:
			p.Errors = max(0, p.Requests-p.Errors)
		}
		// More failures than requests means that the two queries do not count the same thing; the share of failures is
		// never more than all.
		t.pods[i].Errors = min(t.pods[i].Errors, t.pods[i].Requests)
	}
	return t
}

// spacing is the median time between two samples. Of a target, the series that was scraped most often speaks: all of
// them are scraped together.
func (g *group) spacing(looks []look) int64 {
	best := make([]int, g.targets)
	for i := range best {
		best[i] = -1
	}
	for i, tr := range g.requests {
		if b := best[tr.target]; b < 0 || looks[i].hi-looks[i].lo > looks[b].hi-looks[b].lo {
			best[tr.target] = i
		}
	}
	var gaps []int64
	for _, i := range best {
		if i < 0 {
			continue
		}
		for j := looks[i].lo + 1; j < looks[i].hi; j++ {
			gaps = append(gaps, g.requests[i].at[j]-g.requests[i].at[j-1])
		}
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.SortFunc(gaps, cmp.Compare[int64])
	return gaps[len(gaps)/2]
}
