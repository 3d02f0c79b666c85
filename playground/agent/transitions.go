package agent

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

// running shows all containers as started and not yet ready, and the pod's address.
func (p *pod) running(at time.Time) {
	p.status.change(func(s *corev1.PodStatus) {
		s.Phase, s.PodIP, s.PodIPs = corev1.PodRunning, p.ip, []corev1.PodIP{{IP: p.ip}}
		for i := range s.ContainerStatuses {
			cs := &s.ContainerStatuses[i]
			yes := true
			cs.Started, cs.Ready = &yes, false
			cs.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
			identify(cs, p.obj.UID)
		}
		p.status.condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", "")
		p.status.ready(false)
	})
}

// setReady changes the readiness. A pod that is being deleted does not become ready again.
func (p *pod) setReady(yes bool) {
	p.status.change(func(s *corev1.PodStatus) {
		yes = yes && !p.terminating.Load()
		for i := range s.ContainerStatuses {
			s.ContainerStatuses[i].Ready = yes
		}
		p.status.ready(yes)
	})
}

// waitFor shows the first container waiting for a reason.
func (p *pod) waitFor(reason, message string) {
	p.status.change(func(s *corev1.PodStatus) {
		cs := &s.ContainerStatuses[0]
		no := false
		cs.Ready, cs.Started = false, &no
		cs.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
		p.status.ready(false)
	})
}

// exited shows the first container's end and the wait until it is started again. Others of the pod run on.
func (p *pod) exited(end ending, backoff time.Duration) {
	p.status.change(func(s *corev1.PodStatus) {
		cs := &s.ContainerStatuses[0]
		no := false
		cs.Ready, cs.Started = false, &no
		cs.LastTerminationState = corev1.ContainerState{Terminated: terminated(cs, end)}
		cs.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", backoff, cs.Name, p.obj.Name)}}
		p.status.ready(false)
	})
}

// countRestart counts a restart of the first container.
func (p *pod) countRestart() {
	p.mu.Lock()
	p.restarts++
	p.mu.Unlock()
	p.status.change(func(s *corev1.PodStatus) { s.ContainerStatuses[0].RestartCount++ })
}

// pullForever never gets the image, and like a kubelet asks for it less and less often.
func (p *pod) pullForever() {
	image := p.obj.Spec.Containers[0].Image
	why := "not found"
	if p.behavior.Mode == behavior.Registry {
		why = "unexpected status from HEAD request: 503 Service Unavailable"
	}
	for backoff := p.agent.opts.Timing.Backoff; ; backoff = min(2*backoff, p.agent.opts.Timing.MaxWait) {
		p.waitFor("ErrImagePull", fmt.Sprintf("failed to pull and unpack image %q: %s", image, why))
		if !sleep(p.ctx, time.Second) {
			return
		}
		p.waitFor("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: %s", image, why))
		if !sleep(p.ctx, backoff) {
			return
		}
	}
}
