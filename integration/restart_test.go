package integration

import (
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestRestartInMidBake: stopped or killed while a version bakes, the next start goes on with the same bake and comes to the
// same verdict.
func TestRestartInMidBake(t *testing.T) {
	for name, halt := range map[string]func(*daemon){"Stopped": (*daemon).stop, "Killed": (*daemon).kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.running(good("bad", "a"), good("fine", "a"))
			d := s.daemon(rules{window: "40s"})

			s.deploy(slowBad("bad", "b", "15s"))
			s.deploy(good("fine", "b"))
			before := s.inPhase("bad", 2, v1alpha1.PhaseBaking)
			s.inPhase("fine", 2, v1alpha1.PhaseBaking)
			halt(d)
			d.start()
			d.guards()
			after := s.rolledBack("bad", 1, 2, "a", 2, "threshold")
			if before.UID != after.UID || !before.Status.FirstReadyAt.Equal(after.Status.FirstReadyAt) {
				t.Errorf("another record than before the restart: %s and %s", before.UID, after.UID)
			}
			s.passed("fine", 1, 2)
			s.count(2)
		})
	}
}

// TestRolloutWhileTheDaemonWasDown: it is found, and judged as it would have been.
func TestRolloutWhileTheDaemonWasDown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{window: "40s"})
	s.stays("what runs already is not baked", 5*time.Second, func() (bool, string) {
		all := s.bakes()
		return len(all) == 0, tell(all...)
	})
	// A record is what says, at the next start, that the rollout of before is known.
	s.deploy(good("web", "b"))
	s.passed("web", 1, 2)

	d.stop()
	s.deploy(bad("web", "c"))
	s.rolledOut("web")
	d.start()
	s.rolledBack("web", 2, 3, "b", 2, "threshold")
	s.count(2)
}

// TestFirstRolloutWhileTheDaemonWasDown is the same, for a workload of which nothing is on record yet.
func TestFirstRolloutWhileTheDaemonWasDown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{window: "40s"})
	d.stop()
	s.deploy(bad("web", "b"))
	s.rolledOut("web")
	d.start()
	s.rolledBack("web", 1, 2, "a", 2, "threshold")
	s.count(1)
}

// TestOnlyTheLeaderGuards: a second daemon stands by, and takes over at once when the first one leaves.
func TestOnlyTheLeaderGuards(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	first := s.daemon(rules{window: "40s"})
	second := s.newDaemon()
	second.start()
	second.says(`"policy in force"`)
	second.ready(200)
	second.metric("bakewatch_leader 0")
	first.metric("bakewatch_leader 1")

	s.deploy(slowBad("web", "b", "15s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	first.stop()
	s.rolledBack("web", 1, 2, "a", 2, "threshold")
	second.metric("bakewatch_leader 1")
	second.metric("bakewatch_rollbacks_total 1")
	s.count(1)
}
