package probe

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the source's own metrics.
type Metrics struct{ runs *prometheus.CounterVec }

// The results of a run, as the metric has them.
const (
	resultPassed    = "passed"
	resultFailed    = "failed"
	resultDiscarded = "discarded" // it failed while the pod was ending, or no longer ready
	resultNotRun    = "not_run"   // it could not be run
)

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{runs: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bakewatch_flow_runs_total",
		Help: "Runs of user flows against pods, by result: passed, failed, discarded or not_run.",
	}, []string{"result"})}
	for _, result := range []string{resultPassed, resultFailed, resultDiscarded, resultNotRun} {
		m.runs.WithLabelValues(result)
	}
	if err := reg.Register(m.runs); err != nil {
		return nil, fmt.Errorf("register the metrics of user flows: %w", err)
	}
	return m, nil
}

func (m *Metrics) count(result string) {
	if m != nil {
		m.runs.WithLabelValues(result).Inc()
	}
}
