package rollback

import (
	"encoding/json"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4" // what the API server applies patches with
	corev1 "k8s.io/api/core/v1"

	"github.com/bakewatch/bakewatch/watcher"
)

func TestRestarting(t *testing.T) {
	const at = "2026-05-01T12:00:00Z"
	for _, c := range []struct {
		name, read, live string
		want             map[string]string // nil: the patch is refused
	}{
		{"no annotations", `{"metadata":{"labels":{"app":"web"}}}`, "", map[string]string{restartKey: at}},
		{"beside others", `{"metadata":{"annotations":{"a":"1"}}}`, "", map[string]string{"a": "1", restartKey: at}},
		{"restarted before", `{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}`, "", map[string]string{restartKey: at}},
		{"changed since", `{"metadata":{"labels":{"app":"web"}}}`, `{"metadata":{"labels":{"app":"api"}}}`, nil},
	} {
		w := &watcher.Workload{Raw: json.RawMessage(c.read)}
		if err := json.Unmarshal(w.Raw, &w.Template); err != nil {
			t.Fatal(err)
		}
		raw, err := restarting(w, "u1", at)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		live := c.live
		if live == "" {
			live = c.read
		}
		out, err := patch.Apply([]byte(`{"metadata":{"uid":"u1"},"spec":{"template":` + live + `}}`))
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: patched to %s", c.name, out)
			}
			continue
		}
		var got struct {
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if err != nil || json.Unmarshal(out, &got) != nil || len(got.Spec.Template.Annotations) != len(c.want) {
			t.Fatalf("%s: %s, %v", c.name, out, err)
		}
		for k, v := range c.want {
			if got.Spec.Template.Annotations[k] != v {
				t.Errorf("%s: %s is %q, want %q", c.name, k, got.Spec.Template.Annotations[k], v)
			}
		}
	}
}
