package watcher

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// Started implements bake.Watcher.
func (w *Watcher) Started(ctx context.Context, k bake.Key, r v1alpha1.Revision, since time.Time) (first time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	one := w.of(k)
	if one == nil {
		return first, fmt.Errorf("%s is not watched", called(k))
	}
	obj, found, err := one.informer.GetStore().GetByKey(k.Namespace + "/" + k.Name)
	if err != nil || !found {
		return first, err
	}
	o, _ := outlineOf(obj)
	selector, err := metav1.LabelSelectorAsSelector(o.selector)
	if err != nil {
		return first, Explain(err, "read the selector of "+called(k))
	}
	only, err := labels.NewRequirement(podLabel(k.Kind), "=", []string{PodLabel(k.Kind, r)})
	if err != nil {
		return first, fmt.Errorf("select the pods of %s: %w", called(k), err)
	}
	err = w.eachPod(ctx, k.Namespace, selector.Add(*only), maxPods, func(p *corev1.Pod) (more bool) {
		if at := firstStart(p, since); controlledBy(p, k, string(o.meta.UID)) && !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
		return true
	})
	return first, Explain(err, "list the pods of "+called(k))
}

// firstStart is when the first of a pod's containers that run was started since a time; zero when none was. A container that starts
// again reads its environment anew.
func firstStart(p *corev1.Pod, since time.Time) time.Time {
	var first time.Time
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running == nil {
			continue
		}
		if at := c.State.Running.StartedAt.Time; !at.Before(since) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
