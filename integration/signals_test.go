package integration

import (
	"strings"
	"testing"
)

// TestSlowVersion: all requests succeed, and take far longer than before.
func TestSlowVersion(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{window: "30s", signals: `signals:
  http-errors: {enabled: false}
  http-latency: {threshold: {max: 50%, increase: 3x, floor: 10%, minRequests: 20, ticks: 2}}`})
	b := good("web", "b")
	b.latency = "1500"
	s.deploy(b)
	got := s.rolledBack("web", 1, 2, "a", 2, "threshold")
	if !strings.HasPrefix(got.Status.Why, "http-latency: ") || !strings.Contains(got.Status.Why, "took over") {
		t.Errorf("it is not called slow: %s", got.Status.Why)
	}
}

// TestOneBadPodOfTen: nine pods of the old version serve well beside one of the new that does not. The errors of all together are
// below the ceiling.
func TestOneBadPodOfTen(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	spec := rolling(9)
	spec["podManagementPolicy"] = "Parallel"
	a := goodSet("a")
	a.replicas, a.spec, a.rps = 10, spec, 120
	s.running(a)
	s.daemon(rules{window: "40s", signals: byPod})
	b := a
	b.version, b.errorRate = "b", 0.4
	s.deploy(b)
	got := s.rolledBack(db, 1, 2, "a", 10, "threshold")
	if !strings.Contains(got.Status.Why, "on rev 2 (1 pod)") {
		t.Errorf("it does not speak of one pod: %s", got.Status.Why)
	}
}
