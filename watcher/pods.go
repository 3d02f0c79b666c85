package watcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// Pod is what is used of a pod.
type Pod struct {
	Name, UID string
	Revision  string // the value of its revision's label
	Born      time.Time
	Ready     bool
	Since     time.Time // since when it is, or is not, ready
	Going     bool      // it is being deleted
	Why       string    // what an unready one waits for; a reason's name, such as CrashLoopBackOff
}

const (
	podPage = 500
	// maxPods bounds how many pods of a workload are looked at. No cluster has as many nodes.
	maxPods = 10_000
)

// Pods are the workload's pods of a revision; of all, where it is nil. In the order of their ordinals, else of their names.
func (w *Workload) Pods(ctx context.Context, client kubernetes.Interface, of *v1alpha1.Revision) ([]Pod, error) {
	return listPods(ctx, client, w.Key, w.UID, w.selector, of)
}

// listPods lists page by page, and keeps little of each page: a DaemonSet may have thousands.
func listPods(ctx context.Context, client kubernetes.Interface, k bake.Key, uid string, selector *metav1.LabelSelector, of *v1alpha1.Revision) ([]Pod, error) {
	doing := "list the pods of " + called(k)
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, Explain(err, doing)
	}
	label := podLabel(k.Kind)
	if of != nil {
		one, err := labels.ValidatedSelectorFromSet(labels.Set{label: PodLabel(k.Kind, *of)})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		requirements, _ := one.Requirements()
		s = s.Add(requirements...)
	}
	var out []Pod
	options := metav1.ListOptions{LabelSelector: s.String(), Limit: podPage}
	for {
		list, err := client.CoreV1().Pods(k.Namespace).List(ctx, options)
		if err != nil {
			return nil, Explain(err, doing)
		}
		for i := range list.Items {
			if p := &list.Items[i]; controlledBy(p, k, uid) {
				out = append(out, podOf(p, label))
			}
		}
		switch options.Continue = list.Continue; {
		case len(out) > maxPods:
			return nil, fmt.Errorf("%s: there are more than %d", doing, maxPods)
		case options.Continue == "":
			slices.SortFunc(out, func(a, b Pod) int {
				return cmp.Or(cmp.Compare(ordinal(a.Name), ordinal(b.Name)), cmp.Compare(a.Name, b.Name))
			})
			return out, nil
		}
	}
}

// controlledBy reports whether a pod is a workload's. A Deployment's are its ReplicaSets'; their label tells.
func controlledBy(p *corev1.Pod, k bake.Key, uid string) bool {
	if k.Kind == bake.KindDeployment {
		return true
	}
	c := metav1.GetControllerOf(p)
	return c != nil && string(c.UID) == uid
}

// ordinal is the number that the name of a StatefulSet's pod ends in; -1 for other names.
func ordinal(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

func podOf(p *corev1.Pod, label string) Pod {
	out := Pod{Name: p.Name, UID: string(p.UID), Revision: p.Labels[label], Going: p.DeletionTimestamp != nil,
		Born: p.CreationTimestamp.Time, Since: p.CreationTimestamp.Time}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady:
			out.Ready = c.Status == corev1.ConditionTrue && p.Status.Phase == corev1.PodRunning
			if c.LastTransitionTime.After(out.Since) {
				out.Since = c.LastTransitionTime.Time
			}
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			out.Why = c.Reason
		}
	}
	for _, c := range append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...) {
		switch {
		case out.Ready || out.Why != "" || c.Ready:
		case c.State.Waiting != nil:
			out.Why = c.State.Waiting.Reason
		case c.State.Terminated != nil:
			out.Why = c.State.Terminated.Reason
		}
	}
	return out
}

// firstBorn is when the first of the pods was born; zero when there is none.
func firstBorn(pods []Pod) time.Time {
	var first time.Time
	for _, p := range pods {
		if first.IsZero() || p.Born.Before(first) {
			first = p.Born
		}
	}
	return first
}

// Crew implements bake.Watcher.
func (w *Watcher) Crew(ctx context.Context, k bake.Key, r v1alpha1.Revision) (bake.Crew, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	if k.Kind == bake.KindDeployment {
		rs, err := w.client.AppsV1().ReplicaSets(k.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return bake.Crew{}, nil // revisionHistoryLimit: 0 removes it as soon as a newer one is complete
		case err != nil:
			return bake.Crew{}, Explain(err, "read replica set "+k.Namespace+"/"+r.Name)
		}
		return bake.Crew{Ready: rs.Status.ReadyReplicas > 0}, nil
	}
	one := w.of(k)
	if one == nil {
		return bake.Crew{}, fmt.Errorf("%s is not watched", called(k))
	}
	obj, found, err := one.informer.GetStore().GetByKey(k.Namespace + "/" + k.Name)
	if err != nil || !found {
		return bake.Crew{Lives: map[string]time.Time{}}, err // it is gone, which its Sight says
	}
	o, _ := outlineOf(obj)
	pods, err := listPods(ctx, w.client, k, string(o.meta.UID), o.selector, &r)
	if err != nil {
		return bake.Crew{}, err
	}
	return crew(k.Kind, pods), nil
}

// crew is what the pods of a revision amount to. One node that is broken keeps a pod of a DaemonSet from becoming ready, and
// says nothing of the revision: it is late only when none of its pods is ready.
func crew(kind string, pods []Pod) bake.Crew {
	out := bake.Crew{Lives: make(map[string]time.Time, len(pods))}
	var late *Pod
	for i := range pods {
		p := &pods[i]
		out.Lives[p.Name] = p.Born
		switch {
		case p.Ready && !p.Going:
			out.Ready = true
		case !p.Ready && !p.Going && (late == nil || p.Since.Before(late.Since)):
			late = p
		}
	}
	if late == nil || kind == bake.KindDaemonSet && out.Ready {
		return out
	}
	out.LateSince, out.Late = late.Since, late.Name
	if late.Why != "" {
		out.Late += " (" + late.Why + ")"
	}
	return out
}
