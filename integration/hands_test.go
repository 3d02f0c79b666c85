package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestHands: a person asks how a workload stands, which revisions are good, what measures it and what happened.
func TestHands(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{})
	s.deploy(good("web", "b"))
	s.passed("web", 1, 2)
	s.deploy(bad("web", "c"))
	b := s.rolledBack("web", 2, 3, "b", 2, "threshold")

	// As a plugin of kubectl: kubectl finds it by its name.
	plugins := t.TempDir()
	if err := os.Symlink(bakewatchBinary, filepath.Join(plugins, "kubectl-bakewatch")); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) string {
		t.Helper()
		if args[0] != "__complete" { // what is completed is its last argument
			args = append(args, "--kubeconfig", s.Kubeconfig, "-n", s.namespace)
		}
		cmd := exec.CommandContext(s.context(), filepath.Join(plugins, "kubectl-bakewatch"), args...)
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, &errs)
		}
		return string(out)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"status"}, []string{"deployment/web", "2 → 3", "RolledBack", b.Status.Why[:30]}},
		{[]string{"history", "deploy/web"}, []string{"3     RolledBack   no", "2     Passed       yes", "app:c", "app:b"}},
		{[]string{"signals", "web"}, []string{"http-errors", "prometheus", "pod", "Not chosen:", "istio_requests_total"}},
		{[]string{"report", b.Name}, []string{"# deployment/web in " + s.namespace + ": rolled back to revision 2", "image of app: app:b → app:c", "the old template was put back"}},
		{[]string{"report", b.Name, "-o", "html"}, []string{"<!doctype html>", "Rolled back, recovered", "<svg", "old version before the rollout", "old version after the rollback", "share of requests that failed"}},
	} {
		out := ask(c.args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v does not say %q:\n%s", c.args, want, out)
			}
		}
	}
	var listed []v1alpha1.Bake
	if err := json.Unmarshal([]byte(ask("history", "web", "-o", "json")), &listed); err != nil || len(listed) != 2 || listed[0].Name != b.Name {
		t.Errorf("as json: %v, %d bakes", err, len(listed))
	}
	// kubectl itself completes it, by a link of that name.
	if err := os.Symlink(bakewatchBinary, filepath.Join(plugins, "kubectl_complete-bakewatch")); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"history\t":        {"bakewatch", "his"},
		"deployment/web\n": {"bakewatch", "history", "--kubeconfig", s.Kubeconfig, "-n", s.namespace, ""},
		"client\n":         {"bakewatch", "undo", "--dry-run=c"},
	} {
		cmd := exec.CommandContext(s.context(), kubectlBinary, append([]string{"__complete"}, args...)...)
		cmd.Env = append(os.Environ(), "PATH="+plugins+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("kubectl completes %v to %v:\n%s", args, err, out)
		}
	}
	if out := ask("__complete", "history", "--kubeconfig", s.Kubeconfig, "-n", s.namespace, ""); !strings.Contains(out, "deployment/web\n") {
		t.Errorf("completes to:\n%s", out)
	}
}
