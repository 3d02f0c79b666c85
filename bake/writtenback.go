package bake

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// CodeWrittenBack says that something wrote the bad template back soon after it was undone.
const CodeWrittenBack = "written-back"

// staysFor is for how long after an undo the same bad template that comes back is called written back: by something that does not
// know of the undo, such as a controller that follows Git or a pipeline. Later it is rolled out again, as anything may be.
const staysFor = 10 * time.Minute

// writtenBack reports whether a rollout is that of a template that was undone a moment ago.
func writtenBack(spec v1alpha1.BakeSpec) bool {
	return spec.Again != nil && spec.ByHand == nil && spec.StartedAt.Sub(spec.Again.At.Time) < staysFor
}

// writtenBackReason is what to say of it. It is not fought: whoever wrote it would write it once more.
func writtenBackReason(spec v1alpha1.BakeSpec) v1alpha1.Reason {
	after := max(spec.StartedAt.Sub(spec.Again.At.Time), 0)
	return v1alpha1.Reason{Code: CodeWrittenBack, Sentence: wroteBack(spec.Ref, calledThen(spec), rev(spec.To), spec.ChangedBy, after)}
}

// calledThen is what a revision that is rolled out again was called when it was rolled back.
func calledThen(spec v1alpha1.BakeSpec) string {
	return rev(v1alpha1.Revision{Number: spec.Again.Number, Configuration: spec.To.Configuration})
}

// wroteBack is the sentence of the reason.
func wroteBack(ref, bad, now, by string, after time.Duration) string {
	as := ""
	if bad != now {
		as = ", now " + now + ","
	}
	return fmt.Sprintf("%s: %s wrote %s of %s back%s %s after it was rolled back; it is left there, because it would only be written again: revert it where it comes from", CodeWrittenBack, writer(by), bad, ref, as, short(after))
}

// writer is who wrote a template, for people: the manager of its fields.
func writer(by string) string { return cmp.Or(by, "something") }

// writing is that a template was written: by the manager of its fields, and when.
type writing struct {
	by string
	at time.Time
}

// isBack reports whether the judged template is there again although it was undone.
func (s State) isBack() bool {
	rb := s.Bake.Status.Rollback
	if s.Bake.Spec.InPlace && s.Back != nil && sameRevision(s.Current, s.Bake.Spec.To) {
		return rb != nil && rb.PatchedAt != nil
	}
	return s.Back != nil && rb != nil && rb.PatchedAt != nil && s.Current.Hash != "" && s.Current.Hash == s.Bake.Spec.To.Hash && s.Current.Hash != rb.Target.Hash
}

// undoneInVain ends a rollback that something has undone.
func (s State) undoneInVain() Step {
	spec := s.Bake.Spec
	why := wroteBack(spec.Ref, rev(spec.To), rev(s.Current), s.Back.by, max(s.Back.at.Sub(s.Bake.Status.Rollback.PatchedAt.Time), 0))
	return s.notBack(CodeWrittenBack, strings.TrimPrefix(why, CodeWrittenBack+": "))
}

// undid remembers that the bake at work has put its target back: what comes now, be it the same template again, somebody else has
// written.
func (e *entry) undid() {
	if rb := e.work.bake.Status.Rollback; rb != nil && rb.PatchedAt != nil && e.work.bake.Status.Outcome == "" {
		e.current, e.digest = rb.Target, ""
	}
}

// wasPatched reports whether the workload's mark says that this very rollback was carried out already: by a process that was
// killed before it recorded the receipt.
func wasPatched(s State) bool {
	number, at, ok := parseMark(s.Sight.Annotations[AnnotationRolledBack])
	intended := s.Bake.Status.Rollback.IntendedAt.Truncate(time.Second) // the mark has whole seconds
	return ok && number == s.Bake.Spec.To.Number && !at.Before(intended)
}

// parseMark reads the annotation that an undo leaves: 7 at 2026-05-01T12:03:20Z.
func parseMark(value string) (number int64, at time.Time, ok bool) {
	var text string
	if n, err := fmt.Sscanf(value, "%d at %s", &number, &text); err != nil || n != 2 {
		return 0, time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return number, at, err == nil
}

// raiseWrittenBack records, when a bake is opened, that its template was written back, and raises the alert. The bake goes on: it
// may be well now, and if not a guard holds it.
func raiseWrittenBack(b *v1alpha1.Bake, now time.Time) {
	st := &b.Status
	if !writtenBack(b.Spec) || st.Alert != nil {
		return
	}
	st.Reasons = []v1alpha1.Reason{writtenBackReason(b.Spec)}
	st.Why = st.Reasons[0].Sentence
	st.Alert = fire(AlertWrittenBack, now)
}

// undoOnce carries an undo out, unless a process that was killed has: then its receipt is all that is missing, whatever has
// happened to the template since.
func (l *Loop) undoOnce(ctx context.Context, k Key, s State, b *v1alpha1.Bake) error {
	target := b.Status.Rollback.Target
	if wasPatched(s) {
		p, err := l.Undoer.Follow(ctx, k, b.Spec.To, target)
		if err != nil {
			return err
		}
		if !p.OnTarget {
			return l.Undoer.HandBack(ctx, k, b.Spec.Workload.UID) // it may have been killed before it did
		}
	}
	return l.putBack(ctx, k, b, s.Live)
}
