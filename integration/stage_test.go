package integration

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/records"
)

// patience is how long a test waits for something that is to happen. Nothing is asserted about how long it takes.
const patience = 3 * time.Minute

// stage is one test's part of a cluster: a namespace for its workloads, and one, its home, for the daemon's policy and
// Lease. So tests run side by side, each with a daemon of its own.
type stage struct {
	*cluster
	t         *testing.T
	namespace string
	home      string
	records   *records.Bakes // of the workloads' namespace, read as the administrator
}

var stages atomic.Int64

// newStage makes a stage in the shared cluster. It skips the test where there is none.
func newStage(t *testing.T) *stage {
	t.Helper()
	if why := missing(); why != "" {
		t.Skip(why)
	}
	return shared.stage(t)
}

func (c *cluster) stage(t *testing.T) *stage {
	t.Helper()
	name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	name = fmt.Sprintf("%s-%d", strings.Trim(name[:min(len(name), 40)], "-"), stages.Add(1))
	s := &stage{cluster: c, t: t, namespace: name, home: name + "-bw"}
	for _, ns := range []string{s.namespace, s.home} {
		if _, err := c.client.CoreV1().Namespaces().Create(s.context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.records, err = records.New(c.config, []string{s.namespace}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := c.kubectl(nil, "--namespace", s.namespace, "get", "deployments,replicasets,statefulsets,daemonsets,controllerrevisions,pods,bakes", "-o", "wide")
			t.Logf("namespace %s at the end:\n%s", s.namespace, out)
		}
		// So that its traffic stops; the playground forgets the rest.
		_, _ = c.kubectl(nil, "--namespace", s.namespace, "delete", "deployments,statefulsets,daemonsets", "--all", "--wait=false")
	})
	s.grantHome()
	return s
}

// grantHome gives the daemon in this stage's home the rights it has in its namespace of deploy/, and no others.
func (s *stage) grantHome() {
	s.t.Helper()
	raw, err := os.ReadFile("../deploy/rbac.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	var granted []string
	for _, doc := range strings.Split(string(raw), "\n---\n") {
		if !strings.Contains(doc, "\nkind: Role\n") && !strings.Contains(doc, "\nkind: RoleBinding\n") {
			continue
		}
		// The first namespace is the object's own; a later one is the ServiceAccount's.
		granted = append(granted, strings.Replace(doc, "namespace: bakewatch\n", "namespace: "+s.home+"\n", 1))
	}
	if len(granted) != 2 {
		s.t.Fatalf("deploy/rbac.yaml has %d Roles and RoleBindings; the tests copy 2", len(granted))
	}
	s.apply(strings.Join(granted, "\n---\n"))
}

// try runs kubectl in the workloads' namespace, as a user would, and returns what it printed.
func (s *stage) try(args ...string) (string, error) {
	s.t.Helper()
	return s.cluster.kubectl(nil, append([]string{"--namespace", s.namespace}, args...)...)
}

// kubectl is try where it must work.
func (s *stage) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply is kubectl apply -f - with the flags given.
func (s *stage) apply(yaml string, flags ...string) {
	s.t.Helper()
	if out, err := s.tryApply(yaml, flags...); err != nil {
		s.t.Fatalf("kubectl apply %s: %v: %s\n%s", strings.Join(flags, " "), err, out, yaml)
	}
}

func (s *stage) tryApply(yaml string, flags ...string) (string, error) {
	s.t.Helper()
	// A manifest that names a namespace is applied there.
	args := append([]string{"apply", "-f", "-"}, flags...)
	if !strings.Contains(yaml, "namespace: "+s.home) {
		args = append([]string{"--namespace", s.namespace}, args...)
	}
	return s.cluster.kubectl([]byte(yaml), args...)
}

// waitFor waits until ok, and fails with the last state it saw if that does not come.
func waitFor(t *testing.T, what string, patience time.Duration, look func() (ok bool, state string)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(250 * time.Millisecond) {
		ok, state := look()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s; last: %s", patience, what, state)
		}
	}
}

// waitFor is the function of that name with this test's patience.
func (s *stage) waitFor(what string, look func() (ok bool, state string)) {
	s.t.Helper()
	waitFor(s.t, what, patience, look)
}

func (s *stage) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s.t.Cleanup(cancel)
	return ctx
}

// bakes are the Bakes of the workloads' namespace, oldest rollout first.
func (s *stage) bakes() []v1alpha1.Bake {
	s.t.Helper()
	all, err := s.listBakes()
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *stage) listBakes() ([]v1alpha1.Bake, error) {
	var out []v1alpha1.Bake
	err := s.records.List(s.context(), func(b *v1alpha1.Bake) { out = append(out, *b) })
	slices.SortFunc(out, func(a, b v1alpha1.Bake) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return out, err
}

// bake is the Bake of a workload's rollout to that revision number; nil while there is none.
func (s *stage) bake(name string, to int64) (*v1alpha1.Bake, string) {
	all, err := s.listBakes()
	if err != nil {
		return nil, err.Error()
	}
	var found *v1alpha1.Bake
	for i, b := range all {
		if b.Spec.Ref == ref(name) && b.Spec.To.Number == to {
			found = &all[i]
		}
	}
	return found, fmt.Sprintf("%d bakes:\n%s", len(all), tell(all...))
}

// tell says where Bakes stand.
func tell(bakes ...v1alpha1.Bake) string {
	var lines []string
	for _, b := range bakes {
		lines = append(lines, fmt.Sprintf("  %s %s: phase %q, outcome %q, %s: %s", b.Spec.Ref, b.Spec.Revisions, b.Status.Phase, b.Status.Outcome, codes(b), b.Status.Why))
	}
	return strings.Join(lines, "\n")
}

// codes are the codes of a Bake's reasons.
func codes(b v1alpha1.Bake) []string {
	out := []string{}
	for _, r := range b.Status.Reasons {
		out = append(out, r.Code)
	}
	return out
}

// inPhase waits until the rollout's Bake is in one of the phases, and returns it. It fails when the Bake ends before.
func (s *stage) inPhase(name string, to int64, phases ...v1alpha1.Phase) v1alpha1.Bake {
	s.t.Helper()
	var got v1alpha1.Bake
	s.waitFor(fmt.Sprintf("the bake of %s rev %d to be %v", name, to, phases), func() (bool, string) {
		b, state := s.bake(name, to)
		if b == nil {
			return false, state
		}
		if b.Status.Outcome != "" {
			s.t.Fatalf("the bake of %s rev %d ended before it was %v:\n%s", name, to, phases, tell(*b))
		}
		got = *b
		return slices.Contains(phases, b.Status.Phase), state
	})
	return got
}

// ended waits until the rollout's Bake has an outcome, which must be the one given, with a reason of each code.
func (s *stage) ended(name string, to int64, outcome v1alpha1.Outcome, want ...string) v1alpha1.Bake {
	s.t.Helper()
	var got v1alpha1.Bake
	s.waitFor(fmt.Sprintf("the bake of %s rev %d to end as %s", name, to, outcome), func() (bool, string) {
		b, state := s.bake(name, to)
		if b == nil || b.Status.Outcome == "" {
			return false, state
		}
		got = *b
		return true, state
	})
	if got.Status.Outcome != outcome {
		s.t.Fatalf("outcome %s of %s rev %d, want %s:\n%s", got.Status.Outcome, name, to, outcome, tell(got))
	}
	for _, code := range want {
		if !slices.Contains(codes(got), code) {
			s.t.Fatalf("%s rev %d: no reason has the code %s:\n%s", name, to, code, tell(got))
		}
	}
	return got
}

// rolledOut waits until a workload's rollout is complete.
func (s *stage) rolledOut(names ...string) {
	s.t.Helper()
	for _, name := range names {
		out, err := s.try("rollout", "status", ref(name), "--timeout=100s")
		switch {
		case err == nil:
		case strings.Contains(out, "only available for RollingUpdate"): // it does not tell of OnDelete
			s.waitFor(name+" to be ready", func() (bool, string) {
				w := s.workload(name)
				return w.ready == w.replicas, fmt.Sprintf("%d of %d ready", w.ready, w.replicas)
			})
		default:
			s.t.Fatalf("rollout of %s: %v: %s", name, err, out)
		}
	}
}

// image is the image of a workload's template, which is how the tests tell versions apart.
func (s *stage) image(name string) string {
	s.t.Helper()
	return s.workload(name).template.Spec.Containers[0].Image
}

// events are the reasons of the Events on an object.
func (s *stage) events(namespace, kind, name string) []corev1.Event {
	s.t.Helper()
	list, err := s.client.CoreV1().Events(namespace).List(s.context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e corev1.Event) bool {
		return e.InvolvedObject.Kind != kind || e.InvolvedObject.Name != name
	})
}
