package integration

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/rollback"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// story is a daemon behind a proxy, and a Deployment "web" whose version a is known good.
type story struct {
	*stage
	p      *proxy
	d      *daemon
	good   corev1.PodTemplateSpec // version a's
	killed chan string            // one entry for each time the daemon was killed: what it was about to do, or had done

	earlier *proxy // of the daemon that this one took over from, if any
}

// quick are times that fit many stories into a minute.
const quick = "workloads: [{match: {namespace: '*'}, bake: {window: 25s, interval: 1s, verify: 8s, deadline: 10m}}]"

// The versions of every story: one that is known good, a bad one, and the fix.
var (
	versionA = app{name: "web", version: "a", replicas: 1, rps: 50, env: map[string]string{"LEVEL": "1"}}
	versionB = app{name: "web", version: "b", replicas: 1, rps: 50, env: map[string]string{"LEVEL": "2"}, errorRate: 0.4, after: "5s"}
	versionC = app{name: "web", version: "c", replicas: 1, rps: 50, env: map[string]string{"LEVEL": "1"}}
)

func newStory(t *testing.T) *story {
	t.Helper()
	s := newStage(t)
	s.deploy(versionA)
	y := &story{stage: s, p: newProxy(t, s.cluster), killed: make(chan string, 2)}
	s.set(rules{more: quick}.yaml(y.p.through))
	s.rolledOut("web")
	y.good = s.workload("web").template
	s.waitFor("version a to have a past", func() (bool, string) {
		of := fmt.Sprintf("http_requests_total{namespace=%q}", s.namespace)
		n, err := s.query("sum(" + of + " - " + of + " offset 5s)")
		return err == nil && n >= 150, fmt.Sprint(n, err)
	})
	y.d = y.newDaemon(func(d *daemon) { d.kubeconfig = y.p.kubeconfig })
	t.Cleanup(func() { y.p.hook(nil) }) // no more kills
	y.p.admit()
	y.d.start()
	y.d.guards()
	time.Sleep(1100 * time.Millisecond) // what comes in the second in which guarding began is not taken for a rollout
	return y
}

// kill kills the daemon at once. Nothing it sends in that moment arrives.
func (y *story) kill(when string) {
	y.p.shut()
	y.d.kill()
	y.killed <- when
}

// killAt has the daemon, or its successor, killed once at each of the moments of what, in that order.
func (y *story) killAt(what string, moments ...moment) {
	y.p.hook(func(when moment, m mutation) bool {
		if m.What != what || len(moments) == 0 || moments[0] != when {
			return true
		}
		moments = moments[1:]
		y.kill(string(when) + " " + what)
		return false
	})
}

// restart starts the daemon again, and spares it the wait for the dead one's Lease to expire.
func (y *story) restart() {
	y.t.Helper()
	y.expireLease()
	y.p.admit()
	y.d.start()
}

func (y *story) expireLease() {
	y.t.Helper()
	_, err := y.client.CoordinationV1().Leases(y.home).Patch(y.context(), "bakewatch", types.MergePatchType,
		[]byte(`{"spec":{"holderIdentity":"","leaseDurationSeconds":1}}`), metav1.PatchOptions{})
	if err != nil {
		y.t.Fatal(err)
	}
}

// signal sends the daemon a signal.
func (y *story) signal(s syscall.Signal) {
	y.t.Helper()
	if err := y.d.process.Process.Signal(s); err != nil {
		y.t.Fatal(err)
	}
}

// find are the mutations of that name that were carried out.
func (y *story) find(what string) []mutation {
	if y.earlier == nil {
		return y.p.find(what)
	}
	return append(y.earlier.find(what), y.p.find(what)...)
}

// dies waits until the daemon was killed.
func (y *story) dies() {
	y.t.Helper()
	select {
	case <-y.killed:
	case <-time.After(2 * patience):
		y.t.Fatalf("the daemon was not killed; writes: %s", y.writes())
	}
}

// wait waits until the mutation that is to be held has come.
func (y *story) wait(h *holding) {
	y.t.Helper()
	select {
	case <-h.arrived:
	case <-time.After(2 * patience):
		y.t.Fatalf("%q did not come; writes: %s", h.what, y.writes())
	}
}

// until starts the daemon again whenever it was killed, until that happened so many times and done says so.
func (y *story) until(what string, kills int, done func() (bool, string)) {
	y.t.Helper()
	var seen []string
	// Many stories at once wait for each other, the more so on a busy machine.
	waitFor(y.t, fmt.Sprintf("%s, and %d kills", what, kills), 2*patience, func() (bool, string) {
		select {
		case when := <-y.killed:
			seen = append(seen, when)
			y.restart()
			return false, "killed " + when
		default:
		}
		ok, state := done()
		return ok && len(seen) >= kills, fmt.Sprintf("%s; killed %v; writes: %s", state, seen, y.writes())
	})
	y.p.hook(nil)
	y.t.Logf("killed %d times: %v", len(seen), seen)
}

// writes are all mutations so far, for people.
func (y *story) writes() string {
	var out []string
	for _, m := range y.p.mutations() {
		out = append(out, fmt.Sprintf("%d:%s=%d", m.Life, m.What, m.Status))
	}
	return strings.Join(out, ", ")
}

// allTold reports whether a rollout's Bake has ended, and all is told of it.
func (y *story) allTold(to int64) (bool, string) {
	b, state := y.bake("web", to)
	if b == nil || b.Status.Outcome == "" {
		return false, state
	}
	var untold []string
	for _, receiver := range []string{"events", "grafana", "webhook"} {
		if !slices.ContainsFunc(b.Status.Announced, func(r v1alpha1.Receipt) bool { return r.Receiver == receiver && r.Stage == "ended" }) {
			untold = append(untold, receiver)
		}
	}
	if b.Status.Rollback != nil && b.Status.Alert != nil && b.Status.Alert.ResolvedAt == nil {
		if alerts, err := y.alerts(*b); err != nil || len(alerts) == 0 || !strings.Contains(alerts[0].Annotations["summary"], ": rolled back from") {
			untold = append(untold, "alertmanager")
		}
	}
	return len(untold) == 0, fmt.Sprintf("%s; not told yet: %v", state, untold)
}

// undone checks what must be true of the rollout of version b however often the daemon was killed: what was written to the
// cluster was written once, and every receiver has one message.
func (y *story) undone() {
	t := y.t
	t.Helper()
	b := y.ended("web", 2, v1alpha1.OutcomeRolledBack, "threshold")
	if rec := b.Status.Rollback.Recovered; rec != "Yes" && rec != "Unknown" {
		t.Errorf("recovered is %q: %s", rec, b.Status.Rollback.Recovery)
	}
	for _, other := range y.bakes() {
		if other.Name != b.Name && other.Spec.To.Number < 4 {
			t.Errorf("there is a second Bake:\n%s", tell(other))
		}
	}
	patches := y.find("workload: template")
	if len(patches) != 1 {
		t.Fatalf("the template was written %d times, want once; writes: %s", len(patches), y.writes())
	}
	if patches[0].At.Before(b.Status.Rollback.IntendedAt.Time) {
		t.Errorf("the patch came %s before its intent", b.Status.Rollback.IntendedAt.Sub(patches[0].At))
	}
	intents := y.find("record: RollingBack")
	if len(intents) != 1 || !intents[0].At.Before(patches[0].At) {
		t.Errorf("the intent was not recorded once and before the patch; writes: %s", y.writes())
	}
	if b.Status.Rollback.PatchedAt == nil {
		t.Error("the record has no receipt of the patch")
	}

	events := map[string]int{}
	for _, e := range y.events(y.namespace, "Deployment", "web") {
		if e.Source.Component == "bakewatch" && e.Related != nil && e.Related.Name == b.Name {
			events[e.Reason]++
		}
	}
	for _, reason := range []string{"RolloutWatched", "RegressionFound", "RolledBack"} {
		if events[reason] != 1 {
			t.Errorf("%d Events %s, want one: %v", events[reason], reason, events)
		}
	}
	stories, err := y.stories(b)
	for _, stage := range []announce.Stage{announce.Started, announce.Deciding, announce.Ended} {
		if !slices.ContainsFunc(stories, func(s announce.Story) bool { return s.Stage == stage }) {
			t.Errorf("the webhook was not told %q of the bake: %+v %v", stage, stories, err)
		}
	}
	if got, err := y.annotations(b); err != nil || len(got) != 1 || got[0].TimeEnd <= got[0].Time || !slices.Contains(got[0].Tags, "outcome:RolledBack") {
		t.Errorf("annotations of the bake: %+v; %v; want one, a region, with the outcome", got, err)
	}
}

// alerted checks that Alertmanager has one alert of version b's rollout.
func (y *story) alerted() {
	y.t.Helper()
	b := y.ended("web", 2, v1alpha1.OutcomeRolledBack)
	if got, err := y.alerts(b); err != nil || len(got) != 1 {
		y.t.Errorf("alerts of the bake: %+v %v; want one", got, err)
	}
}

// unowned checks that nothing was left in the workload's managed fields that would stand in the way of the next apply.
func (y *story) unowned() {
	y.t.Helper()
	for _, f := range y.workload("web").meta.ManagedFields {
		if f.Manager == rollback.FieldManager && f.FieldsV1 != nil && strings.Contains(f.FieldsV1.String(), `"f:template"`) {
			y.t.Errorf("bakewatch still owns fields of the template: %s", f.FieldsV1)
		}
	}
}

// revisions checks which numbers the revisions of a workload got, by image.
func (y *story) revisions(want map[string]string) {
	y.t.Helper()
	list, err := y.client.AppsV1().ReplicaSets(y.namespace).List(y.context(), metav1.ListOptions{})
	if err != nil {
		y.t.Fatal(err)
	}
	got := map[string]string{}
	for _, rs := range list.Items {
		got[rs.Spec.Template.Spec.Containers[0].Image] = rs.Annotations["deployment.kubernetes.io/revision"]
	}
	if !equality.Semantic.DeepEqual(got, want) {
		y.t.Errorf("revisions are %v, want %v", got, want)
	}
}

// isBack checks that version a's very template is back, as a third revision.
func (y *story) isBack() {
	y.t.Helper()
	if got := y.workload("web").template; !equality.Semantic.DeepEqual(got, y.good) {
		y.t.Errorf("the template is not version a's: %+v", got)
	}
	y.revisions(map[string]string{"app:a": "3", "app:b": "2"})
	y.unowned()
}
