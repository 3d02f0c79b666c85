// Package watcher sees workloads: it keeps a lean watch on Deployments, tells the loop when one changes, and says, when
// asked, whether what changed is a rollout. It keeps no Pods and no ReplicaSets; those are read while a workload bakes.
package watcher

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/bakewatch/bakewatch/bake"
)

// KindDeployment is the kind of workload that is watched.
const KindDeployment = "Deployment"

// digestKey is where the trimmed copy of an object keeps the digest of its pod template. It exists in memory only.
const digestKey = "bakewatch.dev/template-digest"

// revisionKey is the annotation in which the Deployment controller keeps revision numbers.
const revisionKey = "deployment.kubernetes.io/revision"

// Watcher watches Deployments.
type Watcher struct {
	client    kubernetes.Interface
	informers map[string]cache.SharedIndexInformer // by namespace; "" for all
	log       *zap.Logger
}

// New makes a Watcher of the given namespaces; none means all. notify is called with each workload that changed, and must
// not block.
func New(client kubernetes.Interface, namespaces []string, notify func(bake.Key), log *zap.Logger) (*Watcher, error) {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	w := &Watcher{client: client, informers: map[string]cache.SharedIndexInformer{}, log: log}
	for _, ns := range namespaces {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(ns), informers.WithTransform(trim))
		inf := factory.Apps().V1().Deployments().Informer()
		if err := inf.SetWatchErrorHandler(w.watchFailed); err != nil {
			return nil, fmt.Errorf("set up the watch of deployments: %w", err)
		}
		told := func(obj any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				namespace, name, _ := cache.SplitMetaNamespaceKey(key)
				notify(bake.Key{Kind: KindDeployment, Namespace: namespace, Name: name})
			}
		}
		if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    told,
			UpdateFunc: func(_, obj any) { told(obj) },
			DeleteFunc: told,
		}); err != nil {
			return nil, fmt.Errorf("set up the watch of deployments: %w", err)
		}
		w.informers[ns] = inf
	}
	return w, nil
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	for _, inf := range w.informers {
		go inf.RunWithContext(ctx)
	}
	<-ctx.Done()
}

// WaitSynced waits until the first list of every namespace has arrived; false when ctx ends before.
func (w *Watcher) WaitSynced(ctx context.Context) bool {
	var synced []cache.InformerSynced
	for _, inf := range w.informers {
		synced = append(synced, inf.HasSynced)
	}
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}

// watchFailed says what to do about a watch that does not work. The informer tries again by itself, less and less often.
func (w *Watcher) watchFailed(_ *cache.Reflector, err error) {
	w.log.Warn("deployments cannot be watched; will try again", zap.Error(Explain(err, "list and watch deployments")))
}

// trim cuts an object down to what is used, and keeps a digest of its pod template in place of it.
func trim(obj any) (any, error) {
	d, ok := obj.(*appsv1.Deployment)
	if !ok {
		return obj, nil
	}
	if _, done := d.Annotations[digestKey]; done && len(d.Spec.Template.Spec.Containers) == 0 { // a whole one has containers
		return d, nil
	}
	digest, err := Digest(&d.Spec.Template)
	if err != nil {
		return nil, fmt.Errorf("digest the pod template of deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	kept := map[string]string{}
	for k, v := range d.Annotations {
		if k == revisionKey || ownerMarks[k] || len(k) > len(ours) && k[:len(ours)] == ours {
			kept[k] = v
		}
	}
	kept[digestKey] = digest
	d.Annotations = kept
	d.ManagedFields = nil
	d.Spec.Template = corev1.PodTemplateSpec{}
	return d, nil
}

const ours = "bakewatch.dev/"

// Sight is what the watch knows of a workload.
func (w *Watcher) Sight(k bake.Key) bake.Sight {
	s := bake.Sight{Key: k}
	inf := w.informers[k.Namespace]
	if inf == nil {
		inf = w.informers[metav1.NamespaceAll]
	}
	if inf == nil || k.Kind != KindDeployment {
		return s
	}
	obj, found, err := inf.GetStore().GetByKey(k.Namespace + "/" + k.Name)
	d, ok := obj.(*appsv1.Deployment)
	if err != nil || !found || !ok || d.DeletionTimestamp != nil {
		return s
	}
	s.Exists, s.UID = true, string(d.UID)
	s.Labels, s.Annotations = d.Labels, d.Annotations
	s.Digest = d.Annotations[digestKey]
	s.Number, _ = strconv.ParseInt(d.Annotations[revisionKey], 10, 64)
	s.Owner = owner(d)
	s.Paused = d.Spec.Paused
	s.CaughtUp = d.Status.ObservedGeneration >= d.Generation
	s.Replicas = 1
	if d.Spec.Replicas != nil {
		s.Replicas = *d.Spec.Replicas
	}
	s.Updated, s.Total, s.Available = d.Status.UpdatedReplicas, d.Status.Replicas, d.Status.AvailableReplicas
	for _, c := range d.Status.Conditions {
		if c.Type != appsv1.DeploymentProgressing {
			continue
		}
		s.SettledAt = c.LastUpdateTime.Time
		if c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded" {
			s.Stuck = c.Message
		}
	}
	return s
}

// Keys are all workloads the watch knows.
func (w *Watcher) Keys() []bake.Key {
	var out []bake.Key
	for _, inf := range w.informers {
		for _, key := range inf.GetStore().ListKeys() {
			if ns, name, err := cache.SplitMetaNamespaceKey(key); err == nil {
				out = append(out, bake.Key{Kind: KindDeployment, Namespace: ns, Name: name})
			}
		}
	}
	return out
}

// listTimeout bounds one read.
const listTimeout = 10 * time.Second
