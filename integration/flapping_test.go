package integration

import (
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestPrometheusComesAndGoes: Prometheus is away when two versions are rolled out, and again and again while they bake. The record
// says each time that it is blind, and when it is not any more. The bad one is rolled back by what is seen in between, the
// good one is never.
func TestPrometheusComesAndGoes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"), good("cart", "a"))
	w := newWire(t, s.Prometheus)
	d := s.daemon(rules{prometheus: w.address, window: "30s"})
	over := func() bool {
		b, _ := s.bake("cart", 2)
		return b != nil && b.Status.Outcome != ""
	}
	// record waits until the record of the good version's bake says that Prometheus is away, or does not say so, and reports
	// whether it did so before the bake was over.
	record := func(blind bool) bool {
		t.Helper()
		met := false
		s.waitFor("the record to say whether it is blind", func() (bool, string) {
			b, state := s.bake("cart", 2)
			if b == nil || b.Status.Phase == v1alpha1.PhaseRolling {
				return false, state
			}
			is := b.Status.Blind
			met = (len(is) == 1 && is[0].Source == "prometheus" && is[0].Why != "" && !is[0].Since.IsZero()) == blind && (blind || len(is) == 0)
			return met || b.Status.Outcome != "", state
		})
		return met
	}

	w.cut()
	turns := bad("web", "b")
	turns.after = "15s"
	s.deploy(turns)
	s.deploy(good("cart", "b"))
	for times := 0; times < 3 && !over(); times++ {
		if !record(true) && times == 0 {
			t.Error("nothing says that it is blind")
		}
		w.mend()
		if !record(false) && times == 0 {
			t.Error("it sees, and is called blind")
		}
		w.cut()
	}
	w.mend()

	b := s.ended("web", 2, v1alpha1.OutcomeRolledBack, "threshold", "evidence")
	if b.Status.Reasons[0].Signal != "http-errors" || s.image("web") != "app:a" {
		t.Errorf("%s; %s runs", tell(b), s.image("web"))
	}
	s.waitFor("the good version's bake to end", func() (bool, string) { return over(), "" })
	cart, _ := s.bake("cart", 2)
	if o := cart.Status.Outcome; o != v1alpha1.OutcomePassed && o != v1alpha1.OutcomeInconclusive {
		t.Errorf("the good version:\n%s", tell(*cart))
	}
	if image := s.image("cart"); image != "app:b" {
		t.Errorf("the good version was rolled back to %s", image)
	}
	if len(cart.Status.Blind) != 0 && cart.Status.Outcome == v1alpha1.OutcomePassed {
		t.Errorf("it passed blind: %+v", cart.Status.Blind)
	}
	d.metric("bakewatch_rollbacks_total 1")
	d.metric(`bakewatch_source_up{source="prometheus"} 1`)
}
