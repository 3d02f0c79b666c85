package rollback

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// restoreTries bounds how often a restore is tried again when others write to the ConfigMap, but not its data.
const restoreTries = 5

// Restore implements bake.Configs. It takes two requests: a JSON patch that tests the UID, the resource version and the data, and
// replaces the data; and one that hands the ownership of it back. Killed between them, calling it again does what is left.
func (c *ConfigMaps) Restore(ctx context.Context, namespace string, r v1alpha1.ConfigRestore) error {
	for range restoreTries {
		m, err := c.live(ctx, namespace, r.Name)
		if err != nil {
			return err
		}
		switch digest(m) {
		case r.Target:
			return c.release(ctx, namespace, r.Name, m.UID)
		case r.Judged:
		default:
			if err := c.release(ctx, namespace, r.Name, m.UID); err != nil {
				return err
			}
			return bake.ErrNewer
		}
		good, err := c.kept(ctx, namespace, v1alpha1.ConfigVersion{Name: r.Name, Digest: r.Target})
		if err != nil {
			return err
		}
		patch, err := restoring(m, good, r, time.Now())
		if err != nil {
			return fmt.Errorf("write the patch for %s: %w", configMap(namespace, r.Name), err)
		}
		err = c.send(ctx, namespace, r.Name, patch)
		switch {
		case apierrors.IsNotFound(err):
			return bake.ErrGone
		case failedTest(err), apierrors.IsConflict(err):
			continue // somebody wrote in between: was it the data?
		case err != nil:
			return explain(err, "patch "+configMap(namespace, r.Name))
		}
		return c.release(ctx, namespace, r.Name, m.UID)
	}
	return fmt.Errorf("put %s back: others keep writing to it", configMap(namespace, r.Name))
}

// restoring is the patch that puts the data of good into m as it was read.
func restoring(m, good *corev1.ConfigMap, r v1alpha1.ConfigRestore, now time.Time) ([]byte, error) {
	ops := []operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(string(m.UID))},
		{Op: "test", Path: "/metadata/resourceVersion", Value: quoted(m.ResourceVersion)},
	}
	put := func(path string, is, want any, there, wanted bool) error {
		was, err := json.Marshal(is)
		if err != nil {
			return err
		}
		value, err := json.Marshal(want)
		if err != nil {
			return err
		}
		if !there {
			was = []byte("null")
		}
		ops = append(ops, operation{Op: "test", Path: path, Value: was})
		switch {
		case wanted:
			ops = append(ops, operation{Op: "add", Path: path, Value: value})
		case there:
			ops = append(ops, operation{Op: "remove", Path: path})
		}
		return nil
	}
	if err := put("/data", m.Data, good.Data, len(m.Data) > 0, len(good.Data) > 0); err != nil {
		return nil, err
	}
	if err := put("/binaryData", m.BinaryData, good.BinaryData, len(m.BinaryData) > 0, len(good.BinaryData) > 0); err != nil {
		return nil, err
	}
	if len(m.Annotations) == 0 {
		ops = append(ops, operation{Op: "add", Path: "/metadata/annotations", Value: json.RawMessage("{}")})
	}
	ops = append(ops, operation{Op: "add", Path: markPath, Value: quoted(fmt.Sprintf("%.6s at %s", r.Judged, now.UTC().Format(time.RFC3339)))})
	if h := holderOf(m.ManagedFields); h != "" {
		ops = append(ops, operation{Op: "add", Path: handBackPath, Value: quoted(h)})
	}
	return json.Marshal(ops)
}

// send sends a JSON patch of a ConfigMap.
func (c *ConfigMaps) send(ctx context.Context, namespace, name string, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.Client.CoreV1().RESTClient().Patch(types.JSONPatchType).Namespace(namespace).Resource("configmaps").Name(name).
		VersionedParams(&metav1.PatchOptions{FieldManager: FieldManager}, scheme.ParameterCodec).Body(patch).Do(ctx).Error()
}

// handBackKey is the annotation that a restore leaves until ownership is handed back: whose the data was, which nothing else tells once
// all of it is replaced. It goes with the request that hands it back.
const handBackKey = "bakewatch.dev/hand-back"

var handBackPath = "/metadata/annotations/" + strings.ReplaceAll(handBackKey, "/", "~1")

// holderOf is the field manager that the data is to be handed back to: Apply kubectl. It is empty when there is none but ourselves.
func holderOf(fields []metav1.ManagedFieldsEntry) string {
	var newest *metav1.ManagedFieldsEntry
	for i := range fields {
		f := &fields[i]
		if f.Manager == FieldManager || f.Subresource != "" || !watcher.OwnsData(f.FieldsV1) {
			continue
		}
		applies := f.Operation == metav1.ManagedFieldsOperationApply
		if newest == nil || applies && newest.Operation != f.Operation || newest.Operation == f.Operation && f.Time != nil && newest.Time.Before(f.Time) {
			newest = f
		}
	}
	if newest == nil {
		return ""
	}
	return string(newest.Operation) + " " + newest.Manager
}

// handDataBack are the managed fields of a ConfigMap without this field manager, whose fields go to whoever held the data.
func handDataBack(m *corev1.ConfigMap, now time.Time) (kept []metav1.ManagedFieldsEntry, changed bool, err error) {
	kept, changed, err = handBack(m.ManagedFields, watcher.OwnsData)
	if err != nil || !changed {
		return nil, false, err
	}
	operation, manager, known := strings.Cut(m.Annotations[handBackKey], " ")
	if held := slices.ContainsFunc(kept, func(f metav1.ManagedFieldsEntry) bool {
		return f.Operation == metav1.ManagedFieldsOperationApply && watcher.OwnsData(f.FieldsV1)
	}); known && !held {
		var mine *fieldpath.Set
		for _, f := range m.ManagedFields {
			if f.Manager == FieldManager && f.Operation == metav1.ManagedFieldsOperationUpdate && f.Subresource == "" {
				if mine, err = read(f.FieldsV1); err != nil {
					return nil, false, err
				}
			}
		}
		gone := fieldpath.NewSet(fieldpath.MakePathOrDie("metadata", "annotations", handBackKey))
		raw, err := mine.Difference(gone).ToJSON()
		if err != nil {
			return nil, false, err
		}
		theirs := metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationType(operation), APIVersion: "v1",
			Time: &metav1.Time{Time: now.UTC().Truncate(time.Second)}, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{}}
		theirs.FieldsV1.SetRawBytes(raw)
		kept = append(kept, theirs)
	}
	return kept, len(kept) > 0, nil // an empty list would make us the owner of all
}

// release hands the data that a restore changed back to whoever applied it before, as after an undo of a template.
func (c *ConfigMaps) release(ctx context.Context, namespace, name string, uid types.UID) error {
	for range releaseTries {
		m, err := c.live(ctx, namespace, name)
		switch {
		case err != nil:
			return err
		case m.UID != uid:
			return bake.ErrGone
		}
		entries, changed, err := handDataBack(m, time.Now())
		if err != nil {
			return fmt.Errorf("hand the data of %s back: %w", configMap(namespace, name), err)
		}
		if !changed {
			return nil
		}
		value, err := json.Marshal(entries)
		if err != nil {
			return fmt.Errorf("hand the data of %s back: %w", configMap(namespace, name), err)
		}
		ops := []operation{
			{Op: "test", Path: "/metadata/uid", Value: quoted(string(uid))},
			{Op: "replace", Path: "/metadata/managedFields", Value: value},
			{Op: "replace", Path: "/metadata/resourceVersion", Value: quoted(m.ResourceVersion)},
		}
		if _, there := m.Annotations[handBackKey]; there {
			ops = append(ops, operation{Op: "remove", Path: handBackPath})
		}
		patch, err := json.Marshal(ops)
		if err != nil {
			return fmt.Errorf("hand the data of %s back: %w", configMap(namespace, name), err)
		}
		switch err := c.send(ctx, namespace, name, patch); {
		case apierrors.IsConflict(err):
		case apierrors.IsNotFound(err):
			return bake.ErrGone
		case err != nil:
			return explain(err, "hand the data of "+configMap(namespace, name)+" back")
		default:
			return nil
		}
	}
	return fmt.Errorf("hand the data of %s back: others keep writing to it", configMap(namespace, name))
}
