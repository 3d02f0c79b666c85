package watcher

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOwner(t *testing.T) {
	yes := true
	for _, c := range []struct {
		name string
		meta metav1.ObjectMeta
		want string
	}{
		{"a person", metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/instance": "web"}}, ""},
		{"Argo CD, by its annotation", metav1.ObjectMeta{Annotations: map[string]string{argoTracking: "shop:apps/Deployment:shop/web"}}, "Argo CD"},
		{"Flux's kustomization", metav1.ObjectMeta{Labels: map[string]string{fluxKustomize: "shop"}}, "Flux (shop)"},
		{"Flux's helm release", metav1.ObjectMeta{Labels: map[string]string{fluxHelm: "shop"}}, "Flux (shop)"},
		{"Flux, told to leave it alone", metav1.ObjectMeta{Labels: map[string]string{fluxKustomize: "shop"}, Annotations: map[string]string{fluxReconcile: "disabled"}}, ""},
		{"an operator", metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Shop", Name: "main", Controller: &yes}}}, "Shop main"},
		{"an owner that does not control", metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Shop", Name: "main"}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &appsv1.Deployment{ObjectMeta: c.meta}
			if got := owner(&d.ObjectMeta); got != c.want {
				t.Errorf("owner is %q, want %q", got, c.want)
			}
			if _, err := trim(d); err != nil {
				t.Fatal(err)
			}
			if got := owner(&d.ObjectMeta); got != c.want {
				t.Errorf("owner is %q after trimming, want %q", got, c.want)
			}
		})
	}
}
