package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// slowBad turns bad long after its rollout: there is time for a person to do something.
func slowBad(name, version, after string) app {
	a := bad(name, version)
	a.after = after
	return a
}

// handsOff checks that the daemon wrote to no workload.
func (d *daemon) handsOff() {
	d.t.Helper()
	d.metric("bakewatch_rollbacks_total 0")
}

func TestUndoByHandEndsTheBake(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{})

	s.deploy(slowBad("web", "b", "60s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.kubectl("rollout", "undo", "deployment/web")

	b := s.ended("web", 2, v1alpha1.OutcomeAbandoned, "undone-by-hand")
	if b.Status.KnownGood || b.Status.Rollback != nil {
		t.Errorf("known good %v, rollback %+v; want neither", b.Status.KnownGood, b.Status.Rollback)
	}
	s.quiet(b)
	back := s.ended("web", 3, v1alpha1.OutcomePassed, "known-good")
	if back.Spec.From == nil || back.Spec.From.Hash != back.Spec.To.Hash || !back.Status.KnownGood {
		t.Errorf("the undo is not recorded as a return to the known good: from %+v to %+v, known good %v", back.Spec.From, back.Spec.To, back.Status.KnownGood)
	}
	s.rolledOut("web")
	s.stands("web", "a", 2, 3)
	d.handsOff()
	s.count(2)

	// And it goes on as before.
	s.deploy(bad("web", "c"))
	s.rolledBack("web", 3, 4, "a", 2, "threshold")
}

// TestScalingIsNoRollout: a person's replicas stay through a rollback, and no bake is made for them.
func TestScalingIsNoRollout(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{window: "60s"})

	s.deploy(slowBad("web", "b", "12s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.kubectl("scale", "deployment/web", "--replicas=3")
	s.rolledBack("web", 1, 2, "a", 3, "threshold")
	s.count(1)
}

func TestScaledToZeroIsInconclusive(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{})

	s.deploy(good("web", "b"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.kubectl("scale", "deployment/web", "--replicas=0")
	b := s.ended("web", 2, v1alpha1.OutcomeInconclusive, "scaled-to-zero")
	if b.Status.KnownGood {
		t.Error("what served no window is called known good")
	}
	s.quiet(b)
	s.stands("web", "b", 0, 2)
	d.handsOff()

	s.kubectl("scale", "deployment/web", "--replicas=2")
	s.rolledOut("web")
	s.deploy(bad("web", "c"))
	s.rolledBack("web", 1, 3, "a", 2, "threshold")
	s.count(2)
}

// TestDeletedAndMadeAnew: the record of a deleted Deployment stays, and one of the same name begins afresh.
func TestDeletedAndMadeAnew(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{})

	s.deploy(slowBad("web", "b", "60s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.kubectl("delete", "deployment/web")
	gone := s.ended("web", 2, v1alpha1.OutcomeAbandoned, "deleted")

	s.deploy(good("web", "a"))
	s.passed("web", 0, 1)
	s.deploy(bad("web", "b"))
	s.waitFor("the bad version to be rolled back", func() (bool, string) {
		for _, b := range s.bakes() {
			if b.Spec.To.Number == 2 && b.Spec.Workload.UID != gone.Spec.Workload.UID {
				return b.Status.Outcome == v1alpha1.OutcomeRolledBack && b.Spec.From.Number == 1, tell(b)
			}
		}
		return false, "no bake yet"
	})
	s.stands("web", "a", 2, 3)
	s.count(3)
	for _, b := range s.bakes() {
		if b.Name == gone.Name && b.Status.Outcome != v1alpha1.OutcomeAbandoned {
			t.Errorf("the record of the deleted one was changed:\n%s", tell(b))
		}
	}
}

// TestPause: whoever pauses has taken over; what is changed while paused is baked once it is resumed.
func TestPause(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{})

	s.deploy(slowBad("web", "b", "60s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.kubectl("rollout", "pause", "deployment/web")
	b := s.ended("web", 2, v1alpha1.OutcomeAbandoned, "paused")
	s.quiet(b)

	s.kubectl("set", "image", "deployment/web", "app=app:c")
	s.kubectl("annotate", "deployment/web", "note=changed") // to have it looked at
	s.stays("nothing is baked while paused", 6*time.Second, func() (bool, string) {
		all := s.bakes()
		return len(all) == 1, tell(all...)
	})
	s.deploy(good("web", "c"))
	s.kubectl("rollout", "resume", "deployment/web")
	s.passed("web", 1, 3)
	s.stands("web", "c", 2, 3)
	d.handsOff()
}

// TestOptOutActsAtOnce: who annotates a workload while it bakes is obeyed, also in mid-bake.
func TestOptOutActsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{window: "40s"})

	s.deploy(slowBad("web", "b", "20s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.kubectl("annotate", "deployment/web", "bakewatch.dev/enabled=false")
	b := s.ended("web", 2, v1alpha1.OutcomeAbandoned, "opted-out")
	if !strings.Contains(b.Status.Why, "bakewatch.dev/enabled") {
		t.Errorf("why does not name the annotation: %s", b.Status.Why)
	}
	s.stays("the bad version is left alone", 28*time.Second, func() (bool, string) { return s.image("web") == "app:b", s.image("web") })
	d.handsOff()
	s.count(1)
}

// TestKeptByGitOps: an undo would only be undone by the controller that keeps the workload, so a person is called instead.
func TestKeptByGitOps(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	tracked := map[string]string{"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}
	a := good("web", "a")
	a.meta = tracked
	s.running(a)
	d := s.daemon(rules{})

	b := bad("web", "b")
	b.meta = tracked
	s.deploy(b)
	got := s.ended("web", 2, v1alpha1.OutcomeHeld, "threshold", "gitops")
	s.alarmed("BakewatchHeld", got)
	s.told(got)
	s.stands("web", "b", 2, 2)
	d.handsOff()
}
