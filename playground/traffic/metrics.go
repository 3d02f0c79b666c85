package traffic

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are named as Traefik names them, so that a query for the playground works for a cluster behind Traefik.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	skipped  prometheus.Counter
}

func newMetrics() *metrics {
	names := []string{"code", "method", "protocol", "service"}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "traefik_service_requests_total",
			Help: "How many HTTP requests processed on a service."}, names),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "traefik_service_request_duration_seconds",
			Help: "How long it took to process the request on a service.", Buckets: []float64{0.1, 0.3, 1.2, 5}}, names),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{Name: "playground_traffic_skipped_total",
			Help: "Requests not sent because too many were on their way."}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.skipped)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) observe(service string, code int, took time.Duration) {
	l := prometheus.Labels{"code": strconv.Itoa(code), "method": http.MethodGet, "protocol": "http", "service": service}
	m.requests.With(l).Inc()
	m.duration.With(l).Observe(took.Seconds())
}

// forget drops the series of a workload that is gone, so that they do not grow without end.
func (m *metrics) forget(service string) {
	l := prometheus.Labels{"service": service}
	m.requests.DeletePartialMatch(l)
	m.duration.DeletePartialMatch(l)
}
