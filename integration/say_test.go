package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// say has a person say something, and returns what the command printed.
func (s *stage) say(answer string, args ...string) (string, error) {
	cmd := exec.CommandContext(s.context(), bakewatchBinary, append(args, "--kubeconfig", s.Kubeconfig, "-n", s.namespace)...)
	cmd.Stdin = strings.NewReader(answer)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is say where it has to work.
func (s *stage) must(answer string, args ...string) string {
	s.t.Helper()
	out, err := s.say(answer, args...)
	if err != nil {
		s.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

// TestAPersonDecides: a rollback waits for approval and is answered; a rollout that is well is undone, or left alone, because somebody
// says so. Who it was is on record.
func TestAPersonDecides(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	names := []string{"yes", "no", "back", "alone"}
	var apps []app
	for _, name := range names {
		a := good(name, "a")
		a.replicas = 1
		apps = append(apps, a)
	}
	s.running(apps...)
	s.daemon(rules{window: "90s", more: "workloads: [{match: {name: 'yes'}, guards: {approval: {required: true}}}, {match: {name: 'no'}, guards: {approval: {required: true}}}]"})
	for i, a := range apps {
		a.version = "b"
		if i < 2 {
			a.errorRate = 0.4
		}
		s.deploy(a)
	}
	for _, name := range names {
		s.waitFor(name+" to be baked", func() (bool, string) {
			b, state := s.bake(name, 2)
			return b != nil && b.Status.Phase == v1alpha1.PhaseBaking, state
		})
	}
	if out, err := s.say("y\n", "approve", "deployment/back"); err == nil || !strings.Contains(out, "no rollback of deployment/back waits for approval") {
		t.Errorf("an approval that nobody asked for: %v: %s", err, out)
	}
	if out := s.must("", "undo", "back", "--dry-run"); !strings.Contains(out, "will roll deployment/back in "+s.namespace+" back from rev 2 (app:b) to rev 1 (app:a)") || !strings.Contains(out, "not written") {
		t.Errorf("a dry run says: %s", out)
	}
	if out, err := s.say("n\n", "undo", "back"); err == nil || !strings.Contains(out, "nothing was done") {
		t.Errorf("a no is taken for a yes: %v: %s", err, out)
	}
	s.must("y\n", "undo", "deploy/back")
	s.must("", "abort", "alone", "--yes", "-o", "json")

	for _, name := range names[:2] {
		s.waitFor(name+" to wait for approval", func() (bool, string) {
			b, state := s.bake(name, 2)
			return b != nil && b.Status.Approval != nil, state
		})
		b, _ := s.bake(name, 2)
		s.alarmed("BakewatchHeld", *b)
		if image := s.image(name); image != "app:b" {
			t.Errorf("%s runs %s before anybody answered", name, image)
		}
	}
	s.must("y\n", "approve", "yes")
	s.must("", "reject", "no", "--yes")

	yes := s.rolledBack("yes", 1, 2, "a", 1, "threshold")
	if a := yes.Status.Approval; a.Answer != "Approved" || a.By == "" || a.AnsweredAt == nil {
		t.Errorf("the answer is not on record: %+v", a)
	}
	no := s.ended("no", 2, v1alpha1.OutcomeHeld, "threshold", "rejected")
	if last := no.Status.Reasons[len(no.Status.Reasons)-1].Sentence; no.Status.Approval.Answer != "Rejected" || !strings.Contains(last, no.Status.Approval.By+" said not to roll") {
		t.Errorf("the answer is not on record: %+v: %s", no.Status.Approval, last)
	}
	back := s.ended("back", 2, v1alpha1.OutcomeRolledBack, "by-hand")
	if !strings.Contains(back.Status.Why, " asked to roll deployment/back back from rev 2") || strings.Contains(back.Status.Why, "somebody") {
		t.Errorf("it does not say who: %s", back.Status.Why)
	}
	s.ended("alone", 2, v1alpha1.OutcomeAbandoned, "aborted")
	if s.image("no") != "app:b" || s.image("alone") != "app:b" || s.image("back") != "app:a" {
		t.Errorf("no runs %s, alone %s, back %s", s.image("no"), s.image("alone"), s.image("back"))
	}
}
