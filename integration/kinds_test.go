package integration

import (
	"slices"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestRestartIsBaked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{})

	s.kubectl("rollout", "restart", "deployment/web")
	b := s.passed("web", 1, 2)
	if !b.Spec.RestartOnly {
		t.Errorf("not recognized as a restart: %v", b.Spec.Changes)
	}
	s.count(1)
}

// TestRestartThatRegressesIsHeld: going back from a restart would change nothing.
func TestRestartThatRegressesIsHeld(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(slowBad("web", "a", "50s")) // restarted before it turns bad; the new pods turn bad in the bake
	d := s.daemon(rules{window: "90s"})

	s.kubectl("rollout", "restart", "deployment/web")
	b := s.ended("web", 2, v1alpha1.OutcomeHeld, "threshold", "restart-only")
	s.alarmed("BakewatchHeld", b)
	s.told(b)
	s.stands("web", "a", 2, 2)
	d.handsOff()
}

// TestRecreateWithOneReplica: there are never old and new pods at the same time; the old one's past is the comparison.
func TestRecreateWithOneReplica(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	recreate := map[string]any{"strategy": map[string]any{"type": "Recreate"}}
	a := good("web", "a")
	a.replicas, a.spec = 1, recreate
	s.running(a)
	s.daemon(rules{})

	b := bad("web", "b")
	b.replicas, b.spec = 1, recreate
	s.deploy(b)
	got := s.rolledBack("web", 1, 2, "a", 1, "threshold")
	if counts := got.Status.Signals; len(counts) == 0 || counts[0].Name != "http-errors" || counts[0].History == "" {
		t.Errorf("the record does not say what the past was: %+v", got.Status.Signals)
	}
}

// TestServiceLevelSignal: counters without a pod, one replica: judged before against after.
func TestServiceLevelSignal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := good("web", "a")
	a.replicas = 1
	s.running(a)
	d := s.daemon(rules{signals: `signals:
  http-errors: {enabled: false}
  ingress:
    prometheus:
      errors: 'traefik_service_requests_total{service="$namespace-$workload-80@kubernetes",code=~"5.."}'
      requests: 'traefik_service_requests_total{service="$namespace-$workload-80@kubernetes"}'
    threshold: {max: 5%, increase: 2x, floor: 0.5%, minRequests: 20, ticks: 2}`})

	c := good("web", "b")
	c.replicas = 1
	s.deploy(c)
	s.passed("web", 1, 2)
	b := bad("web", "c")
	b.replicas = 1
	s.deploy(b)
	got := s.rolledBack("web", 2, 3, "b", 1, "threshold")
	if got.Status.Reasons[0].Signal != "ingress" {
		t.Errorf("judged by %q, want ingress", got.Status.Reasons[0].Signal)
	}
	d.metric("bakewatch_rollbacks_total 1")
}

// TestNoHistoryToGoBackTo: with revisionHistoryLimit 0 the old revision is gone once the rollout is complete.
func TestNoHistoryToGoBackTo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	none := map[string]any{"revisionHistoryLimit": 0}
	a := good("web", "a")
	a.spec = none
	s.running(a)
	d := s.daemon(rules{window: "60s"})

	b := slowBad("web", "b", "25s")
	b.spec = none
	s.deploy(b)
	got := s.ended("web", 2, v1alpha1.OutcomeHeld, "threshold", "no-good-revision")
	s.alarmed("BakewatchHeld", got)
	s.told(got)
	s.stands("web", "b", 2, 2)
	d.handsOff()
}

// TestBadFirstRevisionIsHeld: there is nothing to compare it with but the ceiling, and nothing to go back to.
func TestBadFirstRevisionIsHeld(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.daemon(rules{})

	s.deploy(bad("web", "a"))
	b := s.ended("web", 1, v1alpha1.OutcomeHeld, "threshold", "no-good-revision")
	if b.Spec.From != nil || b.Status.KnownGood {
		t.Errorf("from %+v, known good %v; want neither", b.Spec.From, b.Status.KnownGood)
	}
	warned := func(code string) bool {
		return slices.ContainsFunc(b.Status.Warnings, func(r v1alpha1.Reason) bool { return r.Code == code })
	}
	if !warned("no-history") || !warned("no-readiness-probe") {
		t.Errorf("it does not warn of what keeps it from being guarded well: %+v", b.Status.Warnings)
	}
	s.alarmed("BakewatchHeld", b)
	s.stands("web", "a", 2, 1)
	d.handsOff()

	// The fix is a first revision too, as far as is known: it passes by the ceiling alone.
	s.deploy(good("web", "b"))
	s.passed("web", 0, 2)
	s.waitFor("the alert to be resolved by the newer rollout", func() (bool, string) {
		all, err := s.alerts(b)
		return err == nil && len(all) == 0, tell(b)
	})
}

// TestNeverReadyIsRolledBack: the controller's progress deadline is conclusive in itself.
func TestNeverReadyIsRolledBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	quick := map[string]any{"progressDeadlineSeconds": 10}
	a := good("web", "a")
	a.spec = quick
	s.running(a)
	s.daemon(rules{})

	b := good("web", "b")
	b.spec, b.mode = quick, "unready"
	s.deploy(b)
	got := s.rolledBack("web", 1, 2, "a", 2, "progress-deadline")
	if slices.Contains(codes(got), "threshold") {
		t.Errorf("pods that never served have a rate:\n%s", tell(got))
	}
}
