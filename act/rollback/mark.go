package rollback

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// markPath is where in an object the mark is; a slash in a key is written ~1 there (RFC 6901).
var markPath = "/metadata/annotations/" + strings.ReplaceAll(bake.AnnotationRolledBack, "/", "~1")

// marking is the part of an undo that leaves the mark for people: which revision was rolled back, and when.
func marking(annotations map[string]string, judged v1alpha1.Revision, now time.Time) []operation {
	return annotating(annotations, markPath, fmt.Sprintf("%d at %s", judged.Number, now.UTC().Format(time.RFC3339)))
}

// annotating is the part of a patch that sets an annotation.
func annotating(annotations map[string]string, path, value string) []operation {
	add := operation{Op: "add", Path: path, Value: quoted(value)}
	if len(annotations) > 0 {
		return []operation{add}
	}
	// Where there are none the map has to be made first; one that somebody makes in this very moment is not replaced.
	return []operation{
		{Op: "test", Path: "/metadata/annotations", Value: json.RawMessage("null")},
		{Op: "add", Path: "/metadata/annotations", Value: json.RawMessage("{}")},
		add,
	}
}

// annotated reports whether a workload has annotations now; false when that cannot be read.
func (r *Undoer) annotated(ctx context.Context, k bake.Key) bool {
	meta, err := r.meta(ctx, k)
	return err == nil && len(meta.Annotations) > 0
}

// Mark implements bake.Undoer. Like an undo it takes a pause of ours away, and leaves no field of its own behind; it may be repeated.
func (r *Undoer) Mark(ctx context.Context, k bake.Key, uid string, judged v1alpha1.Revision) error {
	meta, err := r.meta(ctx, k)
	switch {
	case apierrors.IsNotFound(err):
		return bake.ErrGone
	case err != nil:
		return explain(err, "read "+k.String())
	case string(meta.UID) != uid:
		return bake.ErrGone
	}
	patch, err := json.Marshal(append([]operation{{Op: "test", Path: "/metadata/uid", Value: quoted(uid)}}, marking(meta.Annotations, judged, time.Now())...))
	if err != nil {
		return fmt.Errorf("write the patch for %s: %w", k, err)
	}
	if err := r.send(ctx, k, patch); failedTest(err) {
		return fmt.Errorf("mark %s as rolled back: it was changed between reading and patching it; will try again", k)
	} else if err != nil {
		return explain(err, "mark "+k.String()+" as rolled back")
	}
	if name := meta.Annotations[bake.AnnotationPaused]; name != "" {
		if _, err := r.Release(ctx, k, uid, name); err != nil {
			return err
		}
	}
	return r.release(ctx, k, uid)
}

// Unmark implements bake.Undoer.
func (r *Undoer) Unmark(ctx context.Context, k bake.Key, uid string) error {
	patch, err := json.Marshal([]operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
		{Op: "remove", Path: markPath},
	})
	if err != nil {
		return fmt.Errorf("write the patch for %s: %w", k, err)
	}
	err = r.send(ctx, k, patch)
	if apierrors.IsNotFound(err) || failedTest(err) {
		return nil
	}
	return explain(err, "take the mark of a rollback off "+k.String())
}
