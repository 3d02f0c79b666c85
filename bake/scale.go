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
	"github.com/bakewatch/bakewatch/decide"
)

// Where pods are killed for want of memory again and again, and nobody can go back, fewer of them do less harm until a person has
// raised the limit. That is the only reason for which replicas are touched, and only where policy asks for it. What was lowered
// is put back once another revision runs.

// AnnotationScaledDown marks a workload whose replicas were lowered: the revision's number, from how many to how many, and when.
const AnnotationScaledDown = "bakewatch.dev/scaled-down"

// Scaler lowers replicas, and puts them back.
type Scaler interface {
	// Autoscaled names what sets the replicas of a workload by itself; empty when nothing does.
	Autoscaled(ctx context.Context, k Key) (by string, err error)
	// Lower lowers replicas from one number to another if the live template is still judged's and they are still that many, marks
	// the workload (AnnotationScaledDown), and leaves no ownership of replicas behind. It returns nil when that was done before, so
	// that it may be repeated after a crash. ErrGone, ErrNewer, ErrPaused and ErrScaled are final; any other error may be tried again.
	Lower(ctx context.Context, k Key, uid string, judged v1alpha1.Revision, from, to int32) error
	// Restore puts replicas back and takes the mark off, once another revision than judged runs. Where somebody else has set them
	// since it takes the mark off and leaves them. over is false while there is nothing to do yet. It may be repeated, too.
	Restore(ctx context.Context, k Key, uid string, judged v1alpha1.Revision, from, to int32) (restored, over bool, err error)
}

// ErrScaled is why replicas are left alone: they are no longer what they were when it was decided.
var ErrScaled = errors.New("its replicas were changed")

// signalOOM is the signal that counts the kills.
const signalOOM = "oom-kills"

// orLower is the end of a bake that is held, or before that the intent to lower replicas.
func (s State) orLower(end Step) Step {
	spec, n := s.Bake.Spec, len(end.Reasons)
	to := s.lowest()
	starved := slices.ContainsFunc(end.Reasons, func(r v1alpha1.Reason) bool {
		return r.Code == decide.CodeOOMKilled || r.Signal == signalOOM
	})
	switch {
	case to == 0 || !starved || s.Bake.Status.ScaleDown != nil || end.Outcome != v1alpha1.OutcomeHeld:
		return end
	case !mayLower(end.Reasons[n-1].Code) || s.observed():
		return end
	case spec.Workload.Kind == KindDaemonSet || s.Sight.Owner.Name != "":
		return end // it has none, or whoever keeps it would set them again
	case !s.Sight.CaughtUp || s.Sight.Updated < s.Sight.Total || s.Sight.Held > 0:
		return end // pods of the old revision serve: it is they who would be taken away
	case s.Sight.Replicas <= to:
		return end
	case s.NotScalable != "":
		end.NotLowered = &v1alpha1.ScaleDown{IntendedAt: micro(s.Now), From: s.Sight.Replicas, To: to, NotDone: s.NotScalable}
		return end
	}
	return Step{Do: Reduce, Reasons: end.Reasons}
}

// mayLower reports whether replicas may be lowered where that guard holds. Where nothing may be done, or a person has said what
// to do, nothing is.
func mayLower(guard string) bool {
	switch guard {
	case CodeNoGood, CodeRestartOnly, CodeTooOld, CodeMigrations, CodeAlerting, CodeReferences, CodeToAndFro, CodeCooldown, CodeBudget, CodeApproval:
		return true
	}
	return false
}

// lowest is to how many replicas may be lowered: by both policies; 0: they are not.
func (s State) lowest() int32 {
	live, frozen := s.Live.ScaleDown.OOM, s.Frozen.ScaleDown.OOM
	if live == 0 || frozen == 0 {
		return 0
	}
	return int32(max(live, frozen))
}

// lowering is the next step of a bake in whose record it is that replicas are to be lowered. false: there is no such thing.
func (s State) lowering() (Step, bool) {
	d := s.Bake.Status.ScaleDown
	if d == nil || d.NotDone != "" {
		return Step{}, false
	}
	held := Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: s.Bake.Status.Reasons, Observed: s.observed()}
	if d.DoneAt != nil {
		return held, true
	}
	if end, over := s.takenOver(); over {
		return end, true
	}
	if s.observed() || s.lowest() == 0 {
		return held, true
	}
	return Step{Do: Lower}, true
}

// inquireScale finds out whether anything else sets the replicas that are about to be lowered. What cannot be found out keeps them
// from being lowered.
func (l *Loop) inquireScale(ctx context.Context, k Key, s *State) {
	if l.Scaler == nil {
		s.NotScalable = "this program cannot"
		return
	}
	by, err := l.Scaler.Autoscaled(ctx, k)
	switch {
	case err != nil:
		s.NotScalable = clip("whether something else sets the replicas is not known: "+err.Error(), maxNotDone)
	case by != "":
		s.NotScalable = clip(by+" sets the replicas", maxNotDone)
	default:
		return
	}
	l.Log.Warn("replicas are not lowered", zap.String("bake", id(s.Bake)), zap.String("why", s.NotScalable))
}

const maxNotDone = 1000 // bytes, as the resource's schema has it

// lower lowers the replicas; the intent is on record. Then it records the receipt, or why it was not done.
func (l *Loop) lower(ctx context.Context, k Key, e *entry, s State) error {
	b := e.work.bake.DeepCopy()
	d := b.Status.ScaleDown
	err := l.Scaler.Lower(ctx, k, b.Spec.Workload.UID, b.Spec.To, d.From, d.To)
	late := time.Since(d.IntendedAt.Time) > s.Frozen.Deadline
	switch {
	case err == nil:
		d.DoneAt = &metav1.MicroTime{Time: time.Now()}
		l.Log.Info("replicas lowered", zap.String("workload", k.String()), zap.Int32("from", d.From), zap.Int32("to", d.To), zap.String("because", b.Status.Why))
	case errors.Is(err, ErrGone), errors.Is(err, ErrNewer), errors.Is(err, ErrPaused), errors.Is(err, ErrScaled),
		errors.Is(err, ErrNotPermitted) && time.Since(d.IntendedAt.Time) > forbiddenFor, late:
		d.NotDone = clip(err.Error(), maxNotDone)
		l.Log.Warn("replicas are not lowered", zap.String("workload", k.String()), zap.Error(err))
	default:
		return fmt.Errorf("lower the replicas of %s to %d: %w", k, d.To, err)
	}
	return l.save(ctx, e, b)
}

// lowered remembers that a bake may have lowered replicas that are not back yet. One that was killed before its receipt may, too.
func (e *entry) lowered(b *v1alpha1.Bake) {
	if d := b.Status.ScaleDown; d != nil && d.NotDone == "" && d.OverAt == nil {
		e.low = b
	}
}

// restore puts replicas back that were lowered, once another revision runs; whatever the mode is now, because it is Bakewatch's
// own doing that is taken back. Where somebody else has set them it only notes so. That it fails keeps nothing from going on; it
// returns when to try again.
func (l *Loop) restore(ctx context.Context, k Key, e *entry, s Sight) time.Duration {
	if err := l.tryRestore(ctx, k, e, s); err != nil {
		l.Log.Warn("replicas that were lowered are not back yet", zap.String("workload", k.String()), zap.Error(err))
		return restoreEvery
	}
	return 0
}

// restoreEvery is how often it is tried to put replicas back.
const restoreEvery = 10 * time.Second

func (l *Loop) tryRestore(ctx context.Context, k Key, e *entry, s Sight) error {
	b := e.low
	switch {
	case b == nil || l.Scaler == nil || !s.Exists:
		return nil
	case s.UID != b.Spec.Workload.UID:
		e.low = nil // deleted, and made anew
		return nil
	}
	d := b.Status.ScaleDown
	newer := s.CaughtUp && e.digest == s.Digest && e.current.Number != b.Spec.To.Number && e.current.Hash != b.Spec.To.Hash
	if !newer && s.Replicas == d.To {
		return nil
	}
	restored, over, err := l.Scaler.Restore(ctx, k, b.Spec.Workload.UID, b.Spec.To, d.From, d.To)
	switch {
	case errors.Is(err, ErrGone):
		return nil
	case err != nil:
		return fmt.Errorf("put the replicas of %s back to %d: %w", k, d.From, err)
	case !over:
		return nil
	}
	l.Log.Info("what was lowered is over", zap.String("workload", k.String()), zap.Bool("restored", restored), zap.Int32("from", d.To), zap.Int32("to", d.From))
	return l.noteRestored(ctx, e, restored)
}

// noteRestored records that it is over.
func (l *Loop) noteRestored(ctx context.Context, e *entry, restored bool) error {
	own := e.work != nil && e.work.bake.Name == e.low.Name
	b := e.low
	if own {
		b = e.work.bake
	} else if fresh, err := l.recorded(ctx, b.Namespace, b.Name); err != nil {
		return err
	} else if fresh == nil {
		e.low = nil // its record is gone
		return nil
	} else {
		b = fresh
	}
	b = b.DeepCopy()
	at := micro(time.Now())
	b.Status.ScaleDown.OverAt, b.Status.ScaleDown.Restored = &at, restored
	if own {
		if err := l.save(ctx, e, b); err != nil {
			return err
		}
	} else if _, err := l.Records.Update(ctx, b); err != nil {
		return fmt.Errorf("record %s: %w", id(b), err)
	}
	e.low = nil
	return nil
}
