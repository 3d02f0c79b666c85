package watcher

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Marks that GitOps controllers leave on what they keep in step with Git.
const (
	argoTracking  = "argocd.argoproj.io/tracking-id"        // annotation
	fluxKustomize = "kustomize.toolkit.fluxcd.io/name"      // label
	fluxHelm      = "helm.toolkit.fluxcd.io/name"           // label
	fluxReconcile = "kustomize.toolkit.fluxcd.io/reconcile" // annotation; "disabled" makes Flux leave the object alone
)

// ownerMarks are the annotations that say who owns a workload; the trimmed copy keeps them.
var ownerMarks = map[string]bool{argoTracking: true, fluxReconcile: true}

// owner names the controller that would write the template back after an undo; empty when nobody would.
func owner(d *metav1.ObjectMeta) string {
	if _, ok := d.Annotations[argoTracking]; ok {
		return "Argo CD"
	}
	for _, label := range []string{fluxKustomize, fluxHelm} {
		if name, ok := d.Labels[label]; ok && d.Annotations[fluxReconcile] != "disabled" {
			return "Flux (" + name + ")"
		}
	}
	if c := metav1.GetControllerOf(d); c != nil {
		return c.Kind + " " + c.Name
	}
	return ""
}
