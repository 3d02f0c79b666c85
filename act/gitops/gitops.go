// Package gitops tells Argo CD and Flux to leave a workload alone, and to go on. It knows their objects by a few fields, and
// needs none of their code. What it changes it marks, with what was there before.
package gitops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// Manager is who writes the suspension, in managed fields. It is not the one that undoes: what that one owns is handed back.
const Manager = "bakewatch-suspend"

const (
	callTimeout = 10 * time.Second
	tries       = 5   // when others write at the same time
	maxApps     = 100 // Applications of one name, and workloads that one object is suspended for
)

// Resources of which objects are read and changed, and their groups as people know them.
var (
	Applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
	HelmReleases = schema.GroupVersionResource{Group: "helm.toolkit.fluxcd.io", Version: "v2", Resource: "helmreleases"}
)

var workloads = map[string]schema.GroupVersionResource{
	bake.KindDeployment:  {Group: "apps", Version: "v1", Resource: "deployments"},
	bake.KindStatefulSet: {Group: "apps", Version: "v1", Resource: "statefulsets"},
	bake.KindDaemonSet:   {Group: "apps", Version: "v1", Resource: "daemonsets"},
}

// Keeper implements bake.Keeper.
type Keeper struct {
	Dynamic dynamic.Interface
}

// switched is a kind of object that can be switched off.
type switched interface {
	// off reports whether it leaves its workloads alone.
	off(o *unstructured.Unstructured) bool
	// suspend is the change, as a JSON merge patch, that switches it off, and what was there before. again says that it was sent
	// already, and that o is not off all the same.
	suspend(o *unstructured.Unstructured, again bool) (change map[string]any, before any, err error)
	// resume is the change that puts back what was there before.
	resume(o *unstructured.Unstructured, before any) map[string]any
	// called is what is switched off, for people.
	called(o *unstructured.Unstructured) string
}

func switchOf(kind string) (switched, error) {
	switch kind {
	case bake.KindApplication:
		return application{}, nil
	case bake.KindHelmRelease:
		return helmRelease{}, nil
	case bake.KindKustomization:
		return object{}, nil
	}
	return nil, fmt.Errorf("%w: %q is not known", bake.ErrNotSuspendable, kind)
}

// Suspend implements bake.Keeper.
func (p *Keeper) Suspend(ctx context.Context, k bake.Key, uid string, s v1alpha1.Suspension, id string) (v1alpha1.Suspension, error) {
	sw, err := switchOf(s.Kind)
	if err != nil {
		return s, err
	}
	for range tries {
		res, o, err := p.find(ctx, k, s)
		switch {
		case apierrors.IsNotFound(err) && s.Kind == bake.KindKustomization:
			return s, bake.ErrGone
		case apierrors.IsNotFound(err):
			return s, fmt.Errorf("%w: there is no %s %s/%s", bake.ErrNotSuspendable, s.Kind, s.Namespace, s.Name)
		case err != nil:
			return s, err
		case s.Kind == bake.KindKustomization && string(o.GetUID()) != uid:
			return s, bake.ErrGone
		}
		s.Of = sw.called(o)
		if s.Kind != bake.KindKustomization {
			s.Namespace = o.GetNamespace()
		}
		m, err := markOf(o)
		if err != nil {
			return s, err
		}
		by, marked := m.by(k)
		if sw.off(o) {
			switch {
			case marked && by == id:
				return s, nil // before a crash
			case marked, m == nil:
				s.Already = true // for an earlier rollback of the workload, or by a person
				return s, nil
			}
			m.For[k.String()] = id // for another workload; now for this one, too
			if err = p.write(ctx, res, o, m, nil); err == nil {
				return s, nil
			}
		} else {
			change, before, suspendErr := sw.suspend(o, marked && by == id)
			if suspendErr != nil {
				return s, suspendErr
			}
			next := &mark{For: map[string]string{k.String(): id}, At: time.Now().UTC().Format(time.RFC3339), Before: before}
			if m != nil { // somebody switched it on in between, or the change was not taken: what was there before is known
				next.For, next.Before = m.For, m.Before
				next.For[k.String()] = id
			}
			if err = p.write(ctx, res, o, next, change); err == nil {
				continue // to see that it is off
			}
		}
		if !apierrors.IsConflict(err) {
			return s, explain(err, "suspend "+s.Of)
		}
	}
	return s, fmt.Errorf("suspend %s: it does not stay so; does something else write to it?", s.Of)
}

// Resume implements bake.Keeper.
func (p *Keeper) Resume(ctx context.Context, k bake.Key, _ string, s v1alpha1.Suspension, id string) (left string, err error) {
	sw, err := switchOf(s.Kind)
	if err != nil {
		return "", err
	}
	for range tries {
		res, o, err := p.find(ctx, k, s)
		switch {
		case apierrors.IsNotFound(err), errors.Is(err, bake.ErrNotSuspendable): // there is nothing that could be suspended
			return "", nil
		case err != nil:
			return "", err
		}
		m, err := markOf(o)
		if err != nil {
			return "", err
		}
		if by, marked := m.by(k); !marked || by != id {
			return "", nil
		}
		delete(m.For, k.String())
		var change map[string]any
		if len(m.For) == 0 {
			if sw.off(o) { // else a person has switched it on
				change = sw.resume(o, m.Before)
			}
			m = nil
		}
		switch err := p.write(ctx, res, o, m, change); {
		case err == nil:
			return m.others(sw.called(o)), nil
		case apierrors.IsNotFound(err):
			return "", nil
		case !apierrors.IsConflict(err):
			return "", explain(err, "resume "+sw.called(o))
		}
	}
	return "", fmt.Errorf("resume %s: others keep writing to it", s.Of)
}

// find reads the object that is to be switched.
func (p *Keeper) find(ctx context.Context, k bake.Key, s v1alpha1.Suspension) (dynamic.ResourceInterface, *unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var res dynamic.ResourceInterface
	name := s.Name
	switch s.Kind {
	case bake.KindKustomization: // the workload's own annotation: nothing else that the Kustomization applies is touched
		res, name = p.Dynamic.Resource(workloads[k.Kind]).Namespace(k.Namespace), k.Name
	case bake.KindHelmRelease:
		if s.Name == "" {
			return nil, nil, fmt.Errorf("%w: the workload does not say which HelmRelease keeps it (label helm.toolkit.fluxcd.io/name)", bake.ErrNotSuspendable)
		}
		if s.Namespace == "" {
			s.Namespace = k.Namespace
		}
		res = p.Dynamic.Resource(HelmReleases).Namespace(s.Namespace)
	default:
		if s.Name == "" {
			return nil, nil, fmt.Errorf("%w: the workload does not say which Application keeps it (annotation argocd.argoproj.io/tracking-id)", bake.ErrNotSuspendable)
		}
		if s.Namespace == "" {
			o, err := p.findApplication(ctx, k, s.Name)
			if err != nil {
				return nil, nil, err
			}
			return p.Dynamic.Resource(Applications).Namespace(o.GetNamespace()), o, nil
		}
		res = p.Dynamic.Resource(Applications).Namespace(s.Namespace)
	}
	o, err := res.Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		err = explain(err, "read "+strings.ToLower(s.Kind)+" "+s.Namespace+"/"+name)
	}
	return res, o, err
}

// findApplication finds the Application of a name, which may be in any namespace, that says of itself that it keeps the workload.
func (p *Keeper) findApplication(ctx context.Context, k bake.Key, name string) (*unstructured.Unstructured, error) {
	list, err := p.Dynamic.Resource(Applications).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, Limit: maxApps})
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%w: this cluster has no Applications", bake.ErrNotSuspendable)
		}
		return nil, explain(err, "list applications")
	}
	named := slices.DeleteFunc(list.Items, func(o unstructured.Unstructured) bool { return o.GetName() != name })
	keeps := slices.DeleteFunc(slices.Clone(named), func(o unstructured.Unstructured) bool { return !keeps(&o, k) })
	switch {
	case len(keeps) == 1:
		return &keeps[0], nil
	case len(named) == 1: // it has not said yet what it keeps
		return &named[0], nil
	case len(named) == 0:
		return nil, fmt.Errorf("%w: there is no Application called %s", bake.ErrNotSuspendable, name)
	}
	return nil, fmt.Errorf("%w: %d Applications are called %s, and %d of them say that they keep %s", bake.ErrNotSuspendable, len(named), name, len(keeps), k)
}

// keeps reports whether an Application lists the workload among what it keeps.
func keeps(o *unstructured.Unstructured, k bake.Key) bool {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "resources")
	return slices.ContainsFunc(all, func(one any) bool {
		r, ok := one.(map[string]any)
		return ok && r["kind"] == k.Kind && r["namespace"] == k.Namespace && r["name"] == k.Name && r["group"] == "apps"
	})
}

// write sends a change and the mark, if the object is still as it was read. A nil mark is taken away.
func (p *Keeper) write(ctx context.Context, res dynamic.ResourceInterface, o *unstructured.Unstructured, m *mark, change map[string]any) error {
	patch := map[string]any{}
	for key, value := range change {
		patch[key] = value
	}
	meta, _ := patch["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	annotations, _ := meta["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
	}
	text, err := m.text()
	if err != nil {
		return err
	}
	annotations[Mark] = text
	meta["annotations"], meta["resourceVersion"], meta["uid"] = annotations, o.GetResourceVersion(), string(o.GetUID())
	patch["metadata"] = meta
	raw, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = res.Patch(ctx, o.GetName(), types.MergePatchType, raw, metav1.PatchOptions{FieldManager: Manager})
	return err
}

// explain words an error of the API server.
func explain(err error, doing string) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w: %s: apply deploy/gitops.yaml, which grants it: %w", bake.ErrNotPermitted, doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
