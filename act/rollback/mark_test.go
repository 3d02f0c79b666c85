package rollback

import (
	"encoding/json"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4" // what the API server applies patches with
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

func TestMarking(t *testing.T) {
	now := time.Date(2026, 5, 1, 14, 3, 20, 0, time.FixedZone("", 7200))
	for _, c := range []struct {
		name   string
		seen   map[string]string // annotations when it was read
		object string            // as it is when it is patched
		want   map[string]string // nil: the patch is refused
	}{
		{"among others", map[string]string{"a": "1"}, `{"metadata":{"annotations":{"a":"1"}}}`, map[string]string{"a": "1", bake.AnnotationRolledBack: "7 at 2026-05-01T12:03:20Z"}},
		{"over an earlier one", map[string]string{bake.AnnotationRolledBack: "3 at some time"}, `{"metadata":{"annotations":{"bakewatch.dev/rolled-back-from":"3 at some time"}}}`,
			map[string]string{bake.AnnotationRolledBack: "7 at 2026-05-01T12:03:20Z"}},
		{"where there are none", nil, `{"metadata":{}}`, map[string]string{bake.AnnotationRolledBack: "7 at 2026-05-01T12:03:20Z"}},
		{"where somebody has just made the first", nil, `{"metadata":{"annotations":{"a":"1"}}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := json.Marshal(marking(c.seen, v1alpha1.Revision{Number: 7}, now))
			if err != nil {
				t.Fatal(err)
			}
			patch, err := jsonpatch.DecodePatch(raw)
			if err != nil {
				t.Fatal(err)
			}
			out, err := patch.Apply([]byte(c.object))
			if c.want == nil {
				if err == nil {
					t.Fatalf("somebody's annotations were replaced: %s", out)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got metav1.PartialObjectMetadata
			if err := json.Unmarshal(out, &got); err != nil || len(got.Annotations) != len(c.want) {
				t.Fatalf("%s, %v", out, err)
			}
			for k, v := range c.want {
				if got.Annotations[k] != v {
					t.Errorf("%s: %q, want %q", k, got.Annotations[k], v)
				}
			}
		})
	}
}
