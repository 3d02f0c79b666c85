package gitops

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

var (
	web  = bake.Key{Kind: bake.KindDeployment, Namespace: "shop", Name: "web"}
	mail = bake.Key{Kind: bake.KindStatefulSet, Namespace: "shop", Name: "mail"}
)

const (
	deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, uid: u1}, spec: {replicas: 2}}`
	app        = `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: shop, namespace: argocd, uid: a1}, spec: {project: default, syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [A=b]}}}`
	appByHand  = `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: shop, namespace: argocd, uid: a1}, spec: {project: default}}`
	appOfSet   = `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: shop, namespace: argocd, uid: a1, ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: ApplicationSet, name: all, controller: true}]}, spec: {syncPolicy: {automated: {}}}}`
	otherApp   = `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: shop, namespace: team, uid: a2}, spec: {syncPolicy: {automated: {}}}, status: {resources: [{group: apps, kind: Deployment, namespace: shop, name: web}]}}`
	release    = `{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: shop, namespace: flux, uid: h1}, spec: {interval: 1m}}`
)

// cluster makes a Keeper of a cluster with these objects.
func cluster(t *testing.T, objects ...string) (*Keeper, *fake.FakeDynamicClient) {
	t.Helper()
	var all []runtime.Object
	for _, text := range objects {
		o := &unstructured.Unstructured{}
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err == nil {
			err = o.UnmarshalJSON(raw)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		Applications: "ApplicationList", HelmReleases: "HelmReleaseList", workloads[bake.KindDeployment]: "DeploymentList",
	}, all...)
	return &Keeper{Dynamic: client}, client
}

func read(t *testing.T, c *fake.FakeDynamicClient, r schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := c.Tracker().Get(r, namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return o.(*unstructured.Unstructured)
}

// conditional checks that each patch holds only for the object as it was read.
func conditional(t *testing.T, c *fake.FakeDynamicClient) {
	t.Helper()
	for _, a := range c.Actions() {
		patch, ok := a.(clienttesting.PatchAction)
		if !ok {
			continue
		}
		var sent struct {
			Metadata struct {
				UID             string  `json:"uid"`
				ResourceVersion *string `json:"resourceVersion"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(patch.GetPatch(), &sent); err != nil || sent.Metadata.UID == "" || sent.Metadata.ResourceVersion == nil {
			t.Errorf("sent without a condition: %s (%v)", patch.GetPatch(), err)
		}
	}
}

// writes are the patches that were sent.
func writes(c *fake.FakeDynamicClient) (n int) {
	for _, a := range c.Actions() {
		if a.GetVerb() == "patch" {
			n++
		}
	}
	return n
}

func suspension(kind, namespace, name string) v1alpha1.Suspension {
	return v1alpha1.Suspension{Kind: kind, Namespace: namespace, Name: name}
}

// Each kind is switched off once, however often that is asked, and all is as it was once it is resumed.
func TestSuspendAndResume(t *testing.T) {
	for _, c := range []struct {
		name, object string
		what         v1alpha1.Suspension
		resource     schema.GroupVersionResource
		at           string // namespace/name
		path         []string
		off          any
		of           string
	}{
		{"Argo CD", app, suspension("Application", "", "shop"), Applications, "argocd/shop", []string{"spec", "syncPolicy", "automated"},
			map[string]any{"prune": true, "selfHeal": true, "enabled": false}, "automated sync of application argocd/shop is off"},
		{"Argo CD, by namespace", app, suspension("Application", "argocd", "shop"), Applications, "argocd/shop", []string{"spec", "syncPolicy", "automated", "enabled"}, false, "automated sync of application argocd/shop is off"},
		{"Flux's HelmRelease", release, suspension("HelmRelease", "flux", "shop"), HelmReleases, "flux/shop", []string{"spec", "suspend"}, true, "helmrelease flux/shop is suspended"},
		{"Flux's HelmRelease that said so", strings.Replace(release, "interval: 1m", "interval: 1m, suspend: false", 1), suspension("HelmRelease", "flux", "shop"), HelmReleases, "flux/shop", []string{"spec", "suspend"}, true, "helmrelease flux/shop is suspended"},
		{"Flux's Kustomization", deployment, suspension("Kustomization", "flux", "shop"), workloads[bake.KindDeployment], "shop/web", []string{"metadata", "annotations", reconcile}, "disabled",
			"Flux does not reconcile shop/web (annotation kustomize.toolkit.fluxcd.io/reconcile: disabled)"},
		{"Flux's Kustomization, annotated", strings.Replace(deployment, "uid: u1", "uid: u1, annotations: {kustomize.toolkit.fluxcd.io/reconcile: enabled}", 1), suspension("Kustomization", "flux", "shop"), workloads[bake.KindDeployment], "shop/web",
			[]string{"metadata", "annotations", reconcile}, "disabled", "Flux does not reconcile shop/web (annotation kustomize.toolkit.fluxcd.io/reconcile: disabled)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, client := cluster(t, c.object)
			namespace, name, _ := strings.Cut(c.at, "/")
			before := read(t, client, c.resource, namespace, name).DeepCopy()
			for range 2 {
				got, err := k.Suspend(t.Context(), web, "u1", c.what, "shop/deployment-web-u1-7")
				if err != nil || got.Of != c.of || got.Already {
					t.Fatalf("%+v, %v", got, err)
				}
			}
			o := read(t, client, c.resource, namespace, name)
			if got, _, _ := unstructured.NestedFieldCopy(o.Object, c.path...); !cmp.Equal(got, c.off) {
				t.Errorf("it says %v, want %v", got, c.off)
			}
			var m mark
			if err := json.Unmarshal([]byte(o.GetAnnotations()[Mark]), &m); err != nil || !cmp.Equal(m.For, map[string]string{"shop/deployment/web": "shop/deployment-web-u1-7"}) || m.At == "" {
				t.Errorf("marked %s", o.GetAnnotations()[Mark])
			}
			if n := writes(client); n != 1 {
				t.Errorf("%d writes", n)
			}
			if _, err := k.Resume(t.Context(), web, "u1", c.what, "shop/another"); err != nil || writes(client) != 1 {
				t.Errorf("what another bake did was undone: %v", err)
			}
			for range 2 {
				if left, err := k.Resume(t.Context(), web, "u1", c.what, "shop/deployment-web-u1-7"); err != nil || left != "" {
					t.Fatalf("%q, %v", left, err)
				}
			}
			conditional(t, client)
			after := read(t, client, c.resource, namespace, name)
			after.SetResourceVersion("") // the stand-in's own
			if len(after.GetAnnotations()) == 0 {
				after.SetAnnotations(nil)
			}
			if diff := cmp.Diff(before.Object, after.Object); diff != "" || writes(client) != 2 {
				t.Errorf("%d writes, before and after (-before +after):\n%s", writes(client), diff)
			}
		})
	}
}

func TestWhatCannotBeSuspended(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []string
		what    v1alpha1.Suspension
		says    string
	}{
		{"no such Application", nil, suspension("Application", "", "shop"), "there is no Application called shop"},
		{"nor in that namespace", []string{app}, suspension("Application", "team", "shop"), "there is no Application team/shop"},
		{"several, and none keeps it", []string{app, strings.Replace(app, "namespace: argocd", "namespace: team", 1)}, suspension("Application", "", "shop"), "2 Applications are called shop, and 0 of them say that they keep shop/deployment/web"},
		{"one that is made by another", []string{appOfSet}, suspension("Application", "", "shop"), "ApplicationSet all would turn the automated sync of argocd/shop on again"},
		{"one without a name", []string{app}, suspension("Application", "", ""), "the workload does not say which Application keeps it"},
		{"no such HelmRelease", nil, suspension("HelmRelease", "flux", "shop"), "there is no HelmRelease flux/shop"},
		{"one whose mark is broken", []string{strings.Replace(app, "uid: a1", "uid: a1, annotations: {bakewatch.dev/suspended: soon}", 1)}, suspension("Application", "", "shop"), "its annotation bakewatch.dev/suspended cannot be read"},
		{"of a kind that is not known", nil, suspension("Fleet", "", "shop"), `"Fleet" is not known`},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, client := cluster(t, c.objects...)
			_, err := k.Suspend(t.Context(), web, "u1", c.what, "shop/b")
			if !errors.Is(err, bake.ErrNotSuspendable) || !strings.Contains(err.Error(), c.says) || writes(client) != 0 {
				t.Errorf("%d writes, %v", writes(client), err)
			}
		})
	}
	k, _ := cluster(t, deployment)
	for uid, key := range map[string]bake.Key{"u2": web, "u1": mail} { // made anew; and not there
		if _, err := k.Suspend(t.Context(), key, uid, suspension("Kustomization", "flux", "shop"), "shop/b"); !errors.Is(err, bake.ErrGone) {
			t.Errorf("%s %s: %v", key, uid, err)
		}
	}
}

// Of several Applications of a name it is the one that says that it keeps the workload.
func TestWhichApplication(t *testing.T) {
	k, client := cluster(t, app, otherApp)
	if got, err := k.Suspend(t.Context(), web, "u1", suspension("Application", "", "shop"), "shop/b"); err != nil || got.Namespace != "team" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, marked := read(t, client, Applications, "argocd", "shop").GetAnnotations()[Mark]; marked {
		t.Error("the other one was suspended")
	}
}

// What is off already is left alone; what a person has switched on again stays on.
func TestPeopleComeFirst(t *testing.T) {
	k, client := cluster(t, appByHand)
	if got, err := k.Suspend(t.Context(), web, "u1", suspension("Application", "", "shop"), "shop/b"); err != nil || !got.Already || writes(client) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}

	k, client = cluster(t, app)
	what := suspension("Application", "argocd", "shop")
	if _, err := k.Suspend(t.Context(), web, "u1", what, "shop/b"); err != nil {
		t.Fatal(err)
	}
	o := read(t, client, Applications, "argocd", "shop").DeepCopy()
	own := map[string]any{"prune": false}
	if err := unstructured.SetNestedMap(o.Object, own, "spec", "syncPolicy", "automated"); err != nil {
		t.Fatal(err)
	}
	if err := client.Tracker().Update(Applications, o, "argocd"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Resume(t.Context(), web, "u1", what, "shop/b"); err != nil {
		t.Fatal(err)
	}
	o = read(t, client, Applications, "argocd", "shop")
	if _, marked := o.GetAnnotations()[Mark]; marked || !cmp.Equal(automated(o), own) {
		t.Errorf("%v, marked %v", automated(o), marked)
	}
}

// One object that is suspended for two workloads goes on once both are resumed; a second rollback of a workload changes nothing.
func TestSuspendedForTwo(t *testing.T) {
	k, client := cluster(t, app)
	what := suspension("Application", "argocd", "shop")
	for _, c := range []struct {
		key     bake.Key
		bake    string
		already bool
	}{{web, "shop/web-7", false}, {mail, "shop/mail-3", false}, {mail, "shop/mail-5", true}, {mail, "shop/mail-3", false}} {
		if got, err := k.Suspend(t.Context(), c.key, "u1", what, c.bake); err != nil || got.Already != c.already {
			t.Fatalf("%s: %+v, %v", c.bake, got, err)
		}
	}
	if left, err := k.Resume(t.Context(), mail, "u1", what, "shop/mail-3"); err != nil || left != "automated sync of application argocd/shop is off stays so for shop/deployment/web" {
		t.Fatalf("%q, %v", left, err)
	}
	if !(application{}).off(read(t, client, Applications, "argocd", "shop")) {
		t.Fatal("it goes on although one needs it suspended")
	}
	if left, err := k.Resume(t.Context(), web, "u1", what, "shop/web-7"); err != nil || left != "" {
		t.Fatalf("%q, %v", left, err)
	}
	if got := automated(read(t, client, Applications, "argocd", "shop")); !cmp.Equal(got, map[string]any{"prune": true, "selfHeal": true}) {
		t.Errorf("it goes on with %v", got)
	}
}

// An Argo CD that does not know the field enabled, which its API server drops: then all of automated goes, and comes back.
func TestAnOlderArgoCD(t *testing.T) {
	k, client := cluster(t, app)
	client.PrependReactor("patch", "applications", func(a clienttesting.Action) (bool, runtime.Object, error) {
		patch := a.(clienttesting.PatchActionImpl)
		patch.Patch = []byte(strings.Replace(string(patch.Patch), `"enabled":false`, "", 1))
		_, out, err := clienttesting.ObjectReaction(client.Tracker())(patch)
		return true, out, err
	})
	what := suspension("Application", "argocd", "shop")
	if _, err := k.Suspend(t.Context(), web, "u1", what, "shop/b"); err != nil {
		t.Fatal(err)
	}
	if got := automated(read(t, client, Applications, "argocd", "shop")); got != nil || writes(client) != 2 {
		t.Fatalf("%d writes, automated: %v", writes(client), got)
	}
	if _, err := k.Resume(t.Context(), web, "u1", what, "shop/b"); err != nil {
		t.Fatal(err)
	}
	if got := automated(read(t, client, Applications, "argocd", "shop")); !cmp.Equal(got, map[string]any{"prune": true, "selfHeal": true}) {
		t.Errorf("it goes on with %v", got)
	}
}

// Others that write at the same time are waited for; want of rights is told as such.
func TestFaults(t *testing.T) {
	k, client := cluster(t, app)
	conflicts := 3
	client.PrependReactor("patch", "applications", func(clienttesting.Action) (bool, runtime.Object, error) {
		conflicts--
		return conflicts >= 0, nil, apierrors.NewConflict(Applications.GroupResource(), "shop", errors.New("it was changed"))
	})
	what := suspension("Application", "", "shop")
	if _, err := k.Suspend(t.Context(), web, "u1", what, "shop/b"); err != nil {
		t.Fatal(err)
	}
	conflicts = 100
	if _, err := k.Resume(t.Context(), web, "u1", what, "shop/b"); err == nil || errors.Is(err, bake.ErrNotSuspendable) {
		t.Errorf("%v", err)
	}
	client.PrependReactor("list", "applications", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(Applications.GroupResource(), "", errors.New("RBAC"))
	})
	if _, err := k.Suspend(t.Context(), web, "u1", what, "shop/b"); !errors.Is(err, bake.ErrNotPermitted) || !strings.Contains(err.Error(), "deploy/gitops.yaml") {
		t.Errorf("%v", err)
	}
}
