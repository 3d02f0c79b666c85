package logs

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

const (
	// pastRead is how much of a pod's past is read when it is first met; as much as a bake compares with.
	pastRead = time.Hour
	// keptFor is how long what was read is kept: for longer than the past, and a rollout that is slow to begin.
	keptFor = 2 * time.Hour
	// maxSignatures is how many different failures of a pod are told apart. Others are counted all the same.
	maxSignatures = 50
	// talkEvery is how long the stretches are by which it is known whether a pod writes all the time.
	talkEvery = 10
	// A version writes all the time when so many stretches of its pods are known, and such a share of them has a line.
	talkLeast, talkShare = 6, 0.95
	// maxSpans bounds how many gaps there may be in what was read of a pod; the oldest are forgotten.
	maxSpans = 200
)

// tally is what was read of one pod, by the second.
type tally struct {
	of         Workload
	name       string
	born       time.Time
	read       map[string]time.Time // up to where each of its containers was read
	heard      map[string]time.Time // its containers' newest lines, where there is more to a silence than that they are quiet
	spans      []run                // when it ran and was read, oldest first
	bad        map[int64]bool       // seconds, since 1970, in which it wrote of a failure
	signatures map[string][]int64   // the seconds of each kind of failure
	wrote      []int64              // stretches of talkEvery, since 1970, in which it wrote anything, in their order
	used       time.Time
}

func newTally(w Workload, p Pod) *tally {
	return &tally{of: w, name: p.Name, born: p.Born, read: map[string]time.Time{}, heard: map[string]time.Time{}, bad: map[int64]bool{}, signatures: map[string][]int64{}}
}

// failed takes note of a failure.
func (t *tally) failed(f Failure) {
	second := f.At.Unix()
	t.bad[second] = true
	at, known := t.signatures[f.Signature]
	i, noted := slices.BinarySearch(at, second)
	if !known && len(t.signatures) >= maxSignatures || noted {
		return
	}
	t.signatures[f.Signature] = slices.Insert(at, i, second)
}

// said takes note of a line, whatever it says.
func (t *tally) said(at time.Time) {
	n := at.Unix() / talkEvery
	if last := len(t.wrote) - 1; last < 0 || t.wrote[last] < n { // as lines come, but for those that are read once more
		t.wrote = append(t.wrote, n)
	} else if i, noted := slices.BinarySearch(t.wrote, n); !noted {
		t.wrote = slices.Insert(t.wrote, i, n)
	}
}

// talks is how many stretches of it are known, and in how many of them it wrote.
func (t *tally) talks() (known, wrote int) {
	for _, s := range t.spans {
		for n := s.from.Unix() / talkEvery; n <= s.to.Unix()/talkEvery; n++ {
			if _, line := slices.BinarySearch(t.wrote, n); line {
				known, wrote = known+1, wrote+1
			} else if begin := n * talkEvery; begin >= s.from.Unix() && begin+talkEvery <= s.to.Unix() {
				known++
			}
		}
	}
	return known, wrote
}

// talkative reports whether pods write all the time: then one that writes nothing is not well for saying nothing ill.
func talkative(of []*tally) bool {
	var known, wrote int
	for _, t := range of {
		k, w := t.talks()
		known, wrote = known+k, wrote+w
	}
	return known >= talkLeast && float64(wrote) >= talkShare*float64(known)
}

// ran takes note of a span in which the pod ran, and of which all that it wrote was read.
func (t *tally) ran(from, to time.Time) {
	if !to.After(from) {
		return
	}
	t.spans = append(t.spans, run{from, to})
	slices.SortFunc(t.spans, func(a, b run) int { return a.from.Compare(b.from) })
	merged := t.spans[:1]
	for _, s := range t.spans[1:] {
		if last := &merged[len(merged)-1]; !s.from.After(last.to) {
			if s.to.After(last.to) {
				last.to = s.to
			}
			continue
		}
		merged = append(merged, s)
	}
	t.spans = merged[max(0, len(merged)-maxSpans):]
}

// forget drops what is too old to be asked for.
func (t *tally) forget(now time.Time) {
	old := now.Add(-keptFor).Unix()
	t.wrote = t.wrote[firstFrom(t.wrote, old/talkEvery):]
	maps.DeleteFunc(t.bad, func(s int64, _ bool) bool { return s < old })
	for name, at := range t.signatures {
		if at = at[firstFrom(at, old):]; len(at) == 0 {
			delete(t.signatures, name)
		} else {
			t.signatures[name] = at
		}
	}
}

func firstFrom(sorted []int64, from int64) int {
	i, _ := slices.BinarySearch(sorted, from)
	return i
}

// count is for how many seconds of (from, to] the pod ran and was read, and in how many of them it wrote of a failure. Where others
// write all the time, stretches without a line are not known.
func (t *tally) count(from, to time.Time, others bool) (seconds, bad int) {
	for _, s := range t.spans {
		// Whole seconds, by the same rule for both: second n belongs to where n+1 ends.
		first, last := max(from.Unix(), s.from.Unix()), min(to.Unix(), s.to.Unix())
		for n := first; n < last; n++ {
			if others {
				if _, line := slices.BinarySearch(t.wrote, n/talkEvery); !line {
					continue
				}
			}
			seconds++
			if t.bad[n] {
				bad++
			}
		}
	}
	return seconds, bad
}

// kinds adds how many seconds of (from, to] had which kind of failure.
func (t *tally) kinds(from, to time.Time, into map[string]int) {
	for name, at := range t.signatures {
		if n := firstFrom(at, to.Unix()) - firstFrom(at, from.Unix()); n > 0 {
			into[name] += n
		}
	}
}

// most is the kind of failure that is new, or else any, in most seconds; of as many the first by its letters.
func most(of map[string]int, known func(string) bool) string {
	var out string
	isNew := false
	for _, name := range slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) }) {
		if out == "" {
			out = name
		}
		if !known(name) {
			out, isNew = name, true
			break
		}
	}
	if isNew {
		return "new: " + out
	}
	return out
}
