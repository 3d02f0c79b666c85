// Package watcher sees workloads: it keeps a lean watch on Deployments, StatefulSets and DaemonSets, tells the loop when
// one changes, and says, when asked, whether what changed is a rollout. It keeps no Pods, ReplicaSets and
// ControllerRevisions; those are read while a workload is looked at.
package watcher

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/bakewatch/bakewatch/bake"
)

// Watcher watches workloads, one informer for each kind and namespace.
type Watcher struct {
	client  kubernetes.Interface
	watches []*watch
	configs []*configWatch
	churn   churn
	notify  func(bake.Key)
	log     *zap.Logger
	pulls   pulls
}

// watch is the watch of one kind in one namespace.
type watch struct {
	kind      kind
	namespace string // "" for all
	informer  cache.SharedIndexInformer

	mu        sync.Mutex
	forbidden error // why it may not be; nil once it was not refused
}

// New makes a Watcher of the given namespaces; none means all. notify is called with each workload that changed, and must
// not block.
func New(client kubernetes.Interface, namespaces []string, notify func(bake.Key), log *zap.Logger) (*Watcher, error) {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	w := &Watcher{client: client, notify: notify, log: log}
	for _, ns := range namespaces {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(ns), informers.WithTransform(trim))
		for _, k := range kinds {
			one := &watch{kind: k, namespace: ns, informer: k.informer(factory)}
			if err := w.add(one, notify); err != nil {
				return nil, fmt.Errorf("set up the watch of %s: %w", k.resource, err)
			}
		}
	}
	return w, w.setUpConfigs(namespaces)
}

func (w *Watcher) add(one *watch, notify func(bake.Key)) error {
	told := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			namespace, name, _ := cache.SplitMetaNamespaceKey(key)
			notify(bake.Key{Kind: one.kind.name, Namespace: namespace, Name: name})
		}
	}
	// It says what to do about a watch that does not work. The informer tries again by itself, less and less often.
	err := one.informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
		one.refused(err)
		w.log.Warn(one.kind.resource+" cannot be watched; will try again", zap.Error(Explain(err, "list and watch "+one.kind.resource)))
	})
	if err != nil {
		return err
	}
	_, err = one.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    told,
		UpdateFunc: func(_, obj any) { told(obj) },
		DeleteFunc: told,
	})
	w.watches = append(w.watches, one)
	return err
}

func (one *watch) refused(err error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.forbidden = nil
	if apierrors.IsForbidden(err) {
		one.forbidden = err
	}
}

// settled reports whether the first list has arrived, or is not permitted.
func (one *watch) settled() bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.forbidden != nil || one.informer.HasSynced()
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	for _, one := range w.watches {
		go one.informer.RunWithContext(ctx)
	}
	<-ctx.Done()
}

// WaitSynced waits until the first list of each kind and namespace has arrived; false when ctx ends before. It does not
// wait for what may not be listed: workloads of the other kinds are guarded meanwhile. Where nothing may be listed it waits.
func (w *Watcher) WaitSynced(ctx context.Context) bool {
	var settled []cache.InformerSynced
	for _, one := range w.watches {
		settled = append(settled, one.settled)
	}
	some := func() bool {
		for _, one := range w.watches {
			if one.informer.HasSynced() {
				return true
			}
		}
		return false
	}
	return cache.WaitForCacheSync(ctx.Done(), append(settled, some)...)
}

// of is the watch that a workload is in; nil when there is none.
func (w *Watcher) of(k bake.Key) *watch {
	for _, one := range w.watches {
		if one.kind.name == k.Kind && (one.namespace == metav1.NamespaceAll || one.namespace == k.Namespace) {
			return one
		}
	}
	return nil
}

// Sight is what the watch knows of a workload.
func (w *Watcher) Sight(k bake.Key) bake.Sight {
	one := w.of(k)
	if one == nil {
		return bake.Sight{Key: k}
	}
	if !one.informer.HasSynced() {
		return bake.Sight{Key: k, Unknown: true}
	}
	obj, found, err := one.informer.GetStore().GetByKey(k.Namespace + "/" + k.Name)
	if err != nil || !found {
		return bake.Sight{Key: k}
	}
	s := sightOf(k, obj)
	if o, ok := outlineOf(obj); ok && s.Exists {
		s.Configs = w.configsOf(k.Namespace, o.meta.Annotations[configsKey])
	}
	return s
}

// Keys are all workloads the watch knows.
func (w *Watcher) Keys() []bake.Key {
	var out []bake.Key
	for _, one := range w.watches {
		for _, key := range one.informer.GetStore().ListKeys() {
			if ns, name, err := cache.SplitMetaNamespaceKey(key); err == nil {
				out = append(out, bake.Key{Kind: one.kind.name, Namespace: ns, Name: name})
			}
		}
	}
	return out
}

// listTimeout bounds one look at a workload.
const listTimeout = 10 * time.Second
