package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/bakewatch/bakewatch/act/gitops"
	"github.com/bakewatch/bakewatch/act/revert/standin"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

var (
	kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	deployments    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

// kept is a workload that a controller keeps as Git has it, and the object by which it does.
type kept struct {
	name    string
	by      schema.GroupVersionResource
	object  string // of that kind, in the stage's home
	manager string // under which the controller applies
	labels  map[string]string
	meta    map[string]string // annotations
}

// git stands for a repository and for the controllers that follow it: twice a second they apply what it says of each workload, on the
// server side and by force, unless they are told to leave it alone. It heeds what they heed, by their own documentation.
type git struct {
	s       *stage
	dynamic dynamic.Interface
	mu      sync.Mutex
	says    map[string]app // by workload
	applied map[string]int // how often, by workload
}

func (g *git) commit(a app) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.says[a.name] = a
}

// follow applies until ctx ends.
func (g *git) follow(ctx context.Context, all []kept) {
	for ctx.Err() == nil {
		for _, w := range all {
			if err := g.reconcile(ctx, w); err != nil && ctx.Err() == nil {
				g.s.t.Logf("the controller of %s: %v", w.name, err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (g *git) reconcile(ctx context.Context, w kept) error {
	by, err := g.dynamic.Resource(w.by).Namespace(g.s.home).Get(ctx, w.object, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if suspended, _, _ := unstructured.NestedBool(by.Object, "spec", "suspend"); suspended {
		return nil
	}
	if w.by == gitops.Applications {
		automated, on, _ := unstructured.NestedMap(by.Object, "spec", "syncPolicy", "automated")
		if !on || automated["enabled"] == false || automated["selfHeal"] != true {
			return nil
		}
	}
	client := g.dynamic.Resource(deployments).Namespace(g.s.namespace)
	if w.by == kustomizations {
		live, err := client.Get(ctx, w.name, metav1.GetOptions{})
		if err == nil && live.GetAnnotations()["kustomize.toolkit.fluxcd.io/reconcile"] == "disabled" {
			return nil
		}
	}
	g.mu.Lock()
	a := g.says[w.name]
	g.applied[w.name]++
	g.mu.Unlock()
	a.meta = w.meta
	var manifest map[string]any
	if err := yaml.Unmarshal([]byte(a.yaml(g.s.t)), &manifest); err != nil {
		return err
	}
	manifest["metadata"].(map[string]any)["labels"] = w.labels
	raw, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	force := true
	_, err = client.Patch(ctx, w.name, types.ApplyPatchType, raw, metav1.PatchOptions{FieldManager: w.manager, Force: &force})
	return err
}

// make makes the object by which a workload is kept.
func (g *git) make(w kept, spec map[string]any) {
	g.s.t.Helper()
	kind := map[schema.GroupVersionResource]string{kustomizations: "Kustomization", gitops.HelmReleases: "HelmRelease", gitops.Applications: "Application"}[w.by]
	o := map[string]any{"apiVersion": w.by.GroupVersion().String(), "kind": kind, "metadata": map[string]any{"name": w.object, "namespace": g.s.home}, "spec": spec}
	if w.by == gitops.Applications {
		o["status"] = map[string]any{"resources": []any{map[string]any{"group": "apps", "version": "v1", "kind": "Deployment", "namespace": g.s.namespace, "name": w.name}}}
	}
	if _, err := g.dynamic.Resource(w.by).Namespace(g.s.home).Create(g.s.context(), &unstructured.Unstructured{Object: o}, metav1.CreateOptions{FieldManager: "kubectl"}); err != nil {
		g.s.t.Fatal(err)
	}
}

func (g *git) read(w kept) *unstructured.Unstructured {
	g.s.t.Helper()
	res, name, namespace := w.by, w.object, g.s.home
	if w.by == kustomizations { // what is marked is the workload
		res, name, namespace = deployments, w.name, g.s.namespace
	}
	o, err := g.dynamic.Resource(res).Namespace(namespace).Get(g.s.context(), name, metav1.GetOptions{})
	if err != nil {
		g.s.t.Fatal(err)
	}
	return o
}

// gitHub starts a stand-in of GitHub's API, with a repository in which a file brings version b of a workload. It returns what the policy
// has to say of it.
func (s *stage) gitHub(name string) (*standin.GitHub, string) {
	s.t.Helper()
	hub := &standin.GitHub{Repository: "acme/deploy", Token: "ghp_stand-in"}
	hub.Commit(name+".yaml", "kind: Deployment\nimage: app:a\n")
	hub.Commit(name+".yaml", "kind: Deployment\nimage: app:b\n")
	server := httptest.NewServer(hub)
	s.t.Cleanup(server.Close)
	token := filepath.Join(s.t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(hub.Token), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return hub, fmt.Sprintf("git: {repository: acme/deploy, tokenFile: %s, url: %s}", token, server.URL)
}

// TestGitOps: what Argo CD and Flux keep is rolled back once they were told to leave it alone, and stays so although they reconcile all the
// time; a person has them go on. What policy has only told, or proposed in Git, is not touched. If Git still says the bad version it comes back, and that is told
// by name.
func TestGitOps(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	crds := []string{"applications.argoproj.io", "kustomizations.kustomize.toolkit.fluxcd.io", "helmreleases.helm.toolkit.fluxcd.io"}
	s.kubectl("apply", "--server-side", "-f", "testdata/crds/argoproj.io_applications.yaml", "-f", "testdata/crds/kustomize.toolkit.fluxcd.io_kustomizations.yaml", "-f", "testdata/crds/helm.toolkit.fluxcd.io_helmreleases.yaml")
	s.waitFor("the resources to be served", func() (bool, string) {
		out, err := s.try("wait", "--for=condition=Established", "--timeout=20s", "crd/"+crds[0], "crd/"+crds[1], "crd/"+crds[2])
		return err == nil, out // at first they have no conditions at all
	})
	client, err := dynamic.NewForConfig(s.config)
	if err != nil {
		t.Fatal(err)
	}
	g := &git{s: s, dynamic: client, says: map[string]app{}, applied: map[string]int{}}
	tracked := func(name string) kept {
		object := s.namespace + "-" + name
		return kept{name: name, by: gitops.Applications, object: object, manager: "argocd-controller", meta: map[string]string{"argocd.argoproj.io/tracking-id": object + ":apps/Deployment:" + s.namespace + "/" + name}}
	}
	flux := kept{name: "flux", by: kustomizations, object: "shop", manager: "kustomize-controller", labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": s.home}}
	helm := kept{name: "helm", by: gitops.HelmReleases, object: "shop", manager: "helm-controller", labels: map[string]string{"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": s.home}}
	argo, notified, proposed := tracked("argo"), tracked("notified"), tracked("proposed")
	proposed.meta["bakewatch.dev/git-path"] = "proposed.yaml"
	source := map[string]any{"kind": "GitRepository", "name": "shop"}
	automated := map[string]any{"prune": true, "selfHeal": true}
	g.make(flux, map[string]any{"interval": "1m", "prune": true, "sourceRef": source})
	g.make(helm, map[string]any{"interval": "1m", "chart": map[string]any{"spec": map[string]any{"chart": "shop", "sourceRef": source}}, "driftDetection": map[string]any{"mode": "enabled"}})
	for _, w := range []kept{argo, notified, proposed} {
		g.make(w, map[string]any{"project": "default", "source": map[string]any{"repoURL": "https://git.example.com/shop", "path": w.name},
			"destination": map[string]any{"name": "in-cluster", "namespace": s.namespace}, "syncPolicy": map[string]any{"automated": maps.Clone(automated)}})
	}
	all := []kept{flux, helm, argo, notified, proposed}
	var apps []app
	for _, w := range all {
		a := good(w.name, "a")
		a.replicas = 1
		apps = append(apps, a)
		g.commit(a)
	}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { g.follow(ctx, all) })
	t.Cleanup(func() { stop(); following.Wait() })
	s.waitFor("the controllers to have made the workloads", func() (bool, string) {
		out, err := s.try("get", "deployments", "flux", "helm", "argo", "notified", "proposed")
		return err == nil, out
	})
	s.serveAWhile(apps...)

	hub, place := s.gitHub("proposed")
	d := s.daemon(rules{more: "gitops: suspend\n" + place + "\nworkloads: [{match: {name: notified}, gitops: notify}, {match: {name: proposed}, gitops: git}]"})
	d.ready(200, "policy has gitops: suspend", "patch applications.argoproj.io", "patch helmreleases.helm.toolkit.fluxcd.io", "deploy/gitops.yaml")
	s.kubectl("apply", "-f", "../deploy/gitops.yaml")
	untouched := g.read(notified)
	for _, a := range apps {
		a.version, a.errorRate = "b", 0.4
		g.commit(a)
	}

	for _, w := range all[:3] {
		b := s.ended(w.name, 2, v1alpha1.OutcomeRolledBack, "threshold", "suspended")
		if sus := b.Status.Rollback.Suspension; sus == nil || sus.DoneAt == nil || sus.DoneAt.After(b.Status.Rollback.PatchedAt.Time) || b.Status.Rollback.Recovered != "Yes" {
			t.Errorf("%s: on record: %+v, recovered %s", w.name, sus, b.Status.Rollback.Recovered)
		}
		if mark := g.read(w).GetAnnotations()[gitops.Mark]; !strings.Contains(mark, b.Namespace+"/"+b.Name) || !strings.Contains(mark, `"before":`) {
			t.Errorf("%s is marked %q", w.name, mark)
		}
		s.told(b)
		s.alarmed("BakewatchRolledBack", b)
	}
	held := s.ended("notified", 2, v1alpha1.OutcomeHeld, "threshold", "gitops")
	s.alarmed("BakewatchHeld", held)
	linked := s.ended("proposed", 2, v1alpha1.OutcomeHeld, "threshold", "proposed", "gitops")
	if pulls := hub.Pulls(); len(pulls) != 1 || pulls[0].Files["proposed.yaml"] != "kind: Deployment\nimage: app:a\n" || linked.Status.Proposal.URL == "" {
		t.Errorf("proposed: %+v, on record %+v", pulls, linked.Status.Proposal)
	}
	s.told(linked)
	s.alarmed("BakewatchHeld", linked)
	s.stays("what is suspended stays as it was left", 5*time.Second, func() (bool, string) {
		images := s.image("flux") + " " + s.image("helm") + " " + s.image("argo") + " " + s.image("notified") + " " + s.image("proposed")
		return images == "app:a app:a app:a app:b app:b", images
	})
	if o := g.read(notified); o.GetResourceVersion() != untouched.GetResourceVersion() || s.revision("notified") != 2 {
		t.Errorf("what was only to be told was written: %v", o.Object)
	}
	if out, err := s.say("", "resume", "notified", "--yes"); err == nil || !strings.Contains(out, "has anything suspended") {
		t.Errorf("what is not suspended is resumed: %v: %s", err, out)
	}

	// Git is right for one, and not for another.
	fixed := good("argo", "c")
	fixed.replicas = 1
	g.commit(fixed)
	if out := s.must("", "resume", "argo", "--dry-run"); !strings.Contains(out, "not written") || !strings.Contains(out, "is off since the rollback from rev 2 (app:b)") {
		t.Errorf("a dry run says: %s", out)
	}
	for _, w := range all[:3] {
		s.must("", "resume", w.name, "--yes", "-o", "json")
	}
	s.waitFor("Argo CD to sync the fix", func() (bool, string) { return s.image("argo") == "app:c", s.image("argo") })
	for _, w := range all[:3] {
		s.waitFor("the resumption to be on record", func() (bool, string) {
			b, state := s.bake(w.name, 2)
			return b != nil && b.Status.Rollback.Suspension.ResumedAt != nil && b.Status.Rollback.Suspension.ResumedBy != "", state
		})
		o := g.read(w)
		if mark, marked := o.GetAnnotations()[gitops.Mark]; marked {
			t.Errorf("%s is still marked %q", w.name, mark)
		}
	}
	if got, _, _ := unstructured.NestedMap(g.read(argo).Object, "spec", "syncPolicy", "automated"); fmt.Sprint(got) != fmt.Sprint(automated) {
		t.Errorf("argo goes on with %v, want %v", got, automated)
	}
	if suspended, there, _ := unstructured.NestedBool(g.read(helm).Object, "spec", "suspend"); there {
		t.Errorf("helm goes on with suspend: %v", suspended)
	}
	if v, there := g.read(flux).GetAnnotations()["kustomize.toolkit.fluxcd.io/reconcile"]; there {
		t.Errorf("flux goes on with reconcile: %s", v)
	}
	for _, w := range all[:2] {
		s.waitFor(w.name+" to be told as written back", func() (bool, string) {
			b, state := s.bake(w.name, 4)
			return b != nil && b.Status.Alert != nil && strings.Contains(b.Status.Why, "written-back: "+w.manager+" wrote rev 2 of deployment/"+w.name+" back, now rev 4,"), state
		})
		b, _ := s.bake(w.name, 4)
		s.alarmed("BakewatchWrittenBack", *b)
	}
}
