package upstream

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of all sources; the label "source" tells them apart. They outlive a source, which is built anew on every change of
// configuration.
type Metrics struct {
	queries *prometheus.CounterVec
	up      *prometheus.GaugeVec
	seconds *prometheus.HistogramVec
	skew    *prometheus.GaugeVec
}

// NewMetrics registers the metrics, once a process; reg may be nil.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bakewatch_source_queries_total",
			Help: "Queries sent to a source, by result: ok, unavailable, rejected or too_expensive.",
		}, []string{"source", "result"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bakewatch_source_up",
			Help: "Whether the source answered the last query sent to it (1) or not (0).",
		}, []string{"source"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bakewatch_source_query_seconds",
			Help:    "Time a source took to answer a query, decoding included, in seconds.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		}, []string{"source"}),
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bakewatch_source_clock_skew_seconds",
			Help: "How far the source's clock is ahead of this process's, in seconds; negative: behind.",
		}, []string{"source"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.queries, m.up, m.seconds, m.skew} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of sources: %w", err)
		}
	}
	return m, nil
}

// Meter measures one source.
type Meter struct {
	of   *Metrics
	name string
}

// Of measures the source of that name. Of nil it measures nothing that anybody sees.
func (m *Metrics) Of(name string) Meter {
	if m == nil {
		m, _ = NewMetrics(nil)
	}
	return Meter{m, name}
}

// Asked notes how one query went; nil: well.
func (m Meter) Asked(failure *Failure, took time.Duration) {
	result := "ok"
	if class := failure.class(); class != "" {
		result = string(class)
	}
	m.of.queries.WithLabelValues(m.name, result).Inc()
	m.of.seconds.WithLabelValues(m.name).Observe(took.Seconds())
}

// Found notes whether the source is up. One that refuses a query is: it answered.
func (m Meter) Found(failure *Failure) {
	up := 1.0
	if failure.class() == Unavailable {
		up = 0
	}
	m.of.up.WithLabelValues(m.name).Set(up)
}

// Skewed notes how far the source's clock is ahead of ours.
func (m Meter) Skewed(by time.Duration) { m.of.skew.WithLabelValues(m.name).Set(by.Seconds()) }
