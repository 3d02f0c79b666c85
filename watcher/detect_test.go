package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/bake"
)

var (
	began = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) // when guarding began
	web   = bake.Key{Kind: bake.KindDeployment, Namespace: "shop", Name: "web"}
)

func at(minutes int) metav1.Time {
	return metav1.NewTime(began.Add(time.Duration(minutes) * time.Minute))
}

// template is a pod template as a user writes it.
func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
	}
}

// set is a ReplicaSet as the controller makes it.
func set(number int64, hash string, created metav1.Time, t corev1.PodTemplateSpec) appsv1.ReplicaSet {
	t = *t.DeepCopy()
	t.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	return appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web-" + hash, Namespace: "shop", CreationTimestamp: created, Labels: t.Labels,
			Annotations: map[string]string{revisionKey: fmt.Sprint(number)}},
		Spec: appsv1.ReplicaSetSpec{Template: t},
	}
}

// cameBack is a ReplicaSet that had another number before.
func cameBack(rs appsv1.ReplicaSet, before string) appsv1.ReplicaSet {
	rs.Annotations[historyKey] = before
	return rs
}

func deployment(t corev1.PodTemplateSpec, change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u1", Generation: 7},
		Spec:       appsv1.DeploymentSpec{Template: t},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 7},
	}
	for _, f := range change {
		f(d)
	}
	return d
}

// live is a Deployment with its ReplicaSets, as it is read.
func live(t *testing.T, d *appsv1.Deployment, sets []appsv1.ReplicaSet) *Workload {
	t.Helper()
	w := &Workload{Sight: sightOf(web, d), Meta: d.ObjectMeta, Template: d.Spec.Template, object: d}
	var err error
	if w.Digest, err = Digest(&d.Spec.Template); err != nil {
		t.Fatal(err)
	}
	for i := range sets {
		w.Versions = append(w.Versions, ofReplicaSet(&sets[i]))
	}
	return w
}

func lagging(d *appsv1.Deployment) { d.Status.ObservedGeneration-- }
func paused(d *appsv1.Deployment)  { d.Spec.Paused = true }
func scaled(d *appsv1.Deployment)  { d.Spec.Replicas, d.Status.Replicas = new(int32(9)), 3 }

func progressed(when metav1.Time) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, LastUpdateTime: at(500)}, {Type: appsv1.DeploymentProgressing, LastUpdateTime: when}}
	}
}

func TestDetect(t *testing.T) {
	a, b, c := template("app:a"), template("app:b"), template("app:c")
	restarted := template("app:a")
	restarted.Annotations = map[string]string{restartKey: "2026-05-01T12:10:00Z"}
	restartedB := template("app:b")
	restartedB.Annotations = restarted.Annotations
	knownA := bake.Known{Seen: true, Hash: "ha", Number: 1, Good: "ha", GoodNumber: 1, Since: began}
	with := func(k bake.Known, change func(*bake.Known)) bake.Known { change(&k); return k }
	setsAB := []appsv1.ReplicaSet{set(1, "ha", at(-60), a), set(2, "hb", at(10), b)}

	for _, tc := range []struct {
		name    string
		d       *appsv1.Deployment
		sets    []appsv1.ReplicaSet
		known   bake.Known
		finding bake.Finding
		from    string // hash; "" for none
		to      int64
		started metav1.Time
		restart bool
	}{
		{name: "nothing new", d: deployment(a), sets: setsAB[:1], known: knownA, finding: bake.Same},
		{name: "scaled only", d: deployment(a, scaled), sets: setsAB[:1], known: knownA, finding: bake.Same},
		{name: "paused only", d: deployment(a, paused), sets: setsAB[:1], known: knownA, finding: bake.Same},
		{name: "nothing new, known by number alone", d: deployment(a), sets: setsAB[:1], known: with(knownA, func(k *bake.Known) { k.Hash = "" }), finding: bake.Same},
		{name: "a rollout", d: deployment(b), sets: setsAB, known: knownA, finding: bake.Found, from: "ha", to: 2, started: at(10)},
		{name: "a rollout over what is known by number alone", d: deployment(b), sets: setsAB, known: bake.Known{Seen: true, Number: 1, GoodNumber: 1, Since: began},
			finding: bake.Found, from: "ha", to: 2, started: at(10)},
		{name: "the controller has not seen it", d: deployment(b, lagging), sets: setsAB, known: knownA, finding: bake.Waiting},
		{name: "the controller has not made it", d: deployment(b), sets: setsAB[:1], known: knownA, finding: bake.Waiting},
		{name: "the controller has not given the old one its new number", d: deployment(a), sets: setsAB, known: with(knownA, func(k *bake.Known) { k.Hash, k.Number = "hb", 2 }), finding: bake.Waiting},
		{name: "changed while paused", d: deployment(b, paused), sets: setsAB[:1], known: knownA, finding: bake.PausedWait},
		{name: "changed while paused, not seen by the controller", d: deployment(b, paused, lagging), sets: setsAB[:1], known: knownA, finding: bake.Waiting},
		{name: "put back while paused", d: deployment(a, paused), sets: setsAB, known: with(knownA, func(k *bake.Known) { k.Hash, k.Number = "hb", 2 }), finding: bake.PausedWait},
		{name: "our own undo", d: deployment(a), sets: []appsv1.ReplicaSet{cameBack(set(3, "ha", at(-60), a), "1"), setsAB[1]},
			known: with(knownA, func(k *bake.Known) { k.Hash, k.Number, k.Undoing = "hb", 2, "ha" }), finding: bake.OwnUndo},
		{name: "a rollout after our own undo", d: deployment(c), sets: []appsv1.ReplicaSet{cameBack(set(3, "ha", at(-60), a), "1"), setsAB[1], set(4, "hc", at(20), c)},
			known: with(knownA, func(k *bake.Known) { k.Number, k.Undoing = 3, "ha" }), finding: bake.Found, from: "ha", to: 4, started: at(20)},
		{name: "undone by hand", d: deployment(a, progressed(at(15))), sets: []appsv1.ReplicaSet{cameBack(set(3, "ha", at(-60), a), "1"), setsAB[1]},
			known: with(knownA, func(k *bake.Known) { k.Hash, k.Number = "hb", 2 }), finding: bake.Found, from: "ha", to: 3, started: at(15)},
		{name: "A-B-A-B", d: deployment(b, progressed(at(30))), sets: []appsv1.ReplicaSet{cameBack(set(3, "ha", at(-60), a), "1"), cameBack(set(4, "hb", at(10), b), "2")},
			known: with(knownA, func(k *bake.Known) { k.Number = 3 }), finding: bake.Found, from: "ha", to: 4, started: at(30)},
		{name: "to an old one that is not the good one", d: deployment(c, progressed(at(40))),
			sets:  []appsv1.ReplicaSet{set(2, "ha", at(-60), a), set(3, "hb", at(10), b), cameBack(set(4, "hc", at(-90), c), "1")},
			known: with(knownA, func(k *bake.Known) { k.Hash, k.Number = "hb", 3 }), finding: bake.Found, from: "ha", to: 4, started: at(40)},
		{name: "our own restart", d: deployment(restarted), sets: []appsv1.ReplicaSet{setsAB[0], set(2, "hr", at(10), restarted)},
			known: with(knownA, func(k *bake.Known) { k.Restarted = "2026-05-01T12:10:00Z" }), finding: bake.OwnUndo},
		{name: "a rollout that keeps the annotation of our own restart", d: deployment(restartedB), sets: []appsv1.ReplicaSet{setsAB[0], set(2, "hr", at(10), restartedB)},
			known: with(knownA, func(k *bake.Known) { k.Restarted = "2026-05-01T12:10:00Z" }), finding: bake.Found, from: "ha", to: 2, started: at(10)},
		{name: "restarted only", d: deployment(restarted), sets: []appsv1.ReplicaSet{setsAB[0], set(2, "hr", at(10), restarted)}, known: knownA,
			finding: bake.Found, from: "ha", to: 2, started: at(10), restart: true},
		{name: "a first revision", d: deployment(a), sets: []appsv1.ReplicaSet{set(1, "ha", at(1), a)}, known: bake.Known{Since: began}, finding: bake.Found, to: 1, started: at(1)},
		{name: "backlog at the first start", d: deployment(b), sets: []appsv1.ReplicaSet{set(1, "ha", at(-60), a), set(2, "hb", at(-30), b)}, known: bake.Known{Since: began}, finding: bake.Backlog},
		{name: "rolled out since guarding began, while the daemon was down", d: deployment(b), sets: setsAB, known: bake.Known{Since: began}, finding: bake.Found, from: "ha", to: 2, started: at(10)},
		{name: "likewise, after several", d: deployment(c), sets: []appsv1.ReplicaSet{set(1, "ha", at(-60), a), set(2, "hb", at(-30), b), set(3, "hc", at(10), c)}, known: bake.Known{Since: began},
			finding: bake.Found, from: "hb", to: 3, started: at(10)},
		{name: "the good one is garbage-collected", d: deployment(c), sets: []appsv1.ReplicaSet{setsAB[1], set(3, "hc", at(20), c)},
			known: with(knownA, func(k *bake.Known) { k.Hash, k.Number = "hb", 2 }), finding: bake.Found, to: 3, started: at(20)},
		{name: "there is no good one", d: deployment(b), sets: setsAB, known: bake.Known{Seen: true, Hash: "ha", Number: 1, Since: began}, finding: bake.Found, to: 2, started: at(10)},
		{name: "two ReplicaSets of one template: the oldest counts", d: deployment(b), sets: []appsv1.ReplicaSet{setsAB[0], set(2, "hb2", at(11), b), set(3, "hb", at(10), b)}, known: knownA,
			finding: bake.Found, from: "ha", to: 3, started: at(10)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := live(t, tc.d, tc.sets).detect(tc.known, time.Time{}, began.Add(time.Hour))
			if got.Finding != tc.finding {
				t.Fatalf("it is %s, want %s", got.Finding, tc.finding)
			}
			want, _ := Digest(&tc.d.Spec.Template)
			if got.Digest != want {
				t.Error("the digest is not that of the template")
			}
			if settled := tc.finding != bake.Waiting && tc.finding != bake.PausedWait; settled != (got.Current.Hash != "") {
				t.Errorf("current: %+v", got.Current)
			}
			if tc.finding != bake.Found {
				return
			}
			r := got.Rollout
			from := ""
			if r.From != nil {
				from = r.From.Hash
			}
			if from != tc.from || r.To.Number != tc.to || r.UID != "u1" || r.Key != web || !r.StartedAt.Equal(tc.started.Time) || r.RestartOnly != tc.restart {
				t.Errorf("from %q to %d, started %s, restart only %v; want from %q to %d, started %s, restart only %v\n%+v",
					from, r.To.Number, r.StartedAt, r.RestartOnly, tc.from, tc.to, tc.started, tc.restart, r)
			}
			if (len(r.Changes) > 0) != (from != "" && from != r.To.Hash) {
				t.Errorf("changes from %q: %v", from, r.Changes)
			}
		})
	}
}

// The first thing a person does to an old revision is put it back; the controller says so in its condition only once a
// pod has come up. Until then the condition is that of the rollout before.
func TestAReturnDoesNotStartInThePast(t *testing.T) {
	a, b, c := template("app:a"), template("app:b"), template("app:c")
	back := deployment(c, progressed(at(12)), writtenBy("kubectl", metav1.ManagedFieldsOperationUpdate, at(4000), ownsTemplate)) // rolled out at 12, put back days later
	sets := []appsv1.ReplicaSet{set(2, "ha", at(-60), a), set(3, "hb", at(10), b), cameBack(set(4, "hc", at(-90), c), "1")}
	got := live(t, back, sets).detect(bake.Known{Seen: true, Hash: "hb", Number: 3, Good: "ha", Since: began}, time.Time{}, at(4001).Time)
	if got.Finding != bake.Found {
		t.Fatal(got)
	}
	if want := at(4000); !got.Rollout.StartedAt.Equal(want.Time) {
		t.Errorf("it began at %s, want %s, when the template was written", got.Rollout.StartedAt, want)
	}
}

const (
	ownsTemplate = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:image":{}}}}}}}`
	ownsReplicas = `{"f:spec":{"f:replicas":{}}}`
	ownsLabels   = `{"f:metadata":{"f:labels":{"f:template":{}}}}`
)

func writtenBy(manager string, op metav1.ManagedFieldsOperationType, when metav1.Time, fields string, subresource ...string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		e := metav1.ManagedFieldsEntry{Manager: manager, Operation: op, Time: &when, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{}}
		e.FieldsV1.SetRawBytes([]byte(fields))
		if len(subresource) > 0 {
			e.Subresource = subresource[0]
		}
		d.ManagedFields = append(d.ManagedFields, e)
	}
}

func TestChangedBy(t *testing.T) {
	update, apply := metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply
	for _, c := range []struct {
		name string
		by   []func(*appsv1.Deployment)
		want string
	}{
		{"nobody", nil, ""},
		{"the newest that owns any of the template", []func(*appsv1.Deployment){
			writtenBy("helm", update, at(1), ownsTemplate), writtenBy("kubectl-set", update, at(5), ownsTemplate), writtenBy("argocd", apply, at(3), ownsTemplate)}, "kubectl-set"},
		{"not an autoscaler", []func(*appsv1.Deployment){writtenBy("helm", update, at(1), ownsTemplate), writtenBy("hpa", update, at(9), ownsReplicas, "scale")}, "helm"},
		{"not who labels a workload", []func(*appsv1.Deployment){writtenBy("helm", update, at(1), ownsTemplate), writtenBy("labeller", update, at(9), ownsLabels)}, "helm"},
		{"not the controller's status", []func(*appsv1.Deployment){writtenBy("helm", update, at(1), ownsTemplate), writtenBy("kcm", update, at(9), ownsTemplate, "status")}, "helm"},
		{"not what cannot be read", []func(*appsv1.Deployment){writtenBy("helm", update, at(1), ownsTemplate), writtenBy("x", update, at(9), "{")}, "helm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := changedBy(deployment(template("app:a"), c.by...).ManagedFields); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRevision(t *testing.T) {
	two := template("app:a")
	two.Spec.Containers = append(two.Spec.Containers, corev1.Container{Name: "side", Image: "proxy:1"})
	rs := set(7, "hx", at(0), two)
	got := ofReplicaSet(&rs).Revision
	if diff := cmp.Diff([]string{"app:a", "proxy:1"}, got.Images); diff != "" || got.Number != 7 || got.Hash != "hx" || got.Name != "web-hx" {
		t.Errorf("%+v %s", got, diff)
	}
	rs.Annotations = nil
	if got := ofReplicaSet(&rs).Revision; got.Number != 0 {
		t.Errorf("without a number it is %d", got.Number)
	}
	if !slices.Equal(images(&corev1.PodTemplateSpec{}), nil) {
		t.Error("images of nothing")
	}
}
