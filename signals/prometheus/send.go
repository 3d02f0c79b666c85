package prometheus

import (
	"context"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// query sends one instant query when its turn comes.
func (s *Source) query(ctx context.Context, text string, at time.Time) (model.Value, *upstream.Failure) {
	return s.send(ctx, at, func(ctx context.Context) (model.Value, v1.Warnings, error) {
		value, warnings, _, err := s.api.Query(ctx, text, at)
		return value, warnings, err
	})
}

// send sends one query when its turn comes, and measures how it went. at is the time it is about; zero: now.
func (s *Source) send(ctx context.Context, at time.Time, ask func(context.Context) (model.Value, v1.Warnings, error)) (model.Value, *upstream.Failure) {
	turn := time.NewTimer(s.timeout)
	defer turn.Stop()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-turn.C:
		return nil, upstream.Failed(upstream.Unavailable, nil, "no turn within %s: %d queries are under way", s.timeout, cap(s.slots))
	case <-ctx.Done():
		return nil, classify(ctx.Err(), 0, s.timeout)
	}
	if err := ctx.Err(); err != nil {
		return nil, classify(err, 0, s.timeout)
	}
	old := !at.IsZero() && time.Since(at) > longAgo
	tell := func(*upstream.Failure) {}
	if !old { // which does not say whether the source is well
		var refused *upstream.Failure
		if tell, refused = s.breaker.Allow(); refused != nil {
			return nil, refused
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ctx, status := upstream.NotingStatus(ctx)
	s.queries.Add(1)
	began := time.Now()
	value, warnings, err := ask(ctx)
	var failure *upstream.Failure
	switch {
	case err != nil:
		failure = classify(err, *status, s.timeout)
	case len(warnings) > 0:
		// Thanos and its like answer in part when a store is away, and say so in a warning only.
		failure = upstream.Failed(upstream.Unavailable, nil, "partial answer: %s", upstream.Bounded(warnings[0]))
	case value == nil:
		failure = upstream.Failed(upstream.Unavailable, nil, "unreadable answer: it has no result")
	}
	if err != nil && failure.Class == upstream.Unavailable {
		tell(failure)
	} else {
		tell(nil)
	}
	s.observe(failure, time.Since(began), old)
	return value, failure
}

// longAgo is when samples are so old that a query for them may fail while the source is well: it may have no such range,
// or have it from a store that is away.
const longAgo = 3 * time.Hour

// observe measures a query, and logs when the source goes away or comes back: the change, not each query. An old range
// does not tell.
func (s *Source) observe(failure *upstream.Failure, took time.Duration, old bool) {
	if s.ctx.Err() != nil { // closed: another Source, on the same metrics, may have taken its place
		return
	}
	s.meter.Asked(failure, took)
	if old {
		return
	}
	s.meter.Found(failure)
	down := failure != nil && failure.Class == upstream.Unavailable
	if s.down.Swap(down) == down {
		return
	}
	if down {
		s.log.Warn("prometheus is unavailable: signals read from it are missing until it answers",
			zap.String("url", s.address), zap.String("why", failure.Text))
	} else {
		s.log.Info("prometheus answers again", zap.String("url", s.address))
	}
}
