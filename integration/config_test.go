package integration

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/act/rollback"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/watcher"
)

// follows is the policy by which ConfigMaps are followed.
const follows = "configuration: {configMaps: true, sync: 6s}\n"

// grantConfigMaps switches the rule of deploy/rbac.yaml on that lets the daemon of this stage follow ConfigMaps.
func (s *stage) grantConfigMaps() {
	s.t.Helper()
	raw, err := os.ReadFile("../deploy/rbac.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?m)^  # (- apiGroups: \[""\]\n)  #   (resources: \[configmaps\]\n)  #   (verbs: .*\n)`).FindStringSubmatch(string(raw))
	if rule == nil {
		s.t.Fatal("deploy/rbac.yaml has no rule for ConfigMaps that is switched off")
	}
	s.apply("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: follows}\nrules:\n" + rule[1] + "  " + rule[2] + "  " + rule[3])
	s.kubectl("create", "rolebinding", "follows", "--role=follows", "--serviceaccount=bakewatch:bakewatch")
}

// configure applies a ConfigMap by which its readers fail that share of requests.
func (s *stage) configure(name, errorRate, color string, flags ...string) {
	s.t.Helper()
	s.apply(fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {playground.error-rate: %q, color: %s}\n", name, errorRate, color), flags...)
}

func (s *stage) configMap(name string) *corev1.ConfigMap {
	s.t.Helper()
	m, err := s.client.CoreV1().ConfigMaps(s.namespace).Get(s.context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// keeps waits until the content of a ConfigMap is kept that has that color.
func (s *stage) keeps(color string) {
	s.t.Helper()
	s.waitFor("the "+color+" content to be kept", func() (bool, string) {
		list, err := s.client.CoreV1().ConfigMaps(s.namespace).List(s.context(), metav1.ListOptions{LabelSelector: watcher.LabelKept})
		if err != nil {
			return false, err.Error()
		}
		var colors []string
		for _, m := range list.Items {
			colors = append(colors, m.Data["color"])
		}
		return slices.Contains(colors, color), fmt.Sprint("kept: ", colors)
	})
}

// hasBack checks that a ConfigMap is what it was, and that nothing of it belongs to the daemon.
func (s *stage) hasBack(name, color string) {
	s.t.Helper()
	m := s.configMap(name)
	if m.Data["color"] != color || m.Data["playground.error-rate"] != "0" || m.Annotations["bakewatch.dev/rolled-back-from"] == "" {
		s.t.Errorf("%s holds %v, marked %v", name, m.Data, m.Annotations)
	}
	for _, f := range m.ManagedFields {
		if f.Manager == rollback.FieldManager {
			s.t.Errorf("bakewatch owns fields of %s: %s", name, f.FieldsV1)
		}
	}
}

// inPlace are the Bakes about the configuration of a workload, oldest first.
func (s *stage) inPlace(name string) []v1alpha1.Bake {
	return slices.DeleteFunc(s.bakes(), func(b v1alpha1.Bake) bool { return !b.Spec.InPlace || b.Spec.Ref != ref(name) })
}

// TestConfigurationInPlace: a mounted ConfigMap that two workloads share turns bad. It is put back once, each workload's Bake
// tells, and the fix is applied on the server side without a conflict.
func TestConfigurationInPlace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.grantConfigMaps()
	s.configure("app-config", "0", "blue", "--server-side")
	web, api := good("web", "a"), good("api", "a")
	web.mounts, api.mounts = "app-config", "app-config"
	s.running(web, api)
	s.daemon(rules{more: follows})
	s.keeps("blue")

	s.configure("app-config", "0.4", "red", "--server-side")
	var ended []v1alpha1.Bake
	s.waitFor("both bakes to end", func() (bool, string) {
		ended = append(s.inPlace("web"), s.inPlace("api")...)
		over := !slices.ContainsFunc(ended, func(b v1alpha1.Bake) bool { return b.Status.Outcome == "" })
		return over && len(ended) == 2, tell(ended...)
	})
	undone, restores := 0, 0
	for _, b := range ended {
		for _, want := range []string{"ConfigMap app-config: key color changed", "ConfigMap app-config: key playground.error-rate changed"} {
			if !slices.Contains(b.Spec.Changes, want) {
				t.Errorf("changes of %s are %q, without %q", b.Spec.Ref, b.Spec.Changes, want)
			}
		}
		switch {
		case b.Status.Outcome == v1alpha1.OutcomeRolledBack && slices.Contains(codes(b), "threshold"):
			undone++
			restores += len(b.Status.Rollback.ConfigMaps)
			if b.Status.Rollback.Recovered != "Yes" {
				t.Errorf("recovered %q: %s", b.Status.Rollback.Recovered, b.Status.Rollback.Recovery)
			}
		case b.Status.Outcome == v1alpha1.OutcomeAbandoned && slices.Contains(codes(b), "config-restored"):
			if !strings.Contains(b.Status.Why, "ConfigMap app-config was put back by the rollback of "+s.namespace+" deployment/") {
				t.Errorf("it does not say by whom: %s", b.Status.Why)
			}
		default:
			t.Errorf("neither rolled back nor put back by the other:\n%s", tell(b))
		}
	}
	if undone != 1 || restores != 1 {
		t.Errorf("%d rollbacks, %d ConfigMaps put back; want one:\n%s", undone, restores, tell(ended...))
	}
	s.hasBack("app-config", "blue")
	for _, name := range []string{"web", "api"} {
		if n := s.workload(name).meta.Annotations["deployment.kubernetes.io/revision"]; n != "1" {
			t.Errorf("%s is at revision %s: its pods were replaced", name, n)
		}
	}

	s.configure("app-config", "0", "green", "--server-side")
	s.waitFor("the fix to pass", func() (bool, string) {
		all := append(s.inPlace("web"), s.inPlace("api")...)
		passed := 0
		for _, b := range all {
			if b.Status.Outcome == v1alpha1.OutcomePassed {
				passed++
			}
		}
		return passed == 2, tell(all...)
	})
	s.keeps("green")
}

// TestConfigurationWithARestart: a ConfigMap that pods have as their environment turns bad, and the pods are restarted. It is one
// rollout; content and template are put back once each, although the daemon is killed around every write of it.
func TestConfigurationWithARestart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.grantConfigMaps()
	s.configure("app-config", "0", "blue")
	web := versionA
	web.envFrom = "app-config"
	s.running(web)
	y := &story{stage: s, p: newProxy(t, s.cluster), killed: make(chan string, 2)}
	s.set(rules{more: quick + "\n" + follows}.yaml(y.p.through))
	y.good = s.workload("web").template
	y.d = y.newDaemon(func(d *daemon) { d.kubeconfig = y.p.kubeconfig })
	t.Cleanup(func() { y.p.hook(nil) })
	y.p.admit()
	y.d.start()
	y.d.guards()
	s.keeps("blue")
	time.Sleep(1100 * time.Millisecond)

	at := []struct {
		what string
		when moment
	}{{"configmap: data", before}, {"configmap: data", after}, {"configmap: ownership", after}, {"workload: template", after}}
	kills := len(at)
	y.p.hook(func(when moment, m mutation) bool {
		if len(at) == 0 || m.What != at[0].what || when != at[0].when {
			return true
		}
		at = at[1:]
		y.kill(string(when) + " " + m.What)
		return false
	})
	s.configure("app-config", "0.4", "red")
	s.kubectl("rollout", "restart", ref("web"))
	y.until("the bake to end", kills, func() (bool, string) {
		b, state := s.bake("web", 2)
		return b != nil && b.Status.Outcome != "", state
	})
	b := s.ended("web", 2, v1alpha1.OutcomeRolledBack, "threshold")
	if b.Spec.InPlace || b.Spec.RestartOnly || !slices.Contains(b.Spec.Changes, "ConfigMap app-config: key color changed") {
		t.Errorf("in place %v, restart only %v, changes %q", b.Spec.InPlace, b.Spec.RestartOnly, b.Spec.Changes)
	}
	for _, what := range []string{"configmap: data", "workload: template"} {
		if n := len(y.find(what)); n != 1 {
			t.Errorf("%s was written %d times, want once; writes: %s", what, n, y.writes())
		}
	}
	if all := s.inPlace("web"); len(all) > 0 {
		t.Errorf("the content has a bake of its own:\n%s", tell(all...))
	}
	s.hasBack("app-config", "blue")
	y.unowned()
	if n := s.workload("web").meta.Annotations["deployment.kubernetes.io/revision"]; n != "3" {
		t.Errorf("web is at revision %s", n)
	}
	s.configure("app-config", "0", "green")
	s.kubectl("rollout", "restart", ref("web"))
	s.ended("web", 4, v1alpha1.OutcomePassed, "within-threshold")
}

// TestConfigurationAtStart: variables go bad, and nothing happens until a pod is made anew under the same template. The content is
// put back and the pods are restarted, as kubectl rollout restart does it; the next apply meets no conflict.
func TestConfigurationAtStart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.grantConfigMaps()
	s.configure("app-config", "0", "blue")
	web := good("web", "a")
	web.envFrom, web.serverSide = "app-config", true
	s.running(web)
	d := s.daemon(rules{more: follows})
	s.keeps("blue")

	s.configure("app-config", "0.8", "red")
	d.says("no pod reads it before it starts")
	if all := s.bakes(); len(all) > 0 {
		t.Fatalf("baked before any pod was started:\n%s", tell(all...))
	}
	time.Sleep(2100 * time.Millisecond) // who started in the second of the change may have read either
	pods, err := s.client.CoreV1().Pods(s.namespace).List(s.context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(pods.Items) != 2 {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	s.kubectl("delete", "pod", pods.Items[0].Name, "--wait=false")
	var b v1alpha1.Bake
	s.waitFor("the bake in place to end", func() (bool, string) {
		all := s.inPlace("web")
		if len(all) > 0 {
			b = all[0]
		}
		return len(all) > 0 && b.Status.Outcome != "", tell(s.bakes()...)
	})
	rb := b.Status.Rollback
	if b.Status.Outcome != v1alpha1.OutcomeRolledBack || rb == nil || rb.Restart == nil || rb.Restart.DoneAt == nil || rb.Target.Number != 2 {
		t.Fatalf("it ended otherwise, or nothing was restarted: %+v\n%s", rb, tell(b))
	}
	s.hasBack("app-config", "blue")
	w := s.workload("web")
	if got := w.template.Annotations["kubectl.kubernetes.io/restartedAt"]; got != rb.Restart.At || w.meta.Annotations["deployment.kubernetes.io/revision"] != "2" {
		t.Errorf("restarted at %q, on record %q; revision %s", got, rb.Restart.At, w.meta.Annotations["deployment.kubernetes.io/revision"])
	}
	s.ownsNothing("web")
	if all := s.bakes(); len(all) != 1 {
		t.Errorf("the restart was taken for a rollout:\n%s", tell(all...))
	}
	web.version = "b"
	s.deploy(web)
	s.ended("web", 3, v1alpha1.OutcomePassed, "within-threshold")
}
