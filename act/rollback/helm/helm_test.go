package helm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/release/common"
	v1 "helm.sh/helm/v4/pkg/release/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// The release goes back as it was planned, or not at all.
func TestRollBack(t *testing.T) {
	a, b := deployment("web", "app:a"), deployment("web", "app:b")
	pause := func(s *stage) {
		s.api.mu.Lock()
		defer s.api.mu.Unlock()
		s.api.objects["/apis/apps/v1/namespaces/shop/deployments/web"]["spec"].(map[string]any)["paused"] = true
	}
	for _, c := range []struct {
		name    string
		set     func(*stage)
		plan    v1alpha1.HelmRollback
		want    error
		image   string
		history []string
	}{
		{"as planned", nil, twoToOne, nil, "app:a", []string{"1 superseded", "2 superseded", "3 deployed"}},
		{"it failed, as helm upgrade --wait says", func(s *stage) { s.status(2, common.StatusFailed) }, twoToOne, nil, "app:a", []string{"1 superseded", "2 failed", "3 deployed"}},
		{"somebody has upgraded it since", func(s *stage) { s.upgrade(deployment("web", "app:c"), common.StatusDeployed) }, twoToOne, bake.ErrNewer, "app:c", []string{"1 superseded", "2 superseded", "3 deployed"}},
		{"somebody has upgraded it since, and web is as it was", func(s *stage) { s.upgrade(b, common.StatusDeployed) }, twoToOne, bake.ErrNewer, "app:b", []string{"1 superseded", "2 superseded", "3 deployed"}},
		{"somebody has rolled it back since", func(s *stage) { s.upgrade(a, common.StatusDeployed) }, twoToOne, nil, "app:a", []string{"1 superseded", "2 superseded", "3 deployed"}},
		{"somebody is at work on it", func(s *stage) { s.upgrade(b, common.StatusPendingUpgrade) }, twoToOne, errAny, "app:b", []string{"1 superseded", "2 deployed", "3 pending-upgrade"}},
		{"the workload is paused", pause, twoToOne, bake.ErrPaused, "app:b", []string{"1 superseded", "2 deployed"}},
		{"the revision is no longer on record", nil, v1alpha1.HelmRollback{Release: "shop", Namespace: "shop", From: 2, To: 7}, bake.ErrRelease, "app:b", []string{"1 superseded", "2 deployed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, a, b)
			if c.set != nil {
				c.set(s)
			}
			err := s.rollBack("app:b", "app:a", c.plan)
			if whatever := errors.Is(c.want, errAny); whatever && err == nil || !whatever && !errors.Is(err, c.want) {
				t.Errorf("it ended with %v, want %v", err, c.want)
			}
			if got := s.image("web"); got != c.image {
				t.Errorf("web has %s, want %s", got, c.image)
			}
			if got := s.history(); !slices.Equal(got, c.history) {
				t.Errorf("history %q, want %q", got, c.history)
			}
			if c.want == nil {
				s.api.writes = nil
				if err := s.rollBack("app:b", "app:a", c.plan); err != nil || len(s.api.writes) > 0 {
					t.Errorf("again: %v; it wrote %q", err, s.api.writes)
				}
			}
		})
	}
	t.Run("the workload was made anew", func(t *testing.T) {
		s := newStage(t, a, b)
		if err := s.r.RollBack(s.ctx(), web, "another", s.revision("app:b"), s.revision("app:a"), twoToOne, bakeID); !errors.Is(err, bake.ErrGone) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// errAny stands for any error that may be tried again.
var errAny = errors.New("any")

// status changes what is on record of a revision.
func (s *stage) status(revision int, st common.Status) {
	s.t.Helper()
	open := s.open()
	found, err := open.secrets.Get(key("shop", revision))
	if err != nil {
		s.t.Fatal(err)
	}
	rel := found.(*v1.Release)
	rel.Info.Status = st
	if err := open.secrets.Update(key("shop", revision), rel); err != nil {
		s.t.Fatal(err)
	}
}

// What the API server refuses is tried again a few times, each time from the start, and no more.
func TestRefused(t *testing.T) {
	s := newStage(t, deployment("web", "app:a")+configMap("settings", "1"), deployment("web", "app:b")+configMap("settings", "2"))
	s.api.refuse = func(method, path string) *metav1.Status {
		if method == "PATCH" && strings.HasSuffix(path, "/web") {
			return &metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "no patches"}
		}
		return nil
	}
	for n := 1; n <= maxTries; n++ {
		if err := s.rollBack("app:b", "app:a", twoToOne); err == nil || errors.Is(err, bake.ErrRelease) {
			t.Fatalf("try %d: %v", n, err)
		}
		if got := s.history(); !slices.Equal(got, []string{"1 superseded", "2 superseded", "3 failed"}) {
			t.Fatalf("try %d: history %q", n, got)
		}
	}
	if err := s.rollBack("app:b", "app:a", twoToOne); !errors.Is(err, bake.ErrRelease) || !strings.Contains(err.Error(), "no patches") {
		t.Errorf("after %d tries: %v", maxTries, err)
	}
}

func TestMarker(t *testing.T) {
	long := "shop/" + strings.Repeat("x", 250)
	for _, by := range []string{bakeID, long} {
		says := fmt.Sprintf("Rollback to 1000 by Bakewatch, %s, try 5", marker(by))
		if len(says) > 256 {
			t.Errorf("%d characters", len(says))
		}
		rel := &v1.Release{Info: &v1.Info{Description: says + ": it was refused"}}
		if n, mine := triedBy(rel, by); n != 5 || !mine {
			t.Errorf("%s is read as %d, %v", says, n, mine)
		}
		if _, mine := triedBy(rel, by+"y"); mine {
			t.Errorf("%s is taken for another's", says)
		}
	}
	if _, mine := triedBy(&v1.Release{Info: &v1.Info{Description: "Rollback to 1"}}, bakeID); mine {
		t.Error("a person's is taken for ours")
	}
}

// In a dry session nothing is deleted but what says so itself.
func TestDryRunDeletes(t *testing.T) {
	s := newStage(t, deployment("web", "app:a")+configMap("extra", "1"), deployment("web", "app:a")+configMap("extra", "1"))
	dry, err := s.r.open(s.ctx(), "shop", true)
	if err != nil {
		t.Fatal(err)
	}
	list, err := dry.build(&v1.Release{Manifest: configMap("extra", "1")})
	if err != nil {
		t.Fatal(err)
	}
	if _, errs := dry.kube.Delete(list, metav1.DeletePropagationBackground); len(errs) == 0 || s.object("api/v1", "configmaps", "extra") == nil {
		t.Errorf("deleted: %v", errs)
	}
}
