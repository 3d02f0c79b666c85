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

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// FieldManager is the name under which Bakewatch writes to workloads.
const FieldManager = "bakewatch"

// callTimeout bounds one request.
const callTimeout = 10 * time.Second

// Deployments rolls Deployments back.
type Deployments struct {
	Client kubernetes.Interface
}

// live is a Deployment as read, and the very bytes of its template: the patch tests those, so that nothing the types of
// this program do not know can slip through.
type live struct {
	deployment *appsv1.Deployment
	template   json.RawMessage
	sets       []appsv1.ReplicaSet
}

func (r *Deployments) read(ctx context.Context, k bake.Key) (*live, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := r.Client.AppsV1().RESTClient().Get().Namespace(k.Namespace).Resource("deployments").Name(k.Name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return nil, bake.ErrGone
	case err != nil:
		return nil, explain(err, "read deployment "+k.Namespace+"/"+k.Name)
	}
	l := &live{deployment: &appsv1.Deployment{}}
	if l.template, err = decode(raw, l.deployment); err != nil {
		return nil, fmt.Errorf("read deployment %s/%s: %w", k.Namespace, k.Name, err)
	}
	if l.sets, err = watcher.ReplicaSets(ctx, r.Client, l.deployment); err != nil {
		return nil, mark(err)
	}
	return l, nil
}

// decode reads an object and the raw bytes of its pod template.
func decode(raw []byte, into any) (json.RawMessage, error) {
	var outline struct {
		Spec struct {
			Template json.RawMessage `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &outline); err != nil {
		return nil, err
	}
	return outline.Spec.Template, json.Unmarshal(raw, into)
}

// Undo implements bake.Undoer. It takes two requests: a JSON patch that tests the UID and the whole judged template as
// read live, and replaces it; and one that hands the ownership of the replaced fields back, so that the next apply of the
// user meets no conflict. Killed between them, calling it again does what is left.
func (r *Deployments) Undo(ctx context.Context, k bake.Key, uid string, judged, target v1alpha1.Revision) error {
	l, err := r.read(ctx, k)
	if err != nil {
		return err
	}
	if string(l.deployment.UID) != uid {
		return bake.ErrGone
	}
	to := set(l.sets, target.Hash)
	cur := watcher.Current(l.deployment, l.sets)
	switch {
	case to != nil && watcher.SameTemplate(&to.Spec.Template, &l.deployment.Spec.Template):
		return r.release(ctx, k, uid) // done already: by us before a crash, or by a person
	case cur == nil || cur.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != judged.Hash:
		// It may have come after our own patch, if we were killed then; what that patch owns must not stay.
		if err := r.release(ctx, k, uid); err != nil {
			return err
		}
		return bake.ErrNewer
	case l.deployment.Spec.Paused:
		return bake.ErrPaused
	case to == nil:
		return bake.ErrNoRevision
	}
	replacement, err := r.template(ctx, to)
	if err != nil {
		return err
	}
	patch, err := json.Marshal([]operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
		{Op: "test", Path: "/spec/template", Value: l.template},
		{Op: "replace", Path: "/spec/template", Value: replacement},
	})
	if err != nil {
		return fmt.Errorf("write the patch for deployment %s/%s: %w", k.Namespace, k.Name, err)
	}
	if err := r.patch(ctx, k, patch); err != nil {
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

func (r *Deployments) patch(ctx context.Context, k bake.Key, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := r.Client.AppsV1().Deployments(k.Namespace).Patch(ctx, k.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	switch {
	case apierrors.IsNotFound(err):
		return bake.ErrGone
	case failedTest(err):
		return fmt.Errorf("%w between reading and patching it", bake.ErrNewer)
	case err != nil:
		return explain(err, "patch deployment "+k.Namespace+"/"+k.Name)
	}
	return nil
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

// template is a ReplicaSet's pod template as the user wrote it: without the controller's hash label.
func (r *Deployments) template(ctx context.Context, rs *appsv1.ReplicaSet) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := r.Client.AppsV1().RESTClient().Get().Namespace(rs.Namespace).Resource("replicasets").Name(rs.Name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return nil, bake.ErrNoRevision
	case err != nil:
		return nil, explain(err, "read replica set "+rs.Namespace+"/"+rs.Name)
	}
	t, err := decode(raw, &appsv1.ReplicaSet{})
	if err != nil {
		return nil, fmt.Errorf("read replica set %s/%s: %w", rs.Namespace, rs.Name, err)
	}
	return withoutHash(t)
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

// Follow implements bake.Undoer.
func (r *Deployments) Follow(ctx context.Context, k bake.Key, target v1alpha1.Revision) (bake.Progress, error) {
	l, err := r.read(ctx, k)
	if err != nil {
		return bake.Progress{}, fmt.Errorf("follow the rollback of %s: %w", k, err)
	}
	d := l.deployment
	to := set(l.sets, target.Hash)
	if to == nil || !watcher.SameTemplate(&to.Spec.Template, &d.Spec.Template) {
		return bake.Progress{Message: "its template is not the one that was put back"}, nil
	}
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	st := d.Status
	p := bake.Progress{OnTarget: true}
	switch {
	case st.ObservedGeneration < d.Generation:
		p.Message = "the deployment controller has not seen it yet"
	case st.UpdatedReplicas < wanted || st.AvailableReplicas < wanted:
		p.Message = fmt.Sprintf("%d of %d pods are available", min(st.UpdatedReplicas, st.AvailableReplicas), wanted)
		for _, c := range d.Status.Conditions {
			if c.Status != "True" && c.Message != "" {
				p.Message += "; " + c.Message
			}
		}
	case st.Replicas > st.UpdatedReplicas:
		p.Message = fmt.Sprintf("%d pods of the bad revision are still going", st.Replicas-st.UpdatedReplicas)
	default:
		p.Complete = true
	}
	return p, nil
}

func set(sets []appsv1.ReplicaSet, hash string) *appsv1.ReplicaSet {
	for i := range sets {
		if hash != "" && sets[i].Labels[appsv1.DefaultDeploymentUniqueLabelKey] == hash {
			return &sets[i]
		}
	}
	return nil
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
