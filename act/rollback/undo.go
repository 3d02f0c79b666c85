// Package rollback puts an earlier revision of a workload back, under conditions that the API server checks.
package rollback

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// FieldManager is the name under which Bakewatch writes to workloads.
const FieldManager = "bakewatch"

// callTimeout bounds one request.
const callTimeout = 10 * time.Second

// Undoer rolls Deployments, StatefulSets and DaemonSets back.
type Undoer struct {
	Client kubernetes.Interface
}

// read reads a workload and its revisions live.
func (r *Undoer) read(ctx context.Context, k bake.Key) (*watcher.Workload, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	w, err := watcher.Read(ctx, r.Client, k)
	if apierrors.IsNotFound(err) {
		return nil, bake.ErrGone
	}
	return w, mark(err)
}

// Undo implements bake.Undoer. It takes two requests: a JSON patch that tests the UID and the whole judged template as
// read live, replaces it, and marks the workload; and one that hands the ownership of the replaced fields back, so that the next apply of the
// user meets no conflict. Killed between them, calling it again does what is left.
func (r *Undoer) Undo(ctx context.Context, k bake.Key, uid string, judged, target v1alpha1.Revision) error {
	w, err := r.read(ctx, k)
	if err != nil {
		return err
	}
	if w.UID != uid {
		return bake.ErrGone
	}
	to, cur := w.Find(target.Hash), w.Current()
	mark := w.Meta.Annotations[bake.AnnotationPaused]
	switch {
	case to != nil && watcher.SameTemplate(&to.Template, &w.Template):
		// Done already: by us before a crash, or by a person.
		if mark != "" {
			if _, err := r.Release(ctx, k, uid, mark); err != nil {
				return err
			}
		}
		return r.release(ctx, k, uid)
	case cur == nil || cur.Hash != judged.Hash:
		// It may have come after our own patch, if we were killed then; what that patch owns must not stay.
		if err := r.release(ctx, k, uid); err != nil {
			return err
		}
		return bake.ErrNewer
	case w.Paused && mark == "":
		return bake.ErrPaused
	case to == nil:
		return bake.ErrNoRevision
	}
	replacement, err := r.template(ctx, k, to)
	if err != nil {
		return err
	}
	operations := append([]operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
		{Op: "test", Path: "/spec/template", Value: w.Raw},
		{Op: "replace", Path: "/spec/template", Value: replacement},
	}, marking(w.Meta.Annotations, judged, time.Now())...)
	if mark != "" {
		operations = append(operations, releasing(mark)...) // paused, the old pods would not come back
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("write the patch for %s: %w", k, err)
	}
	if err := r.patch(ctx, k, patch); err != nil {
		if errors.Is(err, bake.ErrNewer) && len(w.Meta.Annotations) == 0 && r.annotated(ctx, k) {
			return fmt.Errorf("patch %s: its first annotations came between reading and patching it; will try again", k)
		}
		if mark != "" {
			return r.pauseChanged(ctx, k, judged, err)
		}
		return err
	}
	return r.release(ctx, k, uid)
}

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always marshals
	return b
}

func (r *Undoer) patch(ctx context.Context, k bake.Key, patch []byte) error {
	err := r.send(ctx, k, patch)
	switch {
	case apierrors.IsNotFound(err):
		return bake.ErrGone
	case failedTest(err):
		return fmt.Errorf("%w between reading and patching it", bake.ErrNewer)
	case err != nil:
		return explain(err, "patch "+k.String())
	}
	return nil
}

// send sends a JSON patch of a workload.
func (r *Undoer) send(ctx context.Context, k bake.Key, patch []byte) error {
	resource, err := watcher.Resource(k.Kind)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.Client.AppsV1().RESTClient().Patch(types.JSONPatchType).Namespace(k.Namespace).Resource(resource).Name(k.Name).
		VersionedParams(&metav1.PatchOptions{FieldManager: FieldManager}, scheme.ParameterCodec).Body(patch).Do(ctx).Error()
}

// failedTest reports whether the API server refused a JSON patch because one of its tests failed. It answers 422 then, as
// it does when the patched object is invalid; only the former carries no causes.
func failedTest(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		return false
	}
	d := status.Status().Details
	return d == nil || len(d.Causes) == 0
}

// template is a revision's pod template as the user wrote it: of a ReplicaSet, without the controller's hash label.
func (r *Undoer) template(ctx context.Context, k bake.Key, v *watcher.Version) (json.RawMessage, error) {
	if v.Raw != nil {
		return v.Raw, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := r.Client.AppsV1().RESTClient().Get().Namespace(k.Namespace).Resource("replicasets").Name(v.Name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return nil, bake.ErrNoRevision
	case err != nil:
		return nil, explain(err, "read replica set "+k.Namespace+"/"+v.Name)
	}
	var set struct {
		Spec struct {
			Template json.RawMessage `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("read replica set %s/%s: %w", k.Namespace, v.Name, err)
	}
	return withoutHash(set.Spec.Template)
}

func withoutHash(template json.RawMessage) (json.RawMessage, error) {
	var t map[string]json.RawMessage
	if err := json.Unmarshal(template, &t); err != nil {
		return nil, fmt.Errorf("read a pod template: %w", err)
	}
	var meta map[string]json.RawMessage
	if err := json.Unmarshal(orNull(t["metadata"]), &meta); err != nil {
		return nil, fmt.Errorf("read a pod template's metadata: %w", err)
	}
	var labels map[string]string
	if err := json.Unmarshal(orNull(meta["labels"]), &labels); err != nil {
		return nil, fmt.Errorf("read a pod template's labels: %w", err)
	}
	if _, ok := labels[appsv1.DefaultDeploymentUniqueLabelKey]; !ok {
		return template, nil
	}
	delete(labels, appsv1.DefaultDeploymentUniqueLabelKey)
	var err error
	if meta["labels"], err = json.Marshal(labels); err != nil {
		return nil, fmt.Errorf("write a pod template's labels: %w", err)
	}
	if t["metadata"], err = json.Marshal(meta); err != nil {
		return nil, fmt.Errorf("write a pod template's metadata: %w", err)
	}
	return json.Marshal(t)
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(raw)) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// explain wraps an error of the API server with what to do about it, and marks what only a change of rights mends.
func explain(err error, doing string) error {
	return mark(watcher.Explain(err, doing))
}

func mark(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w: %w", bake.ErrNotPermitted, err)
	}
	return err
}
