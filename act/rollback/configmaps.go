package rollback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// ConfigMaps keeps what is known good of ConfigMaps, as immutable ConfigMaps beside them, and puts it back.
type ConfigMaps struct {
	Client kubernetes.Interface
}

const (
	// keptPrefix begins the names of what is kept.
	keptPrefix = "bakewatch-kept-"
	// keptOf and keptSince are the annotations that say of which ConfigMap a copy is, and when it was last known to be good.
	keptOf    = "bakewatch.dev/kept-of"
	keptSince = "bakewatch.dev/kept-since"
	// mostKept is how many contents of one ConfigMap are kept: that which is good, and the one before it.
	mostKept = 2
	// maxKeptBytes is how large a ConfigMap may be that is kept: half of what the API server takes.
	maxKeptBytes = 512 << 10
)

// keptName is the name of the copy of a content. It tells the content, so that a second writer collides.
func keptName(v v1alpha1.ConfigVersion) string {
	name := v.Name
	if len(name) > 200 {
		name = strings.TrimRight(name[:200], ".-")
	}
	return keptPrefix + name + "-" + v.Digest
}

// keptLabel tells the copies of a ConfigMap from others. A label's value may be 63 long.
func keptLabel(name string) string {
	if len(name) <= 63 {
		return name
	}
	return watcher.ConfigDigest(map[string]string{"name": name}, nil)
}

func configMap(namespace, name string) string { return "configmap " + namespace + "/" + name }

// live reads a ConfigMap; ErrGone when there is none.
func (c *ConfigMaps) live(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := c.Client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && m.DeletionTimestamp != nil:
		return nil, bake.ErrGone
	case err != nil:
		return nil, explain(err, "read "+configMap(namespace, name))
	}
	return m, nil
}

func digest(m *corev1.ConfigMap) string { return watcher.ConfigDigest(m.Data, m.BinaryData) }

// copies are what is kept of a ConfigMap, that which was good last first.
func (c *ConfigMaps) copies(ctx context.Context, namespace, name string) ([]corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := c.Client.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: watcher.LabelKept + "=" + keptLabel(name)})
	if err != nil {
		return nil, explain(err, "list what is kept of "+configMap(namespace, name))
	}
	own := slices.DeleteFunc(list.Items, func(m corev1.ConfigMap) bool { return m.Annotations[keptOf] != name })
	slices.SortFunc(own, func(a, b corev1.ConfigMap) int {
		return strings.Compare(b.Annotations[keptSince], a.Annotations[keptSince])
	})
	return own, nil
}

// Kept implements bake.Configs.
func (c *ConfigMaps) Kept(ctx context.Context, namespace, name string) (string, error) {
	all, err := c.copies(ctx, namespace, name)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return digest(&all[0]), nil
}

// kept reads the copy of a content; ErrNoRevision when there is none, or when it is not what it is called.
func (c *ConfigMaps) kept(ctx context.Context, namespace string, v v1alpha1.ConfigVersion) (*corev1.ConfigMap, error) {
	m, err := c.live(ctx, namespace, keptName(v))
	switch {
	case errors.Is(err, bake.ErrGone):
		return nil, bake.ErrNoRevision
	case err != nil:
		return nil, err
	case digest(m) != v.Digest || m.Annotations[keptOf] != v.Name:
		return nil, bake.ErrNoRevision
	}
	return m, nil
}

// Has implements bake.Configs.
func (c *ConfigMaps) Has(ctx context.Context, namespace string, v v1alpha1.ConfigVersion) (bool, error) {
	_, err := c.kept(ctx, namespace, v)
	if errors.Is(err, bake.ErrNoRevision) {
		return false, nil
	}
	return err == nil, err
}

// Keep implements bake.Configs.
func (c *ConfigMaps) Keep(ctx context.Context, namespace string, v v1alpha1.ConfigVersion) error {
	all, err := c.copies(ctx, namespace, v.Name)
	if err != nil {
		return err
	}
	if len(all) > 0 && all[0].Name == keptName(v) {
		return c.prune(ctx, namespace, all)
	}
	m, err := c.live(ctx, namespace, v.Name)
	switch {
	case err != nil:
		return err
	case digest(m) != v.Digest:
		return bake.ErrNewer
	case m.Size() > maxKeptBytes:
		return fmt.Errorf("%s holds %d KiB of at most %d: %w", configMap(namespace, v.Name), m.Size()>>10, maxKeptBytes>>10, bake.ErrTooLarge)
	}
	since := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	copied := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: keptName(v),
			Labels:      map[string]string{watcher.LabelKept: keptLabel(v.Name), "app.kubernetes.io/managed-by": FieldManager},
			Annotations: map[string]string{keptOf: v.Name, keptSince: since}},
		Data: m.Data, BinaryData: m.BinaryData, Immutable: new(true),
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = c.Client.CoreV1().ConfigMaps(namespace).Create(callCtx, copied, metav1.CreateOptions{FieldManager: FieldManager})
	if apierrors.IsAlreadyExists(err) { // it was good once before
		patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{keptSince: since}}})
		_, err = c.Client.CoreV1().ConfigMaps(namespace).Patch(callCtx, keptName(v), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	}
	if err != nil {
		return explain(err, "keep what is in "+configMap(namespace, v.Name))
	}
	if all, err = c.copies(ctx, namespace, v.Name); err != nil {
		return err
	}
	return c.prune(ctx, namespace, all)
}

// prune forgets what is kept beyond the newest.
func (c *ConfigMaps) prune(ctx context.Context, namespace string, all []corev1.ConfigMap) error {
	for i := mostKept; i < len(all); i++ {
		if err := c.forget(ctx, namespace, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

// Sweep forgets what is kept, and has been for long, of ConfigMaps that no workload reads any more: those with a hash in their name are
// replaced by others, and what is deleted needs no earlier content. No namespaces means all.
func (c *ConfigMaps) Sweep(ctx context.Context, namespaces []string, read func(namespace, name string) bool, before time.Time) (swept int, err error) {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		options := metav1.ListOptions{LabelSelector: watcher.LabelKept, Limit: 100}
		for {
			list, err := c.Client.CoreV1().ConfigMaps(ns).List(ctx, options)
			if err != nil {
				return swept, explain(err, "list what is kept of configmaps")
			}
			for i := range list.Items {
				m := &list.Items[i]
				since, err := time.Parse(time.RFC3339Nano, m.Annotations[keptSince])
				if err != nil || since.After(before) || read(m.Namespace, m.Annotations[keptOf]) {
					continue
				}
				if err := c.forget(ctx, m.Namespace, m); err != nil {
					return swept, err
				}
				swept++
			}
			if options.Continue = list.Continue; options.Continue == "" {
				break
			}
		}
	}
	return swept, nil
}

func (c *ConfigMaps) forget(ctx context.Context, namespace string, m *corev1.ConfigMap) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := c.Client.CoreV1().ConfigMaps(namespace).Delete(ctx, m.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &m.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return explain(err, "delete "+configMap(namespace, m.Name))
}

// Compare implements bake.Configs.
func (c *ConfigMaps) Compare(ctx context.Context, namespace string, kept v1alpha1.ConfigVersion, values bool) ([]string, error) {
	was, err := c.kept(ctx, namespace, kept)
	if err != nil {
		return nil, err
	}
	is, err := c.live(ctx, namespace, kept.Name)
	if err != nil {
		return nil, err
	}
	return keysChanged(was, is, values), nil
}

// keysChanged names the keys that were added, removed or changed, in their order.
func keysChanged(was, is *corev1.ConfigMap, values bool) []string {
	text := func(m *corev1.ConfigMap) map[string]string {
		out := map[string]string{}
		for k, v := range m.BinaryData {
			out[k] = string(v)
		}
		for k, v := range m.Data {
			out[k] = v
		}
		return out
	}
	a, b := text(was), text(is)
	all := map[string]bool{}
	for _, m := range []map[string]string{a, b} {
		for k := range m {
			all[k] = true
		}
	}
	var keys []string
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []string
	for _, k := range keys {
		x, before := a[k]
		y, after := b[k]
		_, plain := is.Data[k]
		shown := values && plain && is.BinaryData[k] == nil
		switch {
		case !before && shown:
			out = append(out, "key "+k+" added: "+short(y))
		case !before:
			out = append(out, "key "+k+" added")
		case !after:
			out = append(out, "key "+k+" removed")
		case x != y && shown:
			out = append(out, "key "+k+" changed: "+short(x)+" → "+short(y))
		case x != y:
			out = append(out, "key "+k+" changed")
		}
	}
	return out
}

// short is a value on one line.
func short(value string) string {
	const most = 80
	r := []rune(strings.Join(strings.Fields(value), " "))
	if len(r) > most {
		r = append(r[:most-1], '…')
	}
	return fmt.Sprintf("%q", string(r))
}
