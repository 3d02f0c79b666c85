package hands

import (
	"fmt"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// ResumeAnnotation asks that the controller goes on which was suspended for the rollback of the revision that it names.
const ResumeAnnotation = "bakewatch.dev/resume"

// Resume makes the word that has what was suspended for a rollback of a workload go on. bakes are the workload's, newest first. It is
// ErrNotNow where nothing is suspended, or the rollback is not over.
func Resume(bakes []*v1alpha1.Bake, by string) (Word, error) {
	for _, b := range bakes {
		if b.Status.Rollback == nil {
			continue
		}
		s := b.Status.Rollback.Suspension
		switch {
		case s == nil || s.ResumedAt != nil || s.Already:
			continue
		case b.Status.EndedAt == nil:
			return Word{}, fmt.Errorf("%w: %s is being rolled back to rev %d; resume it when that is over", ErrNotNow, b.Spec.Ref, b.Status.Rollback.Target.Number)
		case s.DoneAt == nil:
			continue
		}
		value := strings.TrimSpace(fmt.Sprintf("%d %s", b.Spec.To.Number, by))
		return Word{
			Namespace: b.Namespace, Workload: b.Spec.Workload, Ref: b.Spec.Ref, Bake: b.Name, Annotation: ResumeAnnotation, Value: value,
			Does: fmt.Sprintf("have what Git says count again for %s in %s (%s since the rollback from %s): if Git still says %s, that comes back", b.Spec.Ref, b.Namespace, s.Of, called(b.Spec.To), called(b.Spec.To)),
		}, nil
	}
	return Word{}, fmt.Errorf("%w: no rollback of %s on record has anything suspended", ErrNotNow, bakes[0].Spec.Ref)
}
