package integration

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// decides lets a person decide in this stage's namespace, by the role that deploy/ has for that, and no more.
func (s *stage) decides(person string) {
	s.t.Helper()
	raw, err := os.ReadFile("../deploy/rbac.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	docs := strings.Split(string(raw), "\n---\n")
	i := slices.IndexFunc(docs, func(doc string) bool { return strings.Contains(doc, "  name: bakewatch-decide\n") })
	if i < 0 {
		s.t.Fatal("deploy/rbac.yaml has no role bakewatch-decide")
	}
	s.apply(docs[i])
	s.kubectl("create", "rolebinding", "decides", "--clusterrole=bakewatch-decide", "--user="+person)
}

// asked waits for the rollback that a person asked for of a revision to end.
func (s *stage) asked(name string, of int64, outcome v1alpha1.Outcome) v1alpha1.Bake {
	s.t.Helper()
	var got v1alpha1.Bake
	s.waitFor("what a person asked of "+name+" to end", func() (bool, string) {
		all := s.bakes()
		for _, b := range all {
			if b.Spec.Workload.Name == name && b.Spec.To.Number == of && b.Spec.ByHand != nil && b.Status.Outcome != "" {
				got = b
				return b.Status.Outcome == outcome, tell(b)
			}
		}
		return false, tell(all...)
	})
	return got
}

// TestUndoAtAnyTime: a person has a version rolled back that has passed, and that was held, and chooses the revision.
func TestUndoAtAnyTime(t *testing.T) {
	t.Parallel()
	const ann = "ann@example.com"
	s := newStage(t)
	s.running(good("web", "a"), good("late", "a"))
	s.daemon(rules{perNamespace: 1, more: "workloads: [{match: {name: late}, guards: {freeze: [{start: '* * * * *', for: 1h}]}}]"})
	s.deploy(good("web", "b"))
	s.deploy(bad("late", "b"))
	s.passed("web", 1, 2)

	if out, err := s.say("", "undo", "web", "--yes", "--as", ann); err == nil || !strings.Contains(out, "forbidden") {
		t.Errorf("who has no rights: %v: %s", err, out)
	}
	s.decides(ann)
	if out, err := s.say("", "undo", "web", "--to", "7", "--yes", "--as", ann); err == nil || !strings.Contains(out, "has no rev 7; there are rev 1 (app:a)") {
		t.Errorf("to what is not there: %v: %s", err, out)
	}
	if out := s.must("", "undo", "web", "--dry-run", "--as", ann); !strings.Contains(out, "will roll deployment/web in "+s.namespace+" back from rev 2 (app:b) to rev 1 (app:a)") {
		t.Errorf("a dry run says: %s", out)
	}
	if image := s.image("web"); image != "app:b" {
		t.Fatalf("a dry run put %s there", image)
	}
	held := s.ended("late", 2, v1alpha1.OutcomeHeld, "threshold", "freeze")
	s.alarmed("BakewatchHeld", held)
	s.must("y\n", "undo", "deploy/web", "--as", ann)
	s.must("", "undo", "late", "--yes", "--as", ann)
	b := s.asked("web", 2, v1alpha1.OutcomeRolledBack)
	if h := b.Status.ByHand; h == nil || h.By != ann || !strings.Contains(b.Status.Why, ann+" asked to roll deployment/web back from rev 2 to rev 1") {
		t.Errorf("it does not say who: %+v: %s", h, b.Status.Why)
	}
	s.stands("web", "a", 2, 3)
	s.ownsNothing("web")
	s.must("", "undo", "web", "--to", "2", "--yes", "--as", ann) // it was better after all
	s.stands("web", "b", 2, 4)
	s.asked("late", 2, v1alpha1.OutcomeRolledBack)
	s.stands("late", "a", 2, 3)
	if out := s.must("", "history", "late"); strings.Count(out, "\n") != 3 || !strings.Contains(out, "RolledBack") || !strings.Contains(out, "Held") {
		t.Errorf("history says: %s", out)
	}
}
