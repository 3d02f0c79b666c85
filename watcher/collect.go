package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/signals"
	states "github.com/bakewatch/bakewatch/signals/kubernetes"
)

// Bounds of the evidence, so that some hundred Bakes stay small enough to be listed.
const (
	collectPods   = 3
	collectEvents = 5
	collectLines  = 20
	collectRunes  = 240
	collectBytes  = 32 << 10 // of a log that are read for its last lines
)

// Collect implements bake.Watcher.
func (w *Watcher) Collect(ctx context.Context, k bake.Key, r v1alpha1.Revision) ([]v1alpha1.PodEvidence, error) {
	one := w.of(k)
	if one == nil {
		return nil, fmt.Errorf("%s is not watched", called(k))
	}
	obj, found, err := one.informer.GetStore().GetByKey(k.Namespace + "/" + k.Name)
	if err != nil || !found {
		return nil, err
	}
	o, _ := outlineOf(obj)
	selector, err := metav1.LabelSelectorAsSelector(o.selector)
	if err != nil {
		return nil, Explain(err, "read the selector of "+called(k))
	}
	only, err := labels.NewRequirement(podLabel(k.Kind), "=", []string{PodLabel(k.Kind, r)})
	if err != nil {
		return nil, fmt.Errorf("select the pods of %s: %w", called(k), err)
	}
	var pods []*corev1.Pod
	err = w.eachPod(ctx, k.Namespace, selector.Add(*only), maxLooked, func(p *corev1.Pod) (more bool) {
		if controlledBy(p, k, string(o.meta.UID)) {
			pods = append(pods, p)
		}
		return true
	})
	if err != nil {
		return nil, Explain(err, "list the new pods of "+called(k))
	}
	now := time.Now()
	state := func(p *corev1.Pod) signals.PodState { return states.State(p, nil, now) }
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		x, y := state(a), state(b)
		return cmp.Or(cmp.Compare(trouble(y), trouble(x)), cmp.Compare(y.Ends, x.Ends), cmp.Compare(a.Name, b.Name))
	})
	var out []v1alpha1.PodEvidence
	var failed []error
	for _, p := range pods[:min(len(pods), collectPods)] {
		e, err := w.evidenceOf(ctx, p, now)
		out, failed = append(out, e), append(failed, err)
	}
	return out, errors.Join(failed...)
}

// trouble orders pods by how much they have to tell.
func trouble(s signals.PodState) int {
	switch {
	case s.Going:
		return 0
	case s.Trouble != nil:
		return 3
	case !s.Ready:
		return 2
	}
	return 1
}

// evidenceOf is one pod. What could not be read is missing in it.
func (w *Watcher) evidenceOf(ctx context.Context, p *corev1.Pod, now time.Time) (v1alpha1.PodEvidence, error) {
	var failed []error
	list, err := w.client.CoreV1().Events(p.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.uid=" + string(p.UID) + ",type=" + corev1.EventTypeWarning, Limit: maxEvents})
	if err != nil {
		failed = append(failed, Explain(err, "read the events of pod "+p.Namespace+"/"+p.Name))
		list = &corev1.EventList{}
	}
	s := states.State(p, list.Items, now)
	out := v1alpha1.PodEvidence{Name: p.Name, Node: p.Spec.NodeName, State: stateLine(s), Restarts: int32(min(s.Ends, 1<<30))}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	var said []string
	for _, e := range list.Items[max(0, len(list.Items)-collectEvents):] {
		said = append(said, e.Reason+": "+e.Message)
	}
	out.Events = states.Short(p, said, collectRunes)

	container, ended := worst(p)
	if container == "" {
		return out, errors.Join(failed...)
	}
	out.Container = container
	lines, err := w.lastLines(ctx, p, container, ended)
	if err != nil && ended { // it runs again, and its former run is not kept
		lines, err = w.lastLines(ctx, p, container, false)
	}
	switch {
	case apierrors.IsBadRequest(err), apierrors.IsNotFound(err): // it never ran
		out.Container = ""
	case err != nil:
		failed = append(failed, Explain(err, "read the log of container "+container+" of pod "+p.Namespace+"/"+p.Name))
	}
	out.Lines = states.Short(p, lines, collectRunes)
	return out, errors.Join(failed...)
}

// eventTime is when an event was seen last.
func eventTime(e corev1.Event) time.Time {
	return cmp.Or(e.LastTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time)
}

// stateLine is a pod's state as one line.
func stateLine(s signals.PodState) string {
	switch t := s.Trouble; {
	case t == nil && s.Ready:
		return "ready"
	case t == nil && s.Going:
		return "ending"
	case t == nil:
		return "not ready"
	default:
		out := string(t.Cause)
		if t.Container != "" {
			out += " of container " + t.Container
		}
		switch {
		case t.Cause == signals.OOMKilled && t.Limit != "":
			out += ", memory limit " + t.Limit
		case t.ExitCode != 0:
			out += fmt.Sprintf(", exit code %d", t.ExitCode)
		case t.Missing != "":
			out += ", " + t.Missing + " is missing"
		case t.Image != "":
			out += ", image " + t.Image
		}
		if t.Message != "" {
			out += ": " + t.Message
		}
		return string([]rune(out)[:min(len([]rune(out)), 600)])
	}
}

// worst is the container that has ended most often, and whether it has at all; of none that has, the first.
func worst(p *corev1.Pod) (name string, ended bool) {
	most := int32(-1)
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for _, c := range list {
			ends := c.RestartCount
			if c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
				ends++
			}
			if ends > most {
				most, name, ended = ends, c.Name, c.RestartCount > 0 && c.State.Running != nil
			}
		}
	}
	return name, ended
}

// lastLines are the last lines of a container's log.
func (w *Watcher) lastLines(ctx context.Context, p *corev1.Pod, container string, previous bool) ([]string, error) {
	lines, bytes := int64(collectLines), int64(collectBytes)
	body, err := w.client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &lines, LimitBytes: &bytes}).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, collectBytes))
	out := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return out[max(0, len(out)-collectLines):], err
}
