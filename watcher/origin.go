package watcher

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bakewatch/bakewatch/bake"
)

// Marks that Helm and Kustomize leave on what they make.
const (
	managedBy            = "app.kubernetes.io/managed-by"   // label: Helm, or with buildMetadata: [managedByLabel] kustomize-v5.7.0
	helmRelease          = "meta.helm.sh/release-name"      // annotations
	helmReleaseNamespace = "meta.helm.sh/release-namespace" //
	kustomizeOrigin      = "config.kubernetes.io/origin"    // annotation, with buildMetadata: [originAnnotations]: a document with the file
)

// originMarks are the annotations that say where a workload comes from; the trimmed copy keeps them.
var originMarks = map[string]bool{helmRelease: true, helmReleaseNamespace: true, kustomizeOrigin: true}

// maxOrigin bounds what is read of an origin annotation, and how long a file's name may be.
const maxOrigin = 2000

// origin is where a workload comes from, as it tells. Nothing of it is checked: whoever may edit the workload may write it.
func origin(m *metav1.ObjectMeta) bake.Origin {
	var o bake.Origin
	if name := m.Annotations[helmRelease]; name != "" && m.Labels[managedBy] == "Helm" {
		o.Release = bake.HelmRelease{Namespace: cmp.Or(m.Annotations[helmReleaseNamespace], m.Namespace), Name: name}
	}
	o.Kustomize = strings.HasPrefix(m.Labels[managedBy], "kustomize-")
	text := m.Annotations[kustomizeOrigin]
	if text == "" || len(text) > maxOrigin {
		return o
	}
	var from struct {
		Path         string `json:"path"`
		ConfiguredIn string `json:"configuredIn"` // of what a generator makes: the file that configures it
		Repo         string `json:"repo"`         // its address is not shown: it may hold a token
	}
	if err := yaml.Unmarshal([]byte(text), &from); err != nil {
		return o
	}
	o.Kustomize, o.File = true, strings.Join(strings.Fields(cmp.Or(from.Path, from.ConfiguredIn)), " ")
	if o.File != "" && from.Repo != "" {
		o.File += " of the remote base"
	}
	return o
}
