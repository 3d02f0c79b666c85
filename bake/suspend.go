package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// What Argo CD or Flux keeps is rolled back only once the controller leaves it alone: told first, and on record before that.
const (
	CodeSuspended     = "suspended"      // Argo CD or Flux leaves the workload alone since it was rolled back
	CodeSuspendFailed = "suspend-failed" // they could not be told to
)

// strategy is how what a GitOps controller keeps is rolled back: by the policy the bake began with, unless that of now says
// something else. Then people decide.
func (s State) strategy() policy.Strategy {
	if s.Live.GitOps != s.Frozen.GitOps || s.Live.GitOps == "" {
		return policy.Notify
	}
	return s.Live.GitOps
}

// suspension is what has to be suspended before an undo; nil: nothing.
func (s State) suspension() *v1alpha1.Suspension {
	o := s.Sight.Owner
	if !o.GitOps || o.Name == "" || s.strategy() != policy.Suspend || !s.Live.Guards.GitOps && !s.Frozen.Guards.GitOps {
		return nil
	}
	return &v1alpha1.Suspension{Kind: o.Kind, Namespace: o.Namespace, Name: o.Object, IntendedAt: micro(s.Now)}
}

// toSuspend reports whether a suspension is intended, and not carried out.
func (s State) toSuspend() bool {
	sus := s.Bake.Status.Rollback.Suspension
	return sus != nil && sus.DoneAt == nil
}

// suspended reports whether what was suspended for a bake still is, by its doing.
func suspended(b *v1alpha1.Bake) bool {
	rb := b.Status.Rollback
	return rb != nil && rb.Suspension != nil && rb.Suspension.DoneAt != nil && !rb.Suspension.Already && rb.Suspension.ResumedAt == nil
}

// suspendedReason says that Git has no effect on the workload, and how it gets that again; nil where it has.
func suspendedReason(b *v1alpha1.Bake) []v1alpha1.Reason {
	if !suspended(b) {
		return nil
	}
	return []v1alpha1.Reason{{Code: CodeSuspended, Sentence: fmt.Sprintf("%s: %s, so that %s stays at %s; what Git says has no effect on it until somebody resumes that: bakewatch resume %s -n %s, once Git is right",
		CodeSuspended, b.Status.Rollback.Suspension.Of, b.Spec.Ref, rev(b.Status.Rollback.Target), b.Spec.Ref, b.Namespace)}}
}

// suspend carries a suspension out; its intent is on record. Then it records the receipt, or ends the bake by what forbade it: an
// undo that would be reverted is not begun.
func (l *Loop) suspend(ctx context.Context, k Key, e *entry, s State) error {
	b := e.work.bake.DeepCopy()
	sus := b.Status.Rollback.Suspension
	done, err := v1alpha1.Suspension{}, fmt.Errorf("%w: this daemon knows no way to", ErrNotSuspendable)
	if l.Keeper != nil {
		done, err = l.Keeper.Suspend(ctx, k, b.Spec.Workload.UID, *sus, id(b))
	}
	waited := time.Since(sus.IntendedAt.Time)
	switch {
	case err == nil:
		done.DoneAt = &metav1.MicroTime{Time: time.Now()}
		b.Status.Rollback.Suspension = &done
		l.Log.Info("suspended", zap.String("workload", k.String()), zap.String("what", done.Of), zap.Bool("already", done.Already))
		if err := l.save(ctx, e, b); err != nil {
			return err
		}
		e.noteSuspended(e.work.bake)
		return nil
	case errors.Is(err, ErrGone):
		return l.end(ctx, k, e, end(v1alpha1.OutcomeAbandoned, CodeDeleted, b.Spec.Ref+" was deleted"))
	case errors.Is(err, ErrNotSuspendable), errors.Is(err, ErrNotPermitted) && waited > forbiddenFor, waited > s.Frozen.Deadline:
		step := Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(slices.Clone(b.Status.Reasons),
			*held(CodeSuspendFailed, "%s is kept by %s, which would put %s back, and could not be told to leave it alone: %v", b.Spec.Ref, keeperOf(*sus), rev(b.Spec.To), err))}
		return l.end(ctx, k, e, step)
	}
	return fmt.Errorf("suspend what keeps %s: %w", k, err)
}

// keeperOf is what follows Git, for people.
func keeperOf(s v1alpha1.Suspension) string {
	by := map[string]string{KindApplication: "Argo CD application", KindKustomization: "Flux Kustomization", KindHelmRelease: "Flux HelmRelease"}[s.Kind]
	switch {
	case s.Name == "":
		return by
	case s.Namespace == "":
		return by + " " + s.Name
	}
	return by + " " + s.Namespace + "/" + s.Name
}

// lift undoes a suspension after which nothing was rolled back: the bake ends otherwise. It is done before the end is recorded, so
// that it is done again by whoever takes over. What cannot be lifted in time is left to people, and told.
func (l *Loop) lift(ctx context.Context, k Key, b *v1alpha1.Bake) error {
	rb := b.Status.Rollback
	if rb == nil || rb.PatchedAt != nil || rb.Suspension == nil || rb.Suspension.ResumedAt != nil || l.Keeper == nil {
		return nil
	}
	sus := rb.Suspension
	left, err := l.Keeper.Resume(ctx, k, b.Spec.Workload.UID, *sus, id(b))
	switch {
	case err == nil, errors.Is(err, ErrGone):
		if sus.DoneAt != nil {
			sus.ResumedAt, sus.Left = &metav1.MicroTime{Time: time.Now()}, clip(left, maxLeft)
		}
		return nil
	case time.Since(sus.IntendedAt.Time) < liftFor && !errors.Is(err, ErrNotPermitted) && !errors.Is(err, ErrNotSuspendable):
		return fmt.Errorf("resume what keeps %s, because nothing was rolled back: %w", k, err)
	}
	if sus.DoneAt != nil {
		sus.Left = clip(err.Error(), maxLeft)
		l.Log.Error("what was suspended stays so although nothing was rolled back", zap.String("workload", k.String()), zap.String("what", sus.Of), zap.Error(err))
	}
	return nil
}

// liftFor is for how long, since it was intended, a suspension is tried to be lifted.
const liftFor = time.Hour

// maxLeft is how many bytes of Suspension.Left are kept.
const maxLeft = 900

// noteSuspended remembers a bake for which something is suspended.
func (e *entry) noteSuspended(b *v1alpha1.Bake) {
	e.suspended = slices.DeleteFunc(e.suspended, func(name string) bool { return name == b.Name })
	if suspended(b) {
		e.suspended = append(e.suspended, b.Name)
	}
}

// heedResume lets the controller go on that was suspended for a rollback of the workload, when a person says so.
func (l *Loop) heedResume(ctx context.Context, k Key, e *entry, s Sight) error {
	value := s.Annotations[policy.AnnotationResume]
	said, ok := parseWord(value)
	if !ok || e.resumed == value || l.Keeper == nil || !s.Exists {
		return nil
	}
	for _, name := range slices.Clone(e.suspended) {
		var b *v1alpha1.Bake
		var err error
		atWork := e.work != nil && e.work.bake.Name == name
		if atWork {
			b = e.work.bake.DeepCopy()
		} else if b, err = l.recorded(ctx, k.Namespace, name); err != nil {
			return err
		}
		if b == nil || !suspended(b) { // somebody deleted its record, or another process has resumed it
			e.suspended = slices.DeleteFunc(e.suspended, func(n string) bool { return n == name })
			continue
		}
		if b.Spec.To.Number != said.number || b.Status.Outcome == "" {
			continue // about another rollback, or one that is under way: what is suspended for it stays so until it is over
		}
		if err := l.resume(ctx, k, e, b, said.by, atWork); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(e.suspended, func(name string) bool {
		return e.work != nil && e.work.bake.Name == name && e.work.bake.Status.Outcome == ""
	}) {
		e.resumed = value
	}
	return nil
}

// resume undoes the suspension of a bake, and records who wanted that.
func (l *Loop) resume(ctx context.Context, k Key, e *entry, b *v1alpha1.Bake, by string, atWork bool) error {
	sus := b.Status.Rollback.Suspension
	left, err := l.Keeper.Resume(ctx, k, b.Spec.Workload.UID, *sus, id(b))
	if err != nil && !errors.Is(err, ErrGone) {
		return fmt.Errorf("resume what keeps %s: %w", k, err)
	}
	sus.ResumedAt, sus.ResumedBy, sus.Left = &metav1.MicroTime{Time: time.Now()}, by, clip(left, maxLeft)
	if atWork {
		err = l.save(ctx, e, b)
	} else {
		_, err = l.Records.Update(ctx, b)
	}
	if err != nil && !errors.Is(err, ErrNoRecord) {
		return fmt.Errorf("record that what keeps %s was resumed: %w", k, err)
	}
	e.suspended = slices.DeleteFunc(e.suspended, func(name string) bool { return name == b.Name })
	l.Log.Info("resumed", zap.String("workload", k.String()), zap.String("what", sus.Of), zap.String("by", by), zap.String("left", left))
	return nil
}
