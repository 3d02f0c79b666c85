// Package traffic plays the users and the ingress in front of them: it sends every workload its requests per second,
// spread over the workload's ready pods, and counts at its own side what came back, per service and without pods.
package traffic

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// Options of a Generator.
type Options struct {
	Pods    corelisters.PodLister
	PodPort string
	MaxRPS  float64       // ceiling for the sum over all workloads; above it each gets its share
	Timeout time.Duration // of each request
}

const (
	tick          = 10 * time.Millisecond
	refreshEvery  = 50 * time.Millisecond // at most this often the workloads are read again
	maxInFlight   = 1024
	minPerService = 16
	maxPerService = 256
)

// Generator sends the traffic.
type Generator struct {
	opts    Options
	metrics *metrics
	client  *http.Client
	changed atomic.Bool
	slots   chan struct{} // bounds the requests in flight

	mu        sync.Mutex
	workloads map[string]*workload // by service name
	skipped   atomic.Int64
}

// New prepares a generator; Run sends.
func New(opts Options) *Generator {
	g := &Generator{opts: opts, metrics: newMetrics(), slots: make(chan struct{}, maxInFlight), workloads: map[string]*workload{}}
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: -1}
	g.client = &http.Client{Timeout: opts.Timeout, Transport: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConns: maxInFlight, MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
	}}
	g.changed.Store(true)
	return g
}

// Changed tells the generator that pods have changed. It never blocks.
func (g *Generator) Changed() { g.changed.Store(true) }

// Metrics serves what the ingress would show of its services.
func (g *Generator) Metrics() http.Handler { return g.metrics.handler() }

// Run sends until the context ends, and returns when no request is on its way any more.
func (g *Generator) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer g.client.CloseIdleConnections()
	defer wg.Wait()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last, refreshed := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if now.Sub(refreshed) >= refreshEvery && g.changed.Swap(false) {
			refreshed = now
			g.refresh()
		}
		// After a pause (a suspended machine, a busy one) do not make up for what was missed.
		elapsed := min(now.Sub(last), 250*time.Millisecond)
		last = now
		for _, w := range g.snapshot() {
			for range w.due(elapsed) {
				g.fire(ctx, &wg, w)
			}
		}
	}
}

func (g *Generator) snapshot() []*workload {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*workload, 0, len(g.workloads))
	for _, w := range g.workloads {
		all = append(all, w)
	}
	return all
}

// fire sends one request to one of the workload's ready pods, unless too many are on their way already: a slow
// workload must not take the others' slots, nor pile requests up without end.
func (g *Generator) fire(ctx context.Context, wg *sync.WaitGroup, w *workload) {
	ip, ok := w.pick()
	if !ok {
		// What an ingress answers when no pod is ready.
		g.metrics.observe(w.service, http.StatusServiceUnavailable, 0)
		return
	}
	if w.inFlight.Load() >= w.limit.Load() {
		g.skip()
		return
	}
	select {
	case g.slots <- struct{}{}:
	default:
		g.skip()
		return
	}
	w.inFlight.Add(1)
	wg.Go(func() {
		defer func() { <-g.slots; w.inFlight.Add(-1) }()
		began := time.Now()
		code := g.get(ctx, "http://"+net.JoinHostPort(ip, g.opts.PodPort)+"/")
		if ctx.Err() == nil {
			g.metrics.observe(w.service, code, time.Since(began))
		}
	})
}

func (g *Generator) skip() {
	g.skipped.Add(1)
	g.metrics.skipped.Inc()
}

// get returns the status an ingress would pass on: the pod's own, 504 if it took too long, 502 if it did not answer.
func (g *Generator) get(ctx context.Context, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return http.StatusBadGateway
	}
	req.Header.Set("User-Agent", "playground-traffic")
	resp, err := g.client.Do(req)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return http.StatusGatewayTimeout
		}
		return http.StatusBadGateway
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode
}

// refresh reads the workloads from the pods.
func (g *Generator) refresh() {
	pods, err := g.opts.Pods.List(labels.Everything())
	if err != nil {
		return
	}
	found := group(pods)
	var sum float64
	for _, f := range found {
		sum += f.rps
	}
	share := 1.0
	if g.opts.MaxRPS > 0 && sum > g.opts.MaxRPS {
		share = g.opts.MaxRPS / sum
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for service, f := range found {
		w := g.workloads[service]
		if w == nil {
			w = &workload{service: service, Workload: f.Workload}
			g.workloads[service] = w
		}
		w.update(f.rps*share, f.ready)
	}
	for service := range g.workloads {
		if _, still := found[service]; !still {
			delete(g.workloads, service)
			g.metrics.forget(service)
		}
	}
}

// State is what the generator sends to one workload.
type State struct {
	Service string  `json:"service"`
	RPS     float64 `json:"rps"`
	Ready   int     `json:"readyPods"`
}

// State lists the workloads that get traffic, and how many requests were not sent because too many were on their way.
func (g *Generator) State() ([]State, int64) {
	out := []State{}
	for _, w := range g.snapshot() {
		out = append(out, w.state())
	}
	sortStates(out)
	return out, g.skipped.Load()
}
