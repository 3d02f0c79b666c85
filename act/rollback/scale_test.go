package rollback

import (
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

func TestParseScaled(t *testing.T) {
	if got, ok := parseScaled("7 from 3 to 1 at 2026-05-01T12:03:20Z"); !ok || got != (scaledMark{7, 3, 1}) {
		t.Errorf("%+v %v", got, ok)
	}
	for _, text := range []string{"", "7", "7 from 3 to 1", "x from 3 to 1 at y", "7 from 3 to one at y", "7 from 99999999999 to 1 at y", "7 of 3 to 1 at y", "7 from 3 to 1 at y z"} {
		if got, ok := parseScaled(text); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzParseScaled(f *testing.F) {
	f.Add("7 from 3 to 1 at 2026-05-01T12:03:20Z")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseScaled(text) })
}

func TestScales(t *testing.T) {
	web := bake.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}
	for name, c := range map[string]struct {
		ref  autoscalingv2.CrossVersionObjectReference
		want bool
	}{
		"it":           {autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, true},
		"no version":   {autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "web"}, true},
		"another name": {autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web2"}, false},
		"another kind": {autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "web"}, false},
		"others' kind": {autoscalingv2.CrossVersionObjectReference{APIVersion: "example.com/v1", Kind: "Deployment", Name: "web"}, false},
	} {
		if got := scales(c.ref, web); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestReplicasAreNotHanded: who applies the workload on the server side does not become the owner of replicas that Bakewatch set, or
// its next apply would take them away.
func TestReplicasAreNotHanded(t *testing.T) {
	image, replicas := paths[0], paths[4]
	mark := fieldpath.MakePathOrDie("metadata", "annotations", bake.AnnotationScaledDown)
	got, changed, err := handBack([]metav1.ManagedFieldsEntry{
		entry("team", apply, 1, fields(t, image)),
		entry(FieldManager, update, 2, fields(t, replicas, mark)),
	}, watcher.OwnsTemplate)
	if err != nil || !changed || len(got) != 1 {
		t.Fatalf("%+v %v %v", got, changed, err)
	}
	set, err := read(got[0].FieldsV1)
	if err != nil || set.Has(replicas) || set.Has(mark) || !set.Has(image) {
		t.Errorf("%s %v", set, err)
	}
	if replicasOwned(got) {
		t.Error("nobody owns replicas now")
	}
	if !replicasOwned(append(got, entry("kubectl", update, 3, fields(t, replicas)))) {
		t.Error("kubectl set them")
	}
}
