package agent

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

// tally counts what a pod has served over all its container's runs.
type tally struct {
	requests, errors    atomic.Int64
	firstOK, firstError atomic.Int64 // unix nanoseconds, 0 for never
}

func (t *tally) count(code int) {
	t.requests.Add(1)
	first := &t.firstOK
	if code >= http.StatusInternalServerError {
		t.errors.Add(1)
		first = &t.firstError
	}
	first.CompareAndSwap(0, time.Now().UnixNano())
}

// process is one run of a pod's container: a real HTTP server with metrics that begin at zero.
type process struct {
	behavior atomic.Pointer[behavior.Behavior]
	started  time.Time
	tally    *tally
	logs     *logBuffer

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	metrics  http.Handler
	server   *http.Server

	mu  sync.Mutex
	rng *rand.Rand
}

func newProcess(b behavior.Behavior, seed string, t *tally, logs *logBuffer) *process {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed))
	p := &process{
		started: time.Now(), tally: t, logs: logs, rng: rand.New(rand.NewPCG(h.Sum64(), 1)),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests answered."}, []string{"code", "method"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds", Help: "Time to answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"code", "method"}),
	}
	p.behavior.Store(&b)
	registry := prometheus.NewRegistry()
	registry.MustRegister(p.requests, p.duration)
	p.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	return p
}

// listen opens the pod's address. The address may for a moment still be held by the run before.
func (p *process) listen(ctx context.Context, addr string) error {
	var l net.Listener
	var err error
	for range 20 {
		if l, err = net.Listen("tcp", addr); err == nil {
			go func() { _ = p.server.Serve(l) }()
			p.logs.print("listening on " + addr)
			return nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			break
		}
	}
	return fmt.Errorf("listen on %s: %w", addr, err)
}

// kill ends the process at once, as a crash does: requests on their way get no answer.
func (p *process) kill() { _ = p.server.Close() }

// finish lets requests on their way be answered first.
func (p *process) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if p.server.Shutdown(ctx) != nil {
		p.kill()
	}
}

func (p *process) wellBehaved() bool { return time.Since(p.started) < p.behavior.Load().After }

// ServeHTTP answers any path. Scrapes and health checks are no traffic and are always answered well.
func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/metrics":
		p.metrics.ServeHTTP(w, r)
		return
	case "/health", "/healthz", "/livez", "/ready", "/readyz", "/ping":
		_, _ = fmt.Fprintln(w, "ok")
		return
	}
	if p.failsPath(w, r) {
		return
	}
	began := time.Now()
	chance, spread := p.dice()
	latency := behavior.DefaultLatency
	fail := false
	if b := p.behavior.Load(); !p.wellBehaved() {
		latency, fail = b.Latency, chance < b.ErrorRate
	}
	if latency > 0 && !sleep(r.Context(), time.Duration(float64(latency)*spread)) {
		return // the caller went away
	}
	code := http.StatusOK
	if fail {
		code = http.StatusInternalServerError
		p.logs.print(fmt.Sprintf("level=error method=%s path=%q status=500 msg=\"request failed\"", r.Method, r.URL.Path))
	}
	// Counted before the answer is sent: whoever has seen the answer can rely on the count.
	p.tally.count(code)
	labels := prometheus.Labels{"code": strconv.Itoa(code), "method": r.Method}
	p.requests.With(labels).Inc()
	p.duration.With(labels).Observe(time.Since(began).Seconds())
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, http.StatusText(code))
}

// dice gives a number in [0,1) to decide about failure and a factor around 1 for the latency.
func (p *process) dice() (chance, spread float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rng.Float64(), 0.7 + 0.6*p.rng.Float64()
}
