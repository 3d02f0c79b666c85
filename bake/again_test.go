package bake

import (
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// rolledBack is that the workload was rolled back from one revision to another, so long before now.
func rolledBack(bad, good v1alpha1.Revision, ago time.Duration) func(*State) {
	return func(s *State) {
		s.Undone = append(s.Undone, pastUndo{"deployment-web-u1-7", bad, good, s.Now.Add(-ago)})
	}
}

func putBackBy(tool string) func(*State) { return func(s *State) { s.Bake.Spec.ChangedBy = tool } }

func TestGuardToAndFro(t *testing.T) {
	const baking = v1alpha1.PhaseBaking
	on := policy.GuardRules{ToAndFro: true}
	six, seven := v1alpha1.Revision{Number: 4, Hash: "h6"}, v1alpha1.Revision{Number: 3, Hash: "h7"}
	other := v1alpha1.Revision{Number: 2, Hash: "h1"}
	try(t,
		guardCase{"never rolled back", in(baking, worse, rules(on)), "", ""},
		guardCase{"the same bad one again", in(baking, worse, rules(on), rolledBack(seven, six, 20*time.Minute), putBackBy("argo-workflow")), CodeToAndFro,
			"rev 7 is rev 3 again, rolled back 20m ago, and was put back by argo-workflow; it is not rolled back to rev 6 a second time: fix it, or revert it where it is applied from"},
		guardCase{"nobody knows who put it back", in(baking, worse, rules(on), rolledBack(seven, six, 240*time.Hour)), CodeToAndFro,
			"rev 7 is rev 3 again, rolled back 240h ago, and was put back; it is not rolled back to rev 6 a second time: fix it, or revert it where it is applied from"},
		guardCase{"the other way round", in(baking, worse, rules(on), rolledBack(six, seven, time.Hour)), CodeToAndFro,
			"rev 7 is what rev 6 was rolled back to 1h ago, when it was rev 3; the two do not take turns: choose one, or fix what is wrong with both"},
		guardCase{"long ago, and another since", in(baking, worse, rules(on), rolledBack(seven, six, 9*time.Hour), rolledBack(other, six, time.Hour)), CodeToAndFro, ""},
		guardCase{"another bad one", in(baking, worse, rules(on), rolledBack(other, six, time.Hour)), "", ""},
		guardCase{"the same bad one over another good one", in(baking, worse, rules(on), rolledBack(seven, other, time.Hour)), "", ""},
		guardCase{"hashes that are not known", in(baking, worse, rules(on), rolledBack(v1alpha1.Revision{Number: 3}, v1alpha1.Revision{Number: 2}, time.Hour)), "", ""},
		guardCase{"policy has it rolled back each time", in(baking, worse, rules(policy.GuardRules{}), rolledBack(seven, six, time.Minute)), "", ""},
	)
}

func TestGuardCooldown(t *testing.T) {
	const baking = v1alpha1.PhaseBaking
	on := policy.GuardRules{Cooldown: policy.Limit(10 * time.Minute)}
	one, other := v1alpha1.Revision{Number: 1, Hash: "h1"}, v1alpha1.Revision{Number: 2, Hash: "h2"}
	try(t,
		guardCase{"never rolled back", in(baking, worse, rules(on)), "", ""},
		guardCase{"just rolled back", in(baking, worse, rules(on), rolledBack(other, one, 9*time.Minute+59*time.Second)), CodeCooldown,
			"deployment/web was rolled back from rev 2 9m59s ago already, and policy lets 10m pass between two rollbacks; see what they have in common"},
		guardCase{"rolled back before", in(baking, worse, rules(on), rolledBack(other, one, 10*time.Minute)), "", ""},
		guardCase{"the last one counts", in(baking, worse, rules(on), rolledBack(other, one, time.Hour), rolledBack(other, one, time.Minute)), CodeCooldown, ""},
		guardCase{"no cooldown", in(baking, worse, rules(policy.GuardRules{}), rolledBack(other, one, time.Second)), "", ""},
		guardCase{"the longer of both counts", in(baking, worse, rulesNow(policy.GuardRules{Cooldown: policy.Limit(time.Minute)}), rulesAtStart(on), rolledBack(other, one, 5*time.Minute)), CodeCooldown, ""},
	)
}

// The bad version is applied again: it is recognised when it begins, and left to a person when it is bad again.
func TestTheSameBadTemplateIsHeld(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["B"] = 0.2
			p := w.start()
			w.deploy(web, "B")
			w.pass(20 * time.Minute)
			first := w.bake(t, 2)
			wantOutcome(t, first, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			if first.Spec.Again != nil {
				t.Errorf("the first time it is taken for a second: %+v", first.Spec.Again)
			}
			if restart { // what was rolled back is on record
				p.stop()
				w.start()
			}
			w.deploy(web, "B")
			w.pass(5 * time.Minute)
			b := w.bake(t, 4)
			wantOutcome(t, b, v1alpha1.OutcomeHeld, CodeToAndFro)
			wantChanges(t, w, "B to A")
			if a := b.Spec.Again; a == nil || a.Number != 2 || a.Bake != first.Name || !a.At.Equal(first.Status.Rollback.PatchedAt) {
				t.Errorf("it is not recognised: %+v", a)
			}
			told := w.headlines(announce.Started)
			if last := told[len(told)-1]; !strings.Contains(last, "watching the rollout of rev 4 over rev 3; rev 4 is rev 2 again, rolled back 19m") {
				t.Errorf("when it began, people were told %q", last)
			}
			if sent, _ := w.alerts(AlertHeld); len(sent) == 0 || sent[0].Severity != "critical" {
				t.Errorf("alerts: %v", sent)
			}
			if mark := w.sight(web).Annotations[AnnotationRolledBack]; !strings.HasPrefix(mark, "2 at ") {
				t.Errorf("the workload is marked %q, want 2", mark)
			}
			w.deploy(web, "C")
			w.pass(5 * time.Minute)
			if mark, marked := w.sight(web).Annotations[AnnotationRolledBack]; marked {
				t.Errorf("it is still marked %q although the fix has passed", mark)
			}
			if b := w.bake(t, 5); b.Spec.Again != nil || b.Status.Outcome != v1alpha1.OutcomePassed {
				t.Errorf("the fix is taken for the bad one: %+v %s", b.Spec.Again, b.Status.Outcome)
			}
		})
	}
}

// Two bad versions, one right after the other: the second is left to a person, and rolled back when it comes later.
func TestCooldown(t *testing.T) {
	for pause, want := range map[time.Duration]v1alpha1.Outcome{0: v1alpha1.OutcomeHeld, 5 * time.Minute: v1alpha1.OutcomeRolledBack} {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["B"], w.rates["C"] = 0.2, 0.2
			w.start()
			w.deploy(web, "B")
			w.pass(3 * time.Minute)
			wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			w.pass(pause)
			w.deploy(web, "C")
			w.pass(4 * time.Minute)
			b := w.bake(t, 4)
			wantOutcome(t, b, want, decide.CodeThreshold)
			if (want == v1alpha1.OutcomeHeld) != has(b.Status.Reasons, CodeCooldown) {
				t.Errorf("after %s: %+v", pause, b.Status.Reasons)
			}
		})
	}
}

func TestRollbacksRememberedAreBounded(t *testing.T) {
	var e entry
	for i := range 3 * maxUndone {
		b := in(v1alpha1.PhaseRollingBack, patched).Bake
		b.Name = Name(web, "u1", int64(i))
		e.rememberUndone(b)
		e.rememberUndone(b)
	}
	if len(e.undone) != maxUndone || e.undone[maxUndone-1].bake != Name(web, "u1", 3*maxUndone-1) {
		t.Errorf("%d are remembered, the last is %+v", len(e.undone), e.undone[len(e.undone)-1])
	}
	e = entry{}
	if e.rememberUndone(in(v1alpha1.PhaseRollingBack).Bake); len(e.undone) != 0 {
		t.Error("an intent is taken for a deed")
	}
}
