package prometheus

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
	"github.com/bakewatch/bakewatch/signals/upstream"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
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
	failure error
	values  []*answer // in order of time
	ages    []*answer // by pod, when the newest sample was taken that the value was made from, in seconds since the epoch; nil: not known
}

// expression evaluates an expression at the ends of all windows.
func (s *Source) expression(ctx context.Context, q signals.Question, text string) (*worth, error) {
	selectors, err := promql.Selectors(text)
	if err != nil {
		return nil, err
	}
	w := &worth{text: text}
	var values, ages []arriving
	tick := q.Bounds[1].Sub(q.Bounds[0])
	for _, r := range ranges(q.Bounds[1:]) {
		at := key{text: text, time: r.End.UnixMilli(), reach: r.End.Sub(r.Start).Milliseconds(), step: r.Step.Milliseconds()}
		values = append(values, s.ask(at, tick))
		if len(selectors) > 0 {
			at.text = agesOf(selectors)
			ages = append(ages, s.ask(at, tick))
		}
	}
	w.values, w.failure = awaitAll(ctx, values)
	if w.failure == nil {
		w.ages, w.failure = awaitAll(ctx, ages)
	}
	return w, nil
}

func awaitAll(ctx context.Context, all []arriving) ([]*answer, error) {
	var out []*answer
	for _, arrive := range all {
		a, err := arrive(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// agesOf asks for the times of the newest samples that selectors select, by pod: of several selectors, the one that is
// furthest behind.
func agesOf(selectors []promql.Selector) string {
	const byPod = " by (pod, exported_pod, kubernetes_pod_name) "
	var each []string
	for _, selector := range selectors {
		if text := "max" + byPod + "(timestamp(" + selector.String() + "))"; !slices.Contains(each, text) {
			each = append(each, text)
		}
	}
	if len(each) == 1 {
		return each[0]
	}
	for i, text := range each {
		each[i] = "label_replace(" + text + `, "bakewatch", "` + strconv.Itoa(i) + `", "", "")`
	}
	return "min" + byPod + "(" + strings.Join(each, " or ") + ")"
}

// side is the worst value of the pods that belong, at a time.
func (w *worth) side(at int64, window time.Duration, belongs func(pod string, at int64) bool) signals.Side {
	if w.failure != nil {
		return signals.Side{Missing: signals.Failed, Detail: "prometheus: " + w.failure.Error()}
	}
	side := signals.Side{Missing: signals.NoSeries, Detail: "no value of " + upstream.Bounded(w.text)}
	patience := max(2*time.Minute, 2*window)
	for _, a := range w.values {
		for i := range a.series {
			s := &a.series[i]
			if !belongs(s.pod, at) {
				continue
			}
			v, there := s.valueAt(at)
			_, bad := slices.BinarySearch(s.bad, at)
			switch {
			case bad && side.Missing != signals.Present:
				side = signals.Side{Missing: signals.NotNumber, Detail: "the value is NaN, infinite, negative or a histogram"}
			case !there:
			case w.age(s.pod, at) > patience:
				if side.Missing == signals.NoSeries {
					side = signals.Side{Missing: signals.Late, Detail: fmt.Sprintf("newest sample is %ds old", int(w.age(s.pod, at).Seconds()))}
				}
			case side.Missing != signals.Present:
				side = signals.Side{Value: v}
			default:
				side.Value = max(side.Value, v)
			}
		}
	}
	return side
}

// valueAt is the value at just that time.
func (s *series) valueAt(at int64) (v float64, ok bool) {
	i, ok := slices.BinarySearch(s.at, at)
	if !ok {
		return 0, false
	}
	return s.value[i], true
}

// age is how old the newest sample was, at a time, that a pod's value was made from. Where the samples do not tell pods apart,
// it is that of the newest of all.
func (w *worth) age(pod string, at int64) time.Duration {
	if w.ages == nil {
		return 0
	}
	own, any := -1.0, -1.0
	for _, a := range w.ages {
		for i := range a.series {
			if newest, ok := a.series[i].valueAt(at); ok {
				any = max(any, newest)
				if a.series[i].pod == pod {
					own = max(own, newest)
				}
			}
		}
	}
	if own < 0 {
		own = any
	}
	if own < 0 {
		return time.Duration(math.MaxInt64) // a value, and no sample
	}
	return time.Duration((float64(at)/1000 - own) * float64(time.Second))
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
func (s *Source) askRange(ctx context.Context, text string, r v1.Range) (model.Matrix, *upstream.Failure) {
	value, failure := s.send(ctx, r.End, func(ctx context.Context) (model.Value, v1.Warnings, error) {
		value, warnings, _, err := s.api.QueryRange(ctx, text, r)
		return value, warnings, err
	})
	if failure != nil {
		return nil, failure
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, upstream.Failed(upstream.Unavailable, nil, "unreadable answer: it is not a matrix")
	}
	return matrix, nil
}
