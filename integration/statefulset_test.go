package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// goodSet and badSet are versions of a StatefulSet with two replicas.
func goodSet(version string) app {
	return app{kind: "StatefulSet", name: "db", version: version, replicas: 2}
}

func badSet(version string) app {
	a := goodSet(version)
	a.errorRate = 0.4
	return a
}

const db = "statefulset/db"

// rolling is an update strategy with that partition.
func rolling(partition int) map[string]any {
	return map[string]any{"updateStrategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"partition": partition}}}
}

var onDelete = map[string]any{"updateStrategy": map[string]any{"type": "OnDelete"}}

// TestStatefulSet: a good version passes, a bad one is rolled back, and the user applies on. Pods keep their names.
func TestStatefulSet(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodSet("a")
	a.env = map[string]string{"ONLY_IN_A": "1"}
	s.running(a)
	s.daemon(rules{signals: byPod})

	s.deploy(badSet("b"))
	b := s.rolledBack(db, 1, 2, "a", 2, "threshold")
	if !slices.Contains(b.Spec.Changes, "image of app: app:a → app:b") || b.Spec.ChangedBy != "kubectl-client-side-apply" {
		t.Errorf("changed %q by %q", b.Spec.Changes, b.Spec.ChangedBy)
	}
	if got := s.env(db); !slices.Contains(got, "ONLY_IN_A") {
		t.Errorf("the old template's variable did not come back: %q", got)
	}
	if len(b.Status.Pods) == 0 || b.Status.Pods[len(b.Status.Pods)-1].Name != "db-1" {
		t.Errorf("the record does not say which pods were new: %+v", b.Status.Pods)
	}
	s.deploy(goodSet("c"))
	s.passed(db, 3, 4)
	s.stands(db, "c", 2, 4)
	s.deploy(goodSet("d"), "--server-side")
	s.passed(db, 4, 5)
	s.ownsNothing(db)
	s.count(3)
}

// TestStatefulSetServerSide: the next server-side apply meets no conflict, and takes away what only the old template had.
func TestStatefulSetServerSide(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodSet("a")
	a.env, a.serverSide = map[string]string{"ONLY_IN_A": "1"}, true
	s.running(a)
	s.daemon(rules{signals: byPod})

	s.deploy(badSet("b"), "--server-side")
	s.rolledBack(db, 1, 2, "a", 2, "threshold")
	s.deploy(goodSet("c"), "--server-side")
	if got := s.env(db); len(got) != 0 {
		t.Errorf("variables %q are left over from the old template", got)
	}
	s.passed(db, 3, 4)
	s.ownsNothing(db)
}

// TestStatefulSetNeverReady: a new pod that does not become ready is given up after the deadline; it stands in the way of the
// rollback until it is deleted (kubernetes/kubernetes#67250).
func TestStatefulSetNeverReady(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(goodSet("a"))
	s.daemon(rules{signals: byPod, deadline: "15s"})

	b := goodSet("b")
	b.mode = "unready"
	s.deploy(b)
	got := s.rolledBack(db, 1, 2, "a", 2, "progress-deadline")
	if !strings.Contains(got.Status.Why, "db-1 of rev 2 has not been ready for") {
		t.Errorf("it does not say which pod: %s", got.Status.Why)
	}
	freed := got.Status.Rollback.Freed
	if len(freed) != 1 || freed[0].Name != "db-1" || freed[0].DoneAt == nil || freed[0].Spared || freed[0].DoneAt.Before(&freed[0].IntendedAt) {
		t.Errorf("freed: %+v, want db-1 alone, recorded before it was deleted", freed)
	}
	s.deploy(goodSet("c"))
	s.passed(db, 3, 4)
}

// TestStatefulSetStuckPods: all pods are of the bad version, and none is ready. Each is deleted in its turn, when those before
// it serve again.
func TestStatefulSetStuckPods(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodSet("a")
	a.replicas, a.spec = 3, maps.Clone(onDelete)
	a.spec["podManagementPolicy"] = "Parallel"
	s.running(a)
	s.daemon(rules{signals: byPod, deadline: "25s"})

	b := a
	b.version, b.mode = "b", "unready"
	s.deploy(b)
	s.kubectl("delete", "pod", "db-0", "db-1", "db-2", "--wait=false")
	got := s.rolledBack(db, 1, 2, "a", 3, "progress-deadline")
	freed := got.Status.Rollback.Freed
	if len(freed) != 3 {
		t.Fatalf("freed %+v, want all three", freed)
	}
	for i, f := range freed {
		if f.Name != fmt.Sprint("db-", i) || f.DoneAt == nil || i > 0 && f.IntendedAt.Before(freed[i-1].DoneAt) {
			t.Errorf("freed as number %d: %+v; after %+v", i, f, freed[:i])
		}
	}
	s.rolledOut(db)
}

// TestStatefulSetPartition: only pods at or above the partition are new. They are judged against the others, and put back.
func TestStatefulSetPartition(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodSet("a")
	a.replicas, a.spec = 3, rolling(2)
	s.running(a)
	s.daemon(rules{signals: byPod})

	b := badSet("b")
	b.replicas, b.spec = 3, rolling(2)
	s.deploy(b)
	s.rolledBack(db, 1, 2, "a", 3, "threshold")

	c := goodSet("c")
	c.replicas, c.spec = 3, rolling(2)
	s.deploy(c)
	got := s.passed(db, 3, 4)
	if got.Status.CompletedAt == nil {
		t.Error("it was not complete with the pods above the partition")
	}
	if pods := s.pods(db); pods["db-2"] != "app:c" || pods["db-0"] != "app:a" {
		t.Errorf("pods run %v", pods)
	}
}

// TestStatefulSetHeldByPartition: a partition that keeps all pods is a pause; it is baked once it is lowered.
func TestStatefulSetHeldByPartition(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(goodSet("a"))
	d := s.daemon(rules{signals: byPod})

	b := badSet("b")
	b.spec = rolling(2)
	s.deploy(b)
	d.says(`"changed, and nothing rolls out yet`)
	s.stays("nothing is baked while nothing rolls out", 5*time.Second, func() (bool, string) {
		all := s.bakes()
		return len(all) == 0, tell(all...)
	})
	b.spec = rolling(1)
	s.deploy(b)
	s.rolledBack(db, 1, 2, "a", 2, "threshold")
	s.count(1)
}

// TestStatefulSetOnDelete: it is baked from the first new pod on. The template is put back, and the record says which pods
// go on running the bad version.
func TestStatefulSetOnDelete(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodSet("a")
	a.spec = onDelete
	a.replicas = 3
	s.running(a)
	d := s.daemon(rules{signals: byPod})

	b := badSet("b")
	b.replicas, b.spec = 3, onDelete
	s.deploy(b)
	d.says(`"changed, and nothing rolls out yet`)
	s.count(0)
	s.kubectl("delete", "pod", "db-1")
	got := s.ended(db, 2, v1alpha1.OutcomeRolledBack, "threshold", "pods-left")
	rb := got.Status.Rollback
	if rb.Recovered != "No" || !strings.Contains(rb.Recovery, "1 pods still run rev 2 (db-1): with OnDelete a pod is replaced only when somebody deletes it") {
		t.Errorf("recovered %q: %s", rb.Recovered, rb.Recovery)
	}
	s.stands(db, "a", 3, 3)
	s.ownsNothing(db)
	s.alarmed("BakewatchRolledBack", got)
	if pods := s.pods(db); pods["db-1"] != "app:b" {
		t.Errorf("a pod that serves was deleted: %v", pods)
	}
	s.kubectl("delete", "pod", "db-1")
	s.waitFor("the good version to run everywhere", func() (bool, string) {
		pods := s.pods(db)
		return len(pods) == 3 && pods["db-1"] == "app:a", strings.Join(slices.Collect(values(pods)), " ")
	})
	s.count(1)
}

func values(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// TestStatefulSetOnDeleteStuck: a pod that is stuck serves nobody, and is deleted even with OnDelete.
func TestStatefulSetOnDeleteStuck(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodSet("a")
	a.spec = onDelete
	s.running(a)
	s.daemon(rules{signals: byPod, deadline: "15s"})

	b := goodSet("b")
	b.spec, b.mode = onDelete, "unready"
	s.deploy(b)
	s.kubectl("delete", "pod", "db-0")
	got := s.rolledBack(db, 1, 2, "a", 2, "progress-deadline")
	if freed := got.Status.Rollback.Freed; len(freed) != 1 || freed[0].Name != "db-0" {
		t.Errorf("freed: %+v", freed)
	}
}

// TestStatefulSetUndoneByHand: whoever puts the good version back by hand ends the bake.
func TestStatefulSetUndoneByHand(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(goodSet("a"))
	d := s.daemon(rules{signals: byPod})

	b := badSet("b")
	b.after = "60s"
	s.deploy(b)
	s.inPhase(db, 2, v1alpha1.PhaseBaking)
	s.kubectl("rollout", "undo", db)
	s.ended(db, 2, v1alpha1.OutcomeAbandoned, "undone-by-hand")
	s.ended(db, 3, v1alpha1.OutcomePassed, "known-good")
	s.rolledOut(db)
	s.stands(db, "a", 2, 3)
	d.handsOff()

	s.kubectl("rollout", "restart", db)
	if b := s.passed(db, 3, 4); !b.Spec.RestartOnly {
		t.Errorf("not recognized as a restart: %v", b.Spec.Changes)
	}
	s.count(3)
}

// TestStatefulSetNoHistory: without history there is nothing to go back to once the rollout is complete.
func TestStatefulSetNoHistory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodSet("a")
	a.spec = map[string]any{"revisionHistoryLimit": 0}
	s.running(a)
	d := s.daemon(rules{signals: byPod, window: "60s"})
	b := badSet("b")
	b.spec, b.after = a.spec, "25s"
	s.deploy(b)
	got := s.ended(db, 2, v1alpha1.OutcomeHeld, "threshold", "no-good-revision")
	s.told(got)
	s.stands(db, "b", 2, 2)
	d.handsOff()
}
