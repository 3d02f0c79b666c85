package watcher

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/bake"
)

// Detect looks at a workload and its revisions live, and says whether it was rolled out since it was known.
func (w *Watcher) Detect(ctx context.Context, k bake.Key, known bake.Known) (bake.Detection, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	live, err := Read(ctx, w.client, k)
	if err != nil {
		return bake.Detection{}, err
	}
	var first time.Time
	if cur := live.Current(); cur != nil && k.Kind != bake.KindDeployment && !known.Is(cur.Revision) {
		pods, err := live.Pods(ctx, w.client, &cur.Revision)
		if err != nil {
			return bake.Detection{}, err
		}
		first = firstBorn(pods)
	}
	return live.detect(known, first, time.Now()), nil
}

// detect is pure: what the live objects amount to, given what was known. first is when the first of the pods of its newest
// revision was born that are there now; zero when there is none, and for a Deployment.
func (w *Workload) detect(known bake.Known, first, now time.Time) bake.Detection {
	out := bake.Detection{Digest: w.Digest}
	cur := w.Current()
	if !w.CaughtUp || cur == nil || !w.newest(cur) {
		// A paused Deployment gets no ReplicaSet, and no revision number, until it is resumed.
		out.Finding = bake.Waiting
		if w.Kind == bake.KindDeployment && w.Paused && w.CaughtUp {
			out.Finding = bake.PausedWait
		}
		return out
	}
	began, by := w.began(cur, known, first, now)
	good := w.good(known)
	switch {
	case known.Is(cur.Revision):
		out.Finding, out.Current = bake.Same, cur.Revision
		return out
	case known.Seen && known.Undoing != "" && known.Undoing == cur.Hash:
		out.Finding, out.Current = bake.OwnUndo, cur.Revision
		return out
	case w.isRestart(cur, known):
		out.Finding, out.Current, out.Restart = bake.OwnUndo, cur.Revision, true
		return out
	case w.Kind != bake.KindDeployment && w.Replicas > 0 && w.Held == w.Replicas && first.IsZero():
		out.Finding = bake.PausedWait // by OnDelete, or a partition
		return out
	case !known.Seen && !began.After(known.Since):
		out.Finding, out.Current = bake.Backlog, cur.Revision
		return out
	case !known.Seen:
		good = w.before(cur)
	}
	r := bake.Rollout{Key: w.Key, UID: w.UID, To: cur.Revision, Digest: w.Digest, StartedAt: began, ChangedBy: by}
	if good != nil {
		from := good.Revision
		r.From = &from
		r.Changes = differences(&good.Template, &cur.Template)
		r.RestartOnly = restartOnly(&good.Template, &cur.Template)
	}
	out.Finding, out.Current, out.Rollout = bake.Found, cur.Revision, r
	return out
}

// isRestart reports whether a revision is that which was known, restarted by our own rollback. Whoever applies a newer template may
// leave the annotation there.
func (w *Workload) isRestart(cur *Version, known bake.Known) bool {
	was := w.Find(known.Hash)
	return known.Seen && known.Restarted != "" && known.Restarted == cur.Template.Annotations[restartKey] && was != nil && restartOnly(&was.Template, &cur.Template)
}

// promptly is within what time a controller begins to replace pods once the template has changed. Where it takes longer,
// something held it: OnDelete, or a partition.
const promptly = 10 * time.Minute

// began is when the rollout of the newest revision began, and the tool that last wrote the template.
func (w *Workload) began(cur *Version, known bake.Known, first, now time.Time) (at time.Time, by string) {
	by, written := changedBy(w.Meta.ManagedFields)
	at = cur.Made
	if w.cameBack(cur, known) {
		// It was there before: its rollout began when the template was written.
		switch {
		case written.After(at):
			at = written
		case w.Kind == bake.KindDeployment:
			at = progressedAt(w.object, at) // the condition may still tell of the rollout before
		}
	}
	asBefore := !known.Seen && !at.After(known.Since) && (first.IsZero() || w.Updated >= w.Replicas) // pods that are all new say nothing: nodes come and go
	if w.Kind == bake.KindDeployment || asBefore {
		return at, by
	}
	if first.IsZero() {
		first = now
	}
	if first.Sub(at) > promptly {
		at = first
	}
	return at, by
}

// progressedAt is when the rollout under way last progressed, as the Deployment's condition tells.
func progressedAt(object any, otherwise time.Time) time.Time {
	d, ok := object.(*appsv1.Deployment)
	if !ok {
		return otherwise
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.LastUpdateTime.After(otherwise) {
			return c.LastUpdateTime.Time
		}
	}
	return otherwise
}

// changedBy is the tool that last wrote the pod template, the newest field manager that owns any of it, and when.
func changedBy(fields []metav1.ManagedFieldsEntry) (by string, at time.Time) {
	for _, m := range fields {
		if m.Subresource != "" || m.Time == nil || m.FieldsV1 == nil || !OwnsTemplate(m.FieldsV1) {
			continue
		}
		if by == "" || m.Time.After(at) {
			by, at = m.Manager, m.Time.Time
		}
	}
	return by, at
}
