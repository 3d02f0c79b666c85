package rollback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4" // what the API server applies patches with
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// shelf stands for the API server with the ConfigMaps of one namespace. The data belongs to whoever wrote it last, as there.
type shelf struct {
	t       *testing.T
	maps    map[string]*corev1.ConfigMap
	version int
	writes  []string
	between func()           // runs once, before a patch is applied
	refuse  func(string) int // status to answer a write with; 0: none
}

func newShelf(t *testing.T) (*shelf, *ConfigMaps) {
	s := &shelf{t: t, maps: map[string]*corev1.ConfigMap{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, QPS: 1000, Burst: 1000, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return s, &ConfigMaps{Client: client}
}

// write makes manager the owner of the data, as an apply on the server side does.
func (s *shelf) write(name, manager string, data map[string]string) *corev1.ConfigMap {
	m := s.maps[name]
	if m == nil {
		m = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name)}}
	}
	m = m.DeepCopy()
	m.Data = data
	m.ManagedFields = []metav1.ManagedFieldsEntry{entry(manager, apply, 1, dataOf(s.t, data))}
	return s.put(m)
}

func dataOf(t *testing.T, data map[string]string) *metav1.FieldsV1 {
	owned := map[string]any{}
	for k := range data {
		owned["f:"+k] = map[string]any{}
	}
	raw, err := json.Marshal(map[string]any{"f:data": owned})
	if err != nil {
		t.Fatal(err)
	}
	f := &metav1.FieldsV1{}
	f.SetRawBytes(raw)
	return f
}

func (s *shelf) put(m *corev1.ConfigMap) *corev1.ConfigMap {
	s.version++
	m.ResourceVersion = strconv.Itoa(s.version)
	s.maps[m.Name] = m
	return m
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/shop/configmaps"), "/")
	body, _ := io.ReadAll(r.Body)
	fail := func(code int, reason metav1.StatusReason) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: reason, Code: int32(code), Message: string(reason)})
	}
	answer := func(m *corev1.ConfigMap) {
		m = m.DeepCopy()
		m.TypeMeta = metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}
		_ = json.NewEncoder(w).Encode(m)
	}
	if r.Method != http.MethodGet {
		if s.refuse != nil {
			if code := s.refuse(r.Method); code != 0 {
				fail(code, metav1.StatusReasonForbidden)
				return
			}
		}
		s.writes = append(s.writes, r.Method+" "+name)
	}
	m := s.maps[name]
	switch {
	case r.Method == http.MethodGet && name == "":
		list := corev1.ConfigMapList{TypeMeta: metav1.TypeMeta{Kind: "ConfigMapList", APIVersion: "v1"}}
		label, value, _ := strings.Cut(r.URL.Query().Get("labelSelector"), "=")
		for _, n := range slices.Sorted(maps.Keys(s.maps)) {
			if got, ok := s.maps[n].Labels[label]; ok && (value == "" || got == value) {
				list.Items = append(list.Items, *s.maps[n])
			}
		}
		_ = json.NewEncoder(w).Encode(list)
	case r.Method == http.MethodPost:
		var made corev1.ConfigMap
		if err := json.Unmarshal(body, &made); err != nil {
			s.t.Error(err)
		}
		if s.maps[made.Name] != nil {
			fail(http.StatusConflict, metav1.StatusReasonAlreadyExists)
			return
		}
		made.UID = types.UID("uid-" + made.Name)
		answer(s.put(&made))
	case m == nil:
		fail(http.StatusNotFound, metav1.StatusReasonNotFound)
	case r.Method == http.MethodGet:
		answer(m)
	case r.Method == http.MethodDelete:
		delete(s.maps, name)
		answer(m)
	default:
		if s.between != nil {
			s.between()
			s.between = nil
			m = s.maps[name]
		}
		before, _ := json.Marshal(m)
		var after []byte
		var err error
		if strings.Contains(r.Header.Get("Content-Type"), "merge") {
			after, err = jsonpatch.MergePatch(before, body)
		} else {
			var patch jsonpatch.Patch
			if patch, err = jsonpatch.DecodePatch(body); err != nil {
				s.t.Fatal(err)
			}
			after, err = patch.Apply(before)
		}
		if err != nil {
			fail(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid)
			return
		}
		var next corev1.ConfigMap
		if err := json.Unmarshal(after, &next); err != nil {
			s.t.Error(err)
		}
		if next.ManagedFields != nil && len(next.ManagedFields) == 0 {
			s.t.Error("an empty list of field managers makes the sender the owner of all")
		}
		if !maps.Equal(m.Data, next.Data) { // those fields go over to us, and an entry without any goes
			next.ManagedFields = []metav1.ManagedFieldsEntry{entry(FieldManager, update, 2, dataOf(s.t, next.Data))}
		}
		answer(s.put(&next))
	}
}

func version(name string, data map[string]string) v1alpha1.ConfigVersion {
	return v1alpha1.ConfigVersion{Name: name, Digest: watcher.ConfigDigest(data, nil)}
}

var (
	one   = map[string]string{"color": "blue", "size": "1"}
	two   = map[string]string{"color": "red", "<new>": "&"}
	three = map[string]string{"color": "green"}
)

func TestKeep(t *testing.T) {
	s, c := newShelf(t)
	ctx := context.Background()
	keep := func(data map[string]string, want error) {
		t.Helper()
		if err := c.Keep(ctx, "shop", version("app", data)); !errors.Is(err, want) {
			t.Fatalf("keep %v: %v, want %v", data, err, want)
		}
	}
	keep(one, bake.ErrGone)
	s.write("app", "kubectl", one)
	keep(two, bake.ErrNewer)
	if digest, err := c.Kept(ctx, "shop", "app"); digest != "" || err != nil {
		t.Errorf("kept %q, %v", digest, err)
	}
	for _, data := range []map[string]string{one, two, three, two} {
		s.write("app", "kubectl", data)
		keep(data, nil)
		writes := len(s.writes)
		if keep(data, nil); len(s.writes) != writes {
			t.Errorf("what is kept was written again: %v", s.writes[writes:])
		}
		if digest, err := c.Kept(ctx, "shop", "app"); digest != version("app", data).Digest || err != nil {
			t.Errorf("kept last is %s, %v", digest, err)
		}
	}
	for _, w := range []struct {
		data map[string]string
		has  bool
	}{{one, false}, {two, true}, {three, true}} { // the last two
		if has, err := c.Has(ctx, "shop", version("app", w.data)); has != w.has || err != nil {
			t.Errorf("%v is kept: %v, %v", w.data, has, err)
		}
	}
	kept := s.maps[keptName(version("app", two))]
	if kept == nil || kept.Immutable == nil || !*kept.Immutable || !maps.Equal(kept.Data, two) || len(kept.OwnerReferences) > 0 {
		t.Errorf("kept: %+v", kept)
	}
	large := map[string]string{"a": strings.Repeat("x", maxKeptBytes)}
	s.write("app", "kubectl", large)
	keep(large, bake.ErrTooLarge)
}

func TestSweep(t *testing.T) {
	s, c := newShelf(t)
	for _, name := range []string{"app", "old", "other"} {
		s.write(name, "kubectl", one)
		if err := c.Keep(context.Background(), "shop", version(name, one)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(namespace, name string) bool { return namespace == "shop" && name == "app" }
	if n, err := c.Sweep(context.Background(), []string{"shop"}, read, time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Fatalf("%d of a moment ago are forgotten, %v", n, err)
	}
	if n, err := c.Sweep(context.Background(), []string{"shop"}, read, time.Now().Add(time.Hour)); n != 2 || err != nil {
		t.Fatalf("%d are forgotten, %v", n, err)
	}
	if s.maps[keptName(version("app", one))] == nil || s.maps["old"] == nil {
		t.Error("what is read, or not a copy, is gone")
	}
}

// A copy that is not what it is called is none.
func TestACopyThatWasTamperedWith(t *testing.T) {
	s, c := newShelf(t)
	v := version("app", one)
	s.maps[keptName(v)] = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: keptName(v), Annotations: map[string]string{keptOf: "app"}}, Data: two}
	if has, err := c.Has(context.Background(), "shop", v); has || err != nil {
		t.Errorf("it is kept: %v, %v", has, err)
	}
}

func TestKeptNames(t *testing.T) {
	long := strings.Repeat("a", 199) + ".b"
	v := version(long, one)
	if name := keptName(v); len(name) > 253 || strings.Contains(name, ".-") {
		t.Errorf("%s (%d)", name, len(name))
	}
	if l := keptLabel(long); len(l) > 63 || l == keptLabel(long+"c") {
		t.Errorf("labelled %s", l)
	}
}

func TestRestore(t *testing.T) {
	restore := v1alpha1.ConfigRestore{Name: "app", Judged: version("app", two).Digest, Target: version("app", one).Digest}
	for _, c := range []struct {
		name   string
		change func(*shelf)
		want   error
		data   map[string]string
		writes int // of the ConfigMap
	}{
		{"as judged", nil, nil, one, 2},
		{"back already", func(s *shelf) { s.write("app", "kubectl", one) }, nil, one, 0},
		{"changed since", func(s *shelf) { s.write("app", "kubectl", three) }, bake.ErrNewer, three, 0},
		{"gone", func(s *shelf) { delete(s.maps, "app") }, bake.ErrGone, nil, 0},
		{"not kept", func(s *shelf) { delete(s.maps, keptName(version("app", one))) }, bake.ErrNoRevision, two, 0},
		{"its data changed between reading and patching it", func(s *shelf) { s.between = func() { s.write("app", "kubectl", three) } }, bake.ErrNewer, three, 1},
		{"something else changed between", func(s *shelf) {
			s.between = func() {
				m := s.maps["app"].DeepCopy()
				m.Labels = map[string]string{"x": "y"}
				s.put(m)
			}
		}, nil, one, 3},
		{"forbidden", func(s *shelf) { s.refuse = func(string) int { return http.StatusForbidden } }, bake.ErrNotPermitted, two, 0},
		{"killed before the fields were handed back", func(s *shelf) {
			s.refuse = func(string) int {
				if len(s.writes) > 0 && s.writes[len(s.writes)-1] == "PATCH app" {
					return http.StatusForbidden
				}
				return 0
			}
		}, bake.ErrNotPermitted, one, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, configMaps := newShelf(t)
			s.write("app", "kubectl", one)
			if err := configMaps.Keep(context.Background(), "shop", version("app", one)); err != nil {
				t.Fatal(err)
			}
			s.write("app", "kubectl", two)
			s.writes = nil
			if c.change != nil {
				c.change(s)
			}
			if err := configMaps.Restore(context.Background(), "shop", restore); !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if n := len(s.writes); n != c.writes {
				t.Errorf("writes: %v, want %d", s.writes, c.writes)
			}
			if c.data == nil {
				return
			}
			if c.name == "killed before the fields were handed back" { // the next process does what is left
				s.refuse = nil
				if err := configMaps.Restore(context.Background(), "shop", restore); err != nil {
					t.Fatal(err)
				}
			}
			m := s.maps["app"]
			if !maps.Equal(m.Data, c.data) {
				t.Errorf("it holds %v, want %v", m.Data, c.data)
			}
			if c.want == nil || c.name == "killed before the fields were handed back" {
				if m.Annotations[handBackKey] != "" || len(m.ManagedFields) != 1 || m.ManagedFields[0].Manager != "kubectl" || m.ManagedFields[0].Operation != apply {
					t.Errorf("annotations %v, field managers %+v", m.Annotations, m.ManagedFields)
				}
			}
			if c.name == "as judged" && !strings.HasPrefix(m.Annotations[bake.AnnotationRolledBack], restore.Judged[:6]+" at ") {
				t.Errorf("marked %v", m.Annotations)
			}
		})
	}
}

func TestHolder(t *testing.T) {
	data := dataOf(t, one)
	for _, c := range []struct {
		name   string
		fields []metav1.ManagedFieldsEntry
		want   string
	}{
		{"nobody", nil, ""},
		{"ourselves only", []metav1.ManagedFieldsEntry{entry(FieldManager, update, 1, data)}, ""},
		{"the newest", []metav1.ManagedFieldsEntry{entry("a", update, 1, data), entry("b c", update, 3, data), entry("d", update, 2, data)}, "Update b c"},
		{"who applies comes first", []metav1.ManagedFieldsEntry{entry("a", update, 9, data), entry("kubectl", apply, 1, data), entry("b", update, 8, data)}, "Apply kubectl"},
		{"who holds no data does not count", []metav1.ManagedFieldsEntry{entry("a", apply, 1, fields(t, paths[5])), entry("b", update, 1, data)}, "Update b"},
	} {
		if got := holderOf(c.fields); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestKeysChanged(t *testing.T) {
	was := &corev1.ConfigMap{Data: map[string]string{"same": "1", "gone": "2", "other": "a\nb", "moved": "x"}, BinaryData: map[string][]byte{"bytes": {1}}}
	is := &corev1.ConfigMap{Data: map[string]string{"same": "1", "new": strings.Repeat("y", 200), "other": "c"}, BinaryData: map[string][]byte{"bytes": {2}, "moved": []byte("x")}}
	want := []string{"key bytes changed", "key gone removed", "key new added", "key other changed"}
	if diff := cmp.Diff(want, keysChanged(was, is, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want[2], want[3] = fmt.Sprintf("key new added: %q", strings.Repeat("y", 79)+"…"), `key other changed: "a b" → "c"`
	if diff := cmp.Diff(want, keysChanged(was, is, true)); diff != "" {
		t.Errorf("with values (-want +got):\n%s", diff)
	}
}

func TestCompare(t *testing.T) {
	s, c := newShelf(t)
	s.write("app", "kubectl", one)
	if err := c.Keep(context.Background(), "shop", version("app", one)); err != nil {
		t.Fatal(err)
	}
	s.write("app", "kubectl", two)
	got, err := c.Compare(context.Background(), "shop", version("app", one), false)
	if want := []string{"key <new> added", "key color changed", "key size removed"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Compare(context.Background(), "shop", version("app", three), false); !errors.Is(err, bake.ErrNoRevision) {
		t.Errorf("compared with what is not kept: %v", err)
	}
}
