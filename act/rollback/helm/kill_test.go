package helm

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "helm.sh/helm/v4/pkg/release/v1"
	"sigs.k8s.io/yaml"

	"github.com/bakewatch/bakewatch/bake"
)

// killer ends a process at its nth write: before it arrives, or before it is answered.
type killer struct {
	next   http.RoundTripper
	at     int
	before bool
	writes int
	dead   bool
}

var errKilled = errors.New("this process was killed")

// RoundTrip implements http.RoundTripper.
func (k *killer) RoundTrip(req *http.Request) (*http.Response, error) {
	if k.dead {
		return nil, errKilled
	}
	if req.Method == http.MethodGet {
		return k.next.RoundTrip(req)
	}
	if k.writes++; k.writes != k.at {
		return k.next.RoundTrip(req)
	}
	k.dead = true
	if k.before {
		return nil, errKilled
	}
	resp, err := k.next.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return nil, errKilled
}

// TestKilledAtEveryWrite kills the process before and after each of its writes. Who comes next finishes: each object was changed
// once, and helm history tells of one rollback.
func TestKilledAtEveryWrite(t *testing.T) {
	good := deployment("web", "app:a") + deployment("side", "app:a") + configMap("settings", "1") + configMap("dropped", "1")
	bad := deployment("web", "app:b") + deployment("side", "app:b") + configMap("settings", "2") + configMap("extra", "2")
	story := func(t *testing.T, at int, before bool) int {
		s := newStage(t, good, bad)
		delete(s.api.objects, "/api/v1/namespaces/shop/configmaps/dropped")
		judged, target, uid := s.revision("app:b"), s.revision("app:a"), s.uid()
		k := &killer{at: at, before: before}
		killed := *s.r
		killed.Config = s.api.config()
		killed.Config.Wrap(func(next http.RoundTripper) http.RoundTripper { k.next = next; return k })
		err := killed.RollBack(s.ctx(), web, uid, judged, target, twoToOne, bakeID)
		if at > 0 {
			if !k.dead {
				t.Error("it was never killed")
			}
			if err := s.r.RollBack(s.ctx(), web, uid, judged, target, twoToOne, bakeID); err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if got := s.history(); !slices.Equal(got, []string{"1 superseded", "2 superseded", "3 deployed"}) {
			t.Errorf("history %q", got)
		}
		// An object that was made anew already Helm compares with itself, and writes as it is.
		changed := slices.DeleteFunc(slices.Clone(s.api.writes), func(w string) bool { return strings.Contains(w, "sh.helm.release") || w == "PATCH dropped" })
		slices.Sort(changed)
		if want := []string{"DELETE extra", "PATCH settings", "PATCH side", "PATCH web", "POST dropped"}; !slices.Equal(changed, want) {
			t.Errorf("it wrote %q, want %q", changed, want)
		}
		if s.image("web") != "app:a" || s.image("side") != "app:a" {
			t.Errorf("web has %s, side has %s", s.image("web"), s.image("side"))
		}
		return k.writes
	}
	total := story(t, 0, false)
	if total < 8 {
		t.Fatalf("only %d writes", total)
	}
	for at := 1; at <= total; at++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %d of %d, before=%v", at, total, before), func(t *testing.T) { story(t, at, before) })
		}
	}
}

// Somebody is faster, in the very moment: nothing of theirs is undone.
func TestSomebodyIsFaster(t *testing.T) {
	deploy := "/apis/apps/v1/namespaces/shop/deployments/web"
	for _, c := range []struct {
		name  string
		moves func(*apiServer)
		image string
	}{
		{"another revision of the release is made", func(a *apiServer) {
			a.objects["/api/v1/namespaces/shop/secrets/"+key("shop", 3)] = a.objects["/api/v1/namespaces/shop/secrets/"+key("shop", 2)]
		}, "app:b"},
		{"the workload is changed", func(a *apiServer) {
			a.put("PATCH", deploy, "deployments", decoded(deployment("web", "app:c"), a.objects[deploy]))
		}, "app:c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, deployment("web", "app:a"), deployment("web", "app:b"))
			judged, target, uid := s.revision("app:b"), s.revision("app:a"), s.uid()
			moved := false
			s.api.before = func(method, _ string, _ bool) error {
				if !moved && method == "POST" {
					moved = true
					c.moves(s.api)
				}
				return nil
			}
			if err := s.r.RollBack(s.ctx(), web, uid, judged, target, twoToOne, bakeID); !errors.Is(err, bake.ErrNewer) || !moved {
				t.Errorf("it ended with %v", err)
			}
			if got := s.image("web"); got != c.image {
				t.Errorf("web has %s, want %s", got, c.image)
			}
		})
	}
	j := &journal{next: 3}
	if err := j.Create("x", &v1.Release{Version: 4}); !errors.Is(err, errNotNext) {
		t.Errorf("a revision after somebody else's: %v", err)
	}
}

// decoded is an object of a manifest, with the metadata of one that is there.
func decoded(manifest string, there map[string]any) map[string]any {
	var o map[string]any
	if err := yaml.Unmarshal([]byte(strings.TrimPrefix(manifest, "---\n")), &o); err != nil {
		panic(err)
	}
	o["metadata"] = there["metadata"]
	return o
}
