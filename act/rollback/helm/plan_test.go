package helm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/release/common"
	v1 "helm.sh/helm/v4/pkg/release/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/bake"
)

func TestPlan(t *testing.T) {
	a, b := deployment("web", "app:a"), deployment("web", "app:b")
	aside := deployment("side", "app:a")
	for _, c := range []struct {
		name      string
		manifests []string
		set       func(*stage)
		want      bake.ReleasePlan
		unfit     string // what it contains
	}{
		{name: "the revision before", manifests: []string{a, b}, want: bake.ReleasePlan{From: 2, To: 1}},
		{name: "the newest of several that make it", manifests: []string{a, a + configMap("settings", "2"), a + configMap("settings", "3"), b}, want: bake.ReleasePlan{From: 4, To: 3}},
		{name: "not the one before, which makes another", manifests: []string{a, deployment("web", "app:x"), b}, want: bake.ReleasePlan{From: 3, To: 1}},
		{name: "with other workloads", manifests: []string{a + aside, b + deployment("side", "app:b") + deployment("new", "app:b")},
			want: bake.ReleasePlan{From: 2, To: 1, Others: []string{"deployment/side", "deployment/new"}}},
		{name: "other workloads that stay as they are", manifests: []string{a + aside, b + aside}, want: bake.ReleasePlan{From: 2, To: 1}},
		{name: "what the bad one dropped comes back", manifests: []string{a + aside + configMap("settings", "1"), b}, set: func(s *stage) {
			s.api.mu.Lock()
			defer s.api.mu.Unlock()
			delete(s.api.objects, "/apis/apps/v1/namespaces/shop/deployments/side")
		}, want: bake.ReleasePlan{From: 2, To: 1, Others: []string{"deployment/side"}}},
		{name: "none makes it any more", manifests: []string{a, b}, set: func(s *stage) {
			if _, err := s.open().secrets.Delete(key("shop", 1)); err != nil {
				s.t.Fatal(err)
			}
		}, want: bake.ReleasePlan{From: 2}, unfit: "none of its 0 earlier revisions on record makes rev 1 of deployment/web"},
		{name: "the bad one failed, as helm upgrade --wait says", manifests: []string{a}, set: func(s *stage) { s.upgrade(b, common.StatusFailed) }, want: bake.ReleasePlan{From: 2, To: 1}},
		{name: "one that failed is not gone back to", manifests: []string{a}, set: func(s *stage) {
			s.upgrade(a+configMap("settings", "2"), common.StatusFailed)
			s.upgrade(b, common.StatusDeployed)
		}, want: bake.ReleasePlan{From: 3, To: 1}},
		{name: "pending", manifests: []string{a, b}, set: func(s *stage) { s.upgrade(b, common.StatusPendingUpgrade) }, want: bake.ReleasePlan{From: 3, Busy: "pending-upgrade"}},
		{name: "being uninstalled", manifests: []string{a, b}, set: func(s *stage) { s.upgrade(b, common.StatusUninstalling) }, want: bake.ReleasePlan{From: 3}, unfit: "it is uninstalling"},
		{name: "the workload is not in it", manifests: []string{a, b}, set: func(s *stage) {
			was := s.object("apis/apps/v1", "deployments", "web")
			s.upgrade(configMap("settings", "3"), common.StatusDeployed)
			s.api.objects["/apis/apps/v1/namespaces/shop/deployments/web"] = was // its policy is keep
		},
			want: bake.ReleasePlan{From: 3}, unfit: "its revision 3 does not have deployment/web"},
		{name: "something else changed the workload", manifests: []string{a}, set: func(s *stage) {
			open := s.open() // as kubectl set image does
			rel := &v1.Release{Manifest: b}
			was, _ := open.build(rel)
			now, _ := open.build(rel)
			if err := open.update(was, now, rel); err != nil {
				s.t.Fatal(err)
			}
		}, want: bake.ReleasePlan{From: 1, Apart: true}},
		{name: "it would delete a volume", manifests: []string{a, b + claim("data")}, want: bake.ReleasePlan{From: 2, To: 1}, unfit: "it would delete persistentvolumeclaim/data, which revision 2 brought"},
		{name: "a volume that Helm keeps", manifests: []string{a, b + strings.Replace(claim("data"), "{name: data}", "{name: data, annotations: {helm.sh/resource-policy: keep}}", 1)},
			want: bake.ReleasePlan{From: 2, To: 1}},
		{name: "the API server refuses part of it", manifests: []string{a + configMap("settings", "1"), b + configMap("settings", "2")}, set: func(s *stage) {
			s.api.refuse = func(method, path string) *metav1.Status {
				if method == "PATCH" && strings.HasSuffix(path, "/settings") {
					return &metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "configmaps \"settings\" is forbidden"}
				}
				return nil
			}
		}, want: bake.ReleasePlan{From: 2, To: 1}, unfit: `configmap/settings refuses: configmaps "settings" is forbidden`},
		{name: "and may not delete what only the bad one has", manifests: []string{a, b + configMap("extra", "2")}, set: func(s *stage) {
			s.api.refuse = func(method, _ string) *metav1.Status {
				if method == "DELETE" {
					return &metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "no deletions"}
				}
				return nil
			}
		}, want: bake.ReleasePlan{From: 2, To: 1}, unfit: "configmap/extra may not be deleted: no deletions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, c.manifests...)
			if c.set != nil {
				c.set(s)
			}
			if got := s.image("web"); got != "app:b" {
				t.Fatalf("web runs %s", got)
			}
			s.api.writes = nil
			got, err := s.plan("app:b", "app:a")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got.Unfit, c.unfit) || (got.Unfit == "") != (c.unfit == "") {
				t.Errorf("unfit because %q, want %q", got.Unfit, c.unfit)
			}
			if got.Busy != "" && got.Since.IsZero() {
				t.Error("it does not say since when")
			}
			if got.From != c.want.From || got.To != c.want.To || got.Apart != c.want.Apart || got.Busy != c.want.Busy || !slices.Equal(got.Others, c.want.Others) {
				t.Errorf("planned %+v, want %+v", got, c.want)
			}
			if len(s.api.writes) > 0 {
				t.Errorf("a plan wrote %q", s.api.writes)
			}
		})
	}
}

// What may be mended, or may be over in a moment, is an error.
func TestPlanWithoutAnAnswer(t *testing.T) {
	s := newStage(t, deployment("web", "app:a"), deployment("web", "app:b"))
	if got, err := s.r.Plan(s.ctx(), web, bake.HelmRelease{Namespace: "shop", Name: "other"}, s.revision("app:b"), s.revision("app:a")); err != nil || !strings.Contains(got.Unfit, "no record of it") {
		t.Errorf("a release that is not there: %+v, %v", got, err)
	}
	judged, target := s.revision("app:b"), s.revision("app:a")
	s.api.refuse = func(_, path string) *metav1.Status {
		if strings.Contains(path, "/secrets") {
			return &metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "secrets is forbidden"}
		}
		return nil
	}
	if _, err := s.r.Plan(s.ctx(), web, shop, judged, target); !errors.Is(err, bake.ErrNotPermitted) || !strings.Contains(err.Error(), "deploy/helm-rollback.yaml") {
		t.Errorf("without the rights: %v", err)
	}
	s.api.refuse = func(method, path string) *metav1.Status {
		if method == "PATCH" {
			return &metav1.Status{Code: 503, Reason: metav1.StatusReasonServiceUnavailable, Message: "the webhook does not answer"}
		}
		return nil
	}
	if got, err := s.r.Plan(s.ctx(), web, shop, judged, target); err == nil {
		t.Errorf("while a webhook does not answer: %+v", got)
	}
	s.api.refuse, s.api.hold = nil, make(chan struct{})
	defer close(s.api.hold)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.r.Plan(ctx, web, shop, judged, target); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		t.Errorf("an API server that does not answer: %v", err)
	}
}
