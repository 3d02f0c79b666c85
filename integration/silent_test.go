package integration

import (
	"strings"
	"testing"
)

// TestSilentPods: nobody set up metrics, and the new version's pods are ready, refuse every connection and write nothing more, where the old
// ones write all the time. Nothing says that it is bad, so that nothing is rolled back; that it says nothing is named, and a person is called.
func TestSilentPods(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	talking := app{name: "web", version: "a", replicas: 4, log: "level=info msg=handled"}
	s.running(talking)
	d := s.daemon(rules{window: "20s", signals: `signals:
  http-errors: {enabled: false}
  http-latency: {enabled: false}
  log-errors: {enabled: true}`})
	s.deploy(app{name: "web", version: "b", replicas: 4, mode: "silent"})
	b := s.ended("web", 2, "Inconclusive", "silent")
	for _, want := range []string{"log-errors: the new pods have no series", "while the old ones did", "they wrote nothing, while the pods of the old version write all the time"} {
		if !strings.Contains(b.Status.Why, want) {
			t.Errorf("it does not say %q: %s", want, b.Status.Why)
		}
	}
	if b.Status.KnownGood {
		t.Error("what nobody heard of is called known good")
	}
	s.alarmed("BakewatchInconclusive", b)
	s.told(b)
	s.stands("web", "b", 4, 2)
	d.handsOff()
}
