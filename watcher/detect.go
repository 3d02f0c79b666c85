package watcher

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// Detect looks at a Deployment and its ReplicaSets live and says whether it was rolled out since it was known.
func (w *Watcher) Detect(ctx context.Context, k bake.Key, known bake.Known) (bake.Detection, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	d, err := w.client.AppsV1().Deployments(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
	if err != nil {
		return bake.Detection{}, Explain(err, "read deployment "+k.Namespace+"/"+k.Name)
	}
	sets, err := ReplicaSets(ctx, w.client, d)
	if err != nil {
		return bake.Detection{}, err
	}
	return detect(k, d, sets, known)
}

// ReplicaSets lists the ReplicaSets that a Deployment owns.
func ReplicaSets(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) ([]appsv1.ReplicaSet, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, Explain(err, "read the selector of deployment "+d.Namespace+"/"+d.Name)
	}
	list, err := client.AppsV1().ReplicaSets(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, Explain(err, "list the replica sets of deployment "+d.Namespace+"/"+d.Name)
	}
	var owned []appsv1.ReplicaSet
	for _, rs := range list.Items {
		if metav1.IsControlledBy(&rs, d) {
			owned = append(owned, rs)
		}
	}
	return owned, nil
}

// Current finds the ReplicaSet that holds a Deployment's own template; nil while the controller has not made it.
func Current(d *appsv1.Deployment, sets []appsv1.ReplicaSet) *appsv1.ReplicaSet {
	var found *appsv1.ReplicaSet
	for i := range sets {
		// The controller takes the oldest where several match.
		if SameTemplate(&sets[i].Spec.Template, &d.Spec.Template) && (found == nil || sets[i].CreationTimestamp.Before(&found.CreationTimestamp)) {
			found = &sets[i]
		}
	}
	return found
}

// Revision is what a ReplicaSet is called.
func Revision(rs *appsv1.ReplicaSet) v1alpha1.Revision {
	return v1alpha1.Revision{
		Number: number(rs), Hash: rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey],
		Name: rs.Name, Version: version(&rs.Spec.Template), Images: images(&rs.Spec.Template),
	}
}

func number(rs *appsv1.ReplicaSet) int64 {
	n, _ := strconv.ParseInt(rs.Annotations[revisionKey], 10, 64)
	return n
}

// historyKey is where the controller keeps the numbers that a ReplicaSet had before it came back.
const historyKey = "deployment.kubernetes.io/revision-history"

// detect is pure: what the live objects amount to, given what was known.
func detect(k bake.Key, d *appsv1.Deployment, sets []appsv1.ReplicaSet, known bake.Known) (bake.Detection, error) {
	digest, err := Digest(&d.Spec.Template)
	if err != nil {
		return bake.Detection{}, Explain(err, "digest the template of "+k.String())
	}
	out := bake.Detection{Digest: digest}
	cur := Current(d, sets)
	if d.Status.ObservedGeneration < d.Generation || cur == nil || !newest(cur, sets) {
		// A paused Deployment gets no ReplicaSet, and no revision number, until it is resumed.
		out.Finding = bake.Waiting
		if d.Spec.Paused && d.Status.ObservedGeneration >= d.Generation {
			out.Finding = bake.PausedWait
		}
		return out, nil
	}
	out.Current = Revision(cur)
	good := goodSet(sets, known)
	switch {
	case !known.Seen:
		if !cur.CreationTimestamp.After(known.Since) {
			out.Finding = bake.Backlog
			return out, nil
		}
		good = previous(cur, sets)
	case known.Hash == out.Current.Hash, known.Hash == "" && known.Number == out.Current.Number:
		out.Finding = bake.Same
		return out, nil
	case known.Undoing != "" && known.Undoing == out.Current.Hash:
		out.Finding = bake.OwnUndo
		return out, nil
	}
	out.Finding = bake.Found
	by, at := changedBy(d)
	r := bake.Rollout{Key: k, UID: string(d.UID), To: out.Current, Digest: digest, StartedAt: cur.CreationTimestamp.Time, ChangedBy: by}
	if cur.Annotations[historyKey] != "" {
		// An old ReplicaSet came back: its rollout began when the template was written. The controller's own condition may
		// still tell of the rollout before.
		r.StartedAt = at
		if !at.After(cur.CreationTimestamp.Time) {
			r.StartedAt = progressedAt(d, cur.CreationTimestamp.Time)
		}
	}
	if good != nil {
		from := Revision(good)
		r.From = &from
		r.Changes = differences(&good.Spec.Template, &cur.Spec.Template)
		r.RestartOnly = restartOnly(&good.Spec.Template, &cur.Spec.Template)
	}
	out.Rollout = r
	return out, nil
}

// newest reports whether the controller has given cur the newest revision number. It does so a moment after an old
// template has come back.
func newest(cur *appsv1.ReplicaSet, sets []appsv1.ReplicaSet) bool {
	n := number(cur)
	for i := range sets {
		if number(&sets[i]) > n {
			return false
		}
	}
	return n > 0
}

// goodSet is the ReplicaSet of the last known good revision: by hash, or by the number it was adopted under.
func goodSet(sets []appsv1.ReplicaSet, known bake.Known) *appsv1.ReplicaSet {
	for i := range sets {
		switch {
		case known.Good != "" && sets[i].Labels[appsv1.DefaultDeploymentUniqueLabelKey] == known.Good:
			return &sets[i]
		case known.Good == "" && known.GoodNumber > 0 && hadNumber(&sets[i], known.GoodNumber):
			return &sets[i]
		}
	}
	return nil
}

// hadNumber reports whether a ReplicaSet has, or once had, a revision number.
func hadNumber(rs *appsv1.ReplicaSet, n int64) bool {
	return number(rs) == n || slices.Contains(strings.Split(rs.Annotations[historyKey], ","), strconv.FormatInt(n, 10))
}

// previous is the ReplicaSet with the highest number below cur's.
func previous(cur *appsv1.ReplicaSet, sets []appsv1.ReplicaSet) *appsv1.ReplicaSet {
	var best *appsv1.ReplicaSet
	for i := range sets {
		if n := number(&sets[i]); n < number(cur) && (best == nil || n > number(best)) {
			best = &sets[i]
		}
	}
	return best
}

// progressedAt is when the rollout under way last progressed, as the Deployment's condition tells.
func progressedAt(d *appsv1.Deployment, otherwise time.Time) time.Time {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.LastUpdateTime.After(otherwise) {
			return c.LastUpdateTime.Time
		}
	}
	return otherwise
}

// changedBy is the tool that last wrote the pod template, the newest field manager that owns any of it, and when.
func changedBy(d *appsv1.Deployment) (by string, at time.Time) {
	for _, m := range d.ManagedFields {
		if m.Subresource != "" || m.Time == nil || m.FieldsV1 == nil || !OwnsTemplate(m.FieldsV1) {
			continue
		}
		if by == "" || m.Time.After(at) {
			by, at = m.Manager, m.Time.Time
		}
	}
	return by, at
}
