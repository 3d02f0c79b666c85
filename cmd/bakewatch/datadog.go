package main

import (
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals/datadog"
)

// datadogParts are what outlives a change of the configuration: what is measured of Datadog, and what it allows.
type datadogParts struct {
	metrics *datadog.Metrics
	budget  *datadog.Budget
}

func (p datadogParts) build(d policy.Datadog, log *zap.Logger) (metricsSource, error) {
	return datadog.New(datadog.Options{
		Site: d.Site, URL: d.URL, APIKeyFile: d.APIKeyFile, AppKeyFile: d.AppKeyFile, Lag: d.Lag, Timeout: d.Timeout,
		Budget: p.budget, Metrics: p.metrics, Log: log,
	})
}

// lag is how long after it happened a source of that name, as it is configured now, knows of something.
func (s *sources) lag(name string) time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := s.current[name]; c != nil {
		if late, ok := c.source.(interface{ Lag() time.Duration }); ok {
			return late.Lag()
		}
	}
	return 0
}
