package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

func TestTwoBadVersionsAtOnceAreBothRolledBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("one", "a"), good("two", "a"))
	s.daemon(rules{perNamespace: 2})

	s.deploy(bad("one", "b"))
	s.deploy(bad("two", "b"))
	for _, name := range []string{"one", "two"} {
		s.rolledBack(name, 1, 2, "a", 2, "threshold")
	}
	s.count(2)
}

// TestBudgetHoldsTheSecondRollback: with a budget of one, one of two bad versions is left to a person, who is called.
func TestBudgetHoldsTheSecondRollback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("one", "a"), good("two", "a"))
	d := s.daemon(rules{perNamespace: 1})

	s.deploy(bad("one", "b"))
	s.deploy(bad("two", "b"))
	ended := map[v1alpha1.Outcome]v1alpha1.Bake{}
	s.waitFor("both bakes to end", func() (bool, string) {
		clear(ended)
		all := s.bakes()
		for _, b := range all {
			if b.Status.Outcome != "" {
				ended[b.Status.Outcome] = b
			}
		}
		return len(all) == 2 && len(ended) == 2, tell(all...)
	})
	undone, held := ended[v1alpha1.OutcomeRolledBack], ended[v1alpha1.OutcomeHeld]
	if undone.Name == "" || held.Name == "" {
		t.Fatalf("want one rolled back and one held:\n%s", tell(s.bakes()...))
	}
	if got := codes(held); !slices.Equal(got, []string{"threshold", "evidence", "budget"}) {
		t.Errorf("held because of %v, want threshold, evidence and budget:\n%s", got, tell(held))
	}
	if held.Status.Rollback != nil {
		t.Errorf("the held bake intended a rollback: %+v", held.Status.Rollback)
	}
	s.rolledBack(undone.Spec.Workload.Name, 1, 2, "a", 2, "threshold")
	s.stands(held.Spec.Workload.Name, "b", 2, 2)
	s.told(held)
	s.alarmed("BakewatchHeld", held)
	d.metric("bakewatch_rollbacks_total 1")
	d.metric(`bakewatch_outcomes_total{outcome="Held"} 1`)
}

// TestFixBeforeTheVerdict: a fixed version is applied while the bad one bakes. It is judged against the last good one.
func TestFixBeforeTheVerdict(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{})

	b := bad("web", "b")
	b.after = "30s"
	s.deploy(b)
	s.inPhase("web", 2, v1alpha1.PhaseRolling, v1alpha1.PhaseBaking)
	s.deploy(good("web", "c"))

	over := s.ended("web", 2, v1alpha1.OutcomeSuperseded, "newer-rollout")
	s.quiet(over)
	s.passed("web", 1, 3)
	s.stands("web", "c", 2, 3)
	s.count(2)
}

// TestBadFixOfABadVersion: after a bad version that was never judged, a bad one goes back past it to the last good one.
func TestBadFixOfABadVersion(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{})

	b := bad("web", "b")
	b.after = "30s"
	s.deploy(b)
	s.inPhase("web", 2, v1alpha1.PhaseRolling, v1alpha1.PhaseBaking)
	s.deploy(bad("web", "c"))

	s.ended("web", 2, v1alpha1.OutcomeSuperseded, "newer-rollout")
	s.rolledBack("web", 1, 3, "a", 2, "threshold")
	s.count(2)
}

// TestSameBadVersionTwice is A-B-A-B: the second time B is recognised, judged anew, and left to whoever put it back. The mark
// of its rollback stays until a better version has passed.
func TestSameBadVersionTwice(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{})

	s.deploy(bad("web", "b"))
	first := s.rolledBack("web", 1, 2, "a", 2, "threshold")
	mark := func() string { return s.workload("web").meta.Annotations[bake.AnnotationRolledBack] }
	if got := mark(); !strings.HasPrefix(got, "2 at 20") {
		t.Errorf("the workload is marked %q, want the revision and the time", got)
	}
	s.deploy(bad("web", "b"))
	second := s.ended("web", 4, v1alpha1.OutcomeHeld, "threshold", "to-and-fro")
	if a := second.Spec.Again; a == nil || a.Number != 2 || a.Bake != first.Name || first.Spec.Again != nil {
		t.Errorf("recognised the first time: %+v, the second: %+v", first.Spec.Again, a)
	}
	s.alarmed("BakewatchHeld", second)
	s.stands("web", "b", 2, 4)
	if first.Spec.To.Hash != second.Spec.To.Hash || first.Spec.From.Hash != second.Spec.From.Hash {
		t.Errorf("the same templates should have the same hashes: %+v and %+v", first.Spec, second.Spec)
	}
	if !second.Spec.StartedAt.After(first.Status.EndedAt.Add(-time.Second)) {
		t.Errorf("the second rollout began at %s, but the first bake ended at %s", second.Spec.StartedAt, first.Status.EndedAt)
	}
	d.metric("bakewatch_rollbacks_total 1")
	s.deploy(good("web", "c"))
	s.passed("web", 3, 5)
	s.waitFor("the mark to go", func() (bool, string) { return mark() == "", mark() })
	s.ownsNothing("web")
	s.count(3)
}

// TestGoodVersionsFollowEachOther: what passed is what the next one is compared with.
func TestGoodVersionsFollowEachOther(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{})

	s.deploy(good("web", "b"))
	s.passed("web", 1, 2)
	s.deploy(bad("web", "c"))
	s.rolledBack("web", 2, 3, "b", 2, "threshold")
	s.count(2)

	lines := strings.Split(strings.TrimSpace(s.kubectl("get", "bakes", "--sort-by=.metadata.creationTimestamp")), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); len(lines) != 3 || got != "NAME WORKLOAD FROM-TO PHASE OUTCOME WHY AGE" {
		t.Fatalf("kubectl get bakes:\n%s", strings.Join(lines, "\n"))
	}
	for i, want := range []string{"deployment/web 1 → 2 Passed http-errors: 0% of", "deployment/web 2 → 3 RolledBack http-errors:"} {
		if got := strings.Join(strings.Fields(lines[i+1]), " "); !strings.Contains(got, want) {
			t.Errorf("kubectl get bakes says %q, want %q in it", got, want)
		}
	}
}
