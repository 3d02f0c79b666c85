package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
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

// Lister lists the pods of workloads. It may be used by many at once: they share one list, and the more pods there are the longer.
type Lister struct {
	Client kubernetes.Interface

	once  singleflight.Group // by what is listed
	mu    sync.Mutex
	known map[Workload]selection
	lists map[string]listing
}

// listing is a list of pods, and for how long it is good.
type listing struct {
	pods []corev1.Pod
	at   time.Time
	good time.Duration
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
	// A list is good for so long, and longer by each pod in it: a thousand pods are some megabytes, and are listed every 20 seconds.
	leastGood, goodEach, mostGood = 500 * time.Millisecond, 20 * time.Millisecond, 2 * time.Minute
	// maxListedPods bounds how many pods of all lists are kept, but for the newest list: beyond, others are made anew sooner.
	maxListedPods = 20_000
	listTimeout   = 10 * time.Second
)

// List are the pods that the workload made, as they were a moment ago. They are shared, and not to be changed; of each there is what
// tells how it is: no annotations, and of its spec the containers' names and ports only.
func (a *Lister) List(ctx context.Context, w Workload) ([]corev1.Pod, error) {
	sel, err := a.selection(ctx, w)
	if err != nil {
		return nil, err
	}
	all, err := a.Selected(ctx, w.Namespace, sel.selector)
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", w, err)
	}
	var out []corev1.Pod
	for i := range all {
		if ofWorkload(&all[i], w, sel.uid) {
			out = append(out, all[i])
		}
	}
	return out, nil
}

// Selected are the pods of a namespace that a selector matches, likewise. The list is the API server's own memory, which costs it
// no look into its store, and is not cut in pages.
func (a *Lister) Selected(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	key := namespace + "/" + selector
	a.mu.Lock()
	known, ok := a.lists[key]
	a.mu.Unlock()
	if ok && time.Since(known.at) < known.good {
		return known.pods, nil
	}
	done := a.once.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout) // whoever asked first may give up before the others
		defer cancel()
		at := time.Now()
		list, err := a.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: "0"})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			trim(&list.Items[i])
		}
		a.keep(key, listing{list.Items, at, min(leastGood+time.Duration(len(list.Items))*goodEach, mostGood)})
		return list.Items, nil
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		pods, _ := r.Val.([]corev1.Pod)
		return pods, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep keeps a list for as long as it is good. Where there is no room it takes that of the oldest.
func (a *Lister) keep(key string, l listing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lists, key)
	maps.DeleteFunc(a.lists, func(_ string, l listing) bool { return time.Since(l.at) >= l.good })
	kept := len(l.pods)
	for _, other := range a.lists {
		kept += len(other.pods)
	}
	for len(a.lists) > 0 && (kept > maxListedPods || len(a.lists) >= maxKnown) {
		oldest := ""
		for key, other := range a.lists {
			if oldest == "" || other.at.Before(a.lists[oldest].at) {
				oldest = key
			}
		}
		kept -= len(a.lists[oldest].pods)
		delete(a.lists, oldest)
	}
	if a.lists == nil {
		a.lists = map[string]listing{}
	}
	a.lists[key] = l
}

// trim leaves of a pod what is used of it.
func trim(p *corev1.Pod) {
	p.ManagedFields, p.Annotations = nil, nil
	spec := corev1.PodSpec{NodeName: p.Spec.NodeName}
	for _, c := range p.Spec.Containers {
		spec.Containers = append(spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports})
	}
	p.Spec = spec
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
