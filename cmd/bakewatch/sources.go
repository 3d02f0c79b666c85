package main

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog"
	"github.com/bakewatch/bakewatch/signals/discover"
	"github.com/bakewatch/bakewatch/signals/logs"
	"github.com/bakewatch/bakewatch/signals/probe"
	"github.com/bakewatch/bakewatch/signals/prometheus"
	"github.com/bakewatch/bakewatch/signals/upstream"
	"github.com/bakewatch/bakewatch/web"
)

// metricsSource is what answers questions about signals.
type metricsSource interface {
	discover.Source
	Read(ctx context.Context, q signals.Question) ([]signals.Reading, error)
	// Check asks the source for the simplest of things. Its error says what is wrong and what to do about it.
	Check(ctx context.Context) error
	Close()
}

// sources are the metrics sources the policy names now. A change of the policy swaps those it concerns.
type sources struct {
	metrics  *upstream.Metrics
	budget   *datadog.Budget // of requests to Datadog, whatever its configuration
	flows    *probe.Source   // always there: a bake that goes on may have flows that the policy of now has not
	logs     *logs.Source    // likewise
	pods     logs.Cluster    // whose lines Loki has
	troubles *web.Troubles
	log      *zap.Logger

	mu      sync.RWMutex
	current map[string]*configured // by name
}

// configured is a source as it is configured.
type configured struct {
	of     any           // its part of the policy
	source metricsSource // nil: it could not be built
	why    error         // why not
}

// use builds the sources the policy names, but for those in use that it names as before.
func (s *sources) use(c *policy.Config) {
	wanted := s.wanted(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, was := range s.current {
		if w, ok := wanted[name]; !ok || !reflect.DeepEqual(w.of, was.of) || was.source == nil {
			was.close()
			delete(s.current, name)
			s.troubles.Set(name, nil, false)
		}
	}
	if s.current == nil {
		s.current = map[string]*configured{}
	}
	for name, w := range wanted {
		if s.current[name] != nil {
			continue
		}
		next := &configured{of: w.of}
		next.source, next.why = w.build()
		s.current[name] = next
		s.troubles.Set(name, next.why, false)
	}
}

func (c *configured) close() {
	if c.source != nil {
		c.source.Close()
	}
}

// recipe is how a source is built from its part of the policy.
type recipe struct {
	of    any
	build func() (metricsSource, error)
}

// wanted are the sources that a policy names.
func (s *sources) wanted(c *policy.Config) map[string]recipe {
	out := map[string]recipe{
		signals.Probe: {nil, func() (metricsSource, error) { return s.flows, nil }},
		signals.Logs:  {nil, func() (metricsSource, error) { return s.logs, nil }},
	}
	if p := c.Sources.Prometheus; p.URL != "" {
		out[signals.Prometheus] = recipe{p, func() (metricsSource, error) {
			o := prometheusOptions(p)
			o.Metrics, o.Log = s.metrics, s.log
			return prometheus.New(o)
		}}
	}
	if d := c.Sources.Datadog; d != nil {
		out[signals.Datadog] = recipe{*d, func() (metricsSource, error) { return s.buildDatadog(*d) }}
	}
	if l := c.Sources.Loki; l != nil {
		out[signals.Loki] = recipe{*l, func() (metricsSource, error) { return s.loki(*l) }}
	}
	return out
}

// Read implements bake.Source: the source that the question names answers it.
func (s *sources) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	s.mu.RLock()
	c := s.current[q.From()]
	s.mu.RUnlock()
	switch {
	case c == nil:
		return nil, fmt.Errorf("%s is not configured; set sources.%s in the ConfigMap", q.From(), q.From())
	case c.source == nil:
		return nil, c.why
	}
	return c.source.Read(ctx, q)
}

// finders are the sources that can be asked what measures a workload.
func (s *sources) finders() map[string]discover.Source {
	loki := s.lokiNow()
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string]discover.Source{}
	for name, c := range s.current {
		if c.source != nil {
			out[name] = c.source
		}
	}
	linesFrom(loki, s.logs, out)
	return out
}

// keepChecking asks each source now and then whether it works, so that a wrong address is known before a rollout needs it.
func (s *sources) keepChecking(ctx context.Context) error {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		s.mu.RLock()
		now := maps.Clone(s.current)
		s.mu.RUnlock()
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if now[name].source == nil {
				continue
			}
			err := now[name].source.Check(ctx)
			if ctx.Err() != nil {
				return nil
			}
			s.troubles.Set(name, err, false)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// memoryUsed is the most memory that a container was seen to use, in words; empty where Prometheus does not know.
func (s *sources) memoryUsed(ctx context.Context, namespace, pod, container string) (string, error) {
	s.mu.RLock()
	c := s.current[signals.Prometheus]
	s.mu.RUnlock()
	if c == nil {
		return "", nil
	}
	p, ok := c.source.(*prometheus.Source)
	if !ok {
		return "", c.why
	}
	return p.MemoryUsed(ctx, namespace, pod, container)
}

// alerts are the names of the alerts of a workload that fired at a time; none where Prometheus is not configured.
func (s *sources) alerts(ctx context.Context, k bake.Key, at time.Time) ([]string, error) {
	s.mu.RLock()
	c := s.current[signals.Prometheus]
	s.mu.RUnlock()
	if c == nil {
		return nil, nil
	}
	p, ok := c.source.(*prometheus.Source)
	if !ok {
		return nil, c.why
	}
	return p.Firing(ctx, k.Kind, k.Namespace, k.Name, at)
}
