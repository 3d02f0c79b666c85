package bake

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/signals"
)

// finder finds what it is told to.
type finder struct {
	mu       sync.Mutex
	err      error
	measured []signals.Found
	asked    []Search
}

func (f *finder) Find(_ context.Context, s Search) (Findings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, s)
	if f.err != nil {
		source, _, _ := strings.Cut(f.err.Error(), ":")
		return Findings{Measured: f.measured, Away: map[string]string{source: f.err.Error()}}, f.err // what others found, if there are any
	}
	return Findings{Measured: f.measured, NotMeasured: []v1alpha1.NotMeasured{{Signal: "http-errors", Source: "prometheus", Preset: "istio", Why: "no series"}}}, nil
}

// searches are those so far.
func (f *finder) searches() []Search {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// finds has it find something from now on.
func (f *finder) finds(measured ...signals.Found) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.measured = nil, measured
}

var plain = signals.Found{Signal: "http-errors", Query: signals.Query{Preset: "http_requests_total", By: signals.ByPod,
	Errors: `http_requests_total{namespace="$namespace",code=~"5.."}`, Requests: `http_requests_total{namespace="$namespace"}`}}

// leftToPresets is the world's policy with a signal whose queries are to be found.
func (w *world) leftToPresets() {
	rule := w.config.Signals["http-errors"]
	rule.Prometheus = nil
	w.config.Signals["http-errors"] = rule
}

func TestFound(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.leftToPresets()
		f := &finder{measured: []signals.Found{plain}}
		w.start(func(p *process) { p.finder = f })
		w.rates["B"] = 0.3
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseRollingBack)
		b := w.bakes(web)[2]
		if len(f.searches()) != 1 || f.searches()[0].Key != web || f.searches()[0].From.Hash != "A" || f.searches()[0].To.Hash != "B" {
			t.Errorf("asked %+v", f.searches())
		}
		if b.Status.FoundAt == nil || len(b.Status.Measured) != 1 || b.Status.Measured[0].Preset != plain.Preset || len(b.Status.NotMeasured) != 1 {
			t.Errorf("the record: %+v", b.Status)
		}
		if got := foundOf(b.Status.Measured); got[0].Errors != plain.Errors || got[0].By != plain.By {
			t.Errorf("read back: %+v", got)
		}
	})
}

// A source that is away when the bake begins is asked again; what was missed is read then. After a restart the record says
// what was found.
func TestFoundLater(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.leftToPresets()
		f := &finder{err: errors.New("prometheus: connection refused")}
		p := w.start(func(p *process) { p.finder = f })
		w.rates["B"] = 0.3
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseBaking)
		w.pass(70 * time.Second)
		if n := len(f.searches()); n < 4 || n > 6 {
			t.Errorf("asked %d times in 70 seconds", n)
		}
		b := w.bakes(web)[2]
		if got := b.Status.Blind; len(got) != 1 || got[0].Source != "prometheus" || got[0].Why != "prometheus: connection refused" || got[0].Since.Sub(b.Status.FirstReadyAt.Time) > 5*time.Second {
			t.Errorf("blind: %+v", got)
		}
		f.finds(plain)
		w.pass(20 * time.Second)
		if b := w.bakes(web)[2]; b.Status.Phase != v1alpha1.PhaseRollingBack && b.Status.Rollback == nil {
			t.Errorf("all ticks since the beginning speak against it: %+v", b.Status)
		}
		if got := w.bakes(web)[2].Status.Blind; len(got) != 0 {
			t.Errorf("it sees, and is blind: %+v", got)
		}
		asked := len(f.searches())
		p.stop()
		w.start(func(p *process) { p.finder = f })
		w.pass(2 * time.Minute)
		if len(f.searches()) != asked {
			t.Error("looked for again after a restart")
		}
	})
}

// What measures nothing is looked for until late in the bake, and never passes silently.
func TestFoundNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.leftToPresets()
		f := &finder{}
		w.start(func(p *process) { p.finder = f })
		w.deploy(web, "B")
		w.pass(5 * time.Minute)
		b := w.bakes(web)[2]
		if b.Status.Outcome != v1alpha1.OutcomeInconclusive || b.Status.FoundAt == nil {
			t.Errorf("%+v", b.Status)
		}
		if n := len(f.searches()); n < 2 || n > 5 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A source that never answers leaves the bake blind.
func TestFoundNever(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.leftToPresets()
		w.start(func(p *process) { p.finder = &finder{err: errors.New("prometheus: connection refused")} })
		w.deploy(web, "B")
		w.pass(5 * time.Minute)
		b := w.bakes(web)[2]
		want := "http-errors: could not be read in"
		if b.Status.Outcome != v1alpha1.OutcomeInconclusive || !has(b.Status.Reasons, "blind") || len(b.Status.Why) < len(want) || b.Status.Why[:len(want)] != want {
			t.Errorf("%+v", b.Status)
		}
	})
}

var restarts = signals.Found{Signal: "restarts", Query: signals.Query{Preset: "kube_pod_container_status_restarts_total", By: signals.ByPod,
	Events: `kube_pod_container_status_restarts_total{namespace="$namespace"}`}}

// A workload whose traffic is not scraped yet is looked at again until it is.
func TestFoundInPart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.leftToPresets()
		w.config.Signals["restarts"] = w.config.Signals["http-errors"]
		f := &finder{measured: []signals.Found{restarts}}
		w.start(func(p *process) { p.finder = f })
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseBaking)
		w.pass(40 * time.Second)
		if b := w.bakes(web)[2]; b.Status.FoundAt != nil || b.Status.Phase != v1alpha1.PhaseBaking || len(f.searches()) < 1 {
			t.Fatalf("recorded before traffic was found: %+v", b.Status)
		}
		f.finds(plain, restarts)
		w.pass(70 * time.Second)
		b := w.bakes(web)[2]
		if b.Status.FoundAt == nil || len(b.Status.Measured) != 2 || len(f.searches()) < 2 || !b.Status.EndedAt.IsZero() {
			t.Errorf("asked %d times: %+v", len(f.searches()), b.Status)
		}
	})
}

// A source that cannot be asked does not blind another: what that one measures is judged.
func TestFoundByOneOfTwo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.leftToPresets()
		w.start(func(p *process) {
			p.finder = &finder{measured: []signals.Found{plain}, err: errors.New("datadog: asked to slow down")}
		})
		w.rates["B"] = 0.3
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseRollingBack)
		b := w.bakes(web)[2]
		if b.Status.Reasons[0].Code != "threshold" || b.Status.Reasons[0].Signal != "http-errors" || len(b.Status.Measured) != 1 {
			t.Errorf("%+v", b.Status)
		}
	})
}

// What is found of a workload whose traffic is not scraped yet is judged meanwhile, and what speaks against the new version
// is on record.
func TestJudgedByWhatIsFound(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.leftToPresets()
		w.config.Signals["restarts"] = w.config.Signals["http-errors"]
		w.start(func(p *process) { p.finder = &finder{measured: []signals.Found{restarts}} })
		w.rates["B"] = 0.3
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseRollingBack)
		b := w.bakes(web)[2]
		if b.Status.FoundAt == nil || len(b.Status.Measured) != 1 || b.Status.Reasons[0].Signal != "restarts" || !has(b.Status.Reasons, "blind") {
			t.Errorf("%+v", b.Status)
		}
	})
}
