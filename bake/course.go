package bake

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// What a Bake keeps of how its signals went is a few hundred bytes for each: enough for a small picture.
const (
	maxCourses = 8   // signals; as the resource's schema has it
	maxPoints  = 60  // of one line
	pastPoints = 20  // of the old version's past, and of it after a rollback
	maxWhat    = 120 // bytes, as the resource's schema has it
	maxUnit    = 63
)

// The sides of a course.
const (
	sideBefore   = "before"
	sideNew      = "new"
	sideOld      = "old"
	sideService  = "service"
	sideRestored = "restored"
)

// mostShown is the largest value that is taken for one.
const mostShown = 1e15

// absent is the number of what was not measured: all that is measured is 0 or more.
const absent = -1

// courses are how the signals of the bake went up to now.
func (w *work) courses() []v1alpha1.Course {
	if w.evidence == nil {
		return nil
	}
	var span past
	if w.bake.Spec.From != nil {
		span = historySpan(w.bake.Spec)
	}
	return w.evidence.courses(w.measured(), span, w.verdict)
}

// courses are how the signals went up to now. Those that verdict speaks of come first: should there be too many, they are kept.
func (v *evidence) courses(p policy.Resolved, span past, verdict *decide.Verdict) []v1alpha1.Course {
	in := v.input("", "", p, nil)
	compared := !span.to.IsZero()
	var out []v1alpha1.Course
	for _, s := range p.Signals {
		t := v.signals[s.Key()]
		if t == nil {
			continue
		}
		c := v1alpha1.Course{Signal: s.Name, Source: s.Source, Unit: clip(s.Unit, maxUnit)}
		read := sideOf(s)
		if s.Value == "" {
			c.Unit = "%"
			for _, e := range in.Signals {
				if e.Signal == s.Name && e.Query == s.Query {
					w := e.Words()
					c.What = clip(w.Counted+" that "+w.Bad, maxWhat)
				}
			}
		}
		if limit, ok := t.limit(s, compared); ok {
			c.Limit = figure(limit)
		}
		c.Lines = lines(t.pastLine(span, v.interval, read),
			line(sideNew, v.anchor, v.interval, maxPoints, candidates(t.ticks), read),
			line(sideOld, v.anchor, v.interval, maxPoints, baselines(t.ticks), read))
		if s.By == signals.ByService && s.Value == "" {
			for i := range c.Lines {
				if c.Lines[i].Side == sideNew {
					c.Lines[i].Side = sideService
				}
			}
		}
		if len(c.Lines) > 0 {
			out = append(out, c)
		}
	}
	told := func(c v1alpha1.Course) int {
		if verdict == nil {
			return 0
		}
		if i := slices.IndexFunc(verdict.Reasons, func(r decide.Reason) bool { return r.Signal == c.Signal }); i >= 0 {
			return i
		}
		return len(verdict.Reasons)
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Course) int { return cmp.Compare(told(a), told(b)) })
	return out[:min(len(out), maxCourses)]
}

// restored adds what was measured after the rollback to the courses on record.
func (v *evidence) restored(p policy.Resolved, courses []v1alpha1.Course) []v1alpha1.Course {
	out := slices.Clone(courses)
	for i, c := range out {
		for _, s := range p.Signals {
			if t := v.signals[s.Key()]; t != nil && s.Name == c.Signal && s.Source == c.Source {
				after := line(sideRestored, v.anchor, v.interval, pastPoints, candidates(t.ticks), sideOf(s))
				out[i].Lines = append(slices.Clone(c.Lines), lines(after)...)
			}
		}
	}
	return out
}

// sideOf reads one number off some sides in a row: the share of what was counted that was bad, in percent, or the largest value.
// It is absent where nothing was measured, and where there was nothing to measure.
func sideOf(s policy.Signal) func([]signals.Side) float64 {
	if s.Value != "" {
		return func(sides []signals.Side) float64 {
			most := float64(absent)
			for _, x := range sides {
				if x.Missing == signals.Present && x.Value >= 0 && x.Value <= mostShown {
					most = max(most, x.Value)
				}
			}
			return most
		}
	}
	return func(sides []signals.Side) float64 {
		var all signals.Counts
		for _, x := range sides {
			if x.Spoke() {
				all = all.Add(x.Counts)
			}
		}
		if all.Requests <= 0 {
			return absent
		}
		return 100 * all.Rate()
	}
}

// limit is about what the new version may show: the threshold beside the old version, or else beside its past.
func (t *track) limit(s policy.Signal, compared bool) (float64, bool) {
	if s.Value != "" {
		old := baselines(t.ticks)
		if t.history != nil && !slices.ContainsFunc(old, func(x signals.Side) bool { return x.Missing == signals.Present }) {
			old = t.history.blocks
		}
		var values []float64
		for _, x := range old {
			values = present(values, x)
		}
		if len(values) == 0 {
			return s.Level.Max, s.Level.Max > 0
		}
		slices.Sort(values)
		return s.Level.Limit(values[len(values)/2]), true
	}
	var base signals.Counts
	for _, r := range t.ticks {
		if r.Baseline.Spoke() {
			base = base.Add(r.Baseline.Counts)
		}
	}
	if base.Requests < s.Threshold.MinRequests && t.history != nil && t.history.total.Spoke() {
		base = base.Add(t.history.total.Counts)
	}
	if compared && base.Requests <= 0 {
		return 0, false
	}
	return 100 * s.Threshold.Limit(base, compared), true
}

// pastLine is the end of the old version's past.
func (t *track) pastLine(span past, interval time.Duration, read func([]signals.Side) float64) *v1alpha1.CourseLine {
	if t.history == nil || span.to.IsZero() {
		return nil
	}
	edges, blocks := span.blocks(interval), t.history.blocks
	if len(edges) != len(blocks)+1 || len(blocks) < 2 {
		return nil
	}
	first := max(0, len(blocks)-pastPoints)
	return line(sideBefore, edges[first], edges[1].Sub(edges[0]), pastPoints, blocks[first:], read)
}

// line is one side in no more points than most; nil where nothing was measured.
func line(side string, from time.Time, step time.Duration, most int, of []signals.Side, read func([]signals.Side) float64) *v1alpha1.CourseLine {
	each := (len(of) + most - 1) / most
	if each == 0 {
		return nil
	}
	var values []string
	first, last := -1, -1 // that are known
	for part := range slices.Chunk(of, each) {
		text := ""
		if x := read(part); x != absent {
			text, last = figure(x), len(values)
			if first < 0 {
				first = last
			}
		}
		values = append(values, text)
	}
	if first < 0 {
		return nil
	}
	from = from.Add(time.Duration(first*each) * step)
	values = values[first : last+1]
	return &v1alpha1.CourseLine{Side: side, From: metav1.NewTime(from.UTC()), Step: metav1.Duration{Duration: time.Duration(each) * step}, Values: strings.Join(values, ",")}
}

func lines(of ...*v1alpha1.CourseLine) (out []v1alpha1.CourseLine) {
	for _, l := range of {
		if l != nil {
			out = append(out, *l)
		}
	}
	return out
}

func candidates(ticks []signals.Reading) []signals.Side {
	return sidesOf(ticks, func(r signals.Reading) signals.Side { return r.Candidate })
}

func baselines(ticks []signals.Reading) []signals.Side {
	return sidesOf(ticks, func(r signals.Reading) signals.Side { return r.Baseline })
}

func sidesOf(ticks []signals.Reading, side func(signals.Reading) signals.Side) []signals.Side {
	out := make([]signals.Side, len(ticks))
	for i, r := range ticks {
		out[i] = side(r)
	}
	return out
}

// figure is a number in as many digits as a picture needs.
func figure(x float64) string {
	if x < 1 {
		return strconv.FormatFloat(x, 'g', 2, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// clip is the beginning of a text, in whole runes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
