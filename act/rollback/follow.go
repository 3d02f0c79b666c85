package rollback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// Follow implements bake.Undoer.
func (r *Undoer) Follow(ctx context.Context, k bake.Key, judged, target v1alpha1.Revision) (bake.Progress, error) {
	w, err := r.read(ctx, k)
	if err != nil {
		return bake.Progress{}, fmt.Errorf("follow the rollback of %s: %w", k, err)
	}
	to := w.Find(target.Hash)
	if to == nil || !watcher.SameTemplate(&to.Template, &w.Template) {
		return bake.Progress{Message: "its template is not the one that was put back"}, nil
	}
	p := bake.Progress{OnTarget: true, Done: min(w.Updated, w.Available)}
	if !w.CaughtUp {
		p.Message = "the " + strings.ToLower(k.Kind) + " controller has not seen it yet"
		return p, nil
	}
	if k.Kind != bake.KindDeployment {
		pods, err := w.Pods(ctx, r.Client, nil)
		if err != nil {
			return p, mark(fmt.Errorf("follow the rollback of %s: %w", k, err))
		}
		if follow(&p, w, pods, judged) {
			return p, nil
		}
	}
	switch {
	case w.Updated < w.Replicas-w.Held || w.Available < w.Replicas:
		p.Message = fmt.Sprintf("%d of %d pods are available", min(w.Updated, w.Available), w.Replicas) + w.Trouble()
	case w.Total > w.Replicas:
		p.Message = fmt.Sprintf("%d pods of the bad revision are still going", w.Total-w.Replicas)
	default:
		p.Complete = true
	}
	return p, nil
}

// follow tells what the pods of a StatefulSet or DaemonSet say of a rollback. It reports whether that is all there is to
// tell: pods of the bad revision are there.
func follow(p *bake.Progress, w *watcher.Workload, pods []watcher.Pod, judged v1alpha1.Revision) bool {
	label := watcher.PodLabel(w.Kind, judged)
	bad := func(pod watcher.Pod) bool { return pod.Revision == label }
	var left, all []string
	for _, pod := range pods {
		if !bad(pod) {
			continue
		}
		all = append(all, pod.Name)
		if !pod.Going && (w.Below(pod) || w.OnDelete && pod.Ready) {
			left = append(left, pod.Name)
		}
	}
	if len(all) == 0 {
		return false
	}
	p.Message = fmt.Sprintf("%d pods of the bad revision are still there (%s)", len(all), some(all))
	if pod := inTheWay(w, pods, bad); pod != nil {
		p.Stuck = &bake.StuckPod{Name: pod.Name, UID: pod.UID, Since: pod.Since}
		p.Message += "; " + pod.Name + " is not ready" + because(pod.Why) + ", and is not replaced until it is gone"
	}
	if len(left) == len(all) {
		p.Left = fmt.Sprintf("the template is back, and %d pods still run rev %d (%s): %s", len(left), judged.Number, some(left), w.WhyKept())
	}
	return true
}

// inTheWay is the pod of the bad revision that keeps others from being replaced, if there is one. A StatefulSet's controller
// goes by ordinals and waits for each pod to be ready: the first that is not is the one it waits for. A DaemonSet's controller
// waits for none; with OnDelete it replaces none either.
func inTheWay(w *watcher.Workload, pods []watcher.Pod, bad func(watcher.Pod) bool) *watcher.Pod {
	if w.Kind == bake.KindDaemonSet {
		if slices.ContainsFunc(pods, func(p watcher.Pod) bool { return bad(p) && p.Going }) {
			return nil // one at a time
		}
		i := slices.IndexFunc(pods, func(p watcher.Pod) bool { return bad(p) && !p.Ready })
		if i < 0 {
			return nil
		}
		return &pods[i]
	}
	i := slices.IndexFunc(pods, func(p watcher.Pod) bool { return !p.Ready || p.Going })
	if i < 0 || !bad(pods[i]) || pods[i].Going || w.Below(pods[i]) {
		return nil
	}
	return &pods[i]
}

// Free implements bake.Undoer. The deletion is tied to the very pod, and to the state in which it was found not ready.
func (r *Undoer) Free(ctx context.Context, k bake.Key, uid string, judged, target v1alpha1.Revision, pod v1alpha1.FreedPod) (spared bool, err error) {
	w, err := r.read(ctx, k)
	switch {
	case errors.Is(err, bake.ErrGone):
		return true, nil
	case err != nil:
		return false, err
	}
	if to := w.Find(target.Hash); w.UID != uid || to == nil || !watcher.SameTemplate(&to.Template, &w.Template) {
		return true, nil // somebody has rolled out anew
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	doing := "delete pod " + k.Namespace + "/" + pod.Name
	live, err := r.Client.CoreV1().Pods(k.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, explain(err, doing)
	case string(live.UID) != pod.UID, live.DeletionTimestamp != nil:
		return false, nil // it is gone, or going
	case !metav1.IsControlledBy(live, &w.Meta), ready(live), live.Labels[appsv1.ControllerRevisionHashLabelKey] != watcher.PodLabel(k.Kind, judged):
		return true, nil
	}
	err = r.Client.CoreV1().Pods(k.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: new(types.UID(pod.UID)), ResourceVersion: &live.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return false, explain(err, doing) // a conflict says that it has changed since it was read: look again
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// some names the first few.
func some(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}
