package bake

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// What an undo may meet between the intent and the deed.
func TestAnUndoThatMayNotBe(t *testing.T) {
	refused := fmt.Errorf("%w: deployments.apps is forbidden", ErrNotPermitted)
	for _, c := range []struct {
		name    string
		err     error
		lasts   time.Duration // 0: for ever
		outcome v1alpha1.Outcome
		code    string
		says    string // by the last reason
		alert   string // that fires
	}{
		{"gone", ErrGone, 0, v1alpha1.OutcomeAbandoned, CodeDeleted, "deployment/web was deleted", ""},
		{"newer", fmt.Errorf("%w between reading and patching it", ErrNewer), 0, v1alpha1.OutcomeSuperseded, CodeNewer, "deployment/web was changed before the rollback", ""},
		{"paused", ErrPaused, 0, v1alpha1.OutcomeHeld, CodePaused, "held: deployment/web was paused: a person has taken over", AlertHeld},
		{"garbage-collected", ErrNoRevision, 0, v1alpha1.OutcomeHeld, CodeNoGood, "held: rev 1 of deployment/web no longer exists (revisionHistoryLimit?)", AlertHeld},
		{"forbidden", refused, 0, v1alpha1.OutcomeHeld, CodeRollbackFailed, "held: deployment/web could not be rolled back to rev 1: not permitted", AlertHeld},
		{"forbidden for a moment", refused, 10 * time.Second, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, "", ""},
		{"failing", errors.New("etcd is slow"), 0, v1alpha1.OutcomeHeld, CodeRollbackFailed, "held: deployment/web could not be rolled back to rev 1: etcd is slow", AlertHeld},
		{"failing for a while", errors.New("etcd is slow"), 2 * time.Minute, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				var first time.Time
				w.start(func(p *process) {
					p.undoErr = func() error {
						if first.IsZero() {
							first = time.Now()
						}
						if c.lasts > 0 && time.Since(first) >= c.lasts {
							return nil
						}
						return c.err
					}
				})
				w.deploy(web, "B")
				w.pass(10 * time.Minute)
				b := w.bake(t, 2)
				wantOutcome(t, b, c.outcome, c.code)
				if b.Status.Rollback == nil {
					t.Fatal("there was no intent on record")
				}
				last := b.Status.Reasons[len(b.Status.Reasons)-1]
				if !strings.HasPrefix(last.Sentence, c.says) {
					t.Errorf("said %q, want %q", last.Sentence, c.says)
				}
				if c.outcome == v1alpha1.OutcomeRolledBack {
					wantChanges(t, w, "B to A")
					return
				}
				wantChanges(t, w)
				firing := ""
				for _, a := range w.newest.loop.alerts {
					firing = a.Name
				}
				if firing != c.alert {
					t.Errorf("firing: %q, want %q", firing, c.alert)
				}
				if n := len(w.newest.loop.budget.spent); n != 0 {
					t.Errorf("%d spent of the budget for a rollback that was not", n)
				}
			})
		})
	}
}

// Without a record there is no intent, and without an intent no deed.
func TestTheRecordIsDeletedMidBake(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseBaking)
		w.cluster.mu.Lock()
		clear(w.records)
		w.cluster.mu.Unlock()
		w.pass(5 * time.Minute)
		wantChanges(t, w)
		if w.newest.loop.ledger.of(web).work != nil {
			t.Error("it is still worked on")
		}
		w.deploy(web, "C")
		w.pass(5 * time.Minute)
		if b := w.bake(t, 3); b.Status.Outcome != v1alpha1.OutcomePassed || b.Spec.From.Hash != "A" {
			t.Errorf("the next is %s, compared with %v", b.Status.Outcome, b.Spec.From)
		}
	})
}

// Somebody else writes the status: what is on record counts, and the bake goes on from there.
func TestTheRecordIsWrittenBySomebodyElse(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseBaking)
		b := w.bake(t, 2)
		b.Status.Announced = append(b.Status.Announced, v1alpha1.Receipt{Receiver: "page", Stage: "started"})
		if _, err := w.updateRecord(b); err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute)
		b = w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantChanges(t, w, "B to A")
		kept := false
		for _, r := range b.Status.Announced {
			kept = kept || r.Receiver == "page"
		}
		if !kept {
			t.Error("what somebody else wrote was overwritten")
		}
	})
}

// A stale leader and a new one at the same time: the template is changed once, and the record tells one story.
func TestTwoLeaders(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		stale := w.start()
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseBaking)
		w.start()
		w.pass(10 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantChanges(t, w, "B to A")
		if got := w.outcomes(); len(got) != 1 {
			t.Errorf("bakes: %v", got)
		}
		stale.stop()
	})
}

func TestNamesOfBakes(t *testing.T) {
	long := strings.Repeat("a", 179) + ".b"
	for _, c := range []struct{ name, want string }{
		{"web", "deployment-web-0a1b2c3d-7"},
		{"web.v1", "deployment-web.v1-0a1b2c3d-7"},
		{long, "deployment-" + strings.Repeat("a", 179) + "-0a1b2c3d-7"}, // a dot before a dash is no valid name
	} {
		if got := Name(named("shop", c.name), "0a1b2c3d-4e5f", 7); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// The policy in a record cannot be read, and there is no other yet: the bake goes on as one that only observes.
func TestARecordWithoutAPolicy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		finds := func(p *process) { p.finder = &finder{measured: []signals.Found{plain}} }
		p := w.start(finds)
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseBaking)
		p.stop()
		w.cluster.mu.Lock()
		for _, b := range w.records {
			b.Spec.Policy.Raw = []byte(`{"window":"by hand"}`)
		}
		config := w.config
		w.config = nil
		w.cluster.mu.Unlock()
		w.start(finds)
		w.pass(time.Minute)
		w.cluster.mu.Lock()
		w.config = config
		w.cluster.mu.Unlock()
		w.pass(20 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeObserve)
		wantChanges(t, w)
	})
}
