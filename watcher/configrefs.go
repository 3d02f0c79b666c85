package watcher

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// configsKey is where the trimmed copy of a workload keeps which ConfigMaps its pods read, and when. It exists in memory only.
const configsKey = "bakewatch.dev/template-configmaps"

// maxConfigRefs bounds how many ConfigMaps of a template are remembered. No pod template in use names as many.
const maxConfigRefs = 200

// configRef is a ConfigMap that pods read.
type configRef struct {
	name    string
	mounted bool // as files, which change while they run
	atStart bool // when a container starts: as a variable, or as a file mounted by subPath
}

// configRefs are the ConfigMaps that the pods of a template read, by name.
func configRefs(spec *corev1.PodSpec) []configRef {
	refs := map[string]configRef{}
	add := func(name string, mounted, atStart bool) {
		if r, known := refs[name]; name != "" && (known || len(refs) < maxConfigRefs) {
			refs[name] = configRef{name, r.mounted || mounted, r.atStart || atStart}
		}
	}
	for _, v := range spec.Volumes {
		mounted, atStart := mounts(spec, v.Name)
		if !mounted && !atStart {
			continue
		}
		switch {
		case v.ConfigMap != nil:
			add(v.ConfigMap.Name, mounted, atStart)
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					add(s.ConfigMap.Name, mounted, atStart)
				}
			}
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil {
				add(from.ConfigMapRef.Name, false, true)
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom != nil && env.ValueFrom.ConfigMapKeyRef != nil {
				add(env.ValueFrom.ConfigMapKeyRef.Name, false, true)
			}
		}
	}
	var out []configRef
	for _, name := range sortedKeys(refs) {
		out = append(out, refs[name])
	}
	return out
}

// mounts says how containers have a volume mounted. What an init container reads it reads once, unless it goes on beside the
// others.
func mounts(spec *corev1.PodSpec, volume string) (whole, atStart bool) {
	look := func(c corev1.Container, once bool) {
		for _, m := range c.VolumeMounts {
			if m.Name != volume {
				continue
			}
			if once || m.SubPath != "" || m.SubPathExpr != "" {
				atStart = true
			} else {
				whole = true
			}
		}
	}
	for _, c := range spec.InitContainers {
		look(c, c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways)
	}
	for _, c := range spec.Containers {
		look(c, false)
	}
	return whole, atStart
}

// packRefs is what the trimmed copy keeps of them; unpackRefs reads it. Names of objects have neither space nor colon.
func packRefs(refs []configRef) string {
	var b strings.Builder
	for _, r := range refs {
		b.WriteString(" " + r.name + ":")
		if r.mounted {
			b.WriteByte('m')
		}
		if r.atStart {
			b.WriteByte('s')
		}
	}
	return b.String()
}

func unpackRefs(packed string) []configRef {
	var out []configRef
	for part := range strings.FieldsSeq(packed) {
		name, how, _ := strings.Cut(part, ":")
		out = append(out, configRef{name, strings.Contains(how, "m"), strings.Contains(how, "s")})
	}
	return out
}

// refersTo reports whether packed references name a ConfigMap.
func refersTo(packed, name string) bool { return strings.Contains(packed, " "+name+":") }
