package rollback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"pgregory.net/rapid"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/watcher"
)

const (
	update = metav1.ManagedFieldsOperationUpdate
	apply  = metav1.ManagedFieldsOperationApply
)

// paths are fields that may be owned; the first four are the template's.
var paths = []fieldpath.Path{
	fieldpath.MakePathOrDie("spec", "template", "spec", "containers", fieldpath.KeyByFields("name", "app"), "image"),
	fieldpath.MakePathOrDie("spec", "template", "spec", "containers", fieldpath.KeyByFields("name", "app"), "env", fieldpath.KeyByFields("name", "A"), "value"),
	fieldpath.MakePathOrDie("spec", "template", "metadata", "annotations", "note"),
	fieldpath.MakePathOrDie("spec", "template", "spec", "serviceAccountName"),
	fieldpath.MakePathOrDie("spec", "replicas"),
	fieldpath.MakePathOrDie("metadata", "labels", "app"),
	fieldpath.MakePathOrDie("metadata", "annotations", "template"),
}

func fields(t interface{ Fatal(...any) }, ps ...fieldpath.Path) *metav1.FieldsV1 {
	raw, err := fieldpath.NewSet(ps...).ToJSON()
	if err != nil {
		t.Fatal(err)
	}
	f := &metav1.FieldsV1{}
	f.SetRawBytes(raw)
	return f
}

func entry(manager string, op metav1.ManagedFieldsOperationType, minute int, f *metav1.FieldsV1) metav1.ManagedFieldsEntry {
	when := metav1.NewTime(time.Date(2026, 5, 1, 12, minute, 0, 0, time.UTC))
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: op, APIVersion: "apps/v1", Time: &when, FieldsType: "FieldsV1", FieldsV1: f}
}

func sub(e metav1.ManagedFieldsEntry, subresource string) metav1.ManagedFieldsEntry {
	e.Subresource = subresource
	return e
}

func TestHandBack(t *testing.T) {
	image, note, replicas := paths[0], paths[2], paths[4]
	mine := entry(FieldManager, update, 9, fields(t, image, note))
	for _, c := range []struct {
		name      string
		in, want  []metav1.ManagedFieldsEntry
		unchanged bool
	}{
		{"nothing of ours", []metav1.ManagedFieldsEntry{entry("helm", update, 1, fields(t, image))}, []metav1.ManagedFieldsEntry{entry("helm", update, 1, fields(t, image))}, true},
		{"client-side apply: the fields are nobody's", []metav1.ManagedFieldsEntry{entry("kubectl-client-side-apply", update, 1, fields(t, image)), mine},
			[]metav1.ManagedFieldsEntry{entry("kubectl-client-side-apply", update, 1, fields(t, image))}, false},
		{"server-side apply: its manager has them back", []metav1.ManagedFieldsEntry{entry("kubectl", apply, 1, fields(t, image, replicas)), mine},
			[]metav1.ManagedFieldsEntry{entry("kubectl", apply, 1, fields(t, image, note, replicas))}, false},
		{"of two that apply the template, the newer", []metav1.ManagedFieldsEntry{entry("argocd", apply, 5, fields(t, image)), mine, entry("kubectl", apply, 3, fields(t, image))},
			[]metav1.ManagedFieldsEntry{entry("argocd", apply, 5, fields(t, image, note)), entry("kubectl", apply, 3, fields(t, image))}, false},
		{"not who applies something else", []metav1.ManagedFieldsEntry{entry("labeller", apply, 8, fields(t, paths[5], paths[6])), mine},
			[]metav1.ManagedFieldsEntry{entry("labeller", apply, 8, fields(t, paths[5], paths[6]))}, false},
		{"not who applies the status", []metav1.ManagedFieldsEntry{sub(entry("odd", apply, 8, fields(t, image)), "status"), mine},
			[]metav1.ManagedFieldsEntry{sub(entry("odd", apply, 8, fields(t, image)), "status")}, false},
		{"what we applied, or own of a subresource, is not the undo's", []metav1.ManagedFieldsEntry{entry(FieldManager, apply, 1, fields(t, replicas)), sub(entry(FieldManager, update, 1, fields(t, note)), "scale")},
			[]metav1.ManagedFieldsEntry{entry(FieldManager, apply, 1, fields(t, replicas)), sub(entry(FieldManager, update, 1, fields(t, note)), "scale")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, changed, err := handBack(c.in, watcher.OwnsTemplate)
			if err != nil || changed == c.unchanged {
				t.Fatalf("changed: %v, %v", changed, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHandBackOfGarbage(t *testing.T) {
	broken := &metav1.FieldsV1{}
	broken.SetRawBytes([]byte(`{"f:spec"`))
	if _, _, err := handBack([]metav1.ManagedFieldsEntry{entry(FieldManager, update, 1, broken)}, watcher.OwnsTemplate); err == nil {
		t.Error("no error")
	}
	others := []metav1.ManagedFieldsEntry{entry("x", apply, 1, broken), entry("y", apply, 1, &metav1.FieldsV1{}), entry("z", apply, 1, nil)}
	kept, changed, err := handBack(append(slices.Clone(others), entry(FieldManager, update, 1, nil)), watcher.OwnsTemplate)
	if err != nil || !changed || !cmp.Equal(kept, others) {
		t.Errorf("%v %v %v", kept, changed, err)
	}
}

// Our entry is gone, the applier owns the union of its fields and ours, nobody else is touched, and the input is left
// alone; done twice, nothing is left to do.
func TestHandBackProperties(t *testing.T) {
	anyEntry := rapid.Custom(func(rt *rapid.T) metav1.ManagedFieldsEntry {
		e := entry(rapid.SampledFrom([]string{FieldManager, "kubectl", "argocd", "hpa"}).Draw(rt, "manager"),
			rapid.SampledFrom([]metav1.ManagedFieldsOperationType{update, apply}).Draw(rt, "op"), rapid.IntRange(0, 59).Draw(rt, "minute"),
			fields(t, rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 0, 5, fieldpath.Path.String).Draw(rt, "fields")...))
		e.Subresource = rapid.SampledFrom([]string{"", "", "status"}).Draw(rt, "subresource")
		if rapid.IntRange(0, 9).Draw(rt, "timeless") == 0 {
			e.Time = nil
		}
		return e
	})
	owned := func(rt *rapid.T, e metav1.ManagedFieldsEntry) *fieldpath.Set {
		s := &fieldpath.Set{}
		if err := s.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
			rt.Fatal(err)
		}
		return s
	}
	ours := func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == FieldManager && e.Operation == update && e.Subresource == ""
	}
	rapid.Check(t, func(rt *rapid.T) {
		in := rapid.SliceOfN(anyEntry, 0, 6).Draw(rt, "entries")
		before, _ := json.Marshal(in)
		got, changed, err := handBack(in, watcher.OwnsTemplate)
		if err != nil {
			rt.Fatal(err)
		}
		if after, _ := json.Marshal(in); !bytes.Equal(before, after) {
			rt.Fatal("the input was changed")
		}
		mine, others := &fieldpath.Set{}, []metav1.ManagedFieldsEntry{}
		appliers := 0
		for _, e := range in {
			if ours(e) {
				mine = mine.Union(owned(rt, e))
				continue
			}
			others = append(others, e)
			template := owned(rt, e).WithPrefix(fieldpath.PathElement{FieldName: new("spec")}).WithPrefix(fieldpath.PathElement{FieldName: new("template")})
			if e.Operation == apply && e.Subresource == "" && !template.Empty() {
				appliers++
			}
		}
		if changed != (len(others) < len(in)) || len(got) != len(others) {
			rt.Fatalf("changed: %v; of %d others %d are left", changed, len(others), len(got))
		}
		mine = mine.Difference(notHanded)
		given := 0
		for i, e := range got {
			was := owned(rt, others[i])
			is := owned(rt, e)
			switch {
			case is.Equals(was):
			case changed && is.Equals(was.Union(mine)) && e.Operation == apply && e.Subresource == "":
				given++
			default:
				rt.Fatalf("%s owned %s, and now %s; ours were %s", e.Manager, was, is, mine)
			}
			e.FieldsV1 = others[i].FieldsV1
			if diff := cmp.Diff(others[i], e); diff != "" {
				rt.Fatalf("somebody's entry was touched:\n%s", diff)
			}
		}
		if given > 1 {
			rt.Fatalf("%d were given our fields", given)
		}
		if changed && appliers > 0 && given == 0 && !slices.ContainsFunc(got, func(e metav1.ManagedFieldsEntry) bool { return mine.Difference(owned(rt, e)).Empty() }) {
			rt.Fatal("our fields were lost although somebody applies the template")
		}
		if _, again, err := handBack(got, watcher.OwnsTemplate); err != nil || again {
			rt.Fatalf("the second time: changed %v, %v", again, err)
		}
	})
}

func TestWithoutHash(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"the label goes", `{"metadata":{"labels":{"app":"web","pod-template-hash":"x"}},"spec":{}}`, `{"metadata":{"labels":{"app":"web"}},"spec":{}}`},
		{"fields this program does not know stay", `{"metadata":{"labels":{"pod-template-hash":"x"},"new":[1]},"spec":{"newer":{"a":1.0}},"newest":null}`,
			`{"metadata":{"labels":{},"new":[1]},"newest":null,"spec":{"newer":{"a":1.0}}}`},
		{"nothing to do", `{"metadata":{"labels":{"app":"web"}}, "spec":{}}`, `{"metadata":{"labels":{"app":"web"}}, "spec":{}}`},
		{"no labels", `{"metadata":{},"spec":{}}`, `{"metadata":{},"spec":{}}`},
		{"no metadata", `{"spec":{}}`, `{"spec":{}}`},
		{"null metadata", `{"metadata":null,"spec":{}}`, `{"metadata":null,"spec":{}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := withoutHash(json.RawMessage(c.in))
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %v, want %s", got, err, c.want)
			}
		})
	}
	for _, in := range []string{``, `[]`, `{"metadata":[]}`, `{"metadata":{"labels":{"a":1}}}`} {
		if got, err := withoutHash(json.RawMessage(in)); err == nil {
			t.Errorf("%s became %s", in, got)
		}
	}
}

// The template is the very bytes that were read, but for the label: whatever a user writes in it, as the types read it.
func TestWithoutHashChangesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
			Labels:      rapid.MapOfN(rapid.StringMatching(`[a-z]{1,4}`), rapid.String(), 0, 3).Draw(t, "labels"),
			Annotations: rapid.MapOfN(rapid.StringMatching(`[a-z]{1,4}`), rapid.String(), 0, 3).Draw(t, "annotations"),
		}}
		p.Spec.Containers = []corev1.Container{{Name: "app", Args: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "args")}}
		labelled := p.DeepCopy()
		if labelled.Labels == nil {
			labelled.Labels = map[string]string{}
		}
		labelled.Labels["pod-template-hash"] = "x"
		raw, _ := json.Marshal(labelled)
		got, err := withoutHash(raw)
		if err != nil {
			t.Fatal(err)
		}
		var back corev1.PodTemplateSpec
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatal(err)
		}
		var want corev1.PodTemplateSpec
		plain, _ := json.Marshal(p)
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		if len(back.Labels) == 0 {
			back.Labels = nil
		}
		if diff := cmp.Diff(want, back); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestFailedTest(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "web", field.ErrorList{field.Required(field.NewPath("spec", "selector"), "")})
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"none", nil, false},
		// As the API server answers a JSON patch that cannot be applied.
		{"a test that failed", apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", "testing value /spec/template failed", 0, false), true},
		{"wrapped", fmt.Errorf("patch: %w", apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", "x", 0, false)), true},
		{"an object that is invalid", invalid, false},
		{"a conflict", apierrors.NewConflict(deployments, "web", errors.New("x")), false},
		{"gone", apierrors.NewNotFound(deployments, "web"), false},
		{"forbidden", apierrors.NewForbidden(deployments, "web", errors.New("x")), false},
		{"no answer", errors.New("connection refused"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := failedTest(c.err); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
