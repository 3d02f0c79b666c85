package agent

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

// A pod behaves as the ConfigMaps say that it reads: by its environment as they were when its container started, by its files as they
// are, a moment later, as a kubelet would bring them.

// configRefs are the ConfigMaps that a pod has as its environment, and those that it has mounted as a whole.
func configRefs(spec *corev1.PodSpec) (env, files []string) {
	container := spec.Containers[0]
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef != nil {
			env = append(env, from.ConfigMapRef.Name)
		}
	}
	for _, v := range spec.Volumes {
		i := slices.IndexFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name })
		if v.ConfigMap == nil || i < 0 {
			continue
		}
		if m := container.VolumeMounts[i]; m.SubPath != "" {
			env = append(env, v.ConfigMap.Name) // the file stays what it was
		} else {
			files = append(files, v.ConfigMap.Name)
		}
	}
	return env, files
}

// configured is b as ConfigMaps of the pod's namespace say. One that is not there says nothing.
func (p *pod) configured(b behavior.Behavior, names []string) (behavior.Behavior, error) {
	for _, name := range names {
		m, err := p.agent.configMaps.ConfigMaps(p.obj.Namespace).Get(name)
		if err != nil {
			continue
		}
		if b, err = b.Configured(m.Data); err != nil {
			return b, fmt.Errorf("configmap %s: %w", name, err)
		}
	}
	return b, nil
}

// readFiles has a process follow what is in its files until the pod or the process ends.
func (p *pod) readFiles(proc *process, start behavior.Behavior, files []string) {
	if len(files) == 0 {
		return
	}
	var since time.Time // when they began to differ from what the process goes by
	var complained string
	for sleep(p.ctx, 250*time.Millisecond) && p.process() == proc {
		b, err := p.configured(start, files)
		switch is := *proc.behavior.Load(); {
		case err != nil:
			if complained != err.Error() {
				complained = err.Error()
				proc.logs.print("level=error msg=\"the configuration cannot be read, and stays what it was\" error=" + fmt.Sprintf("%q", err))
			}
		case b.ErrorRate == is.ErrorRate && b.Latency == is.Latency && slices.Equal(b.FailPaths, is.FailPaths):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= p.agent.opts.Timing.Sync:
			is.ErrorRate, is.Latency, is.FailPaths = b.ErrorRate, b.Latency, b.FailPaths
			proc.behavior.Store(&is)
			proc.logs.print("level=info msg=\"the configuration was read again\"")
		}
	}
}
