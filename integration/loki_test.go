package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestErrorsInLoki: there are no metrics at all, and lines are read from Loki. While it wants to be left alone nothing is done; once
// it answers, the version whose lines tell of errors is found by all that was written since. It is the one story that asks this stand-in.
func TestErrorsInLoki(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.standIn(http.MethodPut, s.Loki+"/_tenant", `{"tenant": "team"}`)
	d := s.daemon(rules{window: "16s", sources: fmt.Sprintf("loki: {url: %s, tenant: team, lag: 2s}", s.Loki), signals: "signals:\n  log-errors: {enabled: true}"})
	d.ready(200)
	s.deploy(good("web", "b"))
	s.passed("web", 1, 2)

	s.standIn(http.MethodPut, s.Loki+"/_fault", `{"kind": "limited", "seconds": 1}`)
	s.deploy(bad("web", "c"))
	s.inPhase("web", 3, v1alpha1.PhaseBaking)
	d.ready(200, "loki: asked to slow down (HTTP 429)")
	s.stays("nothing is done while blind", 3*time.Second, func() (bool, string) {
		b, state := s.bake("web", 3)
		return b != nil && b.Status.Phase == v1alpha1.PhaseBaking && s.image("web") == "app:c", state
	})
	s.standIn(http.MethodDelete, s.Loki+"/_fault", "")
	b := s.rolledBack("web", 2, 3, "b", 2, "threshold")
	for _, want := range []string{"log-errors: ", "of pods had an error in the log", "new: level=error"} {
		if !strings.Contains(b.Status.Why, want) {
			t.Errorf("it does not say %q: %s", want, b.Status.Why)
		}
	}
	if len(b.Status.Measured) != 1 || b.Status.Measured[0].Source != "loki" {
		t.Errorf("it was measured by %+v", b.Status.Measured)
	}
	d.metric(`bakewatch_source_up{source="loki"} 1`)
}
