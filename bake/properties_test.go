package bake

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// anyState is a bake in any phase, with anything having happened to it.
func anyState() *rapid.Generator[State] {
	events := []func(*State){deleted, madeAnew, optedOut, observing, frozenObs, isPaused, undone, newer, unknown, toZero, lagging, newReady, noFrom, restarted,
		noBudget, owned, suspends, suspensionPends, reverts, proposalPends, needsApproval, waitsForApproval, approves, rejects, complete, onTarget, stuck, stuckStale,
		canary, freezes, marked, halted, pausing, resumed, rewritten, suspicious,
		verdict(decide.Healthy, 20*time.Minute, decide.CodeWithin), verdict(decide.Regressed, time.Minute, decide.CodeThreshold), verdict(decide.Undecided, 20*time.Minute, decide.CodeBlind)}
	late := []func(*State){at(0), at(10 * time.Minute), at(2 * time.Hour), at(-time.Hour)}
	return rapid.Custom(func(t *rapid.T) State {
		phase := rapid.SampledFrom([]v1alpha1.Phase{"", v1alpha1.PhaseRolling, v1alpha1.PhaseBaking, v1alpha1.PhaseRollingBack, v1alpha1.PhaseVerifying, "Unheard"}).Draw(t, "phase")
		s := in(phase)
		if phase == v1alpha1.PhaseBaking && rapid.Bool().Draw(t, "completed") {
			completed(&s)
		}
		if phase == v1alpha1.PhaseRollingBack && rapid.Bool().Draw(t, "patched") {
			patched(&s)
		}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(events)-1), 0, 5, rapid.ID[int]).Draw(t, "events") {
			if s.Bake.Status.Rollback == nil || s.Bake.Spec.From != nil { // a rollback has a target
				events[i](&s)
			}
		}
		if phase == v1alpha1.PhaseRollingBack || phase == v1alpha1.PhaseVerifying {
			s.Bake.Spec.From = &s.Bake.Status.Rollback.Target
		}
		late[rapid.IntRange(0, len(late)-1).Draw(t, "when")](&s)
		return s
	})
}

func TestNextIsPureAndTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyState().Draw(t, "state")
		// Room behind the reasons: an append in place would write into it.
		s.Bake.Status.Reasons = append(make([]v1alpha1.Reason, 0, 8), s.Bake.Status.Reasons...)
		before, _ := json.Marshal(s)
		first := Next(s)
		if after, _ := json.Marshal(s); string(before) != string(after) {
			t.Fatal("the state was changed")
		}
		a, _ := json.Marshal(first)
		b, _ := json.Marshal(Next(s))
		if string(a) != string(b) {
			t.Fatalf("twice asked:\n%s\n%s", a, b)
		}
		switch first.Do {
		case Wait, Open, Begin, Complete, Suspend, Undo, Verify, Pause, Release:
			if first.Outcome != "" {
				t.Fatalf("an outcome without an end: %+v", first)
			}
		case Halt, GoOn:
			if first.Why == "" || first.Outcome != "" || (first.Do == Halt) != (first.Cause != "") {
				t.Fatalf("about a pause: %+v", first)
			}
		case Plan, Propose:
			if s.Bake.Status.Proposal != nil != (first.Do == Propose) || first.Do == Plan && s.observed() {
				t.Fatalf("%s with %+v on record, observed: %v", first.Do, s.Bake.Status.Proposal, s.observed())
			}
		case Intend, Ask:
			if len(first.Reasons) == 0 || first.Do == Ask && !first.Until.After(s.Now) {
				t.Fatal("an intent without a reason")
			}
		case End:
			if first.Outcome == "" || len(first.Reasons) == 0 {
				t.Fatalf("an end without an outcome or a reason: %+v", first)
			}
		default:
			t.Fatalf("a step called %q", first.Do)
		}
	})
}

func TestAnEndedBakeNeverSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyState().Draw(t, "state")
		s.Bake.Status.Phase = ""
		s.Bake.Status.Outcome = rapid.SampledFrom([]v1alpha1.Outcome{v1alpha1.OutcomePassed, v1alpha1.OutcomeRolledBack, v1alpha1.OutcomeHeld,
			v1alpha1.OutcomeInconclusive, v1alpha1.OutcomeSuperseded, v1alpha1.OutcomeAbandoned}).Draw(t, "outcome")
		if step := Next(s); step.Do != Wait {
			t.Fatalf("it steps: %+v", step)
		}
	})
}

// What must hold for an intent, and for the deed: every guard is asked.
func TestIntentsAndDeedsAreGuarded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyState().Draw(t, "state")
		step := Next(s)
		if step.Do != Intend && step.Do != Undo && step.Do != Suspend {
			return
		}
		done := step.Do == Undo && s.Current.Hash == s.Bake.Status.Rollback.Target.Hash // what is left is the receipt
		if !done && (s.Frozen.Mode != policy.Guard || s.Live.Mode != policy.Guard || !s.Live.Watched) {
			t.Fatalf("%s although it may only be said", step.Do)
		}
		if !s.Sight.Exists || s.Sight.UID != s.Bake.Spec.Workload.UID {
			t.Fatalf("%s of a workload that is gone", step.Do)
		}
		if step.Do == Suspend {
			if sus := s.Bake.Status.Rollback.Suspension; sus == nil || sus.DoneAt != nil || s.Bake.Status.Rollback.PatchedAt != nil {
				t.Fatal("a suspension without an intent on record, or with its receipt")
			}
			return
		}
		if step.Do == Undo {
			if !done && s.Bake.Status.Rollback.Suspension != nil && s.Bake.Status.Rollback.Suspension.DoneAt == nil {
				t.Fatal("an undo that what keeps the workload was not told of")
			}
			if s.Bake.Status.Rollback == nil || s.Bake.Status.Rollback.PatchedAt != nil {
				t.Fatal("a deed without an intent on record, or with its receipt")
			}
			return
		}
		spec := s.Bake.Spec
		if spec.From == nil || spec.RestartOnly || s.Budget != nil || s.Sight.Owner.Name != "" && s.suspension() == nil || s.Sight.Paused && !s.Sight.marked() || s.Current.Hash != "" && s.Current.Hash != spec.To.Hash {
			t.Fatalf("an intent that a guard forbids: %+v", step)
		}
		byDefault := s.Bake.Status.Approval != nil && s.Bake.Status.Approval.Default == "rollback" && !s.Now.Before(s.Bake.Status.Approval.Until.Time)
		if s.approval().Required && s.answer() != approved && !byDefault {
			t.Fatalf("an intent without an answer: %+v", step)
		}
		if s.Bake.Status.Approval == nil && s.Sight.Stuck == "" && (s.Verdict == nil || s.Verdict.Result != decide.Regressed) {
			t.Fatalf("an intent without a ground: %+v", step)
		}
	})
}

// What must hold for a pause: it is asked for, and there is something on either side of it.
func TestPausesAreGuarded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyState().Draw(t, "state")
		step := Next(s)
		open := openPause(s.Bake)
		may := s.Frozen.Mode == policy.Guard && s.Live.Mode == policy.Guard && s.Live.Watched && s.Frozen.Canary.On() && s.Live.Canary.On()
		switch step.Do {
		case Halt, Pause:
			if !may || s.Sight.Owner.Name != "" || s.Sight.Recreate || !s.Sight.Exists || s.Current.Hash != "" && s.Current.Hash != s.Bake.Spec.To.Hash {
				t.Fatalf("%s although it may not be", step.Do)
			}
			if step.Do == Halt && (open != nil || s.Sight.Updated < 1 || s.Sight.Updated >= s.Sight.Replicas || s.Sight.Paused) {
				t.Fatal("there is nothing to pause")
			}
			if step.Do == Pause && (open == nil || open.PausedAt != nil) {
				t.Fatal("a deed without an intent on record, or with its receipt")
			}
		case GoOn:
			if open == nil || open.EndsAt != nil {
				t.Fatal("what is not paused goes on")
			}
		case Release:
			if open == nil || open.EndsAt == nil {
				t.Fatal("a deed without an intent on record, or with its receipt")
			}
		case Wait:
			if phase := s.Bake.Status.Phase; open != nil && open.PausedAt != nil && !may && s.Bake.Status.Outcome == "" && (phase == v1alpha1.PhaseRolling || phase == v1alpha1.PhaseBaking) {
				t.Fatal("it stays paused although it was turned off")
			}
		}
	})
}

// A revision is only called known good after its whole window, or when it is the good one that came back.
func TestGoodNeedsAVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyState().Draw(t, "state")
		if step := Next(s); step.Good && (s.Bake.Status.CompletedAt == nil || s.Verdict == nil || s.Verdict.Result == decide.Regressed ||
			slices.ContainsFunc(step.Reasons, func(r v1alpha1.Reason) bool { return r.Code == decide.CodeBlind })) {
			t.Fatalf("called good: %+v", step)
		}
	})
}
