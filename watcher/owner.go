package watcher

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/bake"
)

// Marks that GitOps controllers leave on what they keep in step with Git.
const (
	argoTracking  = "argocd.argoproj.io/tracking-id" // annotation: application:group/kind:namespace/name
	argoInstance  = "argocd.argoproj.io/instance"    // label, with the application's name
	plainInstance = "app.kubernetes.io/instance"     // label that Argo CD uses unless told otherwise, and Helm charts, too

	fluxKustomize          = "kustomize.toolkit.fluxcd.io/name"      // labels
	fluxKustomizeNamespace = "kustomize.toolkit.fluxcd.io/namespace" //
	fluxHelm               = "helm.toolkit.fluxcd.io/name"           //
	fluxHelmNamespace      = "helm.toolkit.fluxcd.io/namespace"      //

	fluxReconcile = "kustomize.toolkit.fluxcd.io/reconcile" // annotation; "disabled" makes the Kustomization leave the object alone
	fluxApply     = "kustomize.toolkit.fluxcd.io/ssa"       // annotation; "Ignore" and "IfNotPresent" do, too
	fluxDrift     = "helm.toolkit.fluxcd.io/driftDetection" // annotation; "disabled" makes the HelmRelease leave it alone between upgrades
)

// ownerMarks are the annotations that say who owns a workload; the trimmed copy keeps them.
var ownerMarks = map[string]bool{argoTracking: true, fluxReconcile: true, fluxApply: true, fluxDrift: true}

// The field managers of GitOps controllers.
var (
	argoManagers  = []string{"argocd-controller", "argocd-application-controller"}
	fluxManager   = "kustomize-controller"
	fluxHelmActor = "helm-controller"
)

// writerKey is where the trimmed copy of an object keeps which GitOps controller writes its pod template, because the field
// managers are trimmed away. It exists in memory only.
const writerKey = "bakewatch.dev/template-writer"

// writer is the GitOps controller among the field managers of the pod template; empty when there is none.
func writer(fields []metav1.ManagedFieldsEntry) string {
	for _, m := range fields {
		known := m.Manager == fluxManager || m.Manager == fluxHelmActor || slices.Contains(argoManagers, m.Manager)
		if known && m.Subresource == "" && m.FieldsV1 != nil && OwnsTemplate(m.FieldsV1) {
			return m.Manager
		}
	}
	return ""
}

// owner is the controller that would write the template back after an undo; zero when nobody would.
func owner(m *metav1.ObjectMeta) bake.Owner {
	by := writer(m.ManagedFields)
	if len(m.ManagedFields) == 0 {
		by = m.Annotations[writerKey]
	}
	return cmp.Or(argoOwner(m, by), fluxOwner(m, by), controllerOwner(m))
}

func argoOwner(m *metav1.ObjectMeta, by string) bake.Owner {
	tracked, ok := m.Annotations[argoTracking]
	app, _, _ := strings.Cut(tracked, ":")
	if !ok {
		app, ok = m.Labels[argoInstance]
	}
	if !ok && slices.Contains(argoManagers, by) {
		app, ok = m.Labels[plainInstance], true
	}
	switch {
	case !ok:
		return bake.Owner{}
	case app == "":
		return bake.Owner{GitOps: true, Name: "Argo CD", Where: "in the Git repository that its application follows", Kind: bake.KindApplication}
	}
	o := bake.Owner{GitOps: true, Name: "Argo CD application " + app, Where: "in the Git repository that the application follows", Kind: bake.KindApplication, Object: app}
	if namespace, name, ok := strings.Cut(app, "_"); ok { // one outside of Argo CD's own namespace
		o.Namespace, o.Object = namespace, name
	}
	return o
}

func fluxOwner(m *metav1.ObjectMeta, by string) bake.Owner {
	if a := m.Annotations; by == fluxManager || m.Labels[fluxKustomize] != "" {
		if a[fluxReconcile] != "disabled" && a[fluxApply] != "Ignore" && a[fluxApply] != "IfNotPresent" {
			return bake.Owner{GitOps: true, Name: named("Flux Kustomization", m.Labels[fluxKustomizeNamespace], m.Labels[fluxKustomize]), Where: "in the source that the Kustomization follows",
				Kind: bake.KindKustomization, Namespace: m.Labels[fluxKustomizeNamespace], Object: m.Labels[fluxKustomize]}
		}
	}
	if by == fluxHelmActor || m.Labels[fluxHelm] != "" {
		if m.Annotations[fluxDrift] != "disabled" {
			return bake.Owner{GitOps: true, Name: named("Flux HelmRelease", m.Labels[fluxHelmNamespace], m.Labels[fluxHelm]), Where: "in the values or the chart version of the HelmRelease",
				Kind: bake.KindHelmRelease, Namespace: m.Labels[fluxHelmNamespace], Object: m.Labels[fluxHelm]}
		}
	}
	return bake.Owner{}
}

// controllerOwner is a controller of which nothing is known but that the workload is its own.
func controllerOwner(m *metav1.ObjectMeta) bake.Owner {
	c := metav1.GetControllerOf(m)
	if c == nil {
		return bake.Owner{}
	}
	group, _, _ := strings.Cut(c.APIVersion, "/")
	name := c.Kind + " " + c.Name
	if strings.Contains(c.APIVersion, "/") {
		name += " (" + group + ")"
	}
	return bake.Owner{Name: name, Where: "in that " + c.Kind}
}

// named is a kind with as much of namespace and name as is known.
func named(kind, namespace, name string) string {
	switch {
	case name == "":
		return kind
	case namespace == "":
		return kind + " " + name
	}
	return kind + " " + namespace + "/" + name
}
