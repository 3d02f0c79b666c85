package watcher

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// Of ConfigMaps the watch keeps what they are called, a digest of what is in them, and who writes them: some hundred bytes each,
// however large they are.

// LabelKept is on the copies of ConfigMaps that Bakewatch keeps; they are no configuration of any workload.
const LabelKept = "bakewatch.dev/kept"

// Where the trimmed copy of a ConfigMap keeps what was found out about it. They exist in memory only.
const (
	leftKey      = "bakewatch.dev/left"       // why its changes are no rollouts
	changedByKey = "bakewatch.dev/changed-by" // and when: manager at time
)

// leaderKey is the annotation that leader election by ConfigMaps writes, every few seconds.
const leaderKey = "control-plane.alpha.kubernetes.io/leader"

// published are ConfigMaps that controllers put into every namespace.
var published = map[string]bool{"kube-root-ca.crt": true, "openshift-service-ca.crt": true, "istio-ca-root-cert": true, "linkerd-identity-trust-roots": true}

// left says, as a clause, why changes of a ConfigMap are no rollouts; empty when they are.
func left(m *metav1.ObjectMeta, immutable *bool) string {
	c := controllerOwner(m)
	switch {
	case m.Labels[LabelKept] != "":
		return "it is Bakewatch's own"
	case m.Annotations[leaderKey] != "":
		return "leader election writes it"
	case published[m.Name]:
		return "a controller puts it into every namespace"
	case c.Name != "":
		return "it belongs to " + c.Name
	case immutable != nil && *immutable:
		return "it is immutable"
	}
	return ""
}

// ConfigDigest is a short digest of what is in a ConfigMap: equal data has equal digests.
func ConfigDigest(data map[string]string, binary map[string][]byte) string {
	h := sha256.New()
	for _, key := range sortedKeys(data) {
		_, _ = fmt.Fprintf(h, "s%d:%s%d:%s", len(key), key, len(data[key]), data[key])
	}
	for _, key := range sortedKeys(binary) {
		value := base64.StdEncoding.EncodeToString(binary[key])
		_, _ = fmt.Fprintf(h, "b%d:%s%d:%s", len(key), key, len(value), value)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// trimConfigMap cuts a ConfigMap down to what is used, and keeps a digest of its data in place of it.
func trimConfigMap(obj any) (any, error) {
	c, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return obj, nil
	}
	if c.Data == nil && c.BinaryData == nil && c.ManagedFields == nil && c.Annotations[digestKey] != "" {
		return c, nil // it is trimmed already
	}
	kept := map[string]string{digestKey: ConfigDigest(c.Data, c.BinaryData)}
	for k := range ownerMarks {
		if v, ok := c.Annotations[k]; ok {
			kept[k] = v
		}
	}
	labels := map[string]string{}
	for _, k := range []string{argoInstance, plainInstance, fluxKustomize, fluxKustomizeNamespace, fluxHelm, fluxHelmNamespace} {
		if v, ok := c.Labels[k]; ok {
			labels[k] = v
		}
	}
	if why := left(&c.ObjectMeta, c.Immutable); why != "" {
		kept[leftKey] = why
	}
	by, at := dataWriter(c.ManagedFields)
	if !at.IsZero() {
		kept[changedByKey] = by + " " + at.UTC().Format(time.RFC3339)
	}
	if gitOps(by) {
		kept[writerKey] = by
	}
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion,
		DeletionTimestamp: c.DeletionTimestamp, Annotations: kept, Labels: labels}}, nil
}

// gitOps reports whether a field manager is that of a GitOps controller.
func gitOps(manager string) bool {
	for _, known := range append([]string{fluxManager, fluxHelmActor}, argoManagers...) {
		if manager == known {
			return true
		}
	}
	return false
}

// OwnsData reports whether a field manager owns anything of what is in a ConfigMap.
func OwnsData(f *metav1.FieldsV1) bool {
	if f == nil {
		return false
	}
	var set fieldpath.Set
	if err := set.FromJSON(f.GetRawReader()); err != nil {
		return false
	}
	owns := false
	set.Iterate(func(p fieldpath.Path) {
		if len(p) > 0 && p[0].FieldName != nil && (*p[0].FieldName == "data" || *p[0].FieldName == "binaryData") {
			owns = true
		}
	})
	return owns
}

// dataWriter is the tool that last wrote the data, and when.
func dataWriter(fields []metav1.ManagedFieldsEntry) (by string, at time.Time) {
	for _, m := range fields {
		if m.Subresource == "" && m.Time != nil && OwnsData(m.FieldsV1) && (by == "" || m.Time.After(at)) {
			by, at = m.Manager, m.Time.Time
		}
	}
	return by, at
}

// configWatch is the watch of the ConfigMaps of one namespace, or of all.
type configWatch struct {
	namespace string
	informer  cache.SharedIndexInformer
}

// setUpConfigs prepares the watches of ConfigMaps; none runs until they are wanted.
func (w *Watcher) setUpConfigs(namespaces []string) error {
	for _, ns := range namespaces {
		factory := informers.NewSharedInformerFactoryWithOptions(w.client, 0, informers.WithNamespace(ns), informers.WithTransform(trimConfigMap))
		one := &configWatch{namespace: ns, informer: factory.Core().V1().ConfigMaps().Informer()}
		err := one.informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
			w.log.Warn("configmaps cannot be watched, and their changes are not seen; will try again", zap.Error(Explain(err, "list and watch configmaps")))
		})
		if err != nil {
			return fmt.Errorf("set up the watch of configmaps: %w", err)
		}
		_, err = one.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: w.configChanged,
			UpdateFunc: func(old, obj any) {
				if a, b := old.(*corev1.ConfigMap), obj.(*corev1.ConfigMap); a.Annotations[digestKey] != b.Annotations[digestKey] || a.Annotations[leftKey] != b.Annotations[leftKey] {
					w.counted(b.Namespace + "/" + b.Name)
					w.configChanged(obj)
				}
			},
			DeleteFunc: w.configChanged,
		})
		if err != nil {
			return fmt.Errorf("set up the watch of configmaps: %w", err)
		}
		w.configs = append(w.configs, one)
	}
	return nil
}

// FollowConfigs watches ConfigMaps from the moment in which they are wanted, until ctx ends. It asks again and again.
func (w *Watcher) FollowConfigs(ctx context.Context, wanted func() bool) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for !wanted() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	for _, one := range w.configs {
		go one.informer.RunWithContext(ctx)
	}
	for _, one := range w.configs {
		if !cache.WaitForCacheSync(ctx.Done(), one.informer.HasSynced) {
			return
		}
	}
	for _, k := range w.Keys() { // what they read is known only now
		w.notify(k)
	}
	<-ctx.Done()
}

// configChanged tells of the workloads whose pods read a ConfigMap.
func (w *Watcher) configChanged(obj any) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return
	}
	namespace, name, _ := cache.SplitMetaNamespaceKey(key)
	w.readers(namespace, name, w.notify)
}

// readers calls each for the workloads whose pods read a ConfigMap.
func (w *Watcher) readers(namespace, name string, each func(bake.Key)) {
	for _, one := range w.watches {
		if one.namespace != metav1.NamespaceAll && one.namespace != namespace {
			continue
		}
		workloads, err := one.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			continue
		}
		for _, workload := range workloads {
			if o, ok := outlineOf(workload); ok && refersTo(o.meta.Annotations[configsKey], name) {
				each(bake.Key{Kind: one.kind.name, Namespace: namespace, Name: o.meta.Name})
			}
		}
	}
}

// known fills in what the trimmed copy of a ConfigMap says.
func known(c *bake.Config, m *corev1.ConfigMap) {
	if m.DeletionTimestamp != nil {
		return
	}
	c.Digest, c.Version, c.Left, c.Owner = m.Annotations[digestKey], m.ResourceVersion, m.Annotations[leftKey], owner(&m.ObjectMeta)
	by, at, _ := cutLast(m.Annotations[changedByKey])
	c.ChangedBy = by
	c.ChangedAt, _ = time.Parse(time.RFC3339, at)
}

// cutLast cuts at the last space; names of field managers may hold some.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// Reads reports whether the pods of any workload read a ConfigMap.
func (w *Watcher) Reads(namespace, name string) bool {
	read := false
	w.readers(namespace, name, func(bake.Key) { read = true })
	return read
}

// configsOf are the ConfigMaps that a workload's pods read; nil while they are not known.
func (w *Watcher) configsOf(namespace, packed string) []bake.Config {
	var one *configWatch
	for _, c := range w.configs {
		if c.namespace == metav1.NamespaceAll || c.namespace == namespace {
			one = c
		}
	}
	if one == nil || !one.informer.HasSynced() {
		return nil
	}
	out := []bake.Config{}
	for _, r := range unpackRefs(packed) {
		c := bake.Config{ConfigVersion: v1alpha1.ConfigVersion{Name: r.name}, Mounted: r.mounted, AtStart: r.atStart}
		if obj, found, err := one.informer.GetStore().GetByKey(namespace + "/" + r.name); err == nil && found {
			known(&c, obj.(*corev1.ConfigMap))
			c.Left = cmp.Or(c.Left, w.churn.left(namespace+"/"+r.name, time.Now()))
		}
		out = append(out, c)
	}
	return out
}
