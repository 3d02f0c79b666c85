package watcher

import (
	"context"
	"fmt"
	"slices"
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

const (
	// maxLooked bounds how many pods of a side are looked at: as many tell enough of the others.
	maxLooked = 200
	// maxAsked bounds for how many pods that do not say themselves what is wrong the events are read.
	maxAsked = 3
	// maxEvents bounds how many events of a pod are read.
	maxEvents = 50
)

// Look implements bake.Watcher.
func (w *Watcher) Look(ctx context.Context, k bake.Key, r v1alpha1.Revision) (signals.PodLook, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	out := signals.PodLook{At: time.Now()}
	one := w.of(k)
	if one == nil {
		return out, fmt.Errorf("%s is not watched", called(k))
	}
	obj, found, err := one.informer.GetStore().GetByKey(k.Namespace + "/" + k.Name)
	if err != nil || !found {
		return out, err // it is gone, which its Sight says
	}
	o, _ := outlineOf(obj)
	selector, err := metav1.LabelSelectorAsSelector(o.selector)
	if err != nil {
		return out, Explain(err, "read the selector of "+called(k))
	}
	doing := "look at the pods of " + called(k)
	label, value := podLabel(k.Kind), PodLabel(k.Kind, r)
	var quiet []*corev1.Pod // new ones that are not ready and do not say why
	pulls := false          // a new one cannot pull its image
	err = w.eachPod(ctx, k.Namespace, selector, maxPods, func(p *corev1.Pod) (more bool) {
		more = len(out.Candidate) < maxLooked || len(out.Baseline) < maxLooked
		if !controlledBy(p, k, string(o.meta.UID)) {
			return more
		}
		side := &out.Baseline
		if p.Labels[label] == value {
			side = &out.Candidate
		}
		if len(*side) >= maxLooked {
			return more
		}
		s := states.State(p, nil, out.At)
		*side = append(*side, s)
		if side != &out.Candidate || s.Going {
			return more
		}
		switch {
		case s.Trouble == nil && !s.Ready && len(quiet) < maxAsked:
			quiet = append(quiet, p.DeepCopy())
		case s.Trouble != nil && s.Trouble.Cause == signals.ImagePull:
			pulls = true
		}
		return more
	})
	if err != nil {
		return out, Explain(err, doing)
	}
	for _, p := range quiet {
		if err := w.ask(ctx, p, &out); err != nil {
			return out, Explain(err, "read the events of pod "+p.Namespace+"/"+p.Name)
		}
	}
	if pulls {
		if err := w.elsewhere(ctx, k, selector, &out); err != nil {
			return out, Explain(err, "look at the other pods of namespace "+k.Namespace)
		}
		w.inOtherNamespaces(ctx, k, &out)
	}
	return out, nil
}

// eachPod calls look for each pod, page by page, until it wants no more, and for no more than most.
func (w *Watcher) eachPod(ctx context.Context, namespace string, selector labels.Selector, most int, look func(*corev1.Pod) (more bool)) error {
	options := metav1.ListOptions{LabelSelector: selector.String(), Limit: podPage}
	for seen := 0; seen < most; {
		list, err := w.client.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range list.Items {
			if !look(&list.Items[i]) {
				return nil
			}
		}
		seen += len(list.Items)
		if options.Continue = list.Continue; options.Continue == "" {
			return nil
		}
	}
	return nil
}

// ask has a pod's events say what its status does not. Where they may not be read they say nothing.
func (w *Watcher) ask(ctx context.Context, p *corev1.Pod, out *signals.PodLook) error {
	list, err := w.client.CoreV1().Events(p.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.uid=" + string(p.UID) + ",type=" + corev1.EventTypeWarning, Limit: maxEvents})
	switch {
	case apierrors.IsForbidden(err):
		return nil
	case err != nil:
		return err
	}
	i := slices.IndexFunc(out.Candidate, func(s signals.PodState) bool { return s.Name == p.Name })
	out.Candidate[i] = states.State(p, list.Items, out.At)
	return nil
}
