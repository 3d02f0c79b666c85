package rollback

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4" // what the API server applies patches with
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// deployment is an API server with one Deployment, shop/web, which takes JSON patches as the real one does: the version that a
// patch names must be the newest, and whoever patches owns what it set.
type deployment struct {
	t       *testing.T
	object  map[string]any
	before  map[int]func(map[string]any) // what others do just before the nth patch arrives
	refuse  map[int]int                  // status of the nth patch
	patches int
}

func template(image string) map[string]any {
	return map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "web"}}, "spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": image}}}}
}

func web(t *testing.T) *deployment {
	return &deployment{t: t, before: map[int]func(map[string]any){}, refuse: map[int]int{}, object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 2, "annotations": map[string]any{"team": "a"}},
		"spec":     map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}}, "template": template("app:b")},
		"status":   map[string]any{"observedGeneration": 2},
	}}
}

func (d *deployment) meta() map[string]any { return d.object["metadata"].(map[string]any) }
func (d *deployment) spec() map[string]any { return d.object["spec"].(map[string]any) }
func (d *deployment) annotations() map[string]any {
	a, _ := d.meta()["annotations"].(map[string]any)
	return a
}

func status(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code})
}

func (d *deployment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/replicasets"):
		var sets []any
		for name, image := range map[string]string{"good": "app:a", "bad": "app:b"} {
			sets = append(sets, map[string]any{"metadata": map[string]any{"name": "web-" + name, "labels": map[string]any{"pod-template-hash": name},
				"ownerReferences": []any{map[string]any{"uid": "u1", "controller": true, "kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}}},
				"spec": map[string]any{"template": template(image)}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ReplicaSetList", "apiVersion": "apps/v1", "items": sets})
	case strings.Contains(r.URL.Path, "/replicasets/web-good"):
		_ = json.NewEncoder(w).Encode(map[string]any{"spec": map[string]any{"template": template("app:a")}})
	case d.object == nil:
		status(w, http.StatusNotFound, "NotFound")
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(d.object)
	default:
		d.patch(w, r)
	}
}

func (d *deployment) patch(w http.ResponseWriter, r *http.Request) {
	d.patches++
	if code := d.refuse[d.patches]; code != 0 {
		status(w, code, map[int]string{http.StatusForbidden: "Forbidden"}[code])
		return
	}
	if other := d.before[d.patches]; other != nil {
		other(d.object)
		d.meta()["resourceVersion"] = fmt.Sprint(d.meta()["resourceVersion"], "x")
	}
	body, _ := io.ReadAll(r.Body)
	patch, err := jsonpatch.DecodePatch(body)
	if err != nil {
		d.t.Error(err)
	}
	was, _ := json.Marshal(d.object)
	is, err := patch.Apply(was)
	if err != nil {
		status(w, http.StatusUnprocessableEntity, "Invalid")
		return
	}
	var next map[string]any
	if err := json.Unmarshal(is, &next); err != nil {
		d.t.Fatal(err)
	}
	meta := next["metadata"].(map[string]any)
	if meta["resourceVersion"] != d.meta()["resourceVersion"] {
		status(w, http.StatusConflict, "Conflict")
		return
	}
	if !strings.Contains(string(body), "managedFields") {
		meta["managedFields"] = []any{map[string]any{"manager": r.URL.Query().Get("fieldManager"), "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
			"fieldsV1": map[string]any{"f:spec": map[string]any{"f:paused": map[string]any{}}, "f:metadata": map[string]any{"f:annotations": map[string]any{"f:" + bake.AnnotationPaused: map[string]any{}}}}}}
	}
	if spec := next["spec"].(map[string]any); spec["paused"] == false {
		delete(spec, "paused") // as it is when it is read back
	}
	meta["resourceVersion"] = fmt.Sprint(meta["resourceVersion"], "1")
	d.object = next
	_ = json.NewEncoder(w).Encode(next)
}

func (d *deployment) undoer() *Undoer {
	server := httptest.NewServer(d)
	d.t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, QPS: 1000, Burst: 1000})
	if err != nil {
		d.t.Fatal(err)
	}
	return &Undoer{Client: client}
}

// stands checks whether it is paused, by whom, and that nothing of it is owned.
func (d *deployment) stands(paused bool, mark string) {
	d.t.Helper()
	got, _ := d.spec()["paused"].(bool)
	if is, _ := d.annotations()[bake.AnnotationPaused].(string); got != paused || is != mark {
		d.t.Errorf("paused %v by %q, want %v by %q", got, is, paused, mark)
	}
	if owners, _ := d.meta()["managedFields"].([]any); len(owners) > 0 && paused {
		d.t.Errorf("owned by %v", owners)
	}
}

var (
	webKey = bake.Key{Kind: bake.KindDeployment, Namespace: "shop", Name: "web"}
	goodA  = v1alpha1.Revision{Number: 1, Hash: "good", Name: "web-good"}
	badB   = v1alpha1.Revision{Number: 2, Hash: "bad", Name: "web-bad"}
)

func set(path string, value any) func(map[string]any) {
	return func(o map[string]any) {
		keys := strings.Split(path, "|")
		for _, k := range keys[:len(keys)-1] {
			if o[k] == nil {
				o[k] = map[string]any{}
			}
			o = o[k].(map[string]any)
		}
		if o[keys[len(keys)-1]] = value; value == nil {
			delete(o, keys[len(keys)-1])
		}
	}
}

func both(fs ...func(map[string]any)) func(map[string]any) {
	return func(o map[string]any) {
		for _, f := range fs {
			f(o)
		}
	}
}

var (
	markAt   = "metadata|annotations|" + bake.AnnotationPaused
	isPaused = set("spec|paused", true)
	ours     = both(isPaused, set(markAt, "b-2"))
)

func TestPause(t *testing.T) {
	for _, c := range []struct {
		name   string
		is     func(map[string]any)
		before map[int]func(map[string]any)
		refuse int
		want   error
		paused bool
		mark   string
	}{
		{name: "it is paused and marked at once", paused: true, mark: "b-2"},
		{name: "where there are no annotations", is: set("metadata|annotations", nil), paused: true, mark: "b-2"},
		{name: "done before a crash", is: ours, paused: true, mark: "b-2"},
		{name: "done for the bake before", is: both(isPaused, set(markAt, "b-1")), paused: true, mark: "b-2"},
		{name: "a person has paused it", is: isPaused, want: bake.ErrPaused, paused: true},
		{name: "a person let it go on", is: set(markAt, "b-2"), want: bake.ErrResumed, mark: "b-2"},
		{name: "another workload", is: set("metadata|uid", "u2"), want: bake.ErrGone},
		{name: "another template", is: set("spec|template", template("app:c")), want: bake.ErrNewer},
		{name: "its controller wrote to it in between", before: map[int]func(map[string]any){1: set("status|replicas", 6), 2: set("status|replicas", 5)}, paused: true, mark: "b-2"},
		{name: "a person paused it in between", before: map[int]func(map[string]any){1: isPaused}, want: bake.ErrPaused, paused: true},
		{name: "the template was changed in between", before: map[int]func(map[string]any){1: set("spec|template", template("app:c"))}, want: bake.ErrNewer},
		{name: "somebody wrote before it was disowned", before: map[int]func(map[string]any){2: set("metadata|labels", map[string]any{"a": "b"})}, paused: true, mark: "b-2"},
		{name: "not permitted", refuse: http.StatusForbidden, want: bake.ErrNotPermitted},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := web(t)
			if c.is != nil {
				c.is(d.object)
			}
			if c.before != nil {
				d.before = c.before
			}
			d.refuse[1] = c.refuse
			err := d.undoer().Pause(t.Context(), webKey, "u1", badB, "b-2")
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			d.stands(c.paused, c.mark)
		})
	}
	d := web(t)
	d.object = nil
	if err := d.undoer().Pause(t.Context(), webKey, "u1", badB, "b-2"); !errors.Is(err, bake.ErrGone) {
		t.Errorf("one that is gone: %v", err)
	}
	if err := d.undoer().Pause(t.Context(), bake.Key{Kind: bake.KindStatefulSet, Namespace: "shop", Name: "db"}, "u1", badB, "b-2"); err == nil {
		t.Error("a StatefulSet was paused")
	}
}

// Killed between the patch and giving up the ownership, calling it again does what is left.
func TestPauseKilledHalfway(t *testing.T) {
	d := web(t)
	d.refuse[2] = http.StatusInternalServerError
	u := d.undoer()
	if err := u.Pause(t.Context(), webKey, "u1", badB, "b-2"); err == nil {
		t.Fatal("no error")
	}
	if owners, _ := d.meta()["managedFields"].([]any); len(owners) != 1 {
		t.Fatalf("owned by %v", owners)
	}
	if err := u.Pause(t.Context(), webKey, "u1", badB, "b-2"); err != nil {
		t.Fatal(err)
	}
	d.stands(true, "b-2")
}

func TestRelease(t *testing.T) {
	for _, c := range []struct {
		name   string
		is     func(map[string]any)
		done   bool
		paused bool
		mark   string
	}{
		{"what is ours", ours, true, false, ""},
		{"whatever the template", both(ours, set("spec|template", template("app:c"))), true, false, ""},
		{"what a person let go on", set(markAt, "b-2"), true, false, ""},
		{"not what a person paused", isPaused, false, true, ""},
		{"not what is of another bake", both(isPaused, set(markAt, "b-3")), false, true, "b-3"},
		{"not another workload", both(ours, set("metadata|uid", "u2")), false, true, "b-2"},
		{"nothing", set("metadata|annotations", nil), false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := web(t)
			c.is(d.object)
			done, err := d.undoer().Release(t.Context(), webKey, "u1", "b-2")
			if err != nil || done != c.done {
				t.Errorf("done %v, %v", done, err)
			}
			d.stands(c.paused, c.mark)
		})
	}
	d := web(t)
	ours(d.object)
	d.refuse[1] = http.StatusForbidden
	if _, err := d.undoer().Release(t.Context(), webKey, "u1", "b-2"); !errors.Is(err, bake.ErrNotPermitted) {
		t.Errorf("not permitted: %v", err)
	}
	d.object = nil
	if done, err := d.undoer().Release(t.Context(), webKey, "u1", "b-2"); done || err != nil {
		t.Errorf("one that is gone: %v, %v", done, err)
	}
}

// An undo takes the pause of Bakewatch away in its own patch, and none of a person.
func TestUndoOfWhatIsPaused(t *testing.T) {
	newer := map[int]func(map[string]any){1: set("spec|template", template("app:c"))}
	taken := map[int]func(map[string]any){1: set(markAt, nil)}
	for _, c := range []struct {
		name   string
		is     func(map[string]any)
		before map[int]func(map[string]any)
		want   error // nil: rolled back
		again  bool  // or any error that may be tried again
		paused bool
		mark   string
	}{
		{"by Bakewatch", ours, nil, nil, false, false, ""},
		{"by Bakewatch, and put back by a person", both(ours, set("spec|template", template("app:a"))), nil, nil, false, false, ""},
		{"by a person", isPaused, nil, bake.ErrPaused, false, true, ""},
		{"by Bakewatch, and a newer one came in between", ours, newer, bake.ErrNewer, false, true, "b-2"},
		{"by Bakewatch, and a person made it theirs in between", ours, taken, nil, true, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := web(t)
			c.is(d.object)
			if c.before != nil {
				d.before = c.before
			}
			err := d.undoer().Undo(t.Context(), webKey, "u1", badB, goodA)
			switch {
			case c.again:
				if err == nil || errors.Is(err, bake.ErrNewer) || errors.Is(err, bake.ErrPaused) {
					t.Errorf("error %v, want one that may be tried again", err)
				}
			case !errors.Is(err, c.want) || (err == nil) != (c.want == nil):
				t.Errorf("error %v, want %v", err, c.want)
			}
			image := d.spec()["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"]
			if rolledBack := err == nil; rolledBack != (image == "app:a") {
				t.Errorf("it runs %v: %v", image, err)
			}
			d.stands(c.paused, c.mark)
		})
	}
}

func TestWithout(t *testing.T) {
	pause := fieldpath.MakePathOrDie("spec", "paused")
	note := fieldpath.MakePathOrDie("metadata", "annotations", bake.AnnotationPaused)
	image := paths[0]
	others := []metav1.ManagedFieldsEntry{entry("kubectl", apply, 1, fields(t, image, pause)), entry("kube-controller-manager", update, 2, fields(t, paths[4]))}
	for _, c := range []struct {
		name    string
		mine    []metav1.ManagedFieldsEntry
		want    []metav1.ManagedFieldsEntry
		changed bool
	}{
		{"all of it", []metav1.ManagedFieldsEntry{entry(FieldManager, update, 3, fields(t, pause, note))}, nil, true},
		{"not what an undo owns", []metav1.ManagedFieldsEntry{entry(FieldManager, update, 3, fields(t, pause, note, image))}, []metav1.ManagedFieldsEntry{entry(FieldManager, update, 3, fields(t, image))}, true},
		{"nothing", []metav1.ManagedFieldsEntry{entry(FieldManager, update, 3, fields(t, image))}, []metav1.ManagedFieldsEntry{entry(FieldManager, update, 3, fields(t, image))}, false},
		{"nobody's", nil, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, changed, err := without(append(others[:2:2], c.mine...), pauseFields)
			if err != nil || changed != c.changed {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if diff := cmp.Diff(append(others[:2:2], c.want...), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
