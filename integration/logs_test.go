package integration

import (
	"strings"
	"testing"
)

// TestErrorsInTheLogs: nobody set up metrics. A version whose logs fill with errors is rolled back, and what they say is named;
// one that writes as before passes. The old pods' logs are the baseline, also when they are gone.
func TestErrorsInTheLogs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"), goodSet("a"))
	s.daemon(rules{window: "24s", signals: `signals:
  http-errors: {enabled: false}
  http-latency: {enabled: false}
  log-errors: {enabled: true}`})

	s.deploy(good("web", "b"))
	s.passed("web", 1, 2)
	s.deploy(bad("web", "c"))
	s.deploy(badSet("b"))
	b := s.rolledBack("web", 2, 3, "b", 2, "threshold")
	for _, want := range []string{"log-errors: ", "of pods had an error in the log", "new: level=error"} {
		if !strings.Contains(b.Status.Why, want) {
			t.Errorf("it does not say %q: %s", want, b.Status.Why)
		}
	}
	s.rolledBack(db, 1, 2, "a", 2, "threshold")
}
