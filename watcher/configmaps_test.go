package watcher

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/bakewatch/bakewatch/bake"
)

const readers = `
volumes:
- {name: whole, configMap: {name: whole}}
- {name: part, configMap: {name: part}}
- {name: both, configMap: {name: both}}
- {name: early, configMap: {name: early}}
- {name: beside, configMap: {name: beside}}
- {name: unused, configMap: {name: unused}}
- {name: many, projected: {sources: [{configMap: {name: projected}}, {secret: {name: key}}]}}
initContainers:
- {name: once, volumeMounts: [{name: early, mountPath: /e}], envFrom: [{configMapRef: {name: first}}]}
- {name: sidecar, restartPolicy: Always, volumeMounts: [{name: beside, mountPath: /b}]}
containers:
- name: app
  volumeMounts: [{name: whole, mountPath: /w}, {name: part, mountPath: /p, subPath: x}, {name: both, mountPath: /1}, {name: both, mountPath: /2, subPathExpr: $(X)}, {name: many, mountPath: /m}]
  envFrom: [{configMapRef: {name: env}}, {secretRef: {name: token}}]
  env: [{name: A, valueFrom: {configMapKeyRef: {name: key, key: a}}}, {name: B, valueFrom: {configMapKeyRef: {name: whole, key: b}}}, {name: C, value: c}]
`

func TestConfigRefs(t *testing.T) {
	var spec corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte(readers), &spec); err != nil {
		t.Fatal(err)
	}
	got := configRefs(&spec)
	want := []configRef{
		{"beside", true, false}, {"both", true, true}, {"early", false, true}, {"env", false, true}, {"first", false, true}, {"key", false, true},
		{"part", false, true}, {"projected", true, false}, {"whole", true, true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(configRef{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	packed := packRefs(got)
	if !slices.Equal(unpackRefs(packed), got) {
		t.Errorf("packed as %q, and unpacked as %v", packed, unpackRefs(packed))
	}
	for name, want := range map[string]bool{"whole": true, "who": false, "hole": false, "unused": false, "projected": true} {
		if got := refersTo(packed, name); got != want {
			t.Errorf("refers to %s: %v", name, got)
		}
	}
	many := corev1.PodSpec{Containers: []corev1.Container{{}}}
	for i := range 500 {
		many.Containers[0].EnvFrom = append(many.Containers[0].EnvFrom, corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: strings.Repeat("a", i+1)}}})
	}
	if n := len(configRefs(&many)); n != maxConfigRefs {
		t.Errorf("%d of 500 are remembered", n)
	}
}

// A trimmed workload keeps what it reads, and nobody can pretend.
func TestTrimKeepsConfigRefs(t *testing.T) {
	cut := func(annotations map[string]string, env string) string {
		d := deployment(template("app:a"))
		d.Annotations = annotations
		if env != "" {
			d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: env}}}}
		}
		out, err := trim(d)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := outlineOf(out)
		return o.meta.Annotations[configsKey]
	}
	if got := cut(nil, "app"); got != " app:s" {
		t.Errorf("kept: %q", got)
	}
	if got := cut(map[string]string{configsKey: " other:m"}, ""); got != "" {
		t.Errorf("an annotation of a person's was believed: %q", got)
	}
}

// Equal data has equal digests, in whatever order it was made, and other data has others.
func TestConfigDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab:1\n")), 0, 4, -1)
		data := rapid.MapOfN(text, text, 0, 3).Draw(t, "data")
		other := rapid.MapOfN(text, text, 0, 3).Draw(t, "other")
		again := map[string]string{}
		for _, k := range slices.Backward(sortedKeys(data)) {
			again[k] = data[k]
		}
		if ConfigDigest(data, nil) != ConfigDigest(again, nil) {
			t.Fatalf("the digest of %q depends on something else", data)
		}
		if (ConfigDigest(data, nil) == ConfigDigest(other, nil)) != cmp.Equal(data, other) {
			t.Fatalf("%q and %q have the same digest, or the same two ones", data, other)
		}
		binary := map[string][]byte{}
		for k, v := range data {
			binary[k] = []byte(v)
		}
		if len(data) > 0 && ConfigDigest(nil, binary) == ConfigDigest(data, nil) {
			t.Fatalf("text and bytes of %q have the same digest", data)
		}
	})
}

func owning(manager string, minute int, fields string) metav1.ManagedFieldsEntry {
	f := &metav1.FieldsV1{}
	f.SetRawBytes([]byte(fields))
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1", FieldsV1: f,
		Time: &metav1.Time{Time: time.Date(2026, 5, 1, 12, minute, 0, 0, time.UTC)}}
}

func TestTrimConfigMap(t *testing.T) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app", ResourceVersion: "7",
		Annotations:   map[string]string{digestKey: "forged", changedByKey: "forged", leftKey: "forged", corev1.LastAppliedConfigAnnotation: "large", argoTracking: "shop:/ConfigMap:shop/app"},
		Labels:        map[string]string{"team": "x", fluxKustomize: "apps"},
		ManagedFields: []metav1.ManagedFieldsEntry{owning("kubectl edit", 3, `{"f:data":{"f:a":{}}}`), owning("annotator", 9, `{"f:metadata":{}}`), owning("helm", 1, `{"f:binaryData":{"f:b":{}}}`)}},
		Data: map[string]string{"a": "1"}, BinaryData: map[string][]byte{"b": {1}}}
	want := ConfigDigest(m.Data, m.BinaryData)
	out, err := trimConfigMap(m)
	if err != nil {
		t.Fatal(err)
	}
	cut := out.(*corev1.ConfigMap)
	if cut.Data != nil || cut.BinaryData != nil || cut.ManagedFields != nil || cut.Annotations[corev1.LastAppliedConfigAnnotation] != "" || cut.Labels["team"] != "" {
		t.Errorf("kept too much: %+v", cut)
	}
	if again, _ := trimConfigMap(cut); !cmp.Equal(again, out) {
		t.Errorf("trimmed twice it is another: %+v", again)
	}
	var c bake.Config
	known(&c, cut)
	if c.Digest != want || c.Version != "7" || c.Left != "" || c.ChangedBy != "kubectl edit" || !c.ChangedAt.Equal(time.Date(2026, 5, 1, 12, 3, 0, 0, time.UTC)) || c.Owner.Name != "Argo CD application shop" {
		t.Errorf("known: %+v", c)
	}
	cut.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	c = bake.Config{}
	if known(&c, cut); c.Digest != "" {
		t.Errorf("one that is going is there: %+v", c)
	}
}

// What controllers write is no configuration that anybody rolls out.
func TestConfigMapsThatAreLeftAlone(t *testing.T) {
	yes := true
	for _, c := range []struct {
		name      string
		meta      metav1.ObjectMeta
		immutable *bool
		want      string
	}{
		{"a person's", metav1.ObjectMeta{Name: "app"}, nil, ""},
		{"owned by what does not control it", metav1.ObjectMeta{Name: "app", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "x"}}}, nil, ""},
		{"Helm's", metav1.ObjectMeta{Name: "app", Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}, nil, ""},
		{"an operator's", metav1.ObjectMeta{Name: "app", OwnerReferences: []metav1.OwnerReference{{APIVersion: "db.example.com/v1", Kind: "Database", Name: "main", Controller: &yes}}}, nil, "it belongs to Database main (db.example.com)"},
		{"a leader's", metav1.ObjectMeta{Name: "lock", Annotations: map[string]string{leaderKey: "{}"}}, nil, "leader election writes it"},
		{"the cluster's certificate", metav1.ObjectMeta{Name: "kube-root-ca.crt"}, nil, "a controller puts it into every namespace"},
		{"a copy of ours", metav1.ObjectMeta{Name: "bakewatch-kept-app-1", Labels: map[string]string{LabelKept: "app"}}, nil, "it is Bakewatch's own"},
		{"immutable", metav1.ObjectMeta{Name: "app-5f3ac1"}, &yes, "it is immutable"},
	} {
		if got := left(&c.meta, c.immutable); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
