package bake

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func wantOutcome(t *testing.T, b *v1alpha1.Bake, outcome v1alpha1.Outcome, code string) {
	t.Helper()
	if b.Status.Outcome != outcome || !has(b.Status.Reasons, code) {
		t.Fatalf("%s is %s%s for %+v, want %s for %s", b.Name, b.Status.Phase, b.Status.Outcome, b.Status.Reasons, outcome, code)
	}
}

func wantChanges(t *testing.T, w *world, want ...string) {
	t.Helper()
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if diff := cmp.Diff(want, w.changes); diff != "" {
		t.Fatalf("templates changed (-want +got):\n%s", diff)
	}
}

func TestAHealthyRolloutPasses(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		if got := w.outcomes(); len(got) != 0 {
			t.Fatalf("what ran before was baked: %v", got)
		}
		w.deploy(web, "B")
		w.pass(time.Minute)
		if b := w.bake(t, 2); b.Status.Phase != v1alpha1.PhaseBaking || b.Spec.From == nil || b.Spec.From.Hash != "A" {
			t.Fatalf("after a minute it is %s%s, from %v", b.Status.Phase, b.Status.Outcome, b.Spec.From)
		}
		w.pass(3 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomePassed, decide.CodeWithin)
		if !b.Status.KnownGood || b.Status.EndedAt.Sub(b.Status.CompletedAt.Time) < 105*time.Second {
			t.Errorf("known good: %v; baked for %s of 2m", b.Status.KnownGood, b.Status.EndedAt.Sub(b.Status.CompletedAt.Time))
		}
		wantChanges(t, w)
		if sent, _ := w.alerts(AlertRolledBack); len(sent) != 0 {
			t.Errorf("alerts: %v", sent)
		}
		for stage, want := range map[announce.Stage][]string{
			announce.Started: {"shop deployment/web: watching the rollout of rev 2 over rev 1"},
			announce.Ended:   {"shop deployment/web: rev 2 passed"},
		} {
			if diff := cmp.Diff(want, w.headlines(stage)); diff != "" {
				t.Errorf("told of %s (-want +got):\n%s", stage, diff)
			}
		}
		if len(b.Status.Announced) != 2 || b.Status.Announced[0].ID != "7" {
			t.Errorf("receipts on record: %+v", b.Status.Announced)
		}
		if w.newest.loop.ledger.of(web).work != nil {
			t.Error("it is still worked on although all is done and told")
		}
	})
}

func TestABadRolloutIsRolledBackOnceAndVerified(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["A"], w.rates["B"] = 0.001, 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantChanges(t, w, "B to A")
		rb := b.Status.Rollback
		if rb.Recovered != "Yes" || rb.PatchedAt.Before(&rb.IntendedAt) || rb.Target.Hash != "A" || !strings.HasPrefix(rb.Recovery, "recovered: http-errors: 0.1% of ") {
			t.Errorf("rollback on record: %+v", rb)
		}
		if b.Status.Why != rb.Because || b.Status.KnownGood {
			t.Errorf("why %q, because %q, known good %v", b.Status.Why, rb.Because, b.Status.KnownGood)
		}
		if got := w.outcomes(); len(got) != 1 {
			t.Errorf("its own rollback was baked: %v", got)
		}
		if w.workloads[web].owned {
			t.Error("the ownership of the template's fields was not handed back")
		}
		if diff := cmp.Diff([]string{"shop deployment/web: rolling back from rev 2 to rev 1"}, w.headlines(announce.Deciding)); diff != "" {
			t.Errorf("told of the decision (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"shop deployment/web: rolled back from rev 2 to rev 1, recovered"}, w.headlines(announce.Ended)); diff != "" {
			t.Errorf("told of the end (-want +got):\n%s", diff)
		}

		// The fix is baked against the good revision.
		w.deploy(web, "C")
		w.pass(4 * time.Minute)
		fix := w.bake(t, 4)
		wantOutcome(t, fix, v1alpha1.OutcomePassed, decide.CodeWithin)
		if fix.Spec.From.Hash != "A" || fix.Spec.From.Number != 3 {
			t.Errorf("compared with %+v, want A under its new number 3", fix.Spec.From)
		}
	})
}

func TestAlertsAreSentAgainAndResolved(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		b := w.bake(t, 2)
		sent, at := w.alerts(AlertRolledBack)
		if len(sent) < 4 {
			t.Fatalf("sent %d times", len(sent))
		}
		for i := range len(sent) - 1 {
			if !sent[i].EndsAt.After(at[i]) || sent[i].EndsAt.Sub(at[i]) > alertLapse {
				t.Errorf("alert %d of %d lapses %s after it was sent", i, len(sent), sent[i].EndsAt.Sub(at[i]))
			}
			if gap := at[i+1].Sub(at[i]); gap > alertEvery+2*time.Second {
				t.Errorf("%s passed between two sendings", gap)
			}
			if !sent[i].StartsAt.Equal(sent[0].StartsAt) {
				t.Errorf("it began anew at %s", sent[i].StartsAt)
			}
		}
		if last := len(sent) - 1; sent[last].EndsAt.After(at[last]) {
			t.Error("it was not resolved")
		}
		if a := b.Status.Alert; a.ResolvedAt == nil || a.ResolvedAt.Sub(b.Status.EndedAt.Time) < alertAfter || a.ResolvedAt.Sub(b.Status.EndedAt.Time) > alertAfter+5*time.Second {
			t.Errorf("alert on record: %+v, ended at %s", a, b.Status.EndedAt)
		}
		if w.newest.loop.ledger.of(web).work != nil || len(w.newest.loop.alerts) != 0 {
			t.Error("it is still worked on although all is done, told and resolved")
		}
	})
}

func TestARollbackThatDoesNotHelpSaysSo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseRollingBack)
		w.cluster.mu.Lock()
		w.broken = time.Now()
		w.cluster.mu.Unlock()
		w.pass(10 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		if b.Status.Rollback.Recovered != "No" || b.Status.Alert.ResolvedAt != nil {
			t.Errorf("recovered %s, alert %+v", b.Status.Rollback.Recovered, b.Status.Alert)
		}
		wantChanges(t, w, "B to A")
	})
}

func TestObserveTouchesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(strings.Replace(guardPolicy, "guard", "observe", 1))
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeHeld, CodeObserve)
		if !b.Status.Observed || b.Status.Rollback != nil || b.Status.Reasons[0].Code != decide.CodeThreshold {
			t.Errorf("on record: %+v", b.Status)
		}
		wantChanges(t, w)
		if got := w.headlines(announce.Ended); len(got) != 1 || !strings.HasPrefix(got[0], "[observe] ") {
			t.Errorf("told: %q", got)
		}
		if sent, _ := w.alerts(AlertHeld); len(sent) == 0 || sent[0].Severity != "warning" {
			t.Errorf("alerts: %+v", sent)
		}
	})
}

// A switch that makes it do less acts at once, also on a bake that began in guard.
func TestObserveMidBake(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Second)
		w.setPolicy(strings.Replace(guardPolicy, "guard", "observe", 1))
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeObserve)
		wantChanges(t, w)
	})
}

func TestOptOutMidBake(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Second)
		w.with(web, func(x *workload) { x.annotations = map[string]string{"bakewatch.dev/enabled": "false"} })
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeAbandoned, CodeOptedOut)
		wantChanges(t, w)
	})
}

func TestDeadPrometheusIsInconclusiveAndAlerts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.down = true
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeInconclusive, decide.CodeBlind)
		if b.Status.KnownGood || !strings.Contains(b.Status.Why, "prometheus: connection refused") {
			t.Errorf("known good: %v, why: %s", b.Status.KnownGood, b.Status.Why)
		}
		wantChanges(t, w)
		if sent, _ := w.alerts(AlertInconclusive); len(sent) == 0 {
			t.Error("nobody was alerted")
		}
	})
}

// Prometheus comes back within the bake: what it did not answer is asked again, and the bad version is found.
func TestPrometheusComesBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Second)
		w.cluster.mu.Lock()
		w.down = true
		w.cluster.mu.Unlock()
		w.pass(90 * time.Second)
		wantChanges(t, w)
		w.cluster.mu.Lock()
		w.down = false
		w.cluster.mu.Unlock()
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantChanges(t, w, "B to A")
	})
}
