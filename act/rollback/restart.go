package rollback

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// restartKey is the annotation that kubectl rollout restart sets on a pod template.
const restartKey = "kubectl.kubernetes.io/restartedAt"

// Restart implements bake.Undoer. It takes two requests, as Undo does, and under the same conditions.
func (r *Undoer) Restart(ctx context.Context, k bake.Key, uid string, target v1alpha1.Revision, at string) error {
	w, err := r.read(ctx, k)
	if err != nil {
		return err
	}
	cur := w.Current()
	switch {
	case w.UID != uid:
		return bake.ErrGone
	case w.Template.Annotations[restartKey] == at:
		return r.release(ctx, k, uid) // done already, by us before a crash
	case cur == nil || cur.Hash != target.Hash:
		return bake.ErrNewer
	case w.Paused:
		return bake.ErrPaused
	}
	patch, err := restarting(w, uid, at)
	if err != nil {
		return fmt.Errorf("write the patch for %s: %w", k, err)
	}
	if err := r.patch(ctx, k, patch); err != nil {
		return err
	}
	return r.release(ctx, k, uid)
}

// restarting is the patch that sets the restart annotation of a template as it was read.
func restarting(w *watcher.Workload, uid, at string) ([]byte, error) {
	const path = "/spec/template/metadata/annotations"
	ops := []operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
		{Op: "test", Path: "/spec/template", Value: w.Raw},
	}
	if len(w.Template.Annotations) == 0 {
		ops = append(ops, operation{Op: "add", Path: path, Value: json.RawMessage("{}")})
	}
	return json.Marshal(append(ops, operation{Op: "add", Path: path + "/" + strings.ReplaceAll(restartKey, "/", "~1"), Value: quoted(at)}))
}
