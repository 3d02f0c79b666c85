package datadog

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// name is this source's value of the metric label "source".
const name = "datadog"

// Metrics are the source's own metrics. They outlive a Source, which is built anew on every change of configuration.
// Their names are the same for every kind of source; the label "source" tells them apart.
type Metrics struct {
	queries *prometheus.CounterVec
	up      *prometheus.GaugeVec
	seconds *prometheus.HistogramVec
	skew    *prometheus.GaugeVec
}

// NewMetrics registers the metrics; reg may be nil. A registry that has them already, of an earlier call or of another
// source that uses the same names, names, labels and help texts being equal, lends them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bakewatch_source_queries_total",
			Help: "Queries sent to a metrics source, by result: ok, unavailable, rejected or too_expensive.",
		}, []string{"source", "result"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bakewatch_source_up",
			Help: "Whether the metrics source answered the last query sent to it (1) or not (0).",
		}, []string{"source"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bakewatch_source_query_seconds",
			Help:    "Time a metrics source took to answer a query, decoding included, in seconds.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		}, []string{"source"}),
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bakewatch_source_clock_skew_seconds",
			Help: "How far the metrics source's clock is ahead of this process's, in seconds; negative: behind.",
		}, []string{"source"}),
	}
	if reg == nil {
		return m, nil
	}
	var err error
	if m.queries, err = register(reg, m.queries); err != nil {
		return nil, err
	}
	if m.up, err = register(reg, m.up); err != nil {
		return nil, err
	}
	if m.seconds, err = register(reg, m.seconds); err != nil {
		return nil, err
	}
	if m.skew, err = register(reg, m.skew); err != nil {
		return nil, err
	}
	return m, nil
}

func register[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	err := reg.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if same, ok := already.ExistingCollector.(C); ok {
			return same, nil
		}
	}
	return c, err
}

// observe notes the outcome of one query: "" is ok.
func (m *Metrics) observe(failure class, seconds float64) {
	result := "ok"
	if failure != "" {
		result = string(failure)
	}
	m.queries.WithLabelValues(name, result).Inc()
	m.seconds.WithLabelValues(name).Observe(seconds)
}

// found notes whether the source is up. One that refuses a query is: it answered.
func (m *Metrics) found(failure class) {
	up := 1.0
	if failure == unavailable {
		up = 0
	}
	m.up.WithLabelValues(name).Set(up)
}
