package datadog

import (
	"cmp"
	"context"
	"fmt"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// readValues answers a question for a value: the newest that there is in each window, of a bucket that is over.
func (s *Source) readValues(ctx context.Context, q signals.Question, windows []window, into []signals.Reading) error {
	over := spanOf(windows)
	urgent := s.urgent(windows)
	ask := func(text string) (*flight, error) {
		v, err := query.ParseValue(text)
		if err != nil {
			return nil, err
		}
		return s.ask(key{v.Every(over.step), over}, urgent), nil
	}
	value, err := ask(q.Value)
	if err != nil {
		return err
	}
	apart := value
	if q.BaselineValue != "" {
		if apart, err = ask(q.BaselineValue); err != nil {
			return err
		}
	}
	candidate, baseline := sidesOf(q)
	if q.BaselineValue != "" {
		all := side{of: func(*series) (int64, int64, bool) { return ever, never, true }}
		candidate, baseline = all, all
	}
	candidates, err := value.await(ctx)
	baselines := candidates
	if err == nil && apart != value {
		baselines, err = apart.await(ctx)
	}
	for i, w := range windows {
		if err != nil {
			into[i].Candidate, into[i].Baseline = blind(err.Error()), blind(err.Error())
			continue
		}
		into[i].Candidate = worst(candidates, w, candidate, q.Value)
		into[i].Baseline = worst(baselines, w, baseline, cmp.Or(q.BaselineValue, q.Value))
	}
	return nil
}

// worst is the largest of a side's newest values in a window.
func worst(a *answer, w window, who side, text string) signals.Side {
	if who.nothing != "" {
		return signals.Side{Missing: signals.NoSeries, Detail: who.nothing}
	}
	out := signals.Side{Missing: signals.NoSeries, Detail: "no value of " + upstream.Bounded(text)}
	var newest int64
	for i := range a.series {
		s := &a.series[i]
		from, to, ok := who.of(s)
		if !ok {
			continue
		}
		lo, hi := s.within(max(w.from, from), min(w.to, to))
		switch {
		case lo < hi && out.Missing != signals.Present:
			out = signals.Side{Value: s.value[hi-1]}
		case lo < hi:
			out.Value = max(out.Value, s.value[hi-1])
		case out.Missing != signals.Present && s.badWithin(max(w.from, from), min(w.to, to)):
			out = signals.Side{Missing: signals.NotNumber, Detail: "the value is negative, or beyond counting"}
		}
		if before, upTo := s.within(max(w.since, from), min(w.from, to)); before < upTo {
			newest = max(newest, s.at[upTo-1]+s.long)
		}
	}
	if out.Missing == signals.NoSeries && newest > 0 {
		return signals.Side{Missing: signals.Late, Detail: fmt.Sprintf("newest point is %ds old", w.to-newest)}
	}
	return out
}
