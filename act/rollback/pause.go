package rollback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// pauseTries bounds how often a pause is tried when others write to the workload at the same time: in a rollout its controller
// does, with every pod.
const pauseTries = 8

// pausePath is where in an object the mark of a pause is.
var pausePath = "/metadata/annotations/" + strings.ReplaceAll(bake.AnnotationPaused, "/", "~1")

// pauseFields are what a pause writes.
var pauseFields = fieldpath.NewSet(
	fieldpath.MakePathOrDie("spec", "paused"),
	fieldpath.MakePathOrDie("metadata", "annotations"),
	fieldpath.MakePathOrDie("metadata", "annotations", bake.AnnotationPaused),
)

// Pause implements bake.Pauser. It takes two requests, too: a JSON patch of the very object that was read, by its resource
// version, its UID and the judged template, which pauses it and marks it; and one that gives up the ownership of both fields, so
// that the next apply of the user may set them without a conflict.
func (r *Undoer) Pause(ctx context.Context, k bake.Key, uid string, judged v1alpha1.Revision, name string) error {
	if k.Kind != bake.KindDeployment {
		return fmt.Errorf("pause %s: the rollout of a %s cannot be paused", k, k.Kind)
	}
	for range pauseTries {
		w, err := r.read(ctx, k)
		if err != nil {
			return err
		}
		mark := w.Meta.Annotations[bake.AnnotationPaused]
		cur := w.Current()
		switch {
		case w.UID != uid:
			return bake.ErrGone
		case cur == nil || cur.Hash != judged.Hash:
			return bake.ErrNewer
		case w.Paused && mark == name:
			return r.disown(ctx, k, uid) // done already, before a crash
		case w.Paused && mark == "":
			return bake.ErrPaused
		case !w.Paused && mark == name:
			return bake.ErrResumed
		}
		patch, err := json.Marshal(append([]operation{
			{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
			{Op: "replace", Path: "/metadata/resourceVersion", Value: quoted(w.Meta.ResourceVersion)},
			{Op: "test", Path: "/spec/template", Value: w.Raw},
			{Op: "add", Path: "/spec/paused", Value: json.RawMessage("true")},
		}, annotating(w.Meta.Annotations, pausePath, name)...))
		if err != nil {
			return fmt.Errorf("write the patch for %s: %w", k, err)
		}
		switch err := r.send(ctx, k, patch); {
		case apierrors.IsConflict(err), failedTest(err):
			continue // somebody wrote in between; read again
		case apierrors.IsNotFound(err):
			return bake.ErrGone
		case err != nil:
			return explain(err, "pause "+k.String())
		}
		return r.disown(ctx, k, uid)
	}
	return fmt.Errorf("pause %s: others keep writing to it", k)
}

// Release implements bake.Pauser. Both are undone in one patch, on the condition that the mark is there: whoever takes the mark
// away has made the pause theirs.
func (r *Undoer) Release(ctx context.Context, k bake.Key, uid, name string) (done bool, err error) {
	patch, err := json.Marshal(append([]operation{{Op: "test", Path: "/metadata/uid", Value: quoted(uid)}}, releasing(name)...))
	if err != nil {
		return false, fmt.Errorf("write the patch for %s: %w", k, err)
	}
	err = r.send(ctx, k, patch)
	if apierrors.IsNotFound(err) || failedTest(err) {
		return false, nil
	}
	return err == nil, explain(err, "let "+k.String()+" go on, which is paused")
}

// releasing is the part of a patch that takes a pause away that carries the mark. What is not paused stays so.
func releasing(name string) []operation {
	return []operation{
		{Op: "test", Path: pausePath, Value: quoted(name)},
		{Op: "add", Path: "/spec/paused", Value: json.RawMessage("false")},
		{Op: "remove", Path: pausePath},
	}
}

// Paused implements bake.Pauser.
func (r *Undoer) Paused(ctx context.Context, k bake.Key) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d, err := r.Client.AppsV1().Deployments(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, explain(err, "read "+k.String())
	}
	return d.Spec.Paused, nil
}

// disown gives up the ownership of what a pause writes. Nobody else gets it: who applies the workload on the server side would
// take the pause away with the next apply, without meaning to.
func (r *Undoer) disown(ctx context.Context, k bake.Key, uid string) error {
	for range releaseTries {
		meta, err := r.meta(ctx, k)
		switch {
		case apierrors.IsNotFound(err):
			return bake.ErrGone
		case err != nil:
			return explain(err, "read "+k.String())
		case string(meta.UID) != uid:
			return bake.ErrGone
		}
		entries, changed, err := without(meta.ManagedFields, pauseFields)
		if err != nil {
			return fmt.Errorf("give the fields of %s up: %w", k, err)
		}
		if !changed {
			return nil
		}
		done, err := r.own(ctx, k, uid, meta.ResourceVersion, entries)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("give the fields of %s up: others keep writing to it", k)
}

// without takes some fields out of this field manager's entry, and the entry, once it is empty.
func without(fields []metav1.ManagedFieldsEntry, some *fieldpath.Set) (kept []metav1.ManagedFieldsEntry, changed bool, err error) {
	for _, f := range fields {
		if f.Manager != FieldManager || f.Operation != metav1.ManagedFieldsOperationUpdate || f.Subresource != "" {
			kept = append(kept, f)
			continue
		}
		mine, err := read(f.FieldsV1)
		if err != nil {
			return nil, false, err
		}
		rest := mine.Difference(some)
		if !rest.Equals(mine) {
			changed = true
			raw, err := rest.ToJSON()
			if err != nil {
				return nil, false, err
			}
			f.FieldsV1 = &metav1.FieldsV1{}
			f.FieldsV1.SetRawBytes(raw)
		}
		if !rest.Empty() {
			kept = append(kept, f)
		}
	}
	return kept, changed, nil
}

// pauseChanged turns what a refused undo of a paused workload says into an error that may be tried again, if the template is
// still the judged one: then it was the pause that somebody changed.
func (r *Undoer) pauseChanged(ctx context.Context, k bake.Key, judged v1alpha1.Revision, err error) error {
	if !errors.Is(err, bake.ErrNewer) {
		return err
	}
	w, readErr := r.read(ctx, k)
	if readErr != nil {
		return err
	}
	if cur := w.Current(); cur != nil && cur.Hash == judged.Hash {
		return fmt.Errorf("patch %s: its pause was changed between reading and patching it; will try again", k)
	}
	return err
}
