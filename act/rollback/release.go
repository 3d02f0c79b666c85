package rollback

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// releaseTries bounds how often the hand-over is tried when others write to the workload at the same time.
const releaseTries = 5

// release hands the fields that the undo changed back to whoever applied the template before. A patch always makes its
// sender the owner of what it changed, and a later server-side apply by the user would meet a conflict; so the entry of
// this field manager is taken out of managedFields again. Its fields go to the manager that applies the workload on the
// server side, if there is one: as if it had applied the old template itself, so that a field which only the old template
// has goes away again with its next apply.
func (r *Undoer) release(ctx context.Context, k bake.Key, uid string) error {
	for range releaseTries {
		done, err := r.releaseOnce(ctx, k, uid)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("hand the fields of %s back: others keep writing to it", k)
}

// HandBack implements bake.Undoer.
func (r *Undoer) HandBack(ctx context.Context, k bake.Key, uid string) error {
	return r.release(ctx, k, uid)
}

func (r *Undoer) releaseOnce(ctx context.Context, k bake.Key, uid string) (done bool, err error) {
	meta, err := r.meta(ctx, k)
	switch {
	case apierrors.IsNotFound(err):
		return false, bake.ErrGone
	case err != nil:
		return false, explain(err, "read "+k.String())
	case string(meta.UID) != uid:
		return false, bake.ErrGone
	}
	entries, changed, err := handBack(meta.ManagedFields, watcher.OwnsTemplate)
	if err != nil {
		return false, fmt.Errorf("hand the fields of %s back: %w", k, err)
	}
	if !changed {
		return true, nil
	}
	return r.own(ctx, k, uid, meta.ResourceVersion, entries)
}

// own writes who owns which fields, unless the workload was written to since that version of it.
func (r *Undoer) own(ctx context.Context, k bake.Key, uid, version string, entries []metav1.ManagedFieldsEntry) (done bool, err error) {
	value, err := json.Marshal(entries)
	if err != nil {
		return false, fmt.Errorf("hand the fields of %s back: %w", k, err)
	}
	patch, err := json.Marshal([]operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
		{Op: "replace", Path: "/metadata/managedFields", Value: value},
		{Op: "replace", Path: "/metadata/resourceVersion", Value: quoted(version)},
	})
	if err != nil {
		return false, fmt.Errorf("hand the fields of %s back: %w", k, err)
	}
	switch err := r.send(ctx, k, patch); {
	case apierrors.IsConflict(err):
		return false, nil // somebody wrote in between; read again
	case err != nil:
		return false, explain(err, "hand the fields of "+k.String()+" back")
	}
	return true, nil
}

// meta reads a workload's metadata.
func (r *Undoer) meta(ctx context.Context, k bake.Key) (*metav1.ObjectMeta, error) {
	resource, err := watcher.Resource(k.Kind)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := r.Client.AppsV1().RESTClient().Get().Namespace(k.Namespace).Resource(resource).Name(k.Name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var object metav1.PartialObjectMetadata
	return &object.ObjectMeta, json.Unmarshal(raw, &object)
}

// restartField is the restart annotation, which no manifest holds: it belongs to nobody afterwards.
var restartField = fieldpath.NewSet(fieldpath.MakePathOrDie("spec", "template", "metadata", "annotations", restartKey))

// handBack removes this field manager's entry from managedFields, and gives its fields to the manager that last applied
// the pod template, or whatever owns tells, on the server side, if there is one.
func handBack(fields []metav1.ManagedFieldsEntry, owns func(*metav1.FieldsV1) bool) (kept []metav1.ManagedFieldsEntry, changed bool, err error) {
	var mine fieldpath.Set
	applier := -1
	for _, f := range fields {
		if f.Manager == FieldManager && f.Operation == metav1.ManagedFieldsOperationUpdate && f.Subresource == "" {
			changed = true
			set, err := read(f.FieldsV1)
			if err != nil {
				return nil, false, err
			}
			mine = *mine.Union(set)
			continue
		}
		kept = append(kept, f)
		if f.Operation != metav1.ManagedFieldsOperationApply || f.Subresource != "" || !owns(f.FieldsV1) {
			continue
		}
		if applier < 0 || f.Time != nil && (kept[applier].Time == nil || kept[applier].Time.Before(f.Time)) {
			applier = len(kept) - 1
		}
	}
	mine = *mine.Difference(notHanded)
	if !changed || applier < 0 || mine.Empty() {
		return kept, changed, nil
	}
	mine = *mine.Difference(restartField) // else the next apply takes it away, and restarts the pods
	theirs, err := read(kept[applier].FieldsV1)
	if err != nil {
		return nil, false, err
	}
	raw, err := theirs.Union(&mine).ToJSON()
	if err != nil {
		return nil, false, err
	}
	kept[applier].FieldsV1 = &metav1.FieldsV1{}
	kept[applier].FieldsV1.SetRawBytes(raw)
	return kept, true, nil
}

func read(f *metav1.FieldsV1) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if f == nil {
		return set, nil
	}
	if err := set.FromJSON(f.GetRawReader()); err != nil {
		return nil, fmt.Errorf("read managed fields: %w", err)
	}
	return set, nil
}
