package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

// The alerts, by name.
const (
	AlertRolledBack   = "BakewatchRolledBack"   // a rollback is under way, done, or did not help
	AlertHeld         = "BakewatchHeld"         // a regression waits for a person
	AlertWrittenBack  = "BakewatchWrittenBack"  // the bad version was written back soon after its rollback
	AlertInconclusive = "BakewatchInconclusive" // a rollout could not be judged: its signals could not be read, or were suspicious
)

const (
	// alertAfter is how long an alert goes on once all is well again: longer than Alertmanager waits to group alerts, so
	// that the message goes out at all.
	alertAfter = 2 * time.Minute
	// alertFor is how long an alert waits for a person, or a newer rollout.
	alertFor = 24 * time.Hour
	// alertEvery is how often firing alerts are sent again, and alertLapse when they lapse if nobody does: Alertmanager
	// forgets an alert at its end.
	alertEvery = 30 * time.Second
	alertLapse = 4 * alertEvery
	// tellFor is how long after its end a bake's receivers are still told, across restarts.
	tellFor = time.Hour
)

func fire(name string, at time.Time) *v1alpha1.Alert {
	return &v1alpha1.Alert{Name: name, StartsAt: micro(at), Until: micro(at.Add(alertFor))}
}

// alertAtEnd is the alert that an ended bake leaves firing; nil when there is nothing to alert.
func alertAtEnd(st *v1alpha1.BakeStatus, at time.Time) *v1alpha1.Alert {
	a := st.Alert
	switch st.Outcome {
	case v1alpha1.OutcomeRolledBack:
		if a != nil && st.Rollback.Recovered == "Yes" {
			a.Until = micro(at.Add(alertAfter))
		}
	case v1alpha1.OutcomeHeld:
		if a == nil {
			a = fire(AlertHeld, at)
		}
		a.Name = AlertHeld
	case v1alpha1.OutcomeInconclusive:
		worth := func(code string) bool { return has(st.Reasons, code) }
		switch {
		case a == nil:
		case a.Name == AlertWrittenBack:
			return a // the bad version runs, and nothing says that it is well
		default: // people were asked
			a.Until = micro(at)
		}
		if slices.ContainsFunc([]string{decide.CodeBlind, decide.CodeSilent, decide.CodeSuspicion, decide.CodeShared, decide.CodeDisagree}, worth) {
			a = fire(AlertInconclusive, at)
			a.Until = micro(at.Add(time.Hour))
		}
	default:
		if a != nil {
			a.Until = micro(at)
		}
	}
	return a
}

// stages are the stages a bake has come to.
func stages(b *v1alpha1.Bake) []announce.Stage {
	out := []announce.Stage{announce.Started}
	if b.Status.Suspicion != nil {
		out = append(out, announce.Suspicion)
	}
	if b.Status.Rollback != nil || b.Status.Approval != nil || writtenBack(b.Spec) {
		out = append(out, announce.Deciding)
	}
	if b.Status.Outcome != "" {
		out = append(out, announce.Ended)
		if a := b.Status.Alert; a != nil && a.ResolvedAt != nil {
			out = append(out, announce.Resolved)
		}
	}
	return out
}

// order is how stages follow one another.
var order = []announce.Stage{announce.Started, announce.Suspicion, announce.Deciding, announce.Ended, announce.Resolved}

// toldOf are the receivers that have a receipt for a stage, or for a later one: stages are told in order.
func toldOf(b *v1alpha1.Bake, stage announce.Stage) []string {
	var out []string
	for _, r := range b.Status.Announced {
		if slices.Index(order, announce.Stage(r.Stage)) >= slices.Index(order, stage) {
			out = append(out, r.Receiver)
		}
	}
	return out
}

// untold are the stages that some receiver has no receipt for.
func (l *Loop) untold(b *v1alpha1.Bake) []announce.Stage {
	var out []announce.Stage
	for _, stage := range stages(b) {
		told := toldOf(b, stage)
		if slices.ContainsFunc(l.Teller.Receivers(story(b, stage)), func(r string) bool { return !slices.Contains(told, r) }) {
			out = append(out, stage)
		}
	}
	return out
}

// tell hands over every stage that was not handed over by this process yet, and keeps the bake's alert up to date.
func (l *Loop) tell(e *entry) {
	w := e.work
	l.mu.Lock()
	l.telling[id(w.bake)] = keyOf(w.bake)
	l.mu.Unlock()
	for _, stage := range l.untold(w.bake) {
		if !w.told[stage] {
			w.told[stage] = true
			l.Teller.Tell(l.withReport(w.bake, stage), toldOf(w.bake, stage))
		}
	}
	a := w.bake.Status.Alert
	l.mu.Lock()
	defer l.mu.Unlock()
	if a == nil || a.ResolvedAt != nil {
		delete(l.alerts, id(w.bake))
		return
	}
	l.alerts[id(w.bake)] = announce.Alert{Name: a.Name, Severity: severity(w.bake), Story: story(w.bake, announce.Ended), StartsAt: a.StartsAt.Time, EndsAt: a.Until.Time}
}

// tellLate hands over what some receiver has no receipt for, of a bake that a newer one has followed. Their receipts are
// not waited for.
func (l *Loop) tellLate(b *v1alpha1.Bake) {
	if b.Status.EndedAt == nil || time.Since(lastNews(b)) >= tellFor {
		return
	}
	for _, stage := range l.untold(b) {
		l.Teller.Tell(l.withReport(b, stage), toldOf(b, stage))
	}
}

// lastNews is when there was last anything to tell of a bake that has ended.
func lastNews(b *v1alpha1.Bake) time.Time {
	if a := b.Status.Alert; a != nil && a.ResolvedAt != nil && a.ResolvedAt.After(b.Status.EndedAt.Time) {
		return a.ResolvedAt.Time
	}
	return b.Status.EndedAt.Time
}

// severity is a label, and so part of the alert's identity: it must not change while the alert fires, or Alertmanager
// would take it for a second alert, and the first would go on until it lapses.
func severity(b *v1alpha1.Bake) string {
	if a := b.Status.Alert; a != nil && a.Name == AlertWrittenBack && !b.Status.Observed {
		return "critical"
	}
	if b.Status.Observed || b.Status.Outcome == v1alpha1.OutcomeInconclusive {
		return "warning"
	}
	return "critical"
}

// takeReceipts records what receivers were told.
func (l *Loop) takeReceipts(ctx context.Context, k Key, e *entry) error {
	l.mu.Lock()
	got := l.receipts[k]
	delete(l.receipts, k)
	l.mu.Unlock()
	if len(got) == 0 || e.work == nil {
		return nil
	}
	b := e.work.bake.DeepCopy()
	for _, d := range got {
		if d.bake != id(b) {
			continue // of an older bake, whose record is closed
		}
		same := func(r v1alpha1.Receipt) bool { return r.Receiver == d.receipt.Receiver && r.Stage == d.receipt.Stage }
		if i := slices.IndexFunc(b.Status.Announced, same); i >= 0 {
			b.Status.Announced[i] = d.receipt
		} else {
			b.Status.Announced = append(b.Status.Announced, d.receipt)
		}
	}
	if err := l.save(ctx, e, b); err != nil {
		l.mu.Lock()
		l.receipts[k] = append(got, l.receipts[k]...)
		l.mu.Unlock()
		return err
	}
	return nil
}

// finishTelling looks after a bake that has ended: it resolves its alert in time, and lets go of it when all is told.
// newer says that a newer rollout has come, which leaves nothing to wait for.
func (l *Loop) finishTelling(ctx context.Context, e *entry, newer bool) error {
	w := e.work
	if w == nil || w.bake.Status.Outcome == "" {
		return nil
	}
	st := w.bake.Status
	newer = newer || e.current.Hash != "" && e.current.Hash != w.bake.Spec.To.Hash && (st.Rollback == nil || e.current.Hash != st.Rollback.Target.Hash)
	if a := st.Alert; a != nil && a.ResolvedAt == nil {
		if !newer && time.Now().Before(a.Until.Time) {
			l.tell(e)
			return nil // keepAlerts brings us back when it is over
		}
		// Resolve first, then say so on record: killed in between, it is resolved once more.
		gone := announce.Alert{Name: a.Name, Severity: severity(w.bake), Story: story(w.bake, announce.Ended), StartsAt: a.StartsAt.Time, EndsAt: time.Now()}
		if err := l.Teller.Alert(ctx, []announce.Alert{gone}); err != nil {
			if newer {
				l.Teller.Tell(story(w.bake, announce.Resolved), toldOf(w.bake, announce.Resolved)) // one receiver's outage is not the others'
			}
			if time.Since(a.Until.Time) < time.Hour {
				return fmt.Errorf("resolve the alert of %s: %w", id(w.bake), err)
			}
			l.Log.Warn("gave up resolving an alert; alertmanager lets it lapse", zap.String("bake", id(w.bake)), zap.Error(err))
		}
		b := w.bake.DeepCopy()
		b.Status.Alert.ResolvedAt = &metav1.MicroTime{Time: time.Now()}
		if err := l.save(ctx, e, b); err != nil {
			return err
		}
	}
	l.tell(e)
	if len(l.untold(w.bake)) > 0 && time.Since(lastNews(w.bake)) < tellFor && !newer {
		return nil // the receipt brings us back
	}
	l.letGo(e)
	return nil
}

// letGo forgets the workload's bake; its record stays.
func (l *Loop) letGo(e *entry) {
	if e.work == nil {
		return
	}
	bake := id(e.work.bake)
	l.findings.forget(e.work.bake.Namespace, bake)
	e.work = nil
	l.Metrics.active.track(bake, false)
	l.Metrics.paused.track(bake, false)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.alerts, bake)
	delete(l.telling, bake)
}

// keepAlerts sends what fires again and again, until ctx ends.
func (l *Loop) keepAlerts(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var sent time.Time
	known := map[string]bool{}
	last := map[string]announce.Alert{} // as sent last, by bake
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.queue.Add(heartbeat)
		now := time.Now()
		var firing []announce.Alert
		next := map[string]announce.Alert{}
		fresh := false
		current := map[string]bool{}
		l.mu.Lock()
		for bake, a := range l.alerts {
			if !now.Before(a.EndsAt) {
				k := Key{Kind: a.Story.Kind, Namespace: a.Story.Namespace, Name: a.Story.Workload}
				l.queue.Add(k) // to be resolved by the look that owns the record
				continue
			}
			mark := bake + a.Name + a.Story.Headline
			current[mark] = true
			fresh = fresh || !known[mark]
			a.EndsAt = now.Add(alertLapse)
			firing, next[bake] = append(firing, a), a
			// A rollback that was held after all: what it was called before is no longer so.
			if was, ok := last[bake]; ok && (was.Name != a.Name || was.Story.Observed != a.Story.Observed) {
				was.EndsAt = now
				firing = append(firing, was)
			}
		}
		l.mu.Unlock()
		if len(firing) == 0 || !fresh && now.Sub(sent) < alertEvery {
			continue
		}
		callCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := l.Teller.Alert(callCtx, firing)
		cancel()
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				l.Log.Warn("alerts not sent; will try again", zap.Int("alerts", len(firing)), zap.Error(err))
			}
			continue
		}
		sent, known, last = now, current, next
	}
}
