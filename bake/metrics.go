package bake

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// Metrics are the loop's own metrics. None carries a pod's or a workload's name.
type Metrics struct {
	active    active
	paused    active
	pauses    *prometheus.CounterVec
	rollouts  prometheus.Counter
	outcomes  *prometheus.CounterVec
	verdicts  *prometheus.CounterVec
	held      *prometheus.CounterVec
	rollbacks prometheus.Counter
	lastTick  prometheus.Gauge
}

// active counts the bakes of which something is so.
type active struct {
	mu    sync.Mutex
	names map[string]bool
	gauge prometheus.Gauge
}

func (a *active) track(bake string, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if on {
		a.names[bake] = true
	} else {
		delete(a.names, bake)
	}
	a.gauge.Set(float64(len(a.names)))
}

// trackPause notes whether the rollout of a bake is paused.
func (m *Metrics) trackPause(b *v1alpha1.Bake) {
	p := openPause(b)
	m.paused.track(id(b), p != nil && p.PausedAt != nil)
}

// NewMetrics registers the loop's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		active:    active{names: map[string]bool{}, gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "bakewatch_bakes_active", Help: "Bakes that go on."})},
		paused:    active{names: map[string]bool{}, gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "bakewatch_paused_rollouts", Help: "Rollouts that Bakewatch has paused part-way."})},
		pauses:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bakewatch_pauses_total", Help: "Rollouts paused part-way, by why: canary or suspicion."}, []string{"why"}),
		rollouts:  prometheus.NewCounter(prometheus.CounterOpts{Name: "bakewatch_rollouts_total", Help: "Rollouts seen."}),
		outcomes:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bakewatch_outcomes_total", Help: "Bakes that ended, by outcome."}, []string{"outcome"}),
		verdicts:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bakewatch_verdicts_total", Help: "Verdicts given, one a tick and bake."}, []string{"verdict"}),
		held:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bakewatch_held_total", Help: "Rollbacks not done, by the guard that held them."}, []string{"guard"}),
		rollbacks: prometheus.NewCounter(prometheus.CounterOpts{Name: "bakewatch_rollbacks_total", Help: "Rollbacks carried out."}),
		lastTick:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "bakewatch_last_tick_timestamp_seconds", Help: "When the loop last worked, in seconds since the epoch; it stands still when the daemon does."}),
	}
	reg.MustRegister(m.active.gauge, m.paused.gauge, m.pauses, m.rollouts, m.outcomes, m.verdicts, m.held, m.rollbacks, m.lastTick)
	return m
}
