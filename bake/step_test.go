package bake

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// noon is when the rollout of the tables below began.
var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) *metav1.MicroTime {
	t := metav1.NewMicroTime(noon.Add(d))
	return &t
}

// in is a bake of rev 7 over rev 6 in a phase, as long after noon as such a phase is usual, with all as it should be.
func in(phase v1alpha1.Phase, changes ...func(*State)) State {
	b := &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{
		Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web", UID: "u1"}, Ref: "deployment/web",
		From: &v1alpha1.Revision{Number: 6, Hash: "h6", Name: "web-h6"}, To: v1alpha1.Revision{Number: 7, Hash: "h7", Name: "web-h7"}, StartedAt: *after(0),
	}}
	b.Status.Phase = phase
	s := State{
		Bake:    b,
		Frozen:  policy.Resolved{Watched: true, Mode: policy.Guard, Window: 15 * time.Minute, Interval: 15 * time.Second, Verify: 2 * time.Minute, Deadline: 10 * time.Minute},
		Live:    policy.Resolved{Watched: true, Mode: policy.Guard},
		Sight:   Sight{Key: web, Exists: true, UID: "u1", CaughtUp: true, Replicas: 3, Updated: 1, Total: 3, Available: 3, SettledAt: noon.Add(time.Minute)},
		Current: b.Spec.To,
		Now:     noon.Add(time.Minute),
	}
	switch phase {
	case v1alpha1.PhaseBaking:
		b.Status.FirstReadyAt = after(30 * time.Second)
	case v1alpha1.PhaseRollingBack, v1alpha1.PhaseVerifying:
		b.Status.FirstReadyAt = after(30 * time.Second)
		b.Status.Reasons = []v1alpha1.Reason{{Code: decide.CodeThreshold, Sentence: "worse"}}
		b.Status.Rollback = &v1alpha1.Rollback{IntendedAt: *after(time.Minute), Target: *b.Spec.From}
		if phase == v1alpha1.PhaseVerifying {
			patched(&s)
			b.Status.Rollback.AvailableAt = after(time.Minute)
		}
	}
	for _, f := range changes {
		f(&s)
	}
	return s
}

func muchLater(s *State) { s.Now = s.Now.Add(time.Hour) }

// oneFreed: one pod of two was deleted ten minutes ago, and the next is about to be.
func oneFreed(s *State) {
	s.Bake.Status.Rollback.Freed = []v1alpha1.FreedPod{{Name: "a", DoneAt: after(2 * time.Minute)}, {Name: "b"}}
}
func patched(s *State)   { s.Bake.Status.Rollback.PatchedAt = after(time.Minute) }
func deleted(s *State)   { s.Sight = Sight{Key: web} }
func madeAnew(s *State)  { s.Sight.UID = "u2" }
func optedOut(s *State)  { s.Live.Watched, s.Live.NotWatched = false, "it said so" }
func observing(s *State) { s.Live.Mode = policy.Observe }
func frozenObs(s *State) { s.Frozen.Mode = policy.Observe }
func isPaused(s *State)  { s.Sight.Paused = true }
func undone(s *State)    { s.Current = v1alpha1.Revision{Number: 8, Hash: "h6"} }
func newer(s *State)     { s.Current = v1alpha1.Revision{Number: 8, Hash: "h8"} }
func unknown(s *State)   { s.Current = v1alpha1.Revision{} }
func toZero(s *State)    { s.Sight.Replicas = 0 }
func lagging(s *State)   { s.Sight.CaughtUp = false }
func newReady(s *State)  { s.Crew.Ready = true }
func noFrom(s *State)    { s.Bake.Spec.From = nil }
func restarted(s *State) { s.Bake.Spec.RestartOnly = true }
func noBudget(s *State)  { s.Budget = &v1alpha1.Reason{Code: CodeBudget, Sentence: "held: enough"} }
func owned(s *State)     { s.Sight.Owner, s.Live.Guards.GitOps = argo, true }
func suspends(s *State)  { s.Live.GitOps, s.Frozen.GitOps = policy.Suspend, policy.Suspend }
func reverts(s *State)   { s.Live.GitOps, s.Frozen.GitOps = policy.RevertInGit, policy.RevertInGit }
func proposalPends(s *State) {
	if s.Bake.Status.Phase != "" {
		s.Bake.Status.Proposal = &v1alpha1.Proposal{Kind: ProposalPull, IntendedAt: *after(time.Minute)}
	}
}
func suspensionPends(s *State) {
	if rb := s.Bake.Status.Rollback; rb != nil {
		rb.Suspension = &v1alpha1.Suspension{Kind: KindApplication, Name: "shop", IntendedAt: *after(time.Minute)}
	}
}
func complete(s *State)  { s.Sight.Updated = 3 }
func completed(s *State) { complete(s); s.Bake.Status.CompletedAt = after(time.Minute) }
func onTarget(s *State)  { s.Progress = Progress{OnTarget: true, Complete: true} }
func stuck(s *State) {
	s.Sight.Stuck, s.Sight.Total, s.Now = "timed out progressing", 4, noon.Add(11*time.Minute)
	s.Sight.SettledAt = s.Now
}
func stuckStale(s *State) { stuck(s); s.Sight.SettledAt = noon }

// canary has policy pause the rollout of 3 pods at 40%, one, which it has come to.
func canary(s *State) {
	s.Frozen.Canary = policy.CanaryRules{Pause: 0.4, For: policy.Span(5 * time.Minute)}
	s.Live.Canary, s.Sight.Total = s.Frozen.Canary, 4
	s.Sight.Available = 4
}

func freezes(s *State) {
	s.Frozen.Canary.FreezeOnSuspicion, s.Live.Canary.FreezeOnSuspicion = true, true
	s.Sight.Total, s.Sight.Available = 4, 4
}

func halted(s *State) {
	s.Bake.Status.Pauses = append(s.Bake.Status.Pauses, v1alpha1.Pause{Why: pauseCanary, IntendedAt: *after(40 * time.Second)})
}

func pausing(s *State) {
	halted(s)
	s.Sight.Paused = true
	marked(s)
	s.Bake.Status.Pauses[len(s.Bake.Status.Pauses)-1].PausedAt = after(40 * time.Second)
}

func ending(s *State) {
	pausing(s)
	s.Bake.Status.Pauses[len(s.Bake.Status.Pauses)-1].EndsAt = after(50 * time.Second)
}

func released(s *State) {
	ending(s)
	s.Bake.Status.Pauses[len(s.Bake.Status.Pauses)-1].ReleasedAt = after(50 * time.Second)
	s.Sight.Paused, s.Sight.Annotations = false, nil
}

func marked(s *State)    { s.Sight.Annotations = map[string]string{AnnotationPaused: "b"} }
func resumed(s *State)   { s.Resumed = true }
func rewritten(s *State) { s.Changed = true }

// suspicious is a verdict to which half the evidence is missing.
func suspicious(s *State) {
	verdict(decide.Undecided, time.Minute, decide.CodeSuspicion)(s)
	s.Verdict.Suspected = &s.Verdict.Reasons[0]
	s.Bake.Status.Suspicion = &v1alpha1.Suspicion{Sentence: s.Verdict.Reasons[0].Sentence} // it is on record, and told
}

func surely(s *State)      { s.Verdict.Early = true }
func passesEarly(s *State) { s.Frozen.PassEarly = true }

func at(d time.Duration) func(*State) { return func(s *State) { s.Now = noon.Add(d) } }

func verdict(r decide.Result, to time.Duration, codes ...string) func(*State) {
	return func(s *State) {
		s.Verdict, s.JudgedTo, s.Now = &decide.Verdict{Result: r}, noon.Add(to), noon.Add(to+time.Second)
		for _, c := range codes {
			s.Verdict.Reasons = append(s.Verdict.Reasons, decide.Reason{Code: c, Signal: "s", Sentence: "it is " + c})
		}
	}
}

func worse(s *State) { verdict(decide.Regressed, time.Minute, decide.CodeThreshold)(s) }

func TestNext(t *testing.T) {
	const (
		opening   = v1alpha1.Phase("")
		rolling   = v1alpha1.PhaseRolling
		baking    = v1alpha1.PhaseBaking
		back      = v1alpha1.PhaseRollingBack
		verifying = v1alpha1.PhaseVerifying

		passed       = v1alpha1.OutcomePassed
		rolledBack   = v1alpha1.OutcomeRolledBack
		held         = v1alpha1.OutcomeHeld
		inconclusive = v1alpha1.OutcomeInconclusive
		superseded   = v1alpha1.OutcomeSuperseded
		abandoned    = v1alpha1.OutcomeAbandoned
	)
	window := time.Minute + 15*time.Minute // the end of the window of a rollout completed after a minute
	verified := time.Minute + 2*time.Minute
	healthy := func(to time.Duration) func(*State) { return verdict(decide.Healthy, to, decide.CodeWithin) }
	for _, c := range []struct {
		name    string
		state   State
		do      Do
		outcome v1alpha1.Outcome
		code    string // that the reasons must hold
		says    string // that the first sentence, or the recovery, must hold
	}{
		{"just recorded", in(opening), Open, "", "", ""},

		// Rolling: no new pod is ready.
		{"rolling", in(rolling), Wait, "", "", ""},
		{"rolling, a new pod is ready", in(rolling, newReady), Begin, "", "", ""},
		{"rolling, deleted", in(rolling, deleted), End, abandoned, CodeDeleted, "deployment/web was deleted"},
		{"rolling, made anew", in(rolling, madeAnew, newReady), End, abandoned, CodeDeleted, "deployment/web was deleted"},
		{"rolling, opted out", in(rolling, optedOut, newReady), End, abandoned, CodeOptedOut, "deployment/web is no longer watched: it said so"},
		{"rolling, undone by hand", in(rolling, undone, newReady), End, abandoned, CodeUndone, "deployment/web was put back to the known good rev 6 by hand"},
		{"rolling, superseded", in(rolling, newer, newReady), End, superseded, CodeNewer, "rev 8 came before rev 7 was judged"},
		{"rolling, superseded, no known good", in(rolling, noFrom, undone), End, superseded, CodeNewer, ""},
		{"rolling, the controller does not tell yet what runs", in(rolling, unknown), Wait, "", "", ""},
		{"rolling, paused", in(rolling, isPaused, newReady), End, abandoned, CodePaused, "deployment/web was paused: a person has taken over"},
		{"rolling, scaled to zero", in(rolling, toZero), End, inconclusive, CodeScaledToZero, ""},
		{"rolling, scaled to zero, not seen by the controller", in(rolling, toZero, lagging), Wait, "", "", ""},
		{"rolling, almost too long", in(rolling, at(75*time.Minute-time.Second)), Wait, "", "", ""},
		{"rolling, too long", in(rolling, at(75*time.Minute)), End, inconclusive, CodeNeverReady, "no pod of rev 7 became ready in 1h15m"},
		{"rolling, given up", in(rolling, stuck), Intend, "", CodeDeadline, "progress-deadline: 0 of 3 pods of rev 7 are up after its progress deadline (timed out progressing)"},
		{"rolling, given up, without a good one", in(rolling, stuck, noFrom), End, held, CodeNoGood, ""},
		{"rolling, given up, observed", in(rolling, stuck, observing), End, held, CodeObserve, ""},
		{"rolling, given up before the newest spec", in(rolling, stuck, lagging), Wait, "", "", ""},
		{"rolling, what was given up is the rollout before", in(rolling, stuckStale), Wait, "", "", ""},

		// Baking: new pods serve.
		{"baking", in(baking), Wait, "", "", ""},
		{"baking, complete", in(baking, complete), Complete, "", "", ""},
		{"baking, deleted", in(baking, deleted, worse), End, abandoned, CodeDeleted, ""},
		{"baking, opted out", in(baking, optedOut, worse), End, abandoned, CodeOptedOut, ""},
		{"baking, undone by hand", in(baking, undone, worse), End, abandoned, CodeUndone, ""},
		{"baking, superseded", in(baking, newer, worse), End, superseded, CodeNewer, ""},
		{"baking, paused", in(baking, isPaused, worse), End, abandoned, CodePaused, ""},
		{"baking, scaled to zero", in(baking, toZero), End, inconclusive, CodeScaledToZero, ""},
		{"baking, given up", in(baking, stuck), Intend, "", CodeDeadline, ""},
		{"baking, given up though it is complete now", in(baking, stuck, complete, func(s *State) { s.Sight.Total = 3 }), Complete, "", "", ""},
		{"baking, almost too long", in(baking, at(75*time.Minute+29*time.Second)), Wait, "", "", ""},
		{"baking, too long", in(baking, at(75*time.Minute+30*time.Second)), End, inconclusive, CodeNotComplete, "the rollout of rev 7 was not complete after 1h15m: 1 of 3 pods are new"},
		{"baking, regressed before it is complete", in(baking, worse), Intend, "", decide.CodeThreshold, "it is threshold"},
		{"baking, healthy, the window not over", in(baking, completed, healthy(window-16*time.Second)), Wait, "", "", ""},
		{"baking, healthy, the window over but for less than a tick", in(baking, completed, healthy(window-15*time.Second)), End, passed, decide.CodeWithin, ""},
		{"baking, surely no worse, and policy lets it pass early", in(baking, completed, healthy(2*time.Minute), surely, passesEarly), End, passed, decide.CodeWithin, ""},
		{"baking, surely no worse, but policy wants the whole window", in(baking, completed, healthy(2*time.Minute), surely), Wait, "", "", ""},
		{"baking, surely no worse, but not complete", in(baking, healthy(2*time.Minute), surely, passesEarly), Wait, "", "", ""},
		{"baking, surely no worse, by ticks from before it was complete", in(baking, completed, healthy(time.Minute), surely, passesEarly), Wait, "", "", ""},
		{"baking, healthy, not surely so", in(baking, completed, healthy(2*time.Minute), passesEarly), Wait, "", "", ""},
		{"baking, healthy for long, but not complete", in(baking, healthy(window)), Wait, "", "", ""},
		{"baking, the window over without a tick read", in(baking, completed, at(window+time.Hour)), Wait, "", "", ""},
		{"baking, undecided, the window not over", in(baking, completed, verdict(decide.Undecided, 10*time.Minute, decide.CodeBlind)), Wait, "", "", ""},
		{"baking, undecided, the window over", in(baking, completed, verdict(decide.Undecided, window, decide.CodeBlind)), End, inconclusive, decide.CodeBlind, "it is blind"},
		{"baking, regressed at the very end", in(baking, completed, verdict(decide.Regressed, window, decide.CodeThreshold)), Intend, "", decide.CodeThreshold, ""},

		// Pauses of the rollout, of which one of three pods is new.
		{"rolling, at the share", in(rolling, canary), Halt, "", "", "canary: paused with 1 of 3 pods new, to judge rev 7 beside what ran before for 5m"},
		{"rolling, at the share, though a new pod is ready", in(rolling, canary, newReady), Halt, "", "", ""},
		{"rolling, below the share", in(rolling, canary, func(s *State) { s.Sight.Updated = 0 }), Wait, "", "", ""},
		{"rolling, below the share of more", in(rolling, canary, func(s *State) { s.Sight.Replicas, s.Sight.Total = 5, 6 }), Wait, "", "", ""},
		{"rolling, the controller has not seen it", in(rolling, canary, lagging), Wait, "", "", ""},
		{"rolling, of a single replica", in(rolling, canary, func(s *State) { s.Sight.Replicas, s.Sight.Total = 1, 2 }), Wait, "", "", ""},
		{"rolling, no old pod is left", in(rolling, canary, func(s *State) { s.Sight.Total = 1 }), Wait, "", "", ""},
		{"rolling, a StatefulSet", in(rolling, canary, func(s *State) { s.Bake.Spec.Workload.Kind = KindStatefulSet }), Wait, "", "", ""},
		{"rolling, Recreate", in(rolling, canary, func(s *State) { s.Sight.Recreate = true }), Wait, "", "", ""},
		{"rolling, kept by Git", in(rolling, canary, func(s *State) { s.Sight.Owner = argo }), Wait, "", "", ""},
		{"rolling, a restart", in(rolling, canary, restarted), Wait, "", "", ""},
		{"rolling, observed", in(rolling, canary, observing), Wait, "", "", ""},
		{"rolling, observed at the start", in(rolling, canary, frozenObs), Wait, "", "", ""},
		{"rolling, turned off since", in(rolling, canary, func(s *State) { s.Live.Canary = policy.CanaryRules{} }), Wait, "", "", ""},
		{"rolling, turned on since", in(rolling, canary, func(s *State) { s.Frozen.Canary = policy.CanaryRules{} }), Wait, "", "", ""},
		{"rolling, paused by a person at the share", in(rolling, canary, isPaused), End, abandoned, CodePaused, ""},
		{"to be paused", in(rolling, canary, halted), Pause, "", "", ""},
		{"to be paused, turned off", in(rolling, canary, halted, observing), GoOn, "", "", "mode is observe"},
		{"to be paused, changed", in(rolling, canary, halted, rewritten), GoOn, "", "", "its template was changed"},
		{"paused", in(rolling, canary, pausing), Wait, "", "", ""},
		{"paused, a new pod is ready", in(rolling, canary, pausing, newReady), Begin, "", "", ""},
		{"paused, none becomes ready", in(rolling, canary, pausing, at(10*time.Minute+40*time.Second)), GoOn, "", "", "no pod of rev 7 became ready within 10m"},
		{"paused, none can run", in(rolling, canary, pausing, func(s *State) {
			s.Pods = &decide.PodFinding{Code: decide.CodeCrashLoop, Sentence: "crash", Fault: decide.FaultOwn}
		}), Intend, "", decide.CodeCrashLoop, ""},
		{"paused and baking", in(baking, canary, pausing, healthy(5*time.Minute)), Wait, "", "", ""},
		{"paused for long enough", in(baking, canary, pausing, healthy(5*time.Minute+40*time.Second)), GoOn, "", "", "nothing speaks against rev 7 after 5m beside what ran before: it is within-threshold"},
		{"paused for long enough but for less than a tick", in(baking, canary, pausing, healthy(5*time.Minute+25*time.Second)), GoOn, "", "", ""},
		{"paused, too little traffic", in(baking, canary, pausing, verdict(decide.Undecided, 6*time.Minute, decide.CodeTooFewRequests)), GoOn, "", "", "nothing speaks against rev 7"},
		{"paused for long enough, blind", in(baking, canary, pausing, verdict(decide.Undecided, 6*time.Minute, decide.CodeBlind)), Wait, "", "", ""},
		{"paused for long enough, suspicious", in(baking, canary, pausing, verdict(decide.Undecided, 6*time.Minute, decide.CodeSuspicion)), Wait, "", "", ""},
		{"paused for long enough, a pod is not available", in(baking, canary, pausing, healthy(6*time.Minute), func(s *State) { s.Sight.Available = 3 }), Wait, "", "", ""},
		{"paused three times as long, blind", in(baking, canary, pausing, verdict(decide.Undecided, 15*time.Minute+40*time.Second, decide.CodeBlind)), GoOn, "", "", "whether rev 7 is well could not be told within 15m"},
		{"paused, regressed", in(baking, canary, pausing, worse), Intend, "", decide.CodeThreshold, ""},
		{"paused, regressed after all that time", in(baking, canary, pausing, verdict(decide.Regressed, 20*time.Minute, decide.CodeThreshold)), Intend, "", decide.CodeThreshold, ""},
		{"paused, regressed, without a good one", in(baking, canary, pausing, worse, noFrom), End, v1alpha1.OutcomeHeld, CodeNoGood, ""},
		{"paused, people are asked", in(baking, canary, pausing, worse, needsApproval), Ask, "", decide.CodeThreshold, ""},
		{"paused, people have not answered", in(baking, canary, pausing, waitsForApproval, at(20*time.Minute)), Wait, "", "", ""},
		{"paused, a person lets it go on", in(baking, canary, pausing, resumed, worse), GoOn, "", "", "somebody let it go on"},
		{"paused, no new pod is left", in(baking, canary, pausing, func(s *State) { s.Sight.Updated = 0 }), GoOn, "", "", "no pod of rev 7 is left"},
		{"paused, no old pod is left", in(baking, canary, pausing, func(s *State) { s.Sight.Total = 1 }), GoOn, "", "", "all pods are of rev 7"},
		{"paused, scaled", in(baking, canary, pausing, healthy(2*time.Minute), func(s *State) { s.Sight.Replicas, s.Sight.Updated, s.Sight.Total, s.Sight.Available = 9, 3, 10, 10 }), Wait, "", "", ""},
		{"paused, taken over by a person", in(baking, canary, pausing, isPaused, func(s *State) { s.Sight.Annotations = nil }), End, abandoned, CodePaused, ""},
		{"paused, deleted", in(baking, canary, pausing, deleted), End, abandoned, CodeDeleted, ""},
		{"to go on", in(baking, canary, ending, worse), Release, "", "", ""},
		{"went on", in(baking, canary, released), Wait, "", "", ""},
		{"went on, and the limit does not count the pause", in(baking, canary, released, at(75*time.Minute+35*time.Second)), Wait, "", "", ""},
		{"went on, and not in all the time", in(baking, canary, released, at(75*time.Minute+40*time.Second)), End, inconclusive, CodeNotComplete, ""},
		{"a suspicion", in(baking, freezes, suspicious), Halt, "", "", "suspicion: paused with 1 of 3 pods new: it is suspicion"},
		{"too little of a suspicion", in(baking, freezes, suspicious, func(s *State) { s.Verdict.Suspected = nil }), Wait, "", "", ""},
		{"a suspicion after the canary", in(baking, canary, freezes, released, suspicious), Halt, "", "", "suspicion: "},
		{"a suspicion after a person let it go on", in(baking, canary, freezes, released, suspicious, func(s *State) { s.Bake.Status.Pauses[0].ByHand = true }), Wait, "", "", ""},
		{"a suspicion once more", in(baking, freezes, released, suspicious, func(s *State) { s.Bake.Status.Pauses[0].Why = pauseSuspicion }), Wait, "", "", ""},
		{"a suspicion that nobody is to freeze", in(baking, canary, released, suspicious), Wait, "", "", ""},
		{"a suspicion when all is new", in(baking, freezes, completed, suspicious), Wait, "", "", ""},
		{"to be undone, paused by Bakewatch", in(back, pausing), Undo, "", "", ""},

		// The guards. The first that holds is named last.
		{"observe now", in(baking, worse, observing), End, held, CodeObserve, "it is threshold"},
		{"observe at the start", in(baking, worse, frozenObs), End, held, CodeObserve, ""},
		{"no good revision", in(baking, worse, noFrom), End, held, CodeNoGood, ""},
		{"restart only", in(baking, worse, restarted), End, held, CodeRestartOnly, ""},
		{"kept by another controller", in(baking, worse, owned), End, held, CodeGitOps, ""},
		{"no budget", in(baking, worse, noBudget), End, held, CodeBudget, ""},
		{"no budget, but healthy", in(baking, completed, healthy(window), noBudget), End, passed, decide.CodeWithin, ""},
		{"restart only, but healthy", in(baking, completed, healthy(window), restarted), End, passed, decide.CodeWithin, ""},

		// RollingBack: the intent is on record.
		{"to be undone", in(back), Undo, "", "", ""},
		{"to be undone, deleted", in(back, deleted), End, abandoned, CodeDeleted, ""},
		{"to be undone, made anew", in(back, madeAnew), End, abandoned, CodeDeleted, ""},
		{"to be undone, observed now", in(back, observing), End, held, CodeObserve, "worse"},
		{"to be undone, opted out", in(back, optedOut), End, abandoned, CodeOptedOut, ""},
		{"to be undone, and it is already: killed before the receipt", in(back, undone), Undo, "", "", ""},
		{"to be undone, and it is already, observed now", in(back, undone, observing), Undo, "", "", ""},
		{"to be undone, and it is already, opted out", in(back, undone, optedOut), Undo, "", "", ""},
		{"undone, followed", in(back, patched), Wait, "", "", ""},
		{"undone, observed now", in(back, patched, observing), Wait, "", "", ""},
		{"undone, opted out", in(back, patched, optedOut), Wait, "", "", ""},
		{"undone, the controller is on it", in(back, patched, undone), Wait, "", "", ""},
		{"undone, available", in(back, patched, undone, onTarget), Verify, "", "", ""},
		{"undone, almost stuck", in(back, patched, at(11*time.Minute-time.Second)), Wait, "", "", ""},
		{"undone, stuck", in(back, patched, at(11*time.Minute)), End, rolledBack, CodeRollbackStuck, "rollback-stuck: rev 6 is not available again after 10m"},
		{"undone, a pod was freed since", in(back, patched, oneFreed, at(11*time.Minute)), Free, "", "", ""},
		{"undone, stuck since a pod was freed", in(back, patched, oneFreed, at(12*time.Minute)), End, rolledBack, CodeRollbackStuck, "rollback-stuck"},
		{"undone, a newer one came", in(back, patched, newer), End, rolledBack, decide.CodeThreshold, "rev 8 came before recovery was measured"},
		{"undone, deleted", in(back, patched, deleted), End, abandoned, CodeDeleted, ""},

		// Verifying: the old one is available.
		{"verifying", in(verifying), Wait, "", "", ""},
		{"verifying, not long enough", in(verifying, healthy(verified-16*time.Second)), Wait, "", "", ""},
		{"recovered", in(verifying, healthy(verified-15*time.Second)), End, rolledBack, decide.CodeThreshold, "recovered: it is within-threshold"},
		{"not recovered", in(verifying, verdict(decide.Regressed, verified, decide.CodeThreshold)), End, rolledBack, decide.CodeThreshold, "the rollback did not help, so it is likely not this deploy: it is threshold"},
		{"not recovered yet", in(verifying, verdict(decide.Regressed, time.Minute, decide.CodeThreshold)), Wait, "", "", ""},
		{"not measurable yet", in(verifying, verdict(decide.Undecided, verified, decide.CodeBlind)), Wait, "", "", ""},
		{"not measurable", in(verifying, verdict(decide.Undecided, verified, decide.CodeBlind), muchLater), End, rolledBack, decide.CodeThreshold, "recovery could not be measured: it is blind"},
		{"verifying, a newer one came", in(verifying, newer), End, rolledBack, decide.CodeThreshold, "rev 8 came before recovery was measured"},
		{"verifying, deleted", in(verifying, deleted), End, rolledBack, decide.CodeThreshold, "deployment/web was deleted before recovery was measured"},
		{"verifying, opted out", in(verifying, optedOut, healthy(verified)), End, rolledBack, decide.CodeThreshold, "recovered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			step := Next(c.state)
			if step.Do != c.do || step.Outcome != c.outcome {
				t.Fatalf("%s %s, want %s %s: %+v", step.Do, step.Outcome, c.do, c.outcome, step)
			}
			if c.code != "" && !has(step.Reasons, c.code) {
				t.Errorf("the reasons lack %s: %+v", c.code, step.Reasons)
			}
			said := step.Recovery + step.Why
			if said == "" && len(step.Reasons) > 0 {
				said = step.Reasons[0].Sentence
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}

func TestGuardsInOrder(t *testing.T) {
	all := []func(*State){noBudget, observing, owned, restarted, noFrom}
	codes := []string{CodeBudget, CodeObserve, CodeGitOps, CodeRestartOnly, CodeNoGood}
	s := in(v1alpha1.PhaseBaking, worse)
	if got := Next(s); got.Do != Intend {
		t.Fatalf("no guard holds, and the step is %+v", got)
	}
	for i, guard := range all { // each is stronger than those before it
		guard(&s)
		got := Next(s)
		if last := got.Reasons[len(got.Reasons)-1]; last.Code != codes[i] || got.Reasons[0].Code != decide.CodeThreshold {
			t.Errorf("held by %s, want %s: %+v", last.Code, codes[i], got.Reasons)
		}
	}
}

func TestWhoIsKnownGoodAfterwards(t *testing.T) {
	end := 16 * time.Minute
	for _, c := range []struct {
		name   string
		result decide.Result
		codes  []string
		good   bool
	}{
		{"passed", decide.Healthy, []string{decide.CodeWithin}, true},
		{"too little traffic", decide.Undecided, []string{decide.CodeTooFewRequests}, true},
		{"nothing is measured", decide.Undecided, []string{decide.CodeNoSeries}, true},
		{"nothing to compare with", decide.Undecided, []string{decide.CodeNoBaseline, decide.CodeWithin}, true},
		{"blind", decide.Undecided, []string{decide.CodeBlind}, false},
		{"blind in part", decide.Undecided, []string{decide.CodeWithin, decide.CodeBlind}, false},
		{"silent", decide.Undecided, []string{decide.CodeSilent}, false},
		{"suspicious", decide.Undecided, []string{decide.CodeSuspicion}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Next(in(v1alpha1.PhaseBaking, completed, verdict(c.result, end, c.codes...)))
			if got.Do != End || got.Good != c.good {
				t.Errorf("%s, known good %v, want %v", got.Outcome, got.Good, c.good)
			}
		})
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 1500 * time.Millisecond: "2s", 90 * time.Second: "1m30s", 2 * time.Minute: "2m", 75 * time.Minute: "1h15m", 2 * time.Hour: "2h"} {
		if got := short(d); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}
