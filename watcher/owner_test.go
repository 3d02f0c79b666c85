package watcher

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/bake"
)

// writes is an object with a field manager that owns something of it.
func writes(manager, fields string) metav1.ObjectMeta {
	raw := &metav1.FieldsV1{}
	raw.SetRawBytes([]byte(fields))
	return metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: manager, Operation: metav1.ManagedFieldsOperationApply, Time: &metav1.Time{Time: time.Unix(1, 0)}, FieldsV1: raw}}}
}

func TestOwner(t *testing.T) {
	const template, replicas = `{"f:spec":{"f:template":{"f:spec":{"f:restartPolicy":{}}}}}`, `{"f:spec":{"f:replicas":{}}}`
	yes := true
	marked := func(labels, annotations map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Labels: labels, Annotations: annotations}
	}
	kv := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	byLabel := writes("argocd-controller", template)
	byLabel.Labels = kv(plainInstance, "shop")
	byHand := writes("kubectl", template)
	byHand.Annotations = kv(writerKey, "argocd-controller") // a person's: what the field managers say counts
	for _, c := range []struct {
		name   string
		meta   metav1.ObjectMeta
		want   string
		gitOps bool
	}{
		{"a person", marked(kv(plainInstance, "web"), nil), "", false},
		{"a person, by the field manager", byHand, "", false},
		{"Argo CD, by its annotation", marked(nil, kv(argoTracking, "shop:apps/Deployment:shop/web")), "Argo CD application shop", true},
		{"Argo CD, by its label", marked(kv(argoInstance, "shop"), nil), "Argo CD application shop", true},
		{"Argo CD, by the field manager and the common label", byLabel, "Argo CD application shop", true},
		{"Argo CD, by the field manager alone", writes("argocd-application-controller", template), "Argo CD", true},
		{"Argo CD writes something else", writes("argocd-controller", replicas), "", false},
		{"Flux's kustomization", marked(kv(fluxKustomize, "shop", fluxKustomizeNamespace, "flux-system"), nil), "Flux Kustomization flux-system/shop", true},
		{"Flux's kustomization, by the field manager", writes("kustomize-controller", template), "Flux Kustomization", true},
		{"Flux's helm release", marked(kv(fluxHelm, "shop"), nil), "Flux HelmRelease shop", true},
		{"Flux's helm release, by the field manager", writes("helm-controller", template), "Flux HelmRelease", true},
		{"Flux, told to leave it alone", marked(kv(fluxKustomize, "shop"), kv(fluxReconcile, "disabled")), "", false},
		{"Flux, told not to apply it", marked(kv(fluxKustomize, "shop"), kv(fluxApply, "Ignore")), "", false},
		{"Flux, told to apply it once", marked(kv(fluxKustomize, "shop"), kv(fluxApply, "IfNotPresent")), "", false},
		{"Flux, told to merge it", marked(kv(fluxKustomize, "shop"), kv(fluxApply, "Merge")), "Flux Kustomization shop", true},
		{"Flux's helm release, told to leave it alone", marked(kv(fluxHelm, "shop"), kv(fluxDrift, "disabled")), "", false},
		{"Flux's helm release, and something said to a kustomization", marked(kv(fluxHelm, "shop"), kv(fluxReconcile, "disabled")), "Flux HelmRelease shop", true},
		{"an operator", metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "shop.example.com/v1", Kind: "Shop", Name: "main", Controller: &yes}}}, "Shop main (shop.example.com)", false},
		{"an owner that does not control", metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Shop", Name: "main"}}}, "", false},
		{"Argo CD's, of another namespace", marked(nil, kv(argoTracking, "team_shop:apps/Deployment:shop/web")), "Argo CD application team_shop", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &appsv1.Deployment{ObjectMeta: c.meta}
			check := func(when string) {
				t.Helper()
				got := owner(&d.ObjectMeta)
				if got.Name != c.want || got.GitOps != c.gitOps || (got.Where == "") != (c.want == "") || c.want == "" && got != (bake.Owner{}) {
					t.Errorf("%s the owner is %+v, want %q, following Git: %v", when, got, c.want, c.gitOps)
				}
			}
			check("as read")
			if _, err := trim(d); err != nil {
				t.Fatal(err)
			}
			check("trimmed")
		})
	}
}

// By these an owner is found again, to be suspended.
func TestOwnersObject(t *testing.T) {
	for name, c := range map[string]struct {
		meta                    metav1.ObjectMeta
		kind, namespace, object string
	}{
		"Argo CD's":            {metav1.ObjectMeta{Annotations: map[string]string{argoTracking: "shop:apps/Deployment:shop/web"}}, bake.KindApplication, "", "shop"},
		"of another namespace": {metav1.ObjectMeta{Annotations: map[string]string{argoTracking: "team_shop:apps/Deployment:shop/web"}}, bake.KindApplication, "team", "shop"},
		"that has no name":     {writes("argocd-controller", `{"f:spec":{"f:template":{}}}`), bake.KindApplication, "", ""},
		"Flux's Kustomization": {metav1.ObjectMeta{Labels: map[string]string{fluxKustomize: "shop", fluxKustomizeNamespace: "flux"}}, bake.KindKustomization, "flux", "shop"},
		"Flux's HelmRelease":   {metav1.ObjectMeta{Labels: map[string]string{fluxHelm: "shop", fluxHelmNamespace: "flux"}}, bake.KindHelmRelease, "flux", "shop"},
		"another controller's": {metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Shop", Name: "main", Controller: new(true)}}}, "", "", ""},
	} {
		if got := owner(&c.meta); got.Kind != c.kind || got.Namespace != c.namespace || got.Object != c.object {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
