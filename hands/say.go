package hands

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// Verb is what a person says of a rollout that is baked.
type Verb struct {
	Name       string // of the command
	Annotation string // that says it on the workload
	Short      string
	does       string // what comes of it, with the old and the new revision
	asked      bool   // only where somebody was asked
}

// Verbs are all that can be said.
var Verbs = []Verb{
	{"approve", "bakewatch.dev/approve", "say yes to a rollback that waits for approval", "roll %[1]s back from %[3]s to %[2]s", true},
	{"reject", "bakewatch.dev/reject", "say no to a rollback that waits for approval", "leave %[1]s at %[3]s: it is not rolled back to %[2]s", true},
	{"abort", "bakewatch.dev/abort", "leave a rollout alone: it is neither judged further nor rolled back", "stop watching the rollout of %[1]s from %[2]s to %[3]s", false},
}

// ErrNotNow is why something cannot be said of a workload now.
var ErrNotNow = errors.New("nothing to say that to")

// Word is what is to be written on a workload.
type Word struct {
	Namespace  string
	Workload   v1alpha1.WorkloadReference
	Ref        string // of the workload, for people
	Bake       string // name of the Bake that it is about; empty where there is none
	Annotation string
	Value      string
	Does       string // in one line, for people
}

// Say makes the word for a workload's newest Bake. It is ErrNotNow where the bake is over, or nobody was asked.
func (v Verb) Say(b *v1alpha1.Bake, by string) (Word, error) {
	st := b.Status
	switch {
	case st.EndedAt != nil:
		return Word{}, fmt.Errorf("%w: the rollout of %s to rev %d is not baked any more, it ended as %s; bakewatch undo %s rolls it back all the same", ErrNotNow, b.Spec.Ref, b.Spec.To.Number, Standing(b), b.Spec.Ref)
	case st.Rollback != nil:
		return Word{}, fmt.Errorf("%w: %s is being rolled back to rev %d already", ErrNotNow, b.Spec.Ref, st.Rollback.Target.Number)
	case v.asked && st.Approval == nil:
		return Word{}, fmt.Errorf("%w: no rollback of %s waits for approval; it stands at %s", ErrNotNow, b.Spec.Ref, Standing(b))
	}
	from := "the beginning"
	if b.Spec.From != nil {
		from = called(*b.Spec.From)
	}
	return Word{
		Namespace: b.Namespace, Workload: b.Spec.Workload, Ref: b.Spec.Ref, Bake: b.Name, Annotation: v.Annotation,
		Value: strings.TrimSpace(fmt.Sprintf("%d %s", b.Spec.To.Number, by)), Does: fmt.Sprintf(v.does, b.Spec.Ref+" in "+b.Namespace, from, called(b.Spec.To)),
	}, nil
}

// called is a revision and its images.
func called(r v1alpha1.Revision) string {
	if len(r.Images) == 0 {
		return fmt.Sprintf("rev %d", r.Number)
	}
	return fmt.Sprintf("rev %d (%s)", r.Number, strings.Join(r.Images, ", "))
}
