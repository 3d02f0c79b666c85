package bake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// Pauser pauses rollouts part-way, and lets them go on.
type Pauser interface {
	// Pause pauses the rollout of judged, and marks it with the name of the Bake in the same write (AnnotationPaused). It returns
	// nil when that is so already, so that it may be repeated after a crash. ErrGone, ErrNewer, ErrPaused (by a person) and
	// ErrResumed are final; any other error may be tried again.
	Pause(ctx context.Context, k Key, uid string, judged v1alpha1.Revision, bake string) error
	// Release lets a workload go on that carries the mark of that Bake, and takes the mark away. done is false when it carries
	// none, or is gone: what a person has paused stays paused.
	Release(ctx context.Context, k Key, uid, bake string) (done bool, err error)
	// Paused reads live whether a workload is paused.
	Paused(ctx context.Context, k Key) (bool, error)
}

// ErrResumed says that a person let a rollout go on that was paused.
var ErrResumed = errors.New("a person let it go on")

// lookAtPause finds out what the next step has to know of a pause.
func (l *Loop) lookAtPause(ctx context.Context, k Key, e *entry, s *State) error {
	p := openPause(s.Bake)
	if why := s.notGentle(); why != "" && e.work.notGentle == "" {
		e.work.notGentle = why
		l.Log.Warn("a rollout is not as gentle as policy says", zap.String("bake", id(s.Bake)), zap.String("why", why))
	}
	if p == nil || !s.Sight.Exists || s.Sight.UID != s.Bake.Spec.Workload.UID {
		return nil
	}
	// While it is paused its controller makes no revision of a template that is changed.
	s.Changed = e.digest != s.Sight.Digest && e.waits == s.Sight.Digest
	if p.PausedAt == nil || p.EndsAt != nil || s.Sight.Paused {
		return nil
	}
	// A person has let it go on, or the watch has not told of the pause yet.
	paused, err := l.Pauser.Paused(ctx, k)
	if err != nil {
		return fmt.Errorf("see whether %s is still paused: %w", k, err)
	}
	s.Resumed = !paused
	return nil
}

// carryPause carries a step about a pause out: at most one write to the workload, and one to the record.
func (l *Loop) carryPause(ctx context.Context, k Key, e *entry, s State, step Step) error {
	b := e.work.bake.DeepCopy()
	st := &b.Status
	log := []zap.Field{zap.String("bake", id(b))}
	p := openPause(b)
	switch step.Do {
	case Halt:
		st.Pauses = append(st.Pauses, v1alpha1.Pause{Why: step.Cause, Sentence: step.Why, IntendedAt: micro(s.Now)})
		log = append(log, zap.String("why", step.Why))
	case Pause:
		done, err := l.pause(ctx, k, b, p)
		if err != nil {
			return err
		}
		if done {
			l.Metrics.pauses.WithLabelValues(p.Why).Inc()
		} else {
			log = append(log, zap.String("not paused", p.Ended))
		}
	case GoOn:
		p.EndsAt, p.Ended, p.ByHand = now(s), step.Why, step.ByPerson
		log = append(log, zap.String("why", step.Why))
	case Release:
		if _, err := l.Pauser.Release(ctx, k, b.Spec.Workload.UID, b.Name); err != nil {
			return fmt.Errorf("let %s go on, which is paused: %w", k, err)
		}
		at := micro(time.Now())
		p.ReleasedAt = &at
	default:
		return fmt.Errorf("step %s is none about a pause of %s: report this as a defect of bakewatch", step.Do, k)
	}
	if err := l.save(ctx, e, b); err != nil {
		return err
	}
	l.Log.Info("pause", append(log, zap.String("step", string(step.Do)))...)
	return nil
}

// pause pauses the rollout; its intent is on record. It writes the receipt into p, or why it is not paused after all.
func (l *Loop) pause(ctx context.Context, k Key, b *v1alpha1.Bake, p *v1alpha1.Pause) (done bool, err error) {
	err = l.Pauser.Pause(ctx, k, b.Spec.Workload.UID, b.Spec.To, b.Name)
	at := micro(time.Now())
	late := time.Since(p.IntendedAt.Time) > forbiddenFor
	switch {
	case err == nil:
		p.PausedAt = &at
		return true, nil
	case errors.Is(err, ErrGone), errors.Is(err, ErrNewer), errors.Is(err, ErrPaused), errors.Is(err, ErrResumed), late:
		// It goes on without: judging does not wait for a pause that cannot be.
		p.EndsAt, p.ReleasedAt, p.Ended, p.ByHand = &at, &at, "not paused: "+err.Error(), errors.Is(err, ErrResumed)
		return false, nil
	}
	return false, fmt.Errorf("pause the rollout of %s part-way: %w", k, err)
}

// closePause notes that the pause of a bake is over, if there is one.
func closePause(b *v1alpha1.Bake, why string, at time.Time) {
	if p := openPause(b); p != nil {
		t := micro(at)
		if p.EndsAt == nil {
			p.EndsAt, p.Ended = &t, why
		}
		p.ReleasedAt = &t
	}
}

// unruledFor is how long after the start what is marked stays paused while there is no policy.
const unruledFor = time.Minute

// freePaused releases a workload that carries a mark for which no bake stands any more: it has ended, was rolled back, or its record
// is gone; or the workload is not watched any more, policy was turned off, or the daemon was killed before it came to it.
func (l *Loop) freePaused(ctx context.Context, k Key) error {
	s := l.Watcher.Sight(k)
	mark := s.Annotations[AnnotationPaused]
	if !s.Exists || mark == "" {
		return nil
	}
	e := l.ledger.of(k)
	mine := e.work != nil && e.work.bake.Name == mark
	if mine && l.stands(k, e.work.bake, s) {
		return nil
	}
	if !mine && l.Policy() == nil && time.Since(l.began) < unruledFor {
		return nil
	}
	done, err := l.Pauser.Release(ctx, k, s.UID, mark)
	if err != nil {
		return fmt.Errorf("let %s go on, which was paused for bake %s: %w", k, mark, err)
	}
	if !done {
		return nil // the watch has not told of it yet
	}
	l.Log.Info("what was paused goes on", zap.String("workload", k.String()), zap.String("bake", mark))
	return l.released(ctx, k, e, mark)
}

// stands reports whether a bake stands for the mark on its workload: it is under way and has paused it, or it is held, and calls
// a person.
func (l *Loop) stands(k Key, b *v1alpha1.Bake, s Sight) bool {
	p := openPause(b)
	cfg := l.Policy()
	switch {
	case p == nil:
		return false
	case cfg == nil:
		return time.Since(l.began) < unruledFor
	}
	st := b.Status
	if st.Outcome == "" {
		undone := st.Rollback != nil && st.Rollback.PatchedAt != nil
		return !undone // its own steps release it
	}
	a := st.Alert
	if !s.Paused || st.Outcome != v1alpha1.OutcomeHeld || st.Observed || a == nil || a.ResolvedAt != nil || !time.Now().Before(a.Until.Time) {
		return false
	}
	live, _ := cfg.For(policy.Target{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, Labels: s.Labels, Annotations: s.Annotations})
	return live.Watched && live.Mode == policy.Guard && on(live.Canary, p.Why) && s.Digest == l.ledger.of(k).digest
}

// released writes the receipt into the record of a bake that is over, if it is still there.
func (l *Loop) released(ctx context.Context, k Key, e *entry, name string) error {
	const why = "the bake is over"
	if e.work != nil && e.work.bake.Name == name {
		b := e.work.bake.DeepCopy()
		closePause(b, why, time.Now())
		return l.save(ctx, e, b)
	}
	b, err := l.recorded(ctx, k.Namespace, name)
	if err != nil || b == nil || openPause(b) == nil {
		return err
	}
	closePause(b, why, time.Now())
	if _, err := l.Records.Update(ctx, b); err != nil && !errors.Is(err, ErrNoRecord) {
		return fmt.Errorf("record %s/%s: %w", k.Namespace, name, err)
	}
	l.Metrics.paused.track(id(b), false)
	return nil
}
