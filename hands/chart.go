package hands

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// chart is how one signal went: as a picture whose parts are placed already, and in words.
type chart struct {
	Title   string
	What    string // what is counted; empty for a value
	Limit   string // with its unit; empty: none is known
	LimitY  string
	LimitUp string // where the limit's name stands
	Lines   []drawn
	Marks   []mark
	Levels  []tick
	Times   []tick
	Summary string // the picture in a sentence
}

// drawn is one side of a chart.
type drawn struct {
	Side, Name string
	Paths      []string // pieces of a line, between which nothing was measured
	Dots       []point
	Range      string // what it showed, in words
	Spark      string // the same as a row of blocks
}

type point struct{ X, Y string }

// tick is a mark on an axis.
type tick struct{ At, Text string }

// mark is a moment of the bake.
type mark struct{ X, LineY, TextX, TextY, Text, Anchor string }

// The picture: a frame in units of its own, which the page scales.
const (
	chartLeft, chartRight            = 56.0, 664.0
	chartTop, chartBottom            = 44.0, 206.0
	markRow                          = 14.0 // between the names of moments that are near one another
	charWidth                        = 6.6  // of the letters that are set, about
	limitRoom, mostLines, mostValues = 1.1, 5, 200
)

// names say whose a line is.
var names = map[string]string{
	"before": "old version before the rollout", "old": "old version beside the new one", "new": "new version",
	"service": "whole service, both versions", "restored": "old version after the rollback",
}

// series is a line as it was measured.
type series struct {
	side   string
	from   time.Time
	step   time.Duration
	values []float64 // NaN: nothing was measured
}

func (s series) at(i int) time.Time { return s.from.Add(time.Duration(i)*s.step + s.step/2) }

func charts(b *v1alpha1.Bake) []chart {
	var out []chart
	for _, c := range b.Status.Courses {
		if one, ok := chartOf(b, c); ok {
			out = append(out, one)
		}
	}
	return out
}

func chartOf(b *v1alpha1.Bake, c v1alpha1.Course) (chart, bool) {
	unit, percent := c.Unit, ""
	if unit == "%" {
		percent = "%"
	}
	if unit != "" && unit != "%" {
		unit = " " + unit
	}
	out := chart{Title: titled(b, c.Signal, c.Source), What: c.What}
	if c.What != "" && c.Unit == "%" {
		out.What = "share of " + c.What
	}
	all := read(c)
	if len(all) == 0 {
		return out, false
	}
	first, last, most := span(all)
	if began := b.Spec.StartedAt.Time; began.Before(first) && first.Sub(began) < last.Sub(first) {
		first = began
	}
	limit, err := strconv.ParseFloat(c.Limit, 64)
	limited := err == nil && limit >= 0 && !math.IsInf(limit, 0) && !math.IsNaN(limit)
	top := most
	if limited {
		top = math.Max(top, limit*limitRoom)
	}
	if c.Unit == "%" {
		top = math.Min(top, 100)
	}
	levels := scale(top)
	top = levels[len(levels)-1]
	x := func(t time.Time) float64 {
		return chartLeft + (chartRight-chartLeft)*float64(t.Sub(first))/float64(max(last.Sub(first), 1))
	}
	y := func(v float64) float64 { return chartBottom - (chartBottom-chartTop)*math.Min(v, top)/top }
	for _, v := range levels {
		out.Levels = append(out.Levels, tick{At: coordinate(y(v)), Text: tidy(v) + percent})
	}
	if limited {
		out.Limit, out.LimitY, out.LimitUp = tidy(limit)+unit, coordinate(y(limit)), coordinate(y(limit)-4)
	}
	out.Times = times(b.Spec.StartedAt.Time, first, last, x)
	out.Marks = marks(b, first, last, x)
	for _, s := range all {
		out.Lines = append(out.Lines, s.draw(x, y, top, unit))
	}
	out.Summary = out.inWords()
	return out, true
}

// read reads the lines of a course. What cannot be read was written by hand, or by another version, and is left out.
func read(c v1alpha1.Course) []series {
	var out []series
	for _, l := range c.Lines[:min(len(c.Lines), mostLines)] {
		s := series{side: l.Side, from: l.From.Time, step: l.Step.Duration}
		texts := strings.Split(l.Values, ",")
		known := false
		for _, text := range texts[:min(len(texts), mostValues)] {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || v < 0 || math.IsInf(v, 0) {
				v = math.NaN()
			}
			known = known || !math.IsNaN(v)
			s.values = append(s.values, v)
		}
		if known && s.step > 0 && names[s.side] != "" {
			out = append(out, s)
		}
	}
	return out
}

// span is from when to when there are values, and the largest of them.
func span(all []series) (first, last time.Time, most float64) {
	for _, s := range all {
		for i, v := range s.values {
			if math.IsNaN(v) {
				continue
			}
			begin := s.from.Add(time.Duration(i) * s.step)
			if first.IsZero() || begin.Before(first) {
				first = begin
			}
			if end := begin.Add(s.step); end.After(last) {
				last = end
			}
			most = math.Max(most, v)
		}
	}
	return first, last, most
}

// scale are some round levels from 0 to at least top.
func scale(top float64) []float64 {
	if top <= 0 {
		top = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(top/2)))
	for _, times := range []float64{1, 2, 2.5, 5, 10} {
		if n := math.Ceil(top/(step*times) - 1e-9); n <= 4 {
			out := make([]float64, 0, 5)
			for i := range int(n) + 1 {
				out = append(out, float64(i)*step*times)
			}
			return out
		}
	}
	return []float64{0, top}
}

// times are some round times since the rollout began.
func times(began, first, last time.Time, x func(time.Time) float64) []tick {
	var out []tick
	for _, step := range []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour} {
		if last.Sub(first) > 8*step {
			continue
		}
		for t := began.Add(first.Sub(began).Truncate(step)); !t.After(last); t = t.Add(step) {
			if t.Before(first) {
				continue
			}
			text := "+" + took(t.Sub(began))
			switch {
			case t.Equal(began):
				text = "0"
			case t.Before(began):
				text = "−" + took(began.Sub(t))
			}
			out = append(out, tick{At: coordinate(x(t)), Text: text})
		}
		break
	}
	return out
}

// marks are the moments that make the picture understood. The names of those that are near one another stand in rows.
func marks(b *v1alpha1.Bake, first, last time.Time, x func(time.Time) float64) []mark {
	type moment struct {
		at   time.Time
		text string
	}
	all := []moment{{b.Spec.StartedAt.Time, "rollout"}}
	if rb := b.Status.Rollback; rb != nil {
		all = append(all, moment{rb.IntendedAt.Time, "rollback decided"})
		if rb.AvailableAt != nil {
			all = append(all, moment{rb.AvailableAt.Time, "old version back"})
		}
	}
	for _, p := range b.Status.Pauses {
		if p.PausedAt != nil {
			all = append(all, moment{p.PausedAt.Time, "paused"})
		}
		if p.PausedAt != nil && p.ReleasedAt != nil && b.Status.Rollback == nil {
			all = append(all, moment{p.ReleasedAt.Time, "pause over"})
		}
	}
	if d := b.Status.ScaleDown; d != nil && d.DoneAt != nil && d.NotDone == "" {
		all = append(all, moment{d.DoneAt.Time, "replicas lowered"})
	}
	slices.SortStableFunc(all, func(a, b moment) int { return a.at.Compare(b.at) })
	var out []mark
	ends := []float64{0, 0} // of the names in each row
	for _, m := range all {
		if m.at.Before(first) || m.at.After(last) {
			continue
		}
		at := x(m.at)
		width := charWidth * float64(len(m.text))
		left, anchor, textX := at+4, "start", at+4
		if at+4+width > chartRight {
			left, anchor, textX = at-4-width, "end", at-4
		}
		row := 0
		if left < ends[0] {
			row = 1
		}
		if left < ends[row] {
			m.text, width = "", 0 // there is room for the line only
		}
		ends[row] = max(ends[row], left+width)
		name := chartTop - 30 + markRow*float64(row)
		out = append(out, mark{X: coordinate(at), LineY: coordinate(name - 8), TextX: coordinate(textX), TextY: coordinate(name), Text: m.text, Anchor: anchor})
	}
	return out
}

// draw places a line in the picture.
func (s series) draw(x func(time.Time) float64, y func(float64) float64, top float64, unit string) drawn {
	out := drawn{Side: s.side, Name: names[s.side]}
	var piece []string
	flush := func() {
		if len(piece) > 1 {
			out.Paths = append(out.Paths, strings.Join(piece, " "))
		}
		piece = nil
	}
	low, high := math.Inf(1), math.Inf(-1)
	var spark strings.Builder
	blocks := []rune("▁▂▃▄▅▆▇█")
	for i, v := range s.values {
		if math.IsNaN(v) {
			flush()
			spark.WriteRune(' ')
			continue
		}
		low, high = math.Min(low, v), math.Max(high, v)
		p := point{coordinate(x(s.at(i))), coordinate(y(v))}
		piece = append(piece, p.X+","+p.Y)
		if s.side == "new" || s.side == "service" || len(s.values) == 1 {
			out.Dots = append(out.Dots, p)
		}
		spark.WriteRune(blocks[min(int(math.Min(v, top)/top*float64(len(blocks))), len(blocks)-1)])
	}
	flush()
	out.Spark = strings.TrimRight(spark.String(), " ")
	out.Range = tidy(low) + unit
	if tidy(low) != tidy(high) {
		out.Range = tidy(low) + " to " + tidy(high) + unit
	}
	return out
}

// inWords is the picture in words, for those who do not see it.
func (c chart) inWords() string {
	var parts []string
	for _, l := range c.Lines {
		parts = append(parts, l.Name+": "+l.Range)
	}
	if c.Limit != "" {
		parts = append(parts, "limit for the new version: about "+c.Limit)
	}
	return upper(strings.Join(parts, "; ")) + "."
}

// tidy is a number in as many digits as people want to read.
func tidy(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 0.01:
		return strconv.FormatFloat(x, 'g', 1, 64)
	case x < 1:
		return trimZeros(strconv.FormatFloat(x, 'f', 2, 64))
	case x < 100:
		return trimZeros(strconv.FormatFloat(x, 'f', 1, 64))
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

func trimZeros(text string) string {
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func coordinate(x float64) string { return trimZeros(fmt.Sprintf("%.1f", x)) }
