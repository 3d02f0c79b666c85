package integration

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// env are the names of the variables in a workload's template.
func (s *stage) env(name string) []string {
	var out []string
	for _, v := range s.workload(name).template.Spec.Containers[0].Env {
		out = append(out, v.Name)
	}
	return out
}

// TestUserAppliesOnAfterRollback: a rollback is nothing that the next kubectl apply would notice, on the client side, and
// when the user changes over to the server side.
func TestUserAppliesOnAfterRollback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := good("web", "a")
	a.env = map[string]string{"ONLY_IN_A": "1"}
	s.running(a)
	s.daemon(rules{})

	s.deploy(bad("web", "b"))
	b := s.rolledBack("web", 1, 2, "a", 2, "threshold")
	if b.Spec.ChangedBy != "kubectl-client-side-apply" {
		t.Errorf("changed by %q, want kubectl's client-side apply", b.Spec.ChangedBy)
	}
	if !slices.Contains(b.Spec.Changes, "image of app: app:a → app:b") || !slices.Contains(b.Spec.Changes, "env app ONLY_IN_A removed") {
		t.Errorf("changes %q name neither the image nor the variable", b.Spec.Changes)
	}

	s.deploy(good("web", "c"))
	s.passed("web", 3, 4)
	s.stands("web", "c", 2, 4)

	s.deploy(good("web", "d"), "--server-side")
	s.passed("web", 4, 5)
	s.stands("web", "d", 2, 5)
	s.ownsNothing("web")
	s.count(3)
}

// TestServerSideAppliesOnAfterRollback: the next server-side apply meets no conflict, and takes away what only the old
// template had, as it would if the bad version had never been.
func TestServerSideAppliesOnAfterRollback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := good("web", "a")
	a.env = map[string]string{"ONLY_IN_A": "1"}
	a.serverSide = true
	s.running(a)
	s.daemon(rules{})

	s.deploy(bad("web", "b"), "--server-side")
	s.rolledBack("web", 1, 2, "a", 2, "threshold")
	if got := s.env("web"); !slices.Contains(got, "ONLY_IN_A") {
		t.Fatalf("the old template's variable did not come back: %q", got)
	}

	s.deploy(good("web", "c"), "--server-side")
	if got := s.env("web"); len(got) != 0 {
		t.Errorf("variables %q are left over from the old template", got)
	}
	s.passed("web", 3, 4)
	s.stands("web", "c", 2, 4)
	s.ownsNothing("web")
	if got := s.workload("web").meta.ManagedFields; !slices.ContainsFunc(got, func(m metav1.ManagedFieldsEntry) bool { return m.Manager == "kubectl" && m.Operation == "Apply" }) {
		t.Errorf("kubectl is no longer the applier: %+v", got)
	}
	s.count(2)
}

// TestServerSideApplyAfterClientSideRollback: the user changes over to the server side right after a rollback.
func TestServerSideApplyAfterClientSideRollback(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := good("web", "a")
	a.env = map[string]string{"ONLY_IN_A": "1"}
	s.running(a)
	s.daemon(rules{})
	s.deploy(bad("web", "b"))
	s.rolledBack("web", 1, 2, "a", 2, "threshold")

	s.deploy(good("web", "c"), "--server-side")
	b := s.ended("web", 4, v1alpha1.OutcomePassed)
	if b.Spec.From.Number != 3 {
		t.Errorf("judged against %+v, want the good revision that came back as 3", b.Spec.From)
	}
	s.stands("web", "c", 2, 4)
	s.ownsNothing("web")
}
