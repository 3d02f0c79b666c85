package kubernetes

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/signals"
)

// Workload names a workload.
type Workload struct{ Kind, Namespace, Name string }

// String is the workload as people write it.
func (w Workload) String() string {
	return w.Namespace + "/" + strings.ToLower(w.Kind) + "/" + w.Name
}

// Lister lists the pods of workloads. It may be used by many at once.
type Lister struct {
	Client kubernetes.Interface

	mu    sync.Mutex
	known map[Workload]selection
}

// selection is how a workload's pods are found. It changes only where a workload is made anew under its name.
type selection struct {
	selector string
	uid      string
	at       time.Time
}

const (
	selectionFor = time.Minute
	maxKnown     = 5000
)

// List are the pods that the workload made, out of most at most; those of a moment ago, as the API server remembers them.
func (a *Lister) List(ctx context.Context, w Workload, most int64) ([]corev1.Pod, error) {
	sel, err := a.selection(ctx, w)
	if err != nil {
		return nil, err
	}
	list, err := a.Client.CoreV1().Pods(w.Namespace).List(ctx, metav1.ListOptions{LabelSelector: sel.selector, Limit: most, ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", w, err)
	}
	out := list.Items[:0]
	for i := range list.Items {
		if ofWorkload(&list.Items[i], w, sel.uid) {
			out = append(out, list.Items[i])
		}
	}
	return out, nil
}

// ofWorkload reports whether the workload made a pod: a Deployment's is owned by a ReplicaSet that has the Deployment's name
// and the hash of the template.
func ofWorkload(p *corev1.Pod, w Workload, uid string) bool {
	owner := metav1.GetControllerOf(p)
	switch {
	case owner == nil:
		return false
	case w.Kind == "Deployment":
		hash := p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
		return owner.Kind == "ReplicaSet" && owner.Name == w.Name+"-"+hash && signals.PodOf(p.Name, w.Kind, w.Name)
	}
	return owner.Kind == w.Kind && string(owner.UID) == uid
}

// selection looks up how a workload's pods are found.
func (a *Lister) selection(ctx context.Context, w Workload) (selection, error) {
	a.mu.Lock()
	known, ok := a.known[w]
	a.mu.Unlock()
	if ok && time.Since(known.at) < selectionFor {
		return known, nil
	}
	var meta metav1.ObjectMeta
	var pods *metav1.LabelSelector
	var err error
	apps := a.Client.AppsV1()
	switch w.Kind {
	case "Deployment":
		var d *appsv1.Deployment
		if d, err = apps.Deployments(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{}); err == nil {
			meta, pods = d.ObjectMeta, d.Spec.Selector
		}
	case "StatefulSet":
		var s *appsv1.StatefulSet
		if s, err = apps.StatefulSets(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{}); err == nil {
			meta, pods = s.ObjectMeta, s.Spec.Selector
		}
	case "DaemonSet":
		var s *appsv1.DaemonSet
		if s, err = apps.DaemonSets(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{}); err == nil {
			meta, pods = s.ObjectMeta, s.Spec.Selector
		}
	default:
		err = fmt.Errorf("a %s: %w", w.Kind, ErrNoPods)
	}
	if err != nil {
		return selection{}, fmt.Errorf("read %s: %w", w, err)
	}
	selector, err := metav1.LabelSelectorAsSelector(pods)
	if err != nil {
		return selection{}, fmt.Errorf("read the selector of %s: %w", w, err)
	}
	if pods == nil || selector.Empty() {
		return selection{}, fmt.Errorf("%s has an empty selector: %w", w, ErrNoPods)
	}
	found := selection{selector: selector.String(), uid: string(meta.UID), at: time.Now()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= maxKnown {
		a.known = map[Workload]selection{}
	}
	a.known[w] = found
	return found, nil
}
