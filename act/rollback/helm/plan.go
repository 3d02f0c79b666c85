package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	v1 "helm.sh/helm/v4/pkg/release/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// maxTried is how many earlier revisions are tried at most. Helm keeps ten unless told otherwise.
const maxTried = 20

// Plan implements bake.Releaser. What a revision of the release would make of the workload it has the API server say: Helm's own
// update, tried and not carried out. So defaults, webhooks and what others own of the template count as they would.
func (r *Releases) Plan(ctx context.Context, k bake.Key, rel bake.HelmRelease, judged, target v1alpha1.Revision) (bake.ReleasePlan, error) {
	s, err := r.open(ctx, rel.Namespace, true)
	if err != nil {
		return bake.ReleasePlan{}, err
	}
	history, err := s.history(rel.Name)
	switch {
	case err != nil:
		return bake.ReleasePlan{}, explain(err, "read the record of "+rel.String())
	case len(history) == 0:
		return unfit("no record of it is among the Secrets there"), nil
	}
	newest := history[0]
	plan := bake.ReleasePlan{From: int64(newest.Version)}
	switch st := newest.Info.Status; {
	case st.IsPending():
		plan.Busy, plan.Since = st.String(), newest.Info.LastDeployed
		return plan, nil
	case st == common.StatusUninstalling, st == common.StatusUninstalled:
		plan.Unfit = "it is " + st.String()
		return plan, nil
	}
	live, err := watcher.Read(ctx, r.Client, k)
	if err != nil {
		return plan, explain(err, "read "+k.String())
	}
	to := live.Find(target.Hash)
	if to == nil {
		plan.Unfit = fmt.Sprintf("rev %d of %s no longer exists", target.Number, k.Ref())
		return plan, nil
	}
	made, err := s.make(k, newest, newest)
	switch {
	case errors.Is(err, errAbsent):
		plan.Unfit = fmt.Sprintf("its revision %d does not have %s", newest.Version, k.Ref())
		return plan, nil
	case overTemplate(err):
		plan.Apart = true // its fields are somebody else's
		return plan, nil
	case apierrors.IsConflict(err), apierrors.IsInvalid(err):
		plan.Unfit = fmt.Sprintf("the API server does not take its revision %d any more: %s", newest.Version, message(err))
		return plan, nil
	case err != nil:
		return plan, explain(err, fmt.Sprintf("try revision %d of %s on %s", newest.Version, rel, k))
	case !watcher.SameTemplate(made, &live.Template):
		plan.Apart = true
		return plan, nil
	}
	chosen, err := s.choose(k, history, &to.Template)
	switch {
	case err != nil:
		return plan, explain(err, fmt.Sprintf("try the earlier revisions of %s on %s", rel, k))
	case chosen == nil:
		plan.Unfit = fmt.Sprintf("none of its %d earlier revisions on record makes rev %d of %s", len(history)-1, target.Number, k.Ref())
		return plan, nil
	}
	plan.To = int64(chosen.Version)
	plan.Others, plan.Unfit, err = s.try(k, newest, chosen)
	return plan, err
}

func unfit(why string) bake.ReleasePlan { return bake.ReleasePlan{Unfit: why} }

// choose finds the newest earlier revision that makes the template; nil when there is none. Those that failed are left out:
// nobody knows what of them was ever there.
func (s *session) choose(k bake.Key, history []*v1.Release, want *corev1.PodTemplateSpec) (*v1.Release, error) {
	tried := 0
	for _, rel := range history[1:] {
		if st := rel.Info.Status; st != common.StatusSuperseded && st != common.StatusDeployed {
			continue
		}
		if tried++; tried > maxTried {
			break
		}
		made, err := s.make(k, history[0], rel)
		switch {
		case errors.Is(err, errAbsent), apierrors.IsInvalid(err), apierrors.IsConflict(err), meta.IsNoMatchError(err):
			continue // this one does not go; another may
		case err != nil:
			return nil, err
		case watcher.SameTemplate(made, want):
			return rel, nil
		}
	}
	return nil, nil
}

// errAbsent says that a workload is not in a revision of a release.
var errAbsent = errors.New("the workload is not in it")

// make is the workload's template as an update of the release from one revision to another would make it.
func (s *session) make(k bake.Key, from, to *v1.Release) (*corev1.PodTemplateSpec, error) {
	is := func(i *resource.Info) bool {
		gvk := i.Mapping.GroupVersionKind
		return gvk.Group == "apps" && gvk.Kind == k.Kind && i.Name == k.Name && i.Namespace == k.Namespace
	}
	before, err := s.build(from)
	if err != nil {
		return nil, err
	}
	after, err := s.build(to)
	if err != nil {
		return nil, err
	}
	after = after.Filter(is)
	if len(after) != 1 {
		return nil, errAbsent
	}
	if err := s.update(before.Filter(is), after, to); err != nil {
		return nil, err
	}
	return templateOf(after[0].Object)
}

// build are the objects of a revision.
func (s *session) build(rel *v1.Release) (kube.ResourceList, error) {
	list, err := s.kube.Build(strings.NewReader(rel.Manifest), false)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of revision %d: %w", rel.Version, err)
	}
	return list, nil
}

// update is Helm's own, by the options that its rollback has.
func (s *session) update(before, after kube.ResourceList, to *v1.Release) error {
	_, err := s.kube.Update(before, after,
		kube.ClientUpdateOptionServerSideApply(to.ApplyMethod == string(v1.ApplyMethodServerSideApply), false),
		kube.ClientUpdateOptionThreeWayMergeForUnstructured(false),
		kube.ClientUpdateOptionUpgradeClientSideFieldManager(true))
	return err
}

// kept are kinds whose deletion takes away what no rollback brings back.
var kept = []string{"PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition"}

// try has the API server try the whole rollback, and answers which other workloads it changes; or why it does not go.
func (s *session) try(k bake.Key, from, to *v1.Release) (others []string, unfit string, err error) {
	before, err := s.build(from)
	if err != nil {
		return nil, "", err
	}
	after, err := s.build(to)
	if err != nil {
		return nil, "", err
	}
	for _, i := range after {
		changed, err := s.tryOne(before, i, to)
		switch {
		case passing(err):
			return nil, "", explain(err, "try to roll "+called(i)+" back")
		case err != nil:
			return nil, fmt.Sprintf("%s refuses: %s", called(i), blunt(i, err)), nil
		case changed && called(i) != k.Ref():
			others = append(others, called(i))
		}
	}
	for _, i := range before.Difference(after) {
		live, err := resource.NewHelper(i.Client, i.Mapping).Get(i.Namespace, i.Name)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case passing(err):
			return nil, "", explain(err, "see whether "+called(i)+" is there")
		case err == nil && keeps(live):
			continue
		case slices.Contains(kept, i.Mapping.GroupVersionKind.Kind):
			return nil, fmt.Sprintf("it would delete %s, which revision %d brought, with what is in it", called(i), from.Version), nil
		}
		if err == nil {
			_, err = resource.NewHelper(i.Client, i.Mapping).DryRun(true).DeleteWithOptions(i.Namespace, i.Name, &metav1.DeleteOptions{})
		}
		switch {
		case passing(err):
			return nil, "", explain(err, "try to delete "+called(i))
		case err != nil && !apierrors.IsNotFound(err):
			return nil, fmt.Sprintf("%s may not be deleted: %s", called(i), blunt(i, err)), nil
		case workload(i):
			others = append(others, called(i))
		}
	}
	return others, "", nil
}

// tryOne tries the update of one object, and reports whether it changes a workload's template.
func (s *session) tryOne(before kube.ResourceList, i *resource.Info, to *v1.Release) (changed bool, err error) {
	var was *corev1.PodTemplateSpec
	if workload(i) {
		live, err := resource.NewHelper(i.Client, i.Mapping).Get(i.Namespace, i.Name)
		if err == nil {
			was, err = templateOf(live)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return false, err
		}
	}
	if err := s.update(before.Filter(func(o *resource.Info) bool { return kube.ResourceList{i}.Contains(o) }), kube.ResourceList{i}, to); err != nil {
		return false, err
	}
	if !workload(i) {
		return false, nil
	}
	now, err := templateOf(i.Object)
	if err != nil {
		return false, err
	}
	return was == nil || !watcher.SameTemplate(was, now), nil
}

// keeps reports whether an object tells Helm to leave it when its release no longer has it.
func keeps(o runtime.Object) bool {
	u, ok := o.(*unstructured.Unstructured)
	return ok && u.GetAnnotations()[kube.ResourcePolicyAnno] == kube.KeepPolicy
}

// workload reports whether an object is one that Bakewatch watches.
func workload(i *resource.Info) bool {
	gvk := i.Mapping.GroupVersionKind
	return gvk.Group == "apps" && slices.Contains([]string{bake.KindDeployment, bake.KindStatefulSet, bake.KindDaemonSet}, gvk.Kind)
}

// called is an object as kubectl takes it.
func called(i *resource.Info) string {
	return strings.ToLower(i.Mapping.GroupVersionKind.Kind) + "/" + i.Name
}

// templateOf is a workload's template.
func templateOf(o runtime.Object) (*corev1.PodTemplateSpec, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("read a workload: %w", err)
	}
	var w struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &w); err != nil {
		return nil, fmt.Errorf("read a workload's template: %w", err)
	}
	return &w.Spec.Template, nil
}
