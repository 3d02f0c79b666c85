package gitops

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bakewatch/bakewatch/bake"
)

// application is Argo CD's. It is off where it does not sync by itself: spec.syncPolicy.automated is absent, or its enabled false.
type application struct{}

func automated(o *unstructured.Unstructured) map[string]any {
	m, ok, err := unstructured.NestedMap(o.Object, "spec", "syncPolicy", "automated")
	if err != nil || !ok {
		return nil
	}
	return m
}

func (application) off(o *unstructured.Unstructured) bool {
	a := automated(o)
	return a == nil || a["enabled"] == false
}

// suspend sets enabled to false: what an Application in Git does not say is no drift to the one that keeps it. Where this Argo CD
// does not know the field yet, the API server drops it, and the second time all of automated is taken away.
func (application) suspend(o *unstructured.Unstructured, again bool) (map[string]any, any, error) {
	if c := metav1.GetControllerOf(o); c != nil && c.Kind == "ApplicationSet" {
		return nil, nil, fmt.Errorf("%w: ApplicationSet %s would turn the automated sync of %s/%s on again", bake.ErrNotSuspendable, c.Name, o.GetNamespace(), o.GetName())
	}
	var change any = map[string]any{"enabled": false}
	if again {
		change = nil
	}
	return inSpec("syncPolicy", map[string]any{"automated": change}), automated(o), nil
}

func (application) resume(o *unstructured.Unstructured, before any) map[string]any {
	was, ok := before.(map[string]any)
	if !ok {
		return inSpec("syncPolicy", map[string]any{"automated": nil})
	}
	change := map[string]any{}
	for key := range automated(o) {
		change[key] = nil
	}
	for key, value := range was {
		change[key] = value
	}
	return inSpec("syncPolicy", map[string]any{"automated": change})
}

func (application) called(o *unstructured.Unstructured) string {
	return "automated sync of application " + o.GetNamespace() + "/" + o.GetName() + " is off"
}

// helmRelease is Flux's. It has one switch for all that the release made.
type helmRelease struct{}

func (helmRelease) off(o *unstructured.Unstructured) bool {
	suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend")
	return suspended
}

func (helmRelease) suspend(o *unstructured.Unstructured, _ bool) (map[string]any, any, error) {
	before, ok, _ := unstructured.NestedBool(o.Object, "spec", "suspend")
	if !ok {
		return inSpec("suspend", true), nil, nil
	}
	return inSpec("suspend", true), before, nil
}

func (helmRelease) resume(_ *unstructured.Unstructured, before any) map[string]any {
	return inSpec("suspend", before)
}

func (helmRelease) called(o *unstructured.Unstructured) string {
	return "helmrelease " + o.GetNamespace() + "/" + o.GetName() + " is suspended"
}

// reconcile is the annotation by which a Kustomization leaves an object alone.
const reconcile = "kustomize.toolkit.fluxcd.io/reconcile"

// object is the workload itself, which a Kustomization leaves alone where it is told to.
type object struct{}

func (object) off(o *unstructured.Unstructured) bool {
	return o.GetAnnotations()[reconcile] == "disabled"
}

func (object) suspend(o *unstructured.Unstructured, _ bool) (map[string]any, any, error) {
	var before any
	if v, ok := o.GetAnnotations()[reconcile]; ok {
		before = v
	}
	return annotate("disabled"), before, nil
}

func (object) resume(_ *unstructured.Unstructured, before any) map[string]any {
	return annotate(before)
}

func (object) called(o *unstructured.Unstructured) string {
	return "Flux does not reconcile " + o.GetNamespace() + "/" + o.GetName() + " (annotation " + reconcile + ": disabled)"
}

func inSpec(key string, value any) map[string]any {
	return map[string]any{"spec": map[string]any{key: value}}
}

func annotate(value any) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": map[string]any{reconcile: value}}}
}
