package main

import (
	"slices"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/discover"
	"github.com/bakewatch/bakewatch/signals/logs"
)

// loki builds the source of a policy.
func (s *sources) loki(l policy.Loki) (metricsSource, error) {
	return logs.NewLoki(logs.LokiOptions{
		URL: l.URL, HTTPClient: httpConfig(l.HTTP, l.BearerTokenFile), Tenant: l.Tenant, Lag: l.Lag, Timeout: l.Timeout,
		Cluster: s.pods, Metrics: s.metrics, Log: s.log,
	})
}

// lokiNow is Loki as it is configured now; nil: it is not, or could not be built.
func (s *sources) lokiNow() *logs.Loki {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := s.current[signals.Loki]; c != nil {
		if l, ok := c.source.(*logs.Loki); ok {
			return l
		}
	}
	return nil
}

// linesFrom has lines looked for in Loki first, where there is one: they are not read twice.
func linesFrom(loki *logs.Loki, api *logs.Source, finders map[string]discover.Source) {
	if loki == nil {
		return
	}
	delete(finders, signals.Logs)
	finders[signals.Loki] = logs.Either{Loki: loki, API: api}
}

// readAhead has the old pods' logs read while they are there.
func (g *guard) readAhead(k bake.Key, by []string) {
	if !slices.Contains(by, policy.Logs) {
		return
	}
	if loki := g.source.lokiNow(); loki != nil {
		loki.Prepare(k.Kind, k.Namespace, k.Name)
		return
	}
	g.source.logs.Prepare(k.Kind, k.Namespace, k.Name)
}
