package prometheus

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// readValues answers a question for a value: what the expression comes to at each window's end. A value hides how old the
// samples are that it was made from: their age is asked for, too.
func (s *Source) readValues(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	value, err := s.expression(ctx, q, q.Value)
	if err != nil {
		return nil, fmt.Errorf("prometheus: signal %s: %w", q.Signal, err)
	}
	apart := value
	if q.BaselineValue != "" {
		if apart, err = s.expression(ctx, q, q.BaselineValue); err != nil {
			return nil, fmt.Errorf("prometheus: signal %s: %w", q.Signal, err)
		}
	}
	candidate := func(string, int64) bool { return true }
	baseline := func(string, int64) bool { return false }
	switch {
	case q.BaselineValue != "":
		baseline = candidate
	case q.By == signals.ByPod && q.Whole:
		candidate = func(pod string, _ int64) bool { return signals.PodOf(pod, q.Kind, q.Workload) }
	case q.By == signals.ByPod && q.Lives != nil:
		candidate, baseline = valuesByLives(q)
	case q.By == signals.ByPod:
		in := func(prefix, rival string) func(string, int64) bool {
			near := closer(prefix, rival)
			return func(pod string, _ int64) bool { return prefix != "" && strings.HasPrefix(pod, prefix) && near(pod) }
		}
		candidate, baseline = in(q.Candidate, q.Baseline), in(q.Baseline, q.Candidate)
	}
	readings := make([]signals.Reading, len(q.Bounds)-1)
	for i := range readings {
		at := q.Bounds[i+1].UnixMilli()
		window := q.Bounds[i+1].Sub(q.Bounds[i])
		readings[i] = signals.Reading{
			Window:    signals.Window{From: q.Bounds[i], To: q.Bounds[i+1]},
			Candidate: value.side(at, window, candidate),
			Baseline:  apart.side(at, window, baseline),
		}
	}
	return readings, nil
}

// worth is what an expression came to over a span of time.
type worth struct {
	text    string
	failure *queryError
	pods    []string
	at      []map[int64]float64 // by pod, by time
	newest  map[int64]float64   // by time, in seconds since the epoch: the newest sample it was made from; nil: not known
}

// expression evaluates an expression at the ends of all windows.
func (s *Source) expression(ctx context.Context, q signals.Question, text string) (*worth, error) {
	selectors, err := promql.Selectors(text)
	if err != nil {
		return nil, err
	}
	w := &worth{text: text}
	for _, r := range ranges(q.Bounds[1:]) {
		matrix, failure := s.askRange(ctx, text, r)
		if failure != nil {
			w.failure = failure
			return w, nil
		}
		w.add(matrix)
		if len(selectors) == 0 {
			continue
		}
		if matrix, failure = s.askRange(ctx, "max(timestamp("+selectors[0].String()+"))", r); failure != nil {
			w.failure = failure
			return w, nil
		}
		if w.newest == nil {
			w.newest = map[int64]float64{}
		}
		for _, stream := range matrix {
			for _, v := range stream.Values {
				w.newest[int64(v.Timestamp)] = float64(v.Value)
			}
		}
	}
	return w, nil
}

func (w *worth) add(matrix model.Matrix) {
	for _, stream := range matrix {
		values := make(map[int64]float64, len(stream.Values))
		for _, v := range stream.Values {
			values[int64(v.Timestamp)] = float64(v.Value)
		}
		w.pods = append(w.pods, podOf(stream.Metric))
		w.at = append(w.at, values)
	}
}

// side is the worst value of the pods that belong, at a time.
func (w *worth) side(at int64, window time.Duration, belongs func(pod string, at int64) bool) signals.Side {
	if w.failure != nil {
		return signals.Side{Missing: signals.Failed, Detail: "prometheus: " + w.failure.Error()}
	}
	side := signals.Side{Missing: signals.NoSeries, Detail: "no value of " + bounded(w.text)}
	for i, pod := range w.pods {
		v, ok := w.at[i][at]
		switch {
		case !ok || !belongs(pod, at):
		case math.IsNaN(v) || math.IsInf(v, 0) || v < 0:
			if side.Missing == signals.NoSeries {
				side = signals.Side{Missing: signals.NotNumber, Detail: "the value is NaN, infinite or negative"}
			}
		case side.Missing != signals.Present:
			side = signals.Side{Value: v}
		default:
			side.Value = max(side.Value, v)
		}
	}
	if newest, known := w.newest[at]; side.Missing == signals.Present && w.newest != nil {
		if age := time.Duration((float64(at)/1000 - newest) * float64(time.Second)); !known || age > max(2*time.Minute, 2*window) {
			return signals.Side{Missing: signals.Late, Detail: fmt.Sprintf("newest sample is %ds old", int(age.Seconds()))}
		}
	}
	return side
}

// ranges cuts times into runs with the same step, as range queries take them.
func ranges(times []time.Time) []v1.Range {
	var out []v1.Range
	for i := 0; i < len(times); {
		r := v1.Range{Start: times[i], End: times[i], Step: time.Second}
		n := i + 1
		for ; n < len(times) && n-i < maxSteps; n++ {
			step := times[n].Sub(times[n-1])
			if n == i+1 {
				r.Step = step
			} else if step != r.Step {
				break
			}
			r.End = times[n]
		}
		out = append(out, r)
		i = n
	}
	return out
}

// maxSteps bounds the steps of one range query; servers refuse more than 11,000.
const maxSteps = 5000

// askRange evaluates an expression over a range when its turn comes.
func (s *Source) askRange(ctx context.Context, text string, r v1.Range) (model.Matrix, *queryError) {
	value, failure := s.send(ctx, r.End, func(ctx context.Context) (model.Value, v1.Warnings, error) {
		value, warnings, _, err := s.api.QueryRange(ctx, text, r)
		return value, warnings, err
	})
	if failure != nil {
		return nil, failure
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, failed(unavailable, nil, "unreadable answer: it is not a matrix")
	}
	return matrix, nil
}
