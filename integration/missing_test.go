package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// account makes a ServiceAccount for the daemon of this stage, and returns its kubeconfig.
func (s *stage) account(name string) string {
	s.t.Helper()
	s.kubectl("--namespace", s.home, "create", "serviceaccount", name)
	path, err := s.kubeconfigOf(s.home, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

// grant gives a ServiceAccount of this stage what deploy/ gives its own, after edit has had its way with the text.
func (s *stage) grant(account string, edit func(rbac string) string) {
	s.t.Helper()
	raw, err := os.ReadFile("../deploy/rbac.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	name := s.home + "-" + account
	text := strings.NewReplacer("ServiceAccount\n    name: bakewatch\n", "ServiceAccount\n    name: "+account+"\n",
		"  name: bakewatch\n", "  name: "+name+"\n", "namespace: bakewatch\n", "namespace: "+s.home+"\n").Replace(edit(string(raw)))
	for _, doc := range strings.Split(text, "\n---\n") {
		if strings.Contains(doc, "Role") && strings.Contains(doc, "  name: "+name+"\n") {
			s.apply(doc)
		}
	}
}

func asItIs(rbac string) string { return rbac }

func with(kubeconfig string) func(*daemon) { return func(d *daemon) { d.kubeconfig = kubeconfig } }

func TestNoConfigMap(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	d := s.newDaemon()
	d.start()
	for _, text := range []string{"ConfigMap " + s.home + "/bakewatch does not exist", "kubectl apply -f deploy/configmap.yaml"} {
		d.ready(503, text)
		d.says(text)
	}
	s.set(rules{}.yaml(s.cluster))
	d.ready(200)
	d.guards()
	s.deploy(bad("web", "b"))
	s.rolledBack("web", 1, 2, "a", 2, "threshold")

	// What was in force stays in force when the ConfigMap goes.
	s.kubectl("--namespace", s.home, "delete", "configmap", "bakewatch")
	d.ready(200, "does not exist")
	d.metric("bakewatch_config_last_reload_successful 0")
	s.deploy(good("web", "c"))
	s.passed("web", 3, 4)
}

// TestNoRightsAtAll: an account that may nothing says what it lacks; once it may, it guards without a restart.
func TestNoRightsAtAll(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.set(rules{}.yaml(s.cluster))
	d := s.newDaemon(with(s.account("nobody")))
	d.start()
	d.ready(503, "deploy/rbac.yaml", "may not be read", "patch deployments in "+s.namespace+" (to roll back)", "leases")
	d.says("deploy/rbac.yaml, which grants it")
	s.grant("nobody", asItIs)
	d.guards()
	d.ready(200)
	s.deploy(bad("web", "b"))
	s.rolledBack("web", 1, 2, "a", 2, "threshold")
}

// TestNoRightToRollBack: the rollback is held for a person, who is told what is missing.
func TestNoRightToRollBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	kubeconfig := s.account("reader")
	s.grant("reader", func(rbac string) string {
		without := strings.Replace(rbac, "    resources: [deployments]\n    verbs: [patch]\n", "    resources: [deployments]\n    verbs: [get]\n", 1)
		if without == rbac {
			t.Fatal("deploy/rbac.yaml has no rule for patching deployments")
		}
		return without
	})
	s.set(rules{deadline: "10s"}.yaml(s.cluster))
	d := s.newDaemon(with(kubeconfig))
	d.start()
	d.guards()
	d.ready(200, "permissions:", "patch deployments in "+s.namespace+" (to roll back)", "deploy/rbac.yaml")

	s.deploy(bad("web", "b"))
	b := s.ended("web", 2, v1alpha1.OutcomeHeld, "threshold", "rollback-failed")
	if last := b.Status.Reasons[len(b.Status.Reasons)-1].Sentence; !strings.Contains(last, "not permitted") || !strings.Contains(last, "deploy/rbac.yaml") {
		t.Errorf("it does not say what is missing: %s", last)
	}
	s.alarmed("BakewatchHeld", b)
	s.told(b)
	s.stands("web", "b", 2, 2)
	d.handsOff()

	s.grant("reader", asItIs)
	s.enforce(d, rules{})
	s.deploy(bad("web", "c"))
	s.rolledBack("web", 1, 3, "a", 2, "threshold")
}

// TestNoPrometheus: an address where nobody answers is named before a rollout needs it.
func TestNoPrometheus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	w := newWire(t, s.Prometheus)
	w.cut()
	d := s.daemon(rules{prometheus: w.address})
	d.ready(200, "prometheus:", strings.TrimPrefix(w.address, "http://"), "sources.prometheus")
	d.says(strings.TrimPrefix(w.address, "http://"))
	w.mend()
	waitFor(t, "/readyz to be clean", patience, func() (bool, string) {
		status, body := d.get("/readyz")
		return status == 200 && body == "ok\n", body
	})
}

// TestNoKubernetes: nothing answers at the API server's address.
func TestNoKubernetes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	raw, err := os.ReadFile(s.guardKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, s.APIServer)
	w.cut()
	elsewhere := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(elsewhere, []byte(strings.ReplaceAll(string(raw), s.APIServer, strings.Replace(w.address, "http:", "https:", 1))), 0o600); err != nil {
		t.Fatal(err)
	}
	s.set(rules{}.yaml(s.cluster))
	d := s.newDaemon(with(elsewhere))
	d.start()
	d.ready(503, "kubernetes: reach the API server at", strings.TrimPrefix(w.address, "http://"))
	w.mend()
	d.guards()
	d.ready(200)
}
