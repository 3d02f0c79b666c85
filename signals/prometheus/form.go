package prometheus

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// form is what is asked for a query, whatever it measures: two selectors of counters. What they count together is said by
// group.as.
type form struct{ requests, errors picked }

// picked is a selector, and the part of its samples that counts.
type picked struct {
	text string
	part part
}

// part is what is taken of a native histogram's samples; the zero part takes plain samples. A histogram is a counter of
// its observations.
type part struct {
	histogram bool
	within    float64 // observations of at most that; an infinity takes all
}

// formOf takes a query apart whose variables are replaced.
func formOf(q signals.Query) (form, error) {
	switch {
	case q.Errors != "" && q.Requests != "":
		return form{requests: picked{text: q.Requests}, errors: picked{text: q.Errors}}, nil
	case q.Good != "" && q.Requests != "":
		return form{requests: picked{text: q.Requests}, errors: picked{text: q.Good}}, nil
	case q.Histogram != "" && q.Over > 0:
		requests, within, classic, err := promql.Bucket(q.Histogram, q.Over)
		switch {
		case err != nil:
			return form{}, fmt.Errorf("histogram: %w", err)
		case classic:
			return form{requests: picked{text: requests}, errors: picked{text: within}}, nil
		}
		return form{
			requests: picked{q.Histogram, part{true, math.Inf(1)}},
			errors:   picked{q.Histogram, part{true, q.Over}},
		}, nil
	case q.Events != "":
		looks := q.Requests
		if looks == "" {
			looks = q.Events
		}
		return form{requests: picked{text: looks}, errors: picked{text: q.Events}}, nil
	}
	return form{}, errors.New("a question needs a query for errors and one for requests, or a histogram, or events")
}

// counted is the selector of what a query counts, for messages.
func counted(q signals.Query) string {
	if q.Requests != "" {
		return q.Requests
	}
	f, err := formOf(q)
	if err != nil {
		return "the query"
	}
	return f.requests.text
}

// as has the group count what the query measures; errs is what was answered for its errors.
func (g *group) as(q signals.Query, errs *answer) *group {
	g.each = q.Events != ""
	if q.Good != "" || q.Histogram != "" {
		g.goods = errs
		if f, err := formOf(q); err == nil {
			g.goodText = upstream.Bounded(f.errors.text)
		}
	}
	return g
}

// lacks reports whether there is nothing in view of what did not fail, although without it nothing can be said. Counters of
// failures are often not there before the first one; those of what went well are, if not of this pod then of others.
func (g *group) lacks(w span) bool {
	return g.goods != nil && !slices.ContainsFunc(g.goods.series, func(s series) bool { return !s.look(w).empty() })
}

// cut reports whether the part is less than the whole histogram.
func (p part) cut() bool { return p.histogram && !math.IsInf(p.within, 1) }

// sample is one of a counter, or of a part of one.
type sample struct {
	at           int64 // milliseconds
	value, whole float64
}

// samples are those of a stream that count, and the times of those that do not: a histogram is no counter, nor is a counter a
// histogram.
func (p part) samples(stream *model.SampleStream) (samples []sample, bad []int64) {
	if !p.histogram {
		samples = make([]sample, len(stream.Values))
		for i, v := range stream.Values {
			samples[i] = sample{int64(v.Timestamp), float64(v.Value), float64(v.Value)}
		}
		for _, h := range stream.Histograms {
			bad = append(bad, int64(h.Timestamp))
		}
		return samples, bad
	}
	for _, v := range stream.Values {
		bad = append(bad, int64(v.Timestamp))
	}
	samples = make([]sample, 0, len(stream.Histograms))
	for _, h := range stream.Histograms {
		if h.Histogram == nil {
			bad = append(bad, int64(h.Timestamp))
			continue
		}
		samples = append(samples, sample{int64(h.Timestamp), withinOf(h.Histogram, p.within), float64(h.Histogram.Count)})
	}
	return samples, bad
}

// withinOf is how many observations of a native histogram were at most so large. Of the bucket in which that bound lies, the
// part below it is taken, as if its observations were spread evenly by their logarithm: its bounds are powers of a base.
func withinOf(h *model.SampleHistogram, most float64) float64 {
	if math.IsInf(most, 1) {
		return float64(h.Count)
	}
	var n float64
	for _, b := range h.Buckets {
		lower, upper, count := float64(b.Lower), float64(b.Upper), float64(b.Count)
		switch {
		case upper <= most:
			n += count
		case lower >= most:
		case lower > 0:
			n += count * math.Log(most/lower) / math.Log(upper/lower)
		default: // the bucket around zero
			n += count * (most - lower) / (upper - lower)
		}
	}
	return n
}
