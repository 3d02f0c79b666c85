package agent

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

// pod is one pod's life.
type pod struct {
	agent    *Agent
	node     node
	obj      *corev1.Pod // as first seen; only its spec, labels and annotations are used
	behavior behavior.Behavior
	status   *status
	tally    tally
	started  time.Time

	terminating atomic.Bool
	cancel      context.CancelFunc
	ctx         context.Context
	done        chan struct{}

	mu       sync.Mutex
	ip       string
	proc     *process
	restarts int32
	logs     *logBuffer // of the run that is on, or was last
	previous *logBuffer // of the run before
}

func newPod(a *Agent, n node, obj *corev1.Pod) *pod {
	p := &pod{agent: a, node: n, obj: obj, status: newStatus(a.opts.Client, n, obj), done: make(chan struct{}), started: time.Now()}
	p.logs = p.newLog()
	p.restarts = p.status.want.ContainerStatuses[0].RestartCount
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// stop ends the pod at once and waits until nothing of it runs.
func (p *pod) stop() {
	p.cancel()
	<-p.done
}

// terminate follows a deletion: unready first, so that callers go elsewhere, then a drain, then the end.
func (p *pod) terminate(ctx context.Context, obj *corev1.Pod) {
	p.setReady(false)
	drain := p.agent.opts.Timing.Drain
	if g := obj.DeletionGracePeriodSeconds; g != nil {
		drain = min(drain, time.Duration(*g)*time.Second)
	}
	if !sleep(ctx, drain) {
		return
	}
	if proc := p.process(); proc != nil {
		proc.finish()
	}
	p.stop()
	p.agent.remove(ctx, obj.Namespace, obj.Name, obj.UID)
}

// run lives until the pod is stopped or the agent's context ends.
func (p *pod) run(ctx context.Context) {
	defer close(p.done)
	unhook := context.AfterFunc(ctx, p.cancel)
	defer unhook()
	defer p.cancel()
	go p.status.write(p.ctx)
	if len(p.obj.Status.ContainerStatuses) > 0 && p.obj.Status.Phase == corev1.PodRunning {
		p.resume()
	}
	p.status.poke()
	timing := p.agent.opts.Timing
	if !sleep(p.ctx, timing.Create) {
		return
	}
	var err error
	if p.behavior, err = behavior.Parse(p.obj.Annotations); err != nil {
		p.waitFor("CreateContainerConfigError", err.Error())
		<-p.ctx.Done()
		return
	}
	if p.behavior.Mode == behavior.ImagePull || p.behavior.Mode == behavior.Registry {
		p.pullForever()
		return
	}
	ip, err := p.agent.addresses.take(p.obj.Status.PodIP)
	if err != nil {
		p.waitFor("CreatePodSandboxError", err.Error())
		<-p.ctx.Done()
		return
	}
	defer p.agent.addresses.give(ip)
	p.mu.Lock()
	p.ip = ip
	p.mu.Unlock()
	for backoff := timing.Backoff; ; backoff = min(2*backoff, timing.MaxWait) {
		end, err := p.runContainer()
		switch {
		case p.ctx.Err() != nil:
			return
		case err != nil:
			p.waitFor("RunContainerError", err.Error())
		case p.finished(end):
			<-p.ctx.Done()
			return
		default:
			p.exited(end, backoff)
		}
		if !sleep(p.ctx, backoff) {
			return
		}
		p.countRestart()
	}
}

// resume takes over a pod that ran before the agent was restarted: like after a reboot of a node, its containers are
// gone and start again.
func (p *pod) resume() {
	p.status.change(func(s *corev1.PodStatus) {
		for i := range s.ContainerStatuses {
			cs := &s.ContainerStatuses[i]
			started := metav1.Now()
			for _, old := range p.obj.Status.ContainerStatuses {
				if old.Name == cs.Name && old.State.Running != nil {
					started = old.State.Running.StartedAt
				}
			}
			cs.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 255, Reason: "Unknown", StartedAt: started, FinishedAt: metav1.Now()}
			cs.RestartCount++
		}
		s.Phase = corev1.PodRunning
	})
	p.mu.Lock()
	p.restarts++
	p.mu.Unlock()
}

// ending is how a container's run ended.
type ending struct {
	code    int32
	reason  string
	started time.Time
}

// runContainer runs the container once and returns when it has ended or the pod is stopped.
func (p *pod) runContainer() (ending, error) {
	timing := p.agent.opts.Timing
	env, files := configRefs(&p.obj.Spec)
	if len(env)+len(files) > 0 && !cache.WaitForCacheSync(p.ctx.Done(), p.agent.configsSynced) {
		return ending{}, p.ctx.Err()
	}
	start, err := p.configured(p.behavior, env)
	if err != nil {
		return ending{}, err
	}
	b, err := p.configured(start, files)
	if err != nil {
		return ending{}, err
	}
	p.mu.Lock()
	p.previous, p.logs = p.logs, p.newLog()
	proc := newProcess(b, fmt.Sprintf("%s/%d", p.obj.UID, p.restarts), &p.tally, p.logs)
	p.proc = proc
	p.mu.Unlock()
	defer proc.kill()
	if err := proc.listen(p.ctx, podAddr(p.ip)); err != nil {
		return ending{}, err
	}
	end := ending{started: proc.started}
	p.running(proc.started)
	go proc.logs.repeat(p.ctx, b.Log, b.After)
	go p.readFiles(proc, start, files)

	if b.Mode == behavior.Crash && b.After == 0 {
		sleep(p.ctx, timing.Crash)
		proc.logs.print("fatal: cannot start")
		end.code, end.reason = 1, "Error"
		return end, nil
	}
	if !sleep(p.ctx, p.startupDelay()) {
		return end, nil
	}
	if b.Mode != behavior.Unready || b.After > 0 {
		p.setReady(true)
	}
	if p.obj.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		sleep(p.ctx, max(timing.Complete, b.After))
		end.reason = "Completed"
		switch b.Mode {
		case behavior.Crash:
			end.code, end.reason = 1, "Error"
		case behavior.OOM:
			end.code, end.reason = 137, "OOMKilled"
		}
		return end, nil
	}
	if !sleep(p.ctx, time.Until(proc.started.Add(b.After))) {
		return end, nil
	}
	switch b.Mode {
	case behavior.Crash:
		proc.logs.print("fatal: unexpected state, giving up")
		end.code, end.reason = 1, "Error"
		return end, nil
	case behavior.OOM:
		sleep(p.ctx, timing.OOM)
		end.code, end.reason = 137, "OOMKilled"
		return end, nil
	case behavior.Unready:
		p.setReady(false)
	case behavior.Silent:
		proc.kill() // Ready for Kubernetes, yet every connection is refused
	}
	<-p.ctx.Done()
	return end, nil
}

// startupDelay is the annotation's, or longer where a readiness probe does not even ask before.
func (p *pod) startupDelay() time.Duration {
	d := p.behavior.Startup
	if probe := p.obj.Spec.Containers[0].ReadinessProbe; probe != nil {
		d = max(d, time.Duration(probe.InitialDelaySeconds)*time.Second)
	}
	return d
}

func (p *pod) process() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc
}

// finished ends the pod for good where its restart policy says so.
func (p *pod) finished(end ending) bool {
	policy := p.obj.Spec.RestartPolicy
	if policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && end.code != 0 {
		return false
	}
	p.status.change(func(s *corev1.PodStatus) {
		s.Phase = corev1.PodSucceeded
		if end.code != 0 {
			s.Phase = corev1.PodFailed
		}
		for i := range s.ContainerStatuses {
			cs := &s.ContainerStatuses[i]
			cs.Ready, cs.State = false, corev1.ContainerState{Terminated: terminated(cs, end)}
		}
		p.status.ready(false)
	})
	return true
}

func terminated(cs *corev1.ContainerStatus, end ending) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: end.code, Reason: end.reason, StartedAt: metav1.NewTime(end.started), FinishedAt: metav1.Now(), ContainerID: cs.ContainerID}
}
