package integration

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestObserveTouchesNothing: the same record and messages, marked as observed, and no write to the workload.
func TestObserveTouchesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{mode: "observe"})

	s.deploy(bad("web", "b"))
	b := s.ended("web", 2, v1alpha1.OutcomeHeld, "threshold", "observe")
	if !b.Status.Observed || b.Status.Rollback != nil {
		t.Errorf("observed %v, rollback %+v; want observed and no rollback", b.Status.Observed, b.Status.Rollback)
	}
	said := b.Status.Reasons[len(b.Status.Reasons)-1].Sentence
	if !strings.Contains(said, "would have rolled deployment/web back to rev 1") {
		t.Errorf("it does not say what it would have done: %s", said)
	}
	s.told(b)
	s.alarmed("BakewatchHeld", b)
	s.stands("web", "b", 2, 2)
	d.handsOff()
	s.ownsNothing("web")

	s.deploy(good("web", "c"))
	c := s.passed("web", 1, 3)
	if !c.Status.Observed {
		t.Error("the passed bake is not marked as observed")
	}
}

// TestSwitchToObserveActsAtOnce: a policy that does less counts for the bake that goes on.
func TestSwitchToObserveActsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	r := rules{window: "60s"}
	d := s.daemon(r)

	s.deploy(slowBad("web", "b", "20s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	r.mode = "observe"
	s.enforce(d, r)
	b := s.ended("web", 2, v1alpha1.OutcomeHeld, "threshold", "observe")
	if !b.Status.Observed {
		t.Error("not marked as observed")
	}
	s.stands("web", "b", 2, 2)
	d.handsOff()
}

// TestEditOfThePolicy: new thresholds count from the next bake on; a bad edit is refused, shown, and leaves the last good
// one in force.
func TestEditOfThePolicy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	strict := rules{window: "60s"} // it ends long before, unless the machine is busy
	lenient := rules{max: "90%", signals: "signals:\n  http-errors: {threshold: {max: 90%, floor: 80%, minRequests: 20, ticks: 2}}"}
	d := s.daemon(strict)
	d.metric("bakewatch_config_last_reload_successful 1")

	s.deploy(slowBad("web", "b", "20s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.enforce(d, lenient)
	s.rolledBack("web", 1, 2, "a", 2, "threshold") // by the thresholds it began with

	broken := strings.Replace(strict.yaml(s.cluster), "budget:", "budgets:", 1)
	s.set(broken)
	d.metric("bakewatch_config_last_reload_successful 0")
	d.says("budgets")
	d.ready(200, "policy:", "budgets", "last good one stays in force")
	s.waitFor("the event BadPolicy on the ConfigMap", func() (bool, string) {
		for _, e := range s.events(s.home, "ConfigMap", "bakewatch") {
			if e.Reason == "BadPolicy" && e.Type == "Warning" && strings.Contains(e.Message, "budgets") {
				return true, ""
			}
		}
		return false, "no such event"
	})

	worse := bad("web", "c") // by the last good one, which is lenient
	worse.errorRate = 0.2    // so that what comes next is far more than twice as bad, however the dice fall
	s.deploy(worse)
	s.passed("web", 3, 4)
	s.stands("web", "c", 2, 4)

	s.enforce(d, strict)
	d.metric("bakewatch_config_last_reload_successful 1")
	d.ready(200)
	worse.version, worse.errorRate = "d", 0.95
	s.deploy(worse)
	s.rolledBack("web", 4, 5, "c", 2, "threshold")
}

// TestAnnotationsTuneOneWorkload: a workload's own threshold counts for it alone.
func TestAnnotationsTuneOneWorkload(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	easy := map[string]string{"bakewatch.dev/http-errors.max": "90%", "bakewatch.dev/http-errors.floor": "80%"}
	a := good("web", "a")
	a.meta = easy
	s.running(a, good("other", "a"))
	s.daemon(rules{})

	b := bad("web", "b")
	b.meta = easy
	s.deploy(b)
	s.deploy(bad("other", "b"))
	s.passed("web", 1, 2)
	s.rolledBack("other", 1, 2, "a", 2, "threshold")
}
