// Package kubernetes reads what the cluster itself says of pods: whether they run, and what keeps them from it.
package kubernetes

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bakewatch/bakewatch/signals"
)

// Bounds of what is kept of a pod, whatever it says of itself.
const (
	maxMessage = 240 // runes of a message
	maxNamed   = 100 // containers looked at, and ConfigMaps and Secrets
)

// shortestRun stands for runs that lasted less: the cluster tells times in whole seconds.
const shortestRun = time.Second

// steady is for how long a container that ended before must run, beyond three times as long as it ran then, to be taken for
// well again.
const steady = 10 * time.Second

// State is how a pod is. Its events, those that name it, may say more than its status; they are not needed.
func State(pod *corev1.Pod, events []corev1.Event, now time.Time) signals.PodState {
	s := signals.PodState{
		Name: pod.Name, Node: pod.Spec.NodeName, Born: pod.CreationTimestamp.Time,
		Ready: isReady(pod), Going: pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded,
		Uses: Uses(pod), Asks: asks(&pod.Spec),
	}
	s.Ready = s.Ready && !s.Going
	for _, c := range bounded(pod.Spec.Containers) {
		s.Images = append(s.Images, c.Image)
		s.Probed = s.Probed || c.ReadinessProbe != nil
	}
	h := hide(pod)
	worst := worstOf(pod, now)
	s.Ends, s.Ran = worst.ends, worst.ran
	s.Trouble = trouble(pod, worst, h)
	if s.Trouble == nil && !s.Ready {
		s.Trouble = told(pod, events, h)
	}
	return s
}

// bounded is the beginning of a list, no longer than is looked at.
func bounded[T any](list []T) []T { return list[:min(len(list), maxNamed)] }

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.Status.Phase == corev1.PodRunning
		}
	}
	return false
}

// run is what is known of a container's runs.
type run struct {
	status *corev1.ContainerStatus
	last   *corev1.ContainerStateTerminated // how it ended last; nil: it has not
	ends   int
	ran    time.Duration
	well   bool // it runs, and for longer than it ever lasted before
}

// worstOf is the container that ended most often; of none that ended, the first. An init container that is done is none.
func worstOf(pod *corev1.Pod, now time.Time) run {
	var worst run
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range bounded(list) {
			if r := runOf(&list[i], now); worst.status == nil || r.ends > worst.ends {
				worst = r
			}
		}
	}
	return worst
}

func runOf(c *corev1.ContainerStatus, now time.Time) run {
	r := run{status: c, last: c.LastTerminationState.Terminated, ends: max(int(c.RestartCount), 0)}
	state := c.State
	switch {
	case state.Terminated != nil && (state.Terminated.ExitCode != 0 || state.Terminated.Reason == string(signals.OOMKilled)):
		r.last = state.Terminated
		r.ends++
	case state.Waiting != nil && state.Waiting.Reason == string(signals.CrashLoop):
		r.ends++ // it is counted as a restart once it starts again
	}
	lasted := shortestRun
	if r.last != nil {
		lasted = max(lasted, r.last.FinishedAt.Sub(r.last.StartedAt.Time))
	}
	if lasted > maxRun {
		lasted = maxRun
	}
	r.ran = time.Duration(min(r.ends, maxEnds)) * lasted
	if state.Running != nil {
		runs := min(max(now.Sub(state.Running.StartedAt.Time), 0), maxRun)
		r.ran += runs
		r.well = c.Ready && runs > 3*lasted+steady
	}
	return r
}

// The most that is believed, so that sums stay finite.
const (
	maxRun  = 10 * 365 * 24 * time.Hour
	maxEnds = 25
)

// trouble is what the pod's status says is wrong; nil when it says nothing.
func trouble(pod *corev1.Pod, worst run, h *hider) *signals.Trouble {
	if pod.Status.Reason == string(signals.Evicted) {
		return &signals.Trouble{Cause: signals.Evicted, Message: h.line(pod.Status.Message)}
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range bounded(list) {
			if t := waiting(&list[i], h); t != nil {
				return t
			}
		}
	}
	if worst.last != nil && worst.ends > 0 && !worst.well {
		return ended(pod, worst, h)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return &signals.Trouble{Cause: signals.Unschedulable, Message: h.line(c.Message)}
		}
	}
	return nil
}

// waiting is why a container has not been started.
func waiting(c *corev1.ContainerStatus, h *hider) *signals.Trouble {
	w := c.State.Waiting
	if w == nil {
		return nil
	}
	t := &signals.Trouble{Container: c.Name, Message: h.line(w.Message)}
	switch w.Reason {
	case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
		t.Cause, t.Image, t.Pull = signals.ImagePull, c.Image, pullFail(w.Reason, w.Message)
	case "CreateContainerConfigError":
		t.Cause, t.Missing = signals.ConfigError, missing(w.Message)
	case "RunContainerError", "CreateContainerError", "StartError", "PostStartHookError":
		t.Cause, t.OwnFault = signals.RunError, ownFault(w.Message)
	default:
		return nil
	}
	return t
}

// ended is how the container that ends again and again ended last.
func ended(pod *corev1.Pod, r run, h *hider) *signals.Trouble {
	t := &signals.Trouble{Cause: signals.CrashLoop, Container: r.status.Name, ExitCode: r.last.ExitCode, Message: h.line(r.last.Message)}
	switch r.last.Reason {
	case "OOMKilled":
		t.Cause, t.Limit = signals.OOMKilled, memoryLimit(pod, r.status.Name)
	case "StartError", "ContainerCannotRun", "RunContainerError":
		t.Cause, t.OwnFault = signals.RunError, ownFault(r.last.Message)
	}
	return t
}

func memoryLimit(pod *corev1.Pod, container string) string {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range list {
			if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == container {
				return q.String()
			}
		}
	}
	return ""
}

// told is what the newest telling event says of a pod whose status says nothing: a volume without its ConfigMap, a probe
// that fails.
func told(pod *corev1.Pod, events []corev1.Event, h *hider) *signals.Trouble {
	var newest *signals.Trouble
	var at time.Time
	for i := range bounded(events) {
		e := &events[i]
		if e.InvolvedObject.UID != "" && e.InvolvedObject.UID != pod.UID || e.Type != corev1.EventTypeWarning {
			continue
		}
		t := &signals.Trouble{Message: h.line(e.Message)}
		switch e.Reason {
		case "FailedMount":
			if t.Cause, t.Missing = signals.ConfigError, missing(e.Message); t.Missing == "" {
				continue // a volume that may only be slow
			}
		case "Unhealthy":
			t.Cause = signals.ProbeFailed
		default:
			continue
		}
		if when := eventTime(e); newest == nil || when.After(at) {
			newest, at = t, when
		}
	}
	return newest
}

// eventTime is when an event was seen last.
func eventTime(e *corev1.Event) time.Time {
	at := cmp.Or(e.LastTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time)
	if e.Series != nil && e.Series.LastObservedTime.After(at) {
		at = e.Series.LastObservedTime.Time
	}
	return at
}

// asks is a digest of what decides which nodes take a pod.
func asks(spec *corev1.PodSpec) string {
	var requests []corev1.ResourceList
	var ports []int32
	for _, c := range bounded(slices.Concat(spec.Containers, spec.InitContainers)) {
		requests = append(requests, c.Resources.Requests)
		for _, p := range bounded(c.Ports) {
			if p.HostPort != 0 {
				ports = append(ports, p.HostPort)
			}
		}
	}
	var affinity *corev1.Affinity
	if spec.Affinity != nil {
		affinity = spec.Affinity.DeepCopy()
		if n := affinity.NodeAffinity; n != nil && n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			// A DaemonSet's pods are told apart by the node's very name here.
			for i := range n.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
				n.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[i].MatchFields = nil
			}
		}
	}
	var claims []string
	for _, v := range bounded(spec.Volumes) {
		if v.PersistentVolumeClaim != nil {
			claims = append(claims, v.Name)
		}
	}
	raw, err := json.Marshal([]any{requests, ports, spec.NodeSelector, affinity, spec.TopologySpreadConstraints, spec.PriorityClassName, claims, userTolerations(spec.Tolerations)})
	if err != nil {
		return "" // nothing in it that does not encode
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// userTolerations are those that people wrote; the others are added to every pod.
func userTolerations(all []corev1.Toleration) []corev1.Toleration {
	var out []corev1.Toleration
	for _, t := range bounded(all) {
		if !strings.HasPrefix(t.Key, "node.kubernetes.io/") {
			out = append(out, t)
		}
	}
	return out
}

// Uses are the ConfigMaps and Secrets that a pod cannot start without, as configmap/name and secret/name, and the keys of them.
func Uses(pod *corev1.Pod) []string {
	var out []string
	add := func(kind, name, key string, optional *bool) {
		if name == "" || optional != nil && *optional {
			return
		}
		refs := []string{kind + "/" + name}
		if key != "" {
			refs = append(refs, keyOf(kind, name, key))
		}
		for _, ref := range refs {
			if len(out) < maxNamed && !slices.Contains(out, ref) {
				out = append(out, ref)
			}
		}
	}
	for _, c := range bounded(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)) {
		for _, from := range bounded(c.EnvFrom) {
			if r := from.ConfigMapRef; r != nil {
				add("configmap", r.Name, "", r.Optional)
			}
			if r := from.SecretRef; r != nil {
				add("secret", r.Name, "", r.Optional)
			}
		}
		for _, env := range bounded(c.Env) {
			if env.ValueFrom == nil {
				continue
			}
			if r := env.ValueFrom.ConfigMapKeyRef; r != nil {
				add("configmap", r.Name, r.Key, r.Optional)
			}
			if r := env.ValueFrom.SecretKeyRef; r != nil {
				add("secret", r.Name, r.Key, r.Optional)
			}
		}
	}
	for _, v := range bounded(pod.Spec.Volumes) {
		if v.ConfigMap != nil {
			add("configmap", v.ConfigMap.Name, "", v.ConfigMap.Optional)
		}
		if v.Secret != nil {
			add("secret", v.Secret.SecretName, "", v.Secret.Optional)
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range bounded(v.Projected.Sources) {
			if s.ConfigMap != nil {
				add("configmap", s.ConfigMap.Name, "", s.ConfigMap.Optional)
			}
			if s.Secret != nil {
				add("secret", s.Secret.Name, "", s.Secret.Optional)
			}
		}
	}
	return out
}
