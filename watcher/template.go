package watcher

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// restartKey is the annotation that kubectl rollout restart sets on a pod template.
const restartKey = "kubectl.kubernetes.io/restartedAt"

// Digest is a short digest of a pod template: equal templates have equal digests.
func Digest(t *corev1.PodTemplateSpec) (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12]), nil
}

// SameTemplate reports whether two pod templates are the same but for the hash label that the controller adds.
func SameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return apiequality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	c := t.DeepCopy()
	delete(c.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	if len(c.Labels) == 0 {
		c.Labels = nil
	}
	if len(c.Annotations) == 0 {
		c.Annotations = nil
	}
	return c
}

// restartOnly reports whether nothing but the restart annotation differs.
func restartOnly(a, b *corev1.PodTemplateSpec) bool {
	x, y := withoutHash(a), withoutHash(b)
	if x.Annotations[restartKey] == y.Annotations[restartKey] {
		return false
	}
	for _, t := range []*corev1.PodTemplateSpec{x, y} {
		delete(t.Annotations, restartKey)
		if len(t.Annotations) == 0 {
			t.Annotations = nil
		}
	}
	return apiequality.Semantic.DeepEqual(x, y)
}

func images(t *corev1.PodTemplateSpec) []string {
	var out []string
	for _, c := range t.Spec.Containers {
		out = append(out, c.Image)
	}
	return out
}

// version is what a template's pods call their version.
func version(t *corev1.PodTemplateSpec) string {
	for _, label := range []string{"tags.datadoghq.com/version", "app.kubernetes.io/version"} {
		if v := t.Labels[label]; v != "" {
			return v
		}
	}
	return ""
}

// maxChanges bounds how many differences are told.
const maxChanges = 20

// differences says what changed from one pod template to another. Images are shown; of variables, arguments and all else
// only the names, because their values may be secret.
func differences(from, to *corev1.PodTemplateSpec) []string {
	var out []string
	old := map[string]corev1.Container{}
	for _, c := range append(from.Spec.InitContainers, from.Spec.Containers...) {
		old[c.Name] = c
	}
	kept := map[string]bool{}
	for _, c := range append(to.Spec.InitContainers, to.Spec.Containers...) {
		o, ok := old[c.Name]
		kept[c.Name] = true
		if !ok {
			out = append(out, fmt.Sprintf("container %s added (%s)", c.Name, c.Image))
			continue
		}
		out = append(out, containerDifferences(o, c)...)
	}
	for _, name := range sortedKeys(old) {
		if !kept[name] {
			out = append(out, "container "+name+" removed")
		}
	}
	out = append(out, mapDifferences("label", from.Labels, to.Labels, appsv1.DefaultDeploymentUniqueLabelKey)...)
	out = append(out, mapDifferences("annotation", from.Annotations, to.Annotations, "")...)
	if !apiequality.Semantic.DeepEqual(from.Spec.Volumes, to.Spec.Volumes) {
		out = append(out, "volumes changed")
	}
	if from.Spec.ServiceAccountName != to.Spec.ServiceAccountName {
		out = append(out, "service account "+from.Spec.ServiceAccountName+" → "+to.Spec.ServiceAccountName)
	}
	rest := func(t *corev1.PodTemplateSpec) corev1.PodSpec {
		s := t.DeepCopy().Spec
		s.Containers, s.InitContainers, s.Volumes, s.ServiceAccountName, s.DeprecatedServiceAccount = nil, nil, nil, "", ""
		return s
	}
	if !apiequality.Semantic.DeepEqual(rest(from), rest(to)) {
		out = append(out, "pod settings changed")
	}
	if len(out) > maxChanges {
		out = append(out[:maxChanges], fmt.Sprintf("and %d more", len(out)-maxChanges))
	}
	return out
}

func containerDifferences(a, b corev1.Container) []string {
	var out []string
	if a.Image != b.Image {
		out = append(out, fmt.Sprintf("image of %s: %s → %s", b.Name, a.Image, b.Image))
	}
	env := func(c corev1.Container) map[string]string {
		m := map[string]string{}
		for _, v := range c.Env {
			raw, _ := json.Marshal(v)
			m[v.Name] = string(raw)
		}
		return m
	}
	out = append(out, mapDifferences("env "+b.Name, env(a), env(b), "")...)
	for _, p := range []struct {
		what string
		same bool
	}{
		{"envFrom", apiequality.Semantic.DeepEqual(a.EnvFrom, b.EnvFrom)},
		{"command", apiequality.Semantic.DeepEqual(a.Command, b.Command)},
		{"args", apiequality.Semantic.DeepEqual(a.Args, b.Args)},
		{"resources", apiequality.Semantic.DeepEqual(a.Resources, b.Resources)},
		{"ports", apiequality.Semantic.DeepEqual(a.Ports, b.Ports)},
		{"volume mounts", apiequality.Semantic.DeepEqual(a.VolumeMounts, b.VolumeMounts)},
		{"probes", apiequality.Semantic.DeepEqual([]*corev1.Probe{a.LivenessProbe, a.ReadinessProbe, a.StartupProbe}, []*corev1.Probe{b.LivenessProbe, b.ReadinessProbe, b.StartupProbe})},
		{"security context", apiequality.Semantic.DeepEqual(a.SecurityContext, b.SecurityContext)},
	} {
		if !p.same {
			out = append(out, p.what+" of "+b.Name+" changed")
		}
	}
	return out
}

// mapDifferences names the keys that were added, removed or changed.
func mapDifferences(what string, a, b map[string]string, except string) []string {
	var out []string
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	delete(all, except)
	for _, k := range sortedKeys(all) {
		x, inA := a[k]
		y, inB := b[k]
		switch {
		case !inA:
			out = append(out, what+" "+k+" added")
		case !inB:
			out = append(out, what+" "+k+" removed")
		case x != y:
			out = append(out, what+" "+k+" changed")
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
