package hands

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// suspension adds to a timeline when a controller that follows Git was told to leave the workload alone, and when no longer.
func suspension(rb *v1alpha1.Rollback, add func(at *metav1.MicroTime, mark bool, what string, args ...any)) {
	s := rb.Suspension
	if s == nil {
		return
	}
	if s.Already {
		add(&s.IntendedAt, false, "what Git says did not count already: %s", s.Of)
		return
	}
	add(s.DoneAt, true, "what Git says was made not to count: %s", s.Of)
	if s.ResumedBy == "" {
		add(s.ResumedAt, true, "what Git says counts again, because nothing was rolled back")
		return
	}
	add(s.ResumedAt, true, "what Git says counts again; %s asked for it", s.ResumedBy)
}

// suspended says what is left to do while what Git says does not count; empty when it does.
func suspended(b *v1alpha1.Bake) string {
	rb := b.Status.Rollback
	if rb == nil || rb.Suspension == nil || rb.Suspension.Already || rb.Suspension.DoneAt == nil || rb.Suspension.ResumedAt != nil {
		return ""
	}
	return fmt.Sprintf("Revert the change in Git, and then have what Git says count again (%s): kubectl bakewatch resume %s -n %s. Until then nothing that is merged is rolled out.",
		cmp.Or(rb.Suspension.Of, rb.Suspension.Kind+" "+rb.Suspension.Name), b.Spec.Ref, b.Namespace)
}
