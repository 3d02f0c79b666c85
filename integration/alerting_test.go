package integration

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestAnAlertFiredBefore: what was not well before its rollout is left to a person; its neighbour, deployed at the same time, is not.
func TestAnAlertFiredBefore(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := good("troubled", "a")
	a.errorRate = 0.03
	s.running(a, good("web", "a"))
	s.daemon(rules{max: "20%"})
	s.waitFor("the alert to fire", func() (bool, string) {
		n, err := s.query(`count(ALERTS{alertstate="firing",alertname="Troubled",namespace="` + s.namespace + `"})`)
		return err == nil && n > 0, "no alert fires"
	})
	s.deploy(bad("troubled", "b"))
	s.deploy(bad("web", "b"))
	held := s.ended("troubled", 2, v1alpha1.OutcomeHeld, "threshold", "alerting")
	if last := held.Status.Reasons[len(held.Status.Reasons)-1].Sentence; !strings.Contains(last, "Troubled fired for deployment/troubled before rev 2") {
		t.Errorf("it does not say which alert: %s", last)
	}
	s.rolledBack("web", 1, 2, "a", 2, "threshold")
	if image := s.image("troubled"); image != "app:b" {
		t.Errorf("it was rolled back to %s", image)
	}
}
