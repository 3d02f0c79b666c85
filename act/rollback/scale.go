package rollback

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

var (
	scaledPath   = "/metadata/annotations/" + strings.ReplaceAll(bake.AnnotationScaledDown, "/", "~1")
	replicasPath = fieldpath.MakePathOrDie("spec", "replicas")
	// notHanded are fields of ours that go to nobody. Whoever applies a workload on the server side and does not speak of replicas
	// would, as their owner, take them away with the next apply, and then one is left.
	notHanded = fieldpath.NewSet(replicasPath, fieldpath.MakePathOrDie("metadata", "annotations", bake.AnnotationScaledDown))
)

// autoscalersAtOnce is how many are asked for in one request.
const autoscalersAtOnce = 250

// Autoscaled implements bake.Scaler: by the HorizontalPodAutoscalers of the namespace, which KEDA makes, too, and by who last set
// replicas in the way that autoscalers do. kubectl scale does likewise, and is a person.
func (r *Undoer) Autoscaled(ctx context.Context, k bake.Key) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := metav1.ListOptions{Limit: autoscalersAtOnce}
	for {
		list, err := r.Client.AutoscalingV2().HorizontalPodAutoscalers(k.Namespace).List(ctx, options)
		if err != nil {
			return "", explain(err, "list the autoscalers of namespace "+k.Namespace)
		}
		for _, h := range list.Items {
			if scales(h.Spec.ScaleTargetRef, k) {
				return "HorizontalPodAutoscaler " + h.Name, nil
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			break
		}
	}
	meta, err := r.meta(ctx, k)
	if err != nil {
		return "", explain(err, "read "+k.String())
	}
	for _, f := range meta.ManagedFields {
		if f.Subresource == "scale" && !strings.HasPrefix(f.Manager, "kubectl") {
			return cmp.Or(f.Manager, "somebody, by the scale subresource,"), nil
		}
	}
	return "", nil
}

func scales(ref autoscalingv2.CrossVersionObjectReference, k bake.Key) bool {
	return ref.Kind == k.Kind && ref.Name == k.Name && (ref.APIVersion == "" || strings.HasPrefix(ref.APIVersion, "apps/"))
}

// Lower implements bake.Scaler. Like an undo it takes two requests: a JSON patch that tests the UID, the whole judged template and
// the replicas as read live, sets replicas and marks the workload; and one that leaves no ownership behind.
func (r *Undoer) Lower(ctx context.Context, k bake.Key, uid string, judged v1alpha1.Revision, from, to int32) error {
	w, err := r.read(ctx, k)
	if err != nil {
		return err
	}
	if w.UID != uid {
		return bake.ErrGone
	}
	mark, marked := parseScaled(w.Meta.Annotations[bake.AnnotationScaledDown])
	cur := w.Current()
	switch {
	case marked && mark == scaledMark{judged.Number, from, to}:
		return r.release(ctx, k, uid) // done already; who has set replicas since, meant it
	case cur == nil || cur.Hash != judged.Hash:
		return bake.ErrNewer
	case w.Paused:
		return bake.ErrPaused
	case w.Replicas != from:
		return fmt.Errorf("%w: there are %d, not %d", bake.ErrScaled, w.Replicas, from)
	}
	patch, err := json.Marshal(append([]operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
		{Op: "test", Path: "/spec/template", Value: w.Raw},
		{Op: "test", Path: "/spec/replicas", Value: number(from)},
		{Op: "replace", Path: "/spec/replicas", Value: number(to)},
	}, annotating(w.Meta.Annotations, scaledPath, fmt.Sprintf("%d from %d to %d at %s", judged.Number, from, to, time.Now().UTC().Format(time.RFC3339)))...))
	if err != nil {
		return fmt.Errorf("write the patch for %s: %w", k, err)
	}
	if err := r.patch(ctx, k, patch); err != nil {
		if errors.Is(err, bake.ErrNewer) { // or replicas, or the first annotation, were set between reading and patching it; reading it again tells
			return fmt.Errorf("lower the replicas of %s: it was changed between reading and patching it; will try again", k)
		}
		return err
	}
	return r.release(ctx, k, uid)
}

// Restore implements bake.Scaler. That the mark is as it was read is tested, so that it happens once.
func (r *Undoer) Restore(ctx context.Context, k bake.Key, uid string, judged v1alpha1.Revision, from, to int32) (restored, over bool, err error) {
	w, err := r.read(ctx, k)
	if err != nil {
		return false, false, err
	}
	value := w.Meta.Annotations[bake.AnnotationScaledDown]
	mark, marked := parseScaled(value)
	cur := w.Current()
	switch {
	case w.UID != uid:
		return false, false, bake.ErrGone
	case !marked || mark != scaledMark{judged.Number, from, to}:
		return false, true, r.release(ctx, k, uid) // it never was, or is no longer, ours to undo
	case w.Replicas == to && (cur == nil || cur.Hash == judged.Hash):
		return false, false, nil
	}
	operations := []operation{
		{Op: "test", Path: "/metadata/uid", Value: quoted(uid)},
		{Op: "test", Path: scaledPath, Value: quoted(value)},
		{Op: "remove", Path: scaledPath},
	}
	restored = w.Replicas == to && !replicasOwned(w.Meta.ManagedFields)
	if restored {
		operations = append(operations, operation{Op: "test", Path: "/spec/replicas", Value: number(to)}, operation{Op: "replace", Path: "/spec/replicas", Value: number(from)})
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return false, false, fmt.Errorf("write the patch for %s: %w", k, err)
	}
	if err := r.patch(ctx, k, patch); err != nil {
		if errors.Is(err, bake.ErrNewer) {
			return false, false, fmt.Errorf("put the replicas of %s back: it was changed between reading and patching it; will try again", k)
		}
		return false, false, err
	}
	return restored, true, r.release(ctx, k, uid)
}

// replicasOwned reports whether anybody has set replicas since they were lowered, which left them to nobody.
func replicasOwned(fields []metav1.ManagedFieldsEntry) bool {
	for _, f := range fields {
		if f.Manager == FieldManager || f.Subresource == "status" {
			continue
		}
		if set, err := read(f.FieldsV1); err == nil && set.Has(replicasPath) {
			return true
		}
	}
	return false
}

// scaledMark is what the mark of lowered replicas says.
type scaledMark struct {
	number   int64 // of the revision
	from, to int32
}

// parseScaled reads the mark: 7 from 3 to 1 at 2026-05-01T12:03:20Z.
func parseScaled(text string) (m scaledMark, ok bool) {
	words := strings.Fields(text)
	if len(words) != 7 || words[1] != "from" || words[3] != "to" || words[5] != "at" {
		return m, false
	}
	n, err := strconv.ParseInt(words[0], 10, 64)
	from, fromErr := strconv.ParseInt(words[2], 10, 32)
	to, toErr := strconv.ParseInt(words[4], 10, 32)
	if err != nil || fromErr != nil || toErr != nil {
		return m, false
	}
	return scaledMark{n, int32(from), int32(to)}, true
}

func number(n int32) json.RawMessage { return json.RawMessage(strconv.Itoa(int(n))) }

var _ bake.Scaler = (*Undoer)(nil)
