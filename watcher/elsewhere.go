package watcher

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/signals"
	states "github.com/bakewatch/bakewatch/signals/kubernetes"
)

const (
	// pullsFor is how long what was seen of other namespaces is taken for what is: while a registry is away many ask.
	pullsFor = 10 * time.Second
	// maxPending bounds how many pods that wait are looked at, of all namespaces, and maxNamespaces in how many they are.
	maxPending, maxNamespaces = 2000, 50
	// deniedFor is how young a pod must be so that its being denied an image says something of the registry of now: one that is
	// older may lack a password for good.
	deniedFor = time.Hour
)

// pulls are the pods of all namespaces that cannot pull their images, as they were a moment ago.
type pulls struct {
	mu   sync.Mutex
	at   time.Time
	list []waitingPull
}

type waitingPull struct {
	signals.Pulling
	namespace string
	born      time.Time
}

// elsewhere looks for pods of other workloads of the namespace that cannot pull their images.
func (w *Watcher) elsewhere(ctx context.Context, k bake.Key, mine labels.Selector, out *signals.PodLook) error {
	seen := map[types.UID]bool{}
	return w.eachPod(ctx, k.Namespace, labels.Everything(), maxPods, func(p *corev1.Pod) (more bool) {
		if mine.Matches(labels.Set(p.Labels)) {
			return true
		}
		s := states.State(p, nil, out.At)
		if s.Going || s.Trouble == nil || s.Trouble.Cause != signals.ImagePull {
			return true
		}
		owner := metav1.GetControllerOf(p)
		if owner != nil && seen[owner.UID] {
			return true
		}
		if owner != nil {
			seen[owner.UID] = true
		}
		out.Elsewhere = append(out.Elsewhere, signals.Pulling{Workload: workloadOf(p, owner), Image: s.Trouble.Image, Pull: s.Trouble.Pull})
		return len(out.Elsewhere) < maxLooked
	})
}

// inOtherNamespaces adds pods of other namespaces that cannot pull from the same registry now. Theirs are other passwords, and they
// may have failed for long: only what says something of the registry itself counts. Where they may not be seen, they say nothing.
func (w *Watcher) inOtherNamespaces(ctx context.Context, k bake.Key, out *signals.PodLook) {
	registries := map[string]bool{}
	for _, p := range out.Candidate {
		if t := p.Trouble; t != nil && t.Cause == signals.ImagePull && t.Pull != signals.NotFound {
			registries[registryOf(t.Image)] = true
		}
	}
	if len(registries) == 0 {
		return
	}
	for _, p := range w.waiting(ctx, out.At) {
		fresh := p.Pull == signals.Unreachable || p.Pull == signals.Denied && out.At.Sub(p.born) < deniedFor
		if p.namespace == k.Namespace || !fresh || !registries[registryOf(p.Image)] || len(out.Elsewhere) >= maxLooked {
			continue
		}
		out.Elsewhere = append(out.Elsewhere, p.Pulling)
	}
}

// waiting are the pods of all namespaces that are watched, but for too many, that cannot pull their images. One at a time asks.
func (w *Watcher) waiting(ctx context.Context, now time.Time) []waitingPull {
	w.pulls.mu.Lock()
	defer w.pulls.mu.Unlock()
	if now.Sub(w.pulls.at) < pullsFor {
		return w.pulls.list
	}
	var list []waitingPull
	left := maxPending
	for _, namespace := range w.namespaces() {
		seen := map[types.UID]bool{}
		err := w.eachPending(ctx, namespace, left, func(p *corev1.Pod) {
			left--
			s := states.State(p, nil, now)
			owner := metav1.GetControllerOf(p)
			if s.Going || s.Trouble == nil || s.Trouble.Cause != signals.ImagePull || owner != nil && seen[owner.UID] {
				return
			}
			if owner != nil {
				seen[owner.UID] = true
			}
			list = append(list, waitingPull{namespace: p.Namespace, born: s.Born,
				Pulling: signals.Pulling{Workload: p.Namespace + "/" + workloadOf(p, owner), Image: s.Trouble.Image, Pull: s.Trouble.Pull}})
		})
		if err != nil {
			w.log.Debug("pods of other namespaces cannot be looked at", zap.String("namespace", namespace), zap.Error(err))
		}
		if left <= 0 || ctx.Err() != nil {
			break
		}
	}
	w.pulls.at, w.pulls.list = now, list
	return list
}

// eachPending calls look for each pod that has not started, page by page, for no more than most.
func (w *Watcher) eachPending(ctx context.Context, namespace string, most int, look func(*corev1.Pod)) error {
	options := metav1.ListOptions{FieldSelector: "status.phase=" + string(corev1.PodPending), Limit: podPage}
	for seen := 0; seen < most; {
		list, err := w.client.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range list.Items {
			look(&list.Items[i])
		}
		seen += len(list.Items)
		if options.Continue = list.Continue; options.Continue == "" {
			return nil
		}
	}
	return nil
}

// namespaces are those that are watched; "" stands for all.
func (w *Watcher) namespaces() []string {
	var out []string
	for _, one := range w.watches {
		if !slices.Contains(out, one.namespace) && len(out) < maxNamespaces {
			out = append(out, one.namespace)
		}
	}
	return out
}

func workloadOf(p *corev1.Pod, owner *metav1.OwnerReference) string {
	if owner == nil {
		return p.Name
	}
	if name := signals.WorkloadOf(p.Name); name != "" {
		return name
	}
	return owner.Name
}

// registryOf is the host that an image is pulled from, as container runtimes read the image's name.
func registryOf(image string) string {
	host, _, more := strings.Cut(image, "/")
	if !more || host != "localhost" && !strings.ContainsAny(host, ".:") {
		return "docker.io"
	}
	return host
}
