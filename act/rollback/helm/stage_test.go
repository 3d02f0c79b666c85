package helm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/release/common"
	v1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

var (
	web  = bake.Key{Kind: bake.KindDeployment, Namespace: "shop", Name: "web"}
	shop = bake.HelmRelease{Namespace: "shop", Name: "shop"}
)

const bakeID = "shop/deployment-web-uid-1-2"

// deployment, configMap and claim are objects of a chart.
func deployment(name, image string) string {
	return fmt.Sprintf(`---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec: {containers: [{name: app, image: "%s"}]}
`, name, name, name, image)
}

func configMap(name, value string, more ...string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s%s}\ndata: {version: \"%s\"}\n", name, strings.Join(more, ""), value)
}

func claim(name string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: %s}\n", name)
}

// stage is an API server with a release, made by a Helm 3.
type stage struct {
	t   *testing.T
	api *apiServer
	r   *Releases
	n   int
}

// newStage makes a release with a revision for each manifest, in that order. The last is what is deployed.
func newStage(t *testing.T, manifests ...string) *stage {
	t.Helper()
	api := newAPIServer(t)
	client, err := kubernetes.NewForConfig(api.config())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, api: api, r: &Releases{Config: api.config(), Client: client, Log: zap.NewNop()}}
	for _, m := range manifests {
		s.upgrade(m, common.StatusDeployed)
	}
	api.writes = nil
	return s
}

func (s *stage) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *stage) open() *session {
	s.t.Helper()
	open, err := s.r.open(s.ctx(), "shop", false)
	if err != nil {
		s.t.Fatal(err)
	}
	return open
}

// upgrade does what a user's helm upgrade does.
func (s *stage) upgrade(manifest string, st common.Status, hooks ...*v1.Hook) {
	s.t.Helper()
	open := s.open()
	records := storage.Init(open.secrets)
	rel := &v1.Release{Name: "shop", Namespace: "shop", Version: s.n + 1, Manifest: manifest, Chart: &chart.Chart{Metadata: &chart.Metadata{Name: "shop"}}, Hooks: hooks,
		Info: &v1.Info{Status: st, Description: "Upgrade complete", LastDeployed: time.Now()}}
	before := &v1.Release{}
	if s.n > 0 {
		last, err := records.Last("shop")
		if err != nil {
			s.t.Fatal(err)
		}
		before = last.(*v1.Release)
		if st == common.StatusDeployed && before.Info.Status != common.StatusFailed {
			before.Info.Status = common.StatusSuperseded
			if err := records.Update(before); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	was, err := open.build(before)
	if err != nil {
		s.t.Fatal(err)
	}
	now, err := open.build(rel)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := open.update(was, now, rel); err != nil {
		s.t.Fatal(err)
	}
	if err := records.Create(rel); err != nil {
		s.t.Fatal(err)
	}
	s.n++
}

// revision is the one of web with that image.
func (s *stage) revision(image string) v1alpha1.Revision {
	s.t.Helper()
	live, err := watcher.Read(s.ctx(), s.r.Client, web)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range live.Versions {
		if v.Images[0] == image {
			return v.Revision
		}
	}
	s.t.Fatalf("web has no revision %s", image)
	return v1alpha1.Revision{}
}

func (s *stage) uid() string {
	return s.object("apis/apps/v1", "deployments", "web")["metadata"].(map[string]any)["uid"].(string)
}

func (s *stage) object(api, resource, name string) map[string]any {
	s.api.mu.Lock()
	defer s.api.mu.Unlock()
	return s.api.objects["/"+api+"/namespaces/shop/"+resource+"/"+name]
}

// image is what a Deployment's template has.
func (s *stage) image(name string) string {
	template := s.object("apis/apps/v1", "deployments", name)["spec"].(map[string]any)["template"].(map[string]any)
	return template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"].(string)
}

// history is what helm history says, oldest first.
func (s *stage) history() []string {
	s.t.Helper()
	all, err := s.open().history("shop")
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, rel := range slices.Backward(all) {
		out = append(out, fmt.Sprintf("%d %s", rel.Version, rel.Info.Status))
	}
	return out
}

func (s *stage) plan(from, to string) (bake.ReleasePlan, error) {
	s.t.Helper()
	return s.r.Plan(s.ctx(), web, shop, s.revision(from), s.revision(to))
}

func (s *stage) rollBack(from, to string, plan v1alpha1.HelmRollback) error {
	s.t.Helper()
	return s.r.RollBack(s.ctx(), web, s.uid(), s.revision(from), s.revision(to), plan, bakeID)
}

var twoToOne = v1alpha1.HelmRollback{Release: "shop", Namespace: "shop", From: 2, To: 1}
