package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus"
	"github.com/bakewatch/bakewatch/web"
)

// sources is the metrics source the policy names now. A change of the policy swaps it.
type sources struct {
	metrics  *prometheus.Metrics
	troubles *web.Troubles
	log      *zap.Logger

	mu      sync.RWMutex
	current *prometheus.Source
	of      policy.Prometheus
	why     error // why there is no source
}

// use builds the source the policy names, unless it is the one in use.
func (s *sources) use(c *policy.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := c.Sources.Prometheus
	if s.current != nil && samePrometheus(want, s.of) {
		return
	}
	next, err := s.build(want)
	if s.current != nil {
		s.current.Close()
	}
	s.current, s.of, s.why = next, want, err
	s.troubles.Set("prometheus", err, false)
}

func (s *sources) build(p policy.Prometheus) (*prometheus.Source, error) {
	if p.URL == "" {
		return nil, errors.New("no metrics source is configured; set sources.prometheus.url in the ConfigMap")
	}
	return prometheus.New(prometheus.Options{
		URL: p.URL, HTTPClient: httpConfig(p.HTTP, p.BearerTokenFile), Timeout: p.Timeout, Metrics: s.metrics, Log: s.log,
	})
}

// Read implements bake.Source.
func (s *sources) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	s.mu.RLock()
	current, why := s.current, s.why
	s.mu.RUnlock()
	if current == nil {
		return nil, why
	}
	return current.Read(ctx, q)
}

// keepChecking asks the source now and then whether it works, so that a wrong address is known before a rollout needs it.
func (s *sources) keepChecking(ctx context.Context) error {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		s.mu.RLock()
		current := s.current
		s.mu.RUnlock()
		if current != nil {
			err := current.Check(ctx)
			if ctx.Err() != nil {
				return nil
			}
			s.troubles.Set("prometheus", err, false)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
