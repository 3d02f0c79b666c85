package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	kube "github.com/bakewatch/bakewatch/signals/kubernetes"
)

// Workload names a workload.
type Workload = kube.Workload

// Pod is a pod of a workload.
type Pod struct {
	Name, UID  string
	Born       time.Time
	Containers []Container
}

// Container is one of a pod, and its last two runs.
type Container struct {
	Name string
	Now  run // it is running; zero: it is not
	Last run // the run before
}

// run is a span of time in which a container ran.
type run struct{ from, to time.Time }

// Cluster is where pods and their logs are. ErrNoLog and ErrForbidden are told apart from other errors.
type Cluster interface {
	Pods(ctx context.Context, w Workload) ([]Pod, error)
	// Log opens what a container has written since a time, each line after its time. tail, if not 0, is how many lines at most,
	// the newest; limit how many bytes, the oldest. last asks for the run before the present one.
	Log(ctx context.Context, namespace, pod, container string, last bool, since time.Time, tail, limit int64) (io.ReadCloser, error)
	// Starts are the containers of the workload's pods that have that label, init containers included, and those of Jobs that carry
	// the workload's labels and were made since then.
	Starts(ctx context.Context, w Workload, key, value string, since time.Time) ([]Start, error)
}

// Errors of a Cluster.
var (
	ErrNoLog     = errors.New("there is no log")
	ErrForbidden = errors.New("not permitted to read logs; apply deploy/rbac.yaml, which grants it")
)

// API is the Cluster that the Kubernetes API tells of.
type API struct {
	Client kubernetes.Interface
	Lister *kube.Lister
}

// maxContainers is how many containers of a pod are looked at.
const maxContainers = 4

// Pods implements Cluster.
func (a *API) Pods(ctx context.Context, w Workload) ([]Pod, error) {
	list, err := a.Lister.List(ctx, w)
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%w: %w", ErrForbidden, err)
	case err != nil:
		return nil, err
	}
	out := make([]Pod, 0, len(list))
	for i := range list {
		p := &list[i]
		pod := Pod{Name: p.Name, UID: string(p.UID), Born: p.CreationTimestamp.Time}
		for _, c := range p.Status.ContainerStatuses[:min(len(p.Status.ContainerStatuses), maxContainers)] {
			pod.Containers = append(pod.Containers, containerOf(c))
		}
		out = append(out, pod)
	}
	return out, nil
}

func containerOf(s corev1.ContainerStatus) Container {
	c := Container{Name: s.Name}
	ended := s.LastTerminationState.Terminated
	if s.State.Running != nil {
		c.Now.from = s.State.Running.StartedAt.Time
	}
	if s.State.Terminated != nil {
		ended = s.State.Terminated
	}
	if ended != nil {
		c.Last = run{ended.StartedAt.Time, ended.FinishedAt.Time}
	}
	return c
}

// Log implements Cluster.
func (a *API) Log(ctx context.Context, namespace, pod, container string, last bool, since time.Time, tail, limit int64) (io.ReadCloser, error) {
	o := &corev1.PodLogOptions{Container: container, Previous: last, Timestamps: true, LimitBytes: &limit}
	if !since.IsZero() {
		at := metav1.NewTime(since)
		o.SinceTime = &at
	}
	if tail > 0 {
		o.TailLines = &tail
	}
	body, err := a.Client.CoreV1().Pods(namespace).GetLogs(pod, o).Stream(ctx)
	doing := fmt.Sprintf("read the log of container %s of pod %s/%s", container, namespace, pod)
	switch {
	case err == nil:
		return body, nil
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%s: %w: %w", doing, ErrForbidden, err)
	case apierrors.IsNotFound(err), apierrors.IsBadRequest(err): // it is gone, or has not started, or never ran before
		return nil, fmt.Errorf("%s: %w: %w", doing, ErrNoLog, err)
	}
	return nil, fmt.Errorf("%s: %w", doing, err)
}

// The labels that say that a Job belongs to a workload, when both have the same value of one.
var familyLabels = []string{"app.kubernetes.io/instance", "app.kubernetes.io/name", "app.kubernetes.io/part-of", "app", "release", "io.kompose.service"}

const jobLabel = "batch.kubernetes.io/job-name"

// Starts implements Cluster.
func (a *API) Starts(ctx context.Context, w Workload, key, value string, since time.Time) ([]Start, error) {
	list, err := a.Lister.List(ctx, w)
	if err != nil {
		return nil, err
	}
	var out []Start
	family := map[string]string{}
	for i := range list {
		p := &list[i]
		if p.Labels[key] != value {
			continue
		}
		for _, l := range familyLabels {
			if v := p.Labels[l]; v != "" {
				family[l] = v
			}
		}
		out = append(out, startsOf(p)...)
	}
	jobs, err := a.Lister.Selected(ctx, w.Namespace, jobLabel)
	if err != nil {
		return out, fmt.Errorf("list the pods of jobs in namespace %s: %w", w.Namespace, err)
	}
	for i := range jobs {
		p := &jobs[i]
		if p.CreationTimestamp.Time.Before(since) {
			continue
		}
		for l, v := range family {
			if p.Labels[l] == v {
				out = append(out, startsOf(p)...)
				break
			}
		}
	}
	return out, nil
}

// startsOf are the containers of a pod that run or ran.
func startsOf(p *corev1.Pod) []Start {
	var out []Start
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range list[:min(len(list), maxContainers)] {
			s := Start{UID: string(p.UID), Pod: p.Name, Container: c.Name, Began: p.CreationTimestamp.Time}
			switch {
			case c.State.Running != nil:
				s.Began = c.State.Running.StartedAt.Time
			case c.State.Terminated != nil:
				s.Began, s.Done = c.State.Terminated.StartedAt.Time, c.RestartCount == 0 || c.State.Terminated.ExitCode == 0
			case c.RestartCount == 0:
				continue
			}
			out = append(out, s)
		}
	}
	return out
}
