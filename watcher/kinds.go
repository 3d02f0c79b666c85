package watcher

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/bakewatch/bakewatch/bake"
)

// kind is a kind of workload that is watched.
type kind struct {
	name     string
	resource string
	empty    func() metav1.Object
	informer func(informers.SharedInformerFactory) cache.SharedIndexInformer
}

var kinds = []kind{
	{bake.KindDeployment, "deployments", func() metav1.Object { return &appsv1.Deployment{} },
		func(f informers.SharedInformerFactory) cache.SharedIndexInformer {
			return f.Apps().V1().Deployments().Informer()
		}},
	{bake.KindStatefulSet, "statefulsets", func() metav1.Object { return &appsv1.StatefulSet{} },
		func(f informers.SharedInformerFactory) cache.SharedIndexInformer {
			return f.Apps().V1().StatefulSets().Informer()
		}},
	{bake.KindDaemonSet, "daemonsets", func() metav1.Object { return &appsv1.DaemonSet{} },
		func(f informers.SharedInformerFactory) cache.SharedIndexInformer {
			return f.Apps().V1().DaemonSets().Informer()
		}},
}

// kindOf is the kind of that name.
func kindOf(name string) (kind, error) {
	for _, k := range kinds {
		if k.name == name {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("%q is no kind of workload that is watched", name)
}

// Resource is what the API server calls workloads of a kind in a path.
func Resource(name string) (string, error) {
	k, err := kindOf(name)
	return k.resource, err
}

// outline is what the kinds have in common. It points into the object it was made from.
type outline struct {
	kind     string
	meta     *metav1.ObjectMeta
	template *corev1.PodTemplateSpec
	selector *metav1.LabelSelector
	update   string // name of the ControllerRevision that a StatefulSet's controller takes for the newest
}

func outlineOf(obj any) (outline, bool) {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return outline{bake.KindDeployment, &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector, ""}, true
	case *appsv1.StatefulSet:
		return outline{bake.KindStatefulSet, &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector, o.Status.UpdateRevision}, true
	case *appsv1.DaemonSet:
		return outline{bake.KindDaemonSet, &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector, ""}, true
	}
	return outline{}, false
}

// digestKey is where the trimmed copy of an object keeps the digest of its pod template. It exists in memory only.
const digestKey = "bakewatch.dev/template-digest"

// ours begins the annotations by which people tell Bakewatch something.
const ours = "bakewatch.dev/"

// trim cuts an object down to what is used, and keeps a digest of its pod template in place of it.
func trim(obj any) (any, error) {
	o, ok := outlineOf(obj)
	if !ok {
		return obj, nil
	}
	if _, done := o.meta.Annotations[digestKey]; done && len(o.template.Spec.Containers) == 0 { // a whole one has containers
		return obj, nil
	}
	digest, err := Digest(o.template)
	if err != nil {
		return nil, fmt.Errorf("digest the pod template of %s %s/%s: %w", o.kind, o.meta.Namespace, o.meta.Name, err)
	}
	kept := map[string]string{}
	for k, v := range o.meta.Annotations {
		if k == revisionKey || ownerMarks[k] || originMarks[k] || len(k) > len(ours) && k[:len(ours)] == ours {
			kept[k] = v
		}
	}
	kept[digestKey] = digest
	delete(kept, configsKey)
	if refs := packRefs(configRefs(&o.template.Spec)); refs != "" {
		kept[configsKey] = refs
	}
	delete(kept, writerKey)
	if by := writer(o.meta.ManagedFields); by != "" {
		kept[writerKey] = by
	}
	o.meta.Annotations = kept
	o.meta.ManagedFields = nil
	*o.template = corev1.PodTemplateSpec{}
	if set, ok := obj.(*appsv1.StatefulSet); ok {
		set.Spec.VolumeClaimTemplates = nil
	}
	return obj, nil
}

// sightOf is what an object says of its workload. The digest is that of the trimmed copy.
func sightOf(k bake.Key, obj any) bake.Sight {
	s := bake.Sight{Key: k}
	o, ok := outlineOf(obj)
	if !ok || o.meta.DeletionTimestamp != nil {
		return s
	}
	s.Exists, s.UID = true, string(o.meta.UID)
	s.Labels, s.Annotations = o.meta.Labels, o.meta.Annotations
	s.Digest = o.meta.Annotations[digestKey]
	s.Owner, s.Origin = owner(o.meta), origin(o.meta)
	switch w := obj.(type) {
	case *appsv1.Deployment:
		ofDeployment(&s, w)
	case *appsv1.StatefulSet:
		ofStatefulSet(&s, w)
	case *appsv1.DaemonSet:
		ofDaemonSet(&s, w)
	}
	return s
}

func ofDeployment(s *bake.Sight, d *appsv1.Deployment) {
	s.Number, _ = strconv.ParseInt(d.Annotations[revisionKey], 10, 64)
	s.Paused = d.Spec.Paused
	s.CaughtUp = d.Status.ObservedGeneration >= d.Generation
	s.Replicas = wanted(d.Spec.Replicas)
	s.Updated, s.Total, s.Available = d.Status.UpdatedReplicas, d.Status.Replicas, d.Status.AvailableReplicas
	s.Recreate, s.AtOnce = d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType, atOnce(d.Spec.Strategy, s.Replicas)
	for _, c := range d.Status.Conditions {
		if c.Type != appsv1.DeploymentProgressing {
			continue
		}
		s.SettledAt = c.LastUpdateTime.Time
		if c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded" {
			s.Stuck = c.Message
		}
	}
}

// atOnce is how many new pods the controller makes before any of them is ready: the surge, and one for each old pod that may be
// unavailable, as the controller itself rounds them.
func atOnce(strategy appsv1.DeploymentStrategy, replicas int32) int32 {
	r := strategy.RollingUpdate
	if r == nil {
		return replicas
	}
	part := func(of *intstr.IntOrString, up bool) int {
		if of == nil {
			return 0
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(of, int(replicas), up)
		if err != nil {
			return 0 // the API server lets none through
		}
		return n
	}
	return min(replicas, int32(max(1, part(r.MaxSurge, true)+part(r.MaxUnavailable, false))))
}

// ofStatefulSet: a partition keeps the pods below it from being replaced; one that keeps all is how a person pauses it.
func ofStatefulSet(s *bake.Sight, set *appsv1.StatefulSet) {
	s.CaughtUp = set.Status.ObservedGeneration >= set.Generation
	s.Replicas = wanted(set.Spec.Replicas)
	s.Updated, s.Total, s.Available = set.Status.UpdatedReplicas, set.Status.Replicas, set.Status.AvailableReplicas
	if set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		s.OnDelete, s.Held = true, s.Replicas
		return
	}
	s.Held = min(partition(set), s.Replicas)
	s.Paused = s.Replicas > 0 && s.Held == s.Replicas
}

// ofDaemonSet: the pods wanted are the nodes it is to run on.
func ofDaemonSet(s *bake.Sight, set *appsv1.DaemonSet) {
	st := set.Status
	s.CaughtUp = st.ObservedGeneration >= set.Generation
	s.Replicas, s.Updated, s.Total, s.Available = st.DesiredNumberScheduled, st.UpdatedNumberScheduled, st.CurrentNumberScheduled, st.NumberAvailable
	if set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		s.OnDelete, s.Held = true, s.Replicas
	}
}

// partition is how many of a StatefulSet's first pods are kept from being replaced.
func partition(set *appsv1.StatefulSet) int32 {
	if r := set.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		return *r.Partition
	}
	return 0
}

func wanted(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}
