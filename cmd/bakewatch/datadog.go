package main

import (
	"time"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals/datadog"
)

func (s *sources) buildDatadog(d policy.Datadog) (metricsSource, error) {
	return datadog.New(datadog.Options{
		Site: d.Site, URL: d.URL, APIKeyFile: d.APIKeyFile, AppKeyFile: d.AppKeyFile, Lag: d.Lag, Timeout: d.Timeout,
		Budget: s.budget, Metrics: s.metrics, Log: s.log,
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
