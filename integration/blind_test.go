package integration

import (
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestPrometheusAwayDuringABake: nothing is rolled back while blind, and the verdict comes once it sees again.
func TestPrometheusAwayDuringABake(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	w := newWire(t, s.Prometheus)
	d := s.daemon(rules{prometheus: w.address, window: "60s"})

	w.cut()
	s.deploy(bad("web", "b"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.stays("nothing is done while blind", 12*time.Second, func() (bool, string) {
		b, state := s.bake("web", 2)
		return b != nil && b.Status.Phase == v1alpha1.PhaseBaking && s.image("web") == "app:b", state
	})
	d.ready(200, "prometheus:")
	w.mend()
	s.rolledBack("web", 1, 2, "a", 2, "threshold")
}

// TestPrometheusAwayAllTheTime: a bake that saw nothing is Inconclusive, proves nothing, and calls a person.
func TestPrometheusAwayAllTheTime(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	w := newWire(t, s.Prometheus)
	d := s.daemon(rules{prometheus: w.address})

	w.cut()
	s.deploy(bad("web", "b"))
	b := s.ended("web", 2, v1alpha1.OutcomeInconclusive, "blind")
	if b.Status.KnownGood {
		t.Error("what nobody could see is called known good")
	}
	s.alarmed("BakewatchInconclusive", b)
	s.told(b)
	s.stands("web", "b", 2, 2)
	d.handsOff()

	// What was not seen is not what the next one is compared with.
	w.mend()
	s.deploy(bad("web", "c"))
	s.rolledBack("web", 1, 3, "a", 2, "threshold")
}
