package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// nodes is how many nodes the playground has: a DaemonSet's pod runs on each.
const nodes = 2

// goodAgent and badAgent are versions of a DaemonSet.
func goodAgent(version string) app {
	return app{kind: "DaemonSet", name: "agent", version: version}
}

func badAgent(version string) app {
	a := goodAgent(version)
	a.errorRate = 0.4
	return a
}

const agent = "daemonset/agent"

// TestDaemonSet: on several nodes, a bad version is rolled back and a good one passes.
func TestDaemonSet(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodAgent("a")
	a.env = map[string]string{"ONLY_IN_A": "1"}
	s.running(a)
	s.daemon(rules{signals: byPod})

	s.deploy(badAgent("b"))
	b := s.rolledBack(agent, 1, 2, "a", nodes, "threshold")
	if !slices.Contains(b.Spec.Changes, "image of app: app:a → app:b") {
		t.Errorf("changes: %q", b.Spec.Changes)
	}
	if got := s.env(agent); !slices.Contains(got, "ONLY_IN_A") {
		t.Errorf("the old template's variable did not come back: %q", got)
	}
	if len(b.Status.Pods) == 0 {
		t.Error("the record does not say which pods were new")
	}
	s.deploy(goodAgent("c"))
	s.passed(agent, 3, 4)
	s.deploy(goodAgent("d"), "--server-side")
	s.passed(agent, 4, 5)
	s.ownsNothing(agent)
	s.kubectl("rollout", "restart", agent)
	if b := s.passed(agent, 5, 6); !b.Spec.RestartOnly {
		t.Errorf("not recognized as a restart: %v", b.Spec.Changes)
	}
	s.count(4)
}

// TestDaemonSetServerSide: the next server-side apply meets no conflict, and takes away what only the old template had.
func TestDaemonSetServerSide(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodAgent("a")
	a.env, a.serverSide = map[string]string{"ONLY_IN_A": "1"}, true
	s.running(a)
	s.daemon(rules{signals: byPod})

	s.deploy(badAgent("b"), "--server-side")
	s.rolledBack(agent, 1, 2, "a", nodes, "threshold")
	s.deploy(goodAgent("c"), "--server-side")
	if got := s.env(agent); len(got) != 0 {
		t.Errorf("variables %q are left over from the old template", got)
	}
	s.passed(agent, 3, 4)
	s.ownsNothing(agent)
}

// TestDaemonSetSurge: new pods start beside the old ones, on each node.
func TestDaemonSetSurge(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	surge := map[string]any{"updateStrategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": 2, "maxUnavailable": 0}}}
	a := goodAgent("a")
	a.spec = surge
	s.running(a)
	s.daemon(rules{signals: byPod})

	b := badAgent("b")
	b.spec = surge
	s.deploy(b)
	s.rolledBack(agent, 1, 2, "a", nodes, "threshold")
}

// TestDaemonSetNeverReady: none of its new pods becomes ready. Its controller replaces them by itself once the template is back.
func TestDaemonSetNeverReady(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wide := map[string]any{"updateStrategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxUnavailable": 2}}}
	a := goodAgent("a")
	a.spec = wide
	s.running(a)
	s.daemon(rules{signals: byPod, deadline: "15s"})

	b := goodAgent("b")
	b.spec, b.mode = wide, "unready"
	s.deploy(b)
	got := s.rolledBack(agent, 1, 2, "a", nodes, "progress-deadline")
	if len(got.Status.Rollback.Freed) != 0 {
		t.Errorf("pods were deleted that the controller replaces by itself: %+v", got.Status.Rollback.Freed)
	}
}

// TestDaemonSetOnDelete: it is baked from the first new pod on. The template is put back, a pod that is stuck is deleted, and
// one that serves is left, and named.
func TestDaemonSetOnDelete(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := goodAgent("a")
	a.spec = onDelete
	s.running(a)
	d := s.daemon(rules{signals: byPod})

	b := badAgent("b")
	b.spec = onDelete
	s.deploy(b)
	d.says(`"changed, and nothing rolls out yet`)
	s.count(0)
	var first string
	for name := range s.pods(agent) {
		first = name
	}
	s.kubectl("delete", "pod", first)
	got := s.ended(agent, 2, v1alpha1.OutcomeRolledBack, "threshold", "pods-left")
	bad := ""
	for name, image := range s.pods(agent) {
		if image == "app:b" {
			bad = name
		}
	}
	if rec := got.Status.Rollback.Recovery; bad == "" || !strings.Contains(rec, "1 pods still run rev 2 ("+bad+")") {
		t.Errorf("%q runs the bad version; recovery: %s", bad, rec)
	}
	s.stands(agent, "a", nodes, 3)
	s.ownsNothing(agent)
	s.kubectl("delete", "pod", bad)
	s.rolledOut(agent)

	// The same template comes again, and its pods do not become ready.
	c := goodAgent("c")
	c.spec, c.mode = onDelete, "unready"
	s.enforce(d, rules{signals: byPod, deadline: "25s"})
	s.deploy(c)
	for name := range s.pods(agent) {
		s.kubectl("delete", "pod", name, "--wait=false")
	}
	stuck := s.rolledBack(agent, 3, 4, "a", nodes, "progress-deadline")
	if n := len(stuck.Status.Rollback.Freed); n != nodes {
		t.Errorf("%d pods freed, want all %d: %+v", n, nodes, stuck.Status.Rollback.Freed)
	}
}

// TestDaemonSetUndoneByHand: whoever puts the good version back by hand ends the bake.
func TestDaemonSetUndoneByHand(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(goodAgent("a"))
	d := s.daemon(rules{signals: byPod})

	b := badAgent("b")
	b.after = "60s"
	s.deploy(b)
	s.inPhase(agent, 2, v1alpha1.PhaseBaking)
	s.kubectl("rollout", "undo", agent)
	s.ended(agent, 2, v1alpha1.OutcomeAbandoned, "undone-by-hand")
	s.ended(agent, 3, v1alpha1.OutcomePassed, "known-good")
	s.rolledOut(agent)
	s.stands(agent, "a", nodes, 3)
	d.handsOff()
	s.count(2)
}
