package bake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// drive takes every step that is due for the workload's bake, and returns when the next one may be.
func (l *Loop) drive(ctx context.Context, k Key, e *entry, live policy.Resolved) (time.Duration, error) {
	w := e.work
	l.Metrics.trackPause(w.bake)
	for w.bake.Status.Outcome == "" {
		state, next, err := l.state(ctx, k, e, live)
		if err != nil {
			return 0, err
		}
		step := Next(state)
		if step.Do == Wait {
			if step.Why != "" && w.waitedSince.IsZero() {
				w.waitedSince = state.Now
				l.Log.Info("waits", zap.String("bake", id(w.bake)), zap.String("why", step.Why))
			}
			at := next
			if !step.Until.IsZero() && (at.IsZero() || step.Until.Before(at)) {
				at = step.Until
			}
			if at.IsZero() {
				return w.frozen.Interval, nil
			}
			return max(time.Until(at), 10*time.Millisecond), nil
		}
		if err := l.carry(ctx, k, e, state, step); err != nil {
			return 0, err
		}
	}
	return 0, l.finishTelling(ctx, e, false)
}

// state gathers what the next step depends on; it reads the ticks that are due. next is when the next tick is due.
func (l *Loop) state(ctx context.Context, k Key, e *entry, live policy.Resolved) (s State, next time.Time, err error) {
	w := e.work
	b := w.bake
	now := time.Now()
	s = State{Bake: b, Frozen: w.frozen, Live: live, Sight: l.Watcher.Sight(k), Current: readNow(e, l.Watcher.Sight(k)), Back: e.back, Undone: e.undone, Now: now}
	if e.back != nil {
		s.Moved = l.undoneReleases.moved(s.Sight.Origin.Release, b.Spec.Ref, e.back.at, id(b))
	}
	s.Along = l.undoneReleases.moved(s.Sight.Origin.Release, b.Spec.Ref, b.Spec.StartedAt.Time, id(b))
	switch b.Status.Phase {
	case v1alpha1.PhaseBaking:
		if b.Status.Approval != nil {
			break // it is judged; people decide
		}
		if s.Unfound = w.unfound(now); !s.Unfound {
			next = l.judge(ctx, k, w, now, b.Status.FirstReadyAt.Time)
		}
	case v1alpha1.PhaseVerifying:
		if s.Unfound = w.unfound(now); s.Unfound {
			break // its new pods never served, so that it was not looked for yet
		}
		next = l.judge(ctx, k, w, now, b.Status.Rollback.AvailableAt.Time)
	case v1alpha1.PhaseRollingBack:
		if b.Status.Rollback.PatchedAt != nil && s.Sight.Exists {
			s.Progress, err = l.Undoer.Follow(ctx, k, b.Spec.To, b.Status.Rollback.Target)
			if w.movedAt.IsZero() || s.Progress.Done > w.done {
				w.done, w.movedAt = s.Progress.Done, now
			}
			s.MovedAt = w.movedAt
		}
	case v1alpha1.PhaseRolling:
		if s.Sight.Exists && s.Sight.UID == b.Spec.Workload.UID {
			s.Crew, err = l.Watcher.Crew(ctx, k, b.Spec.To)
		}
	}
	s.PutBack, s.Restarted = l.putBackBy(b, s.Sight), e.configs.restarted
	if s.Back == nil {
		s.Back = contentBack(b, s.Sight)
	}
	if err == nil {
		s.Migrated = l.migrations(ctx, k, w, s, false)
	}
	if err != nil {
		return s, next, fmt.Errorf("see how far %s of %s is: %w", rev(b.Spec.To), k, err)
	}
	s.Verdict = w.verdict
	if w.evidence != nil {
		s.JudgedTo, s.Behind = w.evidence.judgedTo, l.behind(w.measured())
		if b.Status.Phase == v1alpha1.PhaseBaking && b.Status.Approval == nil {
			s.Crew, s.Gone = w.evidence.crew, w.evidence.gone(b.Status.Pods)
			s.Blind = w.evidence.blind(w.measured().Signals, w.unaskable)
		}
	}
	if err := l.lookAtPause(ctx, k, e, &s); err != nil {
		return s, next, err
	}
	s.Pods = l.lookAtPods(ctx, k, w, s)
	l.compare(&s, w)
	if do := Next(s).Do; do == Intend || do == Ask {
		s.Migrated = l.migrations(ctx, k, w, s, true) // as of now: one may have run since
	}
	if do := Next(s).Do; do == Intend || do == Ask {
		if err := l.inquire(ctx, k, w, &s); err != nil {
			return s, next, err
		}
		if err := l.planRelease(ctx, k, w, &s); err != nil {
			return s, next, err
		}
	}
	if Next(s).Do == Reduce {
		l.inquireScale(ctx, k, &s)
	}
	if Next(s).Do == Intend {
		if by := l.restores.claim(b, s.Now); by != nil && b.Spec.InPlace && b.Spec.From.Hash == b.Spec.To.Hash {
			s.ClaimedBy = by
		}
	}
	if Next(s).Do == Intend {
		if s.asked() {
			l.budget.spend(id(b), b.Namespace, s.Now) // it counts, and is not held
		} else {
			s.Budget = l.allowance(b, s)
		}
	}
	return s, next, nil
}

// inquire finds out what guards have to know that is asked for only when a rollback is about to be intended. What cannot be
// found out for a minute keeps nobody from rolling back; an API server that has just started answers little.
func (l *Loop) inquire(ctx context.Context, k Key, w *work, s *State) (err error) {
	if l.Alerts != nil && (s.Live.Guards.Alerting || s.Frozen.Guards.Alerting) {
		// Nobody waits for an answer: whoever gives it may be away for long.
		if s.Alerting, err = l.Alerts(ctx, k, s.Bake.Spec.StartedAt.Time); err != nil {
			l.Log.Warn("whether alerts fired before the rollout is not known, and holds nothing", zap.String("bake", id(s.Bake)), zap.Error(err))
		}
		err = nil
	}
	if s.Live.Guards.References || s.Frozen.Guards.References {
		s.Missing, err = l.Undoer.Missing(ctx, k, *s.Bake.Spec.From)
	}
	if err == nil {
		s.Unkept, err = l.unkept(ctx, s.Bake, s.Sight)
	}
	if err == nil {
		s.Started, err = l.started(ctx, k, s)
	}
	switch {
	case err == nil, errors.Is(err, ErrGone):
		w.unasked = time.Time{}
		return nil
	case w.unasked.IsZero():
		w.unasked = s.Now
	}
	if s.Now.Sub(w.unasked) < forbiddenFor {
		return fmt.Errorf("ask the guards of %s: %w", k, err)
	}
	l.Log.Warn("a guard cannot be asked, and does not hold", zap.String("workload", k.String()), zap.Error(err))
	return nil
}

// compare tells the other bakes of the namespace what this one has found, and this one what they have.
func (l *Loop) compare(s *State, w *work) {
	b := s.Bake
	switch {
	case b.Status.Phase == v1alpha1.PhaseBaking && b.Status.Approval != nil:
		l.findings.forget(b.Namespace, id(b)) // people may take their time; nobody waits for them
	case b.Status.Phase == v1alpha1.PhaseBaking && w.evidence != nil:
		s.Own = finding{bake: id(b), ref: b.Spec.Ref, judgedTo: w.evidence.judgedTo, interval: w.frozen.Interval}
		if s.Own.judgedTo.IsZero() {
			s.Own.judgedTo = w.evidence.anchor
		}
		if s.Verdict != nil && s.Verdict.Result == decide.Regressed {
			s.Own.regressed, s.Own.worse = s.hold() == nil && !s.approval().Required, w.evidence.worse(s.Verdict)
		}
		l.findings.note(b.Namespace, s.Own)
		s.Others, s.WaitedSince = l.findings.others(b.Namespace, s.Own.bake), w.waitedSince
	case b.Status.Rollback != nil && b.Status.Rollback.PatchedAt != nil:
		l.findings.undone(b.Namespace, id(b), b.Status.Rollback.PatchedAt.Time)
	}
}

// allowance spends one rollback of the budget for a bake that is about to intend one, or says why none is left.
func (l *Loop) allowance(b *v1alpha1.Bake, s State) *v1alpha1.Reason {
	cfg := l.Policy()
	if cfg == nil {
		return nil
	}
	limits := cfg.Budget
	n, scope, ok := l.budget.trySpend(id(b), b.Namespace, s.Now, limits.Within, limits.PerNamespace, limits.PerCluster)
	if ok {
		return nil
	}
	return held(CodeBudget, "the budget of rollbacks in %s is used up, %d within %s; many at once are one incident, not many bad deploys", scope, n, short(limits.Within))
}

// judge reads the ticks that are due and asks the judge. It returns when the next tick is due.
func (l *Loop) judge(ctx context.Context, k Key, w *work, now, start time.Time) time.Time {
	if w.evidence == nil {
		w.evidence, w.verdict = newEvidence(start, w.frozen.Interval), nil
		if w.bake.Status.Rollback == nil {
			w.evidence.recall(w.bake.Status.Pods)
		}
	}
	edge, next := w.evidence.due(now)
	if !edge.After(w.evidence.judgedTo) || !edge.After(w.evidence.anchor) {
		return next
	}
	spec := w.bake.Spec
	measured := w.measured()
	q := questionOf(k, spec, measured)
	q.lag = l.Lag
	q.unknown, q.service = w.unknown(), cmp.Or(w.bake.Status.Service, w.found.Service)
	candidate, to, from := spec.To, rev(spec.To), ""
	if spec.From != nil {
		from = rev(*spec.From)
	}
	if rb := w.bake.Status.Rollback; rb != nil { // the old revision is back: is it as well as it was?
		candidate = rb.Target
		q.candidate, q.baseline, q.fromZero, q.days = podPrefix(&candidate), "", false, nil
		q.version, q.baselineVersion, q.restored = VersionOf(&candidate), "", rb.AvailableAt.Time
		to, from = "the restored "+rev(rb.Target), rev(rb.Target)+" before"
	}
	src := l.Source
	if !signals.NamesTell(k.Kind) {
		src = l.meet(ctx, w, &q, candidate)
	}
	w.evidence.pasts = w.bake.Status.Pasts
	w.evidence.read(ctx, src, q, edge)
	in := w.evidence.input(to, from, measured, l.deploys.since(k.Namespace, q.past.from))
	v := decide.Judge(in)
	w.verdict = &v
	if l.Recorder != nil && w.bake.Status.Rollback == nil {
		l.Recorder.Record(k, w.bake.Name, in)
	}
	l.Metrics.lastTick.SetToCurrentTime()
	l.Metrics.verdicts.WithLabelValues(string(v.Result)).Inc()
	if len(v.Reasons) > 0 {
		say := l.Log.Debug // every tick is too much for a log; what it says is news when it changes
		if mark := string(v.Result) + v.Reasons[0].Code; mark != w.said {
			w.said, say = mark, l.Log.Info
		}
		say("verdict", zap.String("bake", id(w.bake)), zap.String("verdict", string(v.Result)), zap.String("why", v.Reasons[0].Sentence))
	}
	return next
}

// behind is by how much less was read of the signal whose source is the last to know than of those that know at once.
func (l *Loop) behind(p policy.Resolved) time.Duration {
	var most time.Duration
	for _, s := range p.Signals {
		most = max(most, question{lag: l.Lag, policy: p}.behind(s))
	}
	return most
}

// carry carries one step out: at most one write to the workload, and one to the record.
func (l *Loop) carry(ctx context.Context, k Key, e *entry, s State, step Step) error {
	w := e.work
	b := w.bake.DeepCopy()
	st := &b.Status
	switch step.Do {
	case Open:
		st.Phase, st.Observed = v1alpha1.PhaseRolling, step.Observed
		raiseWrittenBack(b, s.Now)
	case Begin:
		st.Phase, st.FirstReadyAt = v1alpha1.PhaseBaking, now(s)
		if at := micro(s.readFrom()); b.Spec.InPlace { // its pods were ready all the time
			st.FirstReadyAt = &at
		}
	case Find:
		if !l.find(ctx, k, w, s, st) {
			return nil
		}
	case Complete:
		st.CompletedAt = now(s)
	case Migrate:
		st.Migrations = withMigrations(st.Migrations, s.Migrated)
		for _, m := range s.Migrated {
			l.Log.Info("a database migration ran", zap.String("bake", id(b)), zap.String("tool", m.Tool), zap.String("migration", m.Name), zap.String("pod", m.Pod))
		}
	case Blind:
		for _, x := range s.Blind {
			l.Log.Warn("a source does not answer", zap.String("bake", id(b)), zap.String("source", x.Source), zap.Time("since", x.Since.Time), zap.String("why", x.Why))
		}
		st.Blind = s.Blind
	case Suspect:
		l.suspect(s, st)
	case Remember:
		st.Pods = append(st.Pods, s.Gone...)
	case Single:
		p := s.Progress.Stuck
		st.Rollback.Freed = append(st.Rollback.Freed, v1alpha1.FreedPod{Name: p.Name, UID: p.UID, IntendedAt: micro(s.Now)})
	case Free:
		return l.free(ctx, k, e)
	case Ask:
		w.recordEvidence(st, s.Now)
		st.Evidence = l.collect(ctx, k, b)
		st.Reasons, st.Why = step.Reasons, step.Reasons[0].Sentence
		st.Approval = &v1alpha1.Approval{AskedAt: micro(s.Now), Until: micro(step.Until), Default: string(s.approval().Default)}
		st.Alert = fire(AlertHeld, s.Now)
	case Intend:
		st.Phase = v1alpha1.PhaseRollingBack
		if st.Approval == nil { // else it is on record since people were asked
			w.recordEvidence(st, s.Now)
			st.Evidence = l.collect(ctx, k, b)
		}
		recordAnswer(st, step.Answer, s.answeredBy(), s.Now)
		st.ByHand = step.ByHand
		st.Reasons, st.Why = step.Reasons, step.Reasons[0].Sentence
		st.Rollback = &v1alpha1.Rollback{IntendedAt: micro(s.Now), Target: *b.Spec.From, Because: st.Why, Suspension: s.suspension(), Aftermath: s.aftermath(), Helm: s.helm(), ConfigMaps: toRestore(b.Spec), Restart: s.restart()}
		l.undoneReleases.note(b)
		st.Alert = fire(AlertRolledBack, s.Now)
	case Plan:
		return l.plan(ctx, e, s, step)
	case Propose:
		return l.propose(ctx, k, e, s)
	case Suspend:
		return l.suspend(ctx, k, e, s)
	case Restore:
		return l.restoreConfig(ctx, k, e, s)
	case Restart:
		return l.restart(ctx, k, e, s)
	case Retarget:
		st.Rollback.Target = restartedAs(s)
	case Undo:
		return l.undo(ctx, k, e, s)
	case Halt, Pause, GoOn, Release:
		return l.carryPause(ctx, k, e, s, step)
	case Reduce:
		if st.Approval == nil {
			w.recordEvidence(st, s.Now)
			st.Evidence = l.collect(ctx, k, b)
		}
		st.Reasons, st.Why = step.Reasons, step.Reasons[0].Sentence
		st.ScaleDown = &v1alpha1.ScaleDown{IntendedAt: micro(s.Now), From: s.Sight.Replicas, To: s.lowest()}
	case Lower:
		return l.lower(ctx, k, e, s)
	case Verify:
		st.Phase, st.Rollback.AvailableAt = v1alpha1.PhaseVerifying, now(s)
		w.evidence, w.verdict = nil, nil // recovery is measured afresh
	case End:
		return l.end(ctx, k, e, step)
	default:
		return fmt.Errorf("a step called %q is not known", step.Do)
	}
	switch step.Do {
	case Open, Begin, Find, Complete:
		l.keepPast(ctx, k, w, st)
	default: // it is known by then, or of no use any more
	}
	if err := l.save(ctx, e, b); err != nil {
		return err
	}
	l.restores.note(b)
	l.Log.Info("bake", zap.String("bake", id(b)), zap.String("phase", string(st.Phase)), zap.String("step", string(step.Do)), zap.String("why", st.Why))
	l.tell(e)
	return nil
}

// recordEvidence records what speaks against the new version.
func (w *work) recordEvidence(st *v1alpha1.BakeStatus, at time.Time) {
	if st.FoundAt == nil && len(w.found.Measured) > 0 {
		w.recordFound(st, at)
	}
	st.Pods, st.Signals, st.Courses, st.Warnings = w.pods(st.Pods), w.summaries(), w.courses(), w.warnings()
}

// forbiddenFor is how long a refusal for want of rights is taken for a passing one: an API server that has just started
// refuses everything for some seconds.
const forbiddenFor = time.Minute

// undo puts the target back; its intent is on record. Then it records the receipt, or ends the bake by what forbade it.
func (l *Loop) undo(ctx context.Context, k Key, e *entry, s State) error {
	b := e.work.bake.DeepCopy()
	rb := b.Status.Rollback
	err := l.undoOnce(ctx, k, s, b)
	late := time.Since(rb.IntendedAt.Time) > s.Frozen.Deadline
	if err != nil && late {
		// The template may be back although its fields cannot be handed back: that is a rollback all the same.
		if p, followErr := l.Undoer.Follow(ctx, k, b.Spec.To, rb.Target); followErr == nil && p.OnTarget {
			l.Log.Warn("rolled back, but the next server-side apply may meet a conflict with bakewatch", zap.String("workload", k.String()), zap.Error(err))
			err = nil
		}
	}
	var step Step
	switch {
	case err == nil:
		rb.PatchedAt = &metav1.MicroTime{Time: time.Now()}
		closePause(b, "rolled back", rb.PatchedAt.Time)
		l.undoneReleases.note(b)
		l.Metrics.rollbacks.Inc()
		l.Log.Info("rolled back", zap.String("workload", k.String()), zap.String("to", rev(rb.Target)), zap.String("because", rb.Because))
		if err := l.save(ctx, e, b); err != nil {
			return err
		}
		l.queue.Add(k)
		e.undid()
		return nil
	case errors.Is(err, ErrGone):
		step = end(v1alpha1.OutcomeAbandoned, CodeDeleted, b.Spec.Ref+" was deleted")
	case errors.Is(err, ErrNewer):
		step = end(v1alpha1.OutcomeSuperseded, CodeNewer, b.Spec.Ref+" was changed before the rollback: "+err.Error())
	case errors.Is(err, ErrPaused):
		step = end(v1alpha1.OutcomeHeld, CodePaused, "held: "+b.Spec.Ref+" was paused: a person has taken over")
		step.Reasons = append(b.Status.Reasons, step.Reasons...)
	case errors.Is(err, ErrNoRevision):
		step = end(v1alpha1.OutcomeHeld, CodeNoGood, fmt.Sprintf("held: %s of %s no longer exists (revisionHistoryLimit?)", rev(rb.Target), b.Spec.Ref))
		step.Reasons = append(b.Status.Reasons, step.Reasons...)
	case errors.Is(err, ErrRelease), errors.Is(err, ErrNotPermitted) && time.Since(rb.IntendedAt.Time) > forbiddenFor, late:
		step = end(v1alpha1.OutcomeHeld, CodeRollbackFailed, fmt.Sprintf("held: %s could not be rolled back to %s: %v", b.Spec.Ref, rev(rb.Target), err))
		step.Reasons = append(b.Status.Reasons, step.Reasons...)
	default:
		return fmt.Errorf("roll %s back to %s: %w", k, rev(rb.Target), err)
	}
	return l.end(ctx, k, e, step)
}

// free deletes a pod that stands in the way of a rollback; its intent is on record. Then it records the receipt.
func (l *Loop) free(ctx context.Context, k Key, e *entry) error {
	b := e.work.bake.DeepCopy()
	rb := b.Status.Rollback
	pod := &rb.Freed[len(rb.Freed)-1]
	spared, err := l.Undoer.Free(ctx, k, b.Spec.Workload.UID, b.Spec.To, rb.Target, *pod)
	if err != nil {
		return fmt.Errorf("free the rollback of %s from pod %s: %w", k, pod.Name, err)
	}
	pod.DoneAt, pod.Spared = &metav1.MicroTime{Time: time.Now()}, spared
	l.Log.Info("a pod stood in the way of the rollback", zap.String("workload", k.String()), zap.String("pod", pod.Name), zap.Bool("deleted", !spared))
	return l.save(ctx, e, b)
}

// end records the outcome and remembers what it means for the workload.
func (l *Loop) end(ctx context.Context, k Key, e *entry, step Step) error {
	w := e.work
	b := w.bake.DeepCopy()
	if err := l.lift(ctx, k, b); err != nil {
		return err
	}
	st := &b.Status
	at := time.Now()
	st.Phase, st.Outcome, st.EndedAt = "", step.Outcome, &metav1.MicroTime{Time: at}
	recordAnswer(st, step.Answer, step.By, at)
	st.ByHand = cmp.Or(step.ByHand, st.ByHand)
	st.Reasons, st.Observed, st.KnownGood = step.Reasons, step.Observed, step.Good
	if len(step.Reasons) > 0 {
		st.Why = step.Reasons[0].Sentence
	}
	if st.FoundAt == nil && len(w.found.Measured) > 0 {
		w.recordFound(st, at)
	}
	if st.Rollback == nil && w.evidence != nil {
		st.Signals, st.Courses, st.Pods = w.summaries(), w.courses(), w.pods(st.Pods)
	}
	if rb := st.Rollback; rb != nil {
		rb.Recovered, rb.Recovery = step.Recovered, step.Recovery
		if w.evidence != nil && rb.AvailableAt != nil {
			st.Courses = w.evidence.restored(w.measured(), st.Courses)
		}
	}
	if st.Rollback == nil {
		st.Warnings = w.warnings()
	}
	if step.NotLowered != nil {
		st.ScaleDown = step.NotLowered
	}
	if st.Outcome == v1alpha1.OutcomeHeld && st.Evidence == nil {
		st.Evidence = l.collect(ctx, k, b)
	}
	st.Alert = alertAtEnd(st, at)
	l.letReleaseGo(ctx, b)
	if err := l.save(ctx, e, b); err != nil {
		return err
	}
	e.close(b)
	l.deploys.note(b)
	l.undoneReleases.note(b)
	l.restores.note(b)
	l.findings.forget(b.Namespace, id(b))
	if st.Rollback == nil || st.Rollback.PatchedAt == nil {
		l.budget.refund(id(b))
	}
	w.evidence, w.verdict = nil, nil
	l.Metrics.outcomes.WithLabelValues(string(st.Outcome)).Inc()
	if n := len(st.Reasons); st.Outcome == v1alpha1.OutcomeHeld && n > 0 {
		l.Metrics.held.WithLabelValues(st.Reasons[n-1].Code).Inc() // the guard is named last
	}
	l.Log.Info("bake ended", zap.String("bake", id(b)), zap.String("outcome", string(st.Outcome)), zap.String("why", st.Why), zap.Bool("observed", st.Observed))
	l.tell(e)
	l.unmark(ctx, k, b)
	return l.prune(ctx, k, e)
}

// unmark takes the mark of an earlier rollback off a workload whose newer version has proved itself. If that fails the mark
// stays: it says when that was.
func (l *Loop) unmark(ctx context.Context, k Key, b *v1alpha1.Bake) {
	s := l.Watcher.Sight(k)
	if _, marked := s.Annotations[AnnotationRolledBack]; !marked || !b.Status.KnownGood || b.Status.Observed {
		return
	}
	if from := b.Spec.From; from != nil && sameRevision(*from, b.Spec.To) {
		return // put back by hand: it still is what it was rolled back to
	}
	if err := l.Undoer.Unmark(ctx, k, b.Spec.Workload.UID); err != nil {
		l.Log.Warn("the mark of an earlier rollback stays", zap.String("workload", k.String()), zap.String("annotation", AnnotationRolledBack), zap.Error(err))
	}
}

// save writes the record's status. Somebody else having written it means that this daemon may no longer be the leader, or
// that it was killed after writing: what is on record counts.
func (l *Loop) save(ctx context.Context, e *entry, b *v1alpha1.Bake) error {
	saved, err := l.Records.Update(ctx, b)
	switch {
	case errors.Is(err, ErrConflict):
		current, getErr := l.Records.Get(ctx, b.Namespace, b.Name)
		if getErr != nil {
			return fmt.Errorf("read %s again after a conflict: %w", id(b), getErr)
		}
		e.work.bake, e.work.evidence, e.work.verdict = current, nil, nil
		e.undid()
		return fmt.Errorf("record %s: %w", id(b), err)
	case errors.Is(err, ErrNoRecord):
		// Without a record there is no intent, and without an intent no deed.
		l.Log.Error("the bake's record was deleted; this rollout is no longer guarded", zap.String("bake", id(b)))
		l.letGo(e)
		l.budget.refund(id(b))
		l.deploys.forget(keyOf(b))
		return fmt.Errorf("record %s: %w", id(b), err)
	case err != nil:
		return fmt.Errorf("record %s: %w", id(b), err)
	}
	e.work.bake = saved
	l.Metrics.active.track(id(saved), saved.Status.Outcome == "")
	l.Metrics.trackPause(saved)
	return nil
}

func (w *work) summaries() []v1alpha1.SignalSummary {
	if w.evidence == nil {
		return nil
	}
	return w.evidence.summaries(w.measured())
}

func micro(t time.Time) metav1.MicroTime { return metav1.NewMicroTime(t.UTC()) }

func now(s State) *metav1.MicroTime {
	t := micro(s.Now)
	return &t
}
