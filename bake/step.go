package bake

import (
	"fmt"
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// Codes of the reasons that end a bake apart from the judge's own.
const (
	CodeDeleted        = "deleted"           // the workload was deleted
	CodeOptedOut       = "opted-out"         // policy or annotation stopped watching it
	CodePaused         = "paused"            // a person paused the rollout
	CodeUndone         = "undone-by-hand"    // a person put the good revision back
	CodeNewer          = "newer-rollout"     // a newer rollout took its place
	CodeScaledToZero   = "scaled-to-zero"    // no pods are wanted, so there is nothing to measure
	CodeNeverReady     = "never-ready"       // no new pod became ready in all the time given
	CodeNotComplete    = "not-complete"      // the rollout did not complete in all the time given
	CodeDeadline       = "progress-deadline" // the controller gave the rollout up: conclusive in itself
	CodeUnavailable    = "unavailable"       // pods that were available once are not at the end
	CodeMissed         = "missed"            // it happened while nobody watched, too long ago to judge
	CodeReturn         = "known-good"        // it is a return to the known good revision
	CodeRollbackFailed = "rollback-failed"   // the undo could not be carried out
	CodeRollbackStuck  = "rollback-stuck"    // the undo was carried out, and its pods do not become available
	CodePodsLeft       = "pods-left"         // the undo was carried out, and pods of the bad revision run until somebody deletes them
)

// patience is how long a rollout may go on beyond its bake window before the bake gives up on it.
const patience = time.Hour

// soon is when the pods of a rollout are looked at again while none is ready.
const soon = 5 * time.Second

// verifyAtMost is how many times the policy's time recovery is measured for while it cannot be told.
const verifyAtMost = 3

// State is everything the next step of a bake depends on.
type State struct {
	Bake   *v1alpha1.Bake
	Frozen policy.Resolved // the policy the bake began with: thresholds and times
	Live   policy.Resolved // the policy now: only its switches that make Bakewatch do less count
	Sight  Sight
	// Current is what the workload's template is called now; its Hash is empty when that is not known.
	Current v1alpha1.Revision
	// Crew is how the new revision's pods are. Looked up while Rolling, and with the ticks where pods' names do not tell.
	Crew Crew
	// Pods says why none of the new revision's pods can run; nil where one may, or where that is not known.
	Pods *decide.PodFinding
	// Migrated are the database migrations that ran with the rollout and are not on record yet.
	Migrated []v1alpha1.Migration
	// Blind are the sources that do not answer.
	Blind []v1alpha1.BlindSource
	// Gone are pods of the new revision that are there no more, and not on record yet.
	Gone []v1alpha1.PodLife
	// Unfound says that it is not known yet what measures the workload, and may be looked for now.
	Unfound bool
	// Verdict is the judge's word on the ticks up to JudgedTo; nil before the first tick.
	Verdict  *decide.Verdict
	JudgedTo time.Time
	// Behind is by how much less was read of the signal whose source is the last to know what happens.
	Behind time.Duration
	// Own is what this bake found by its newest tick, Others what the other bakes of its namespace did. WaitedSince is when
	// it first waited for one of them to be rolled back; zero: it has not.
	Own         finding
	Others      []finding
	WaitedSince time.Time
	// Undone are the rollbacks of the workload so far, oldest first.
	Undone []pastUndo
	// Missing are objects that the revision to go back to needs, and that are not there. Looked up before an intent.
	Missing []string
	// Unkept are ConfigMaps whose content to go back to is not kept. Looked up before an intent.
	Unkept []string
	// Started says that pods were started with the ConfigMaps that are to be put back. Looked up before an intent in place.
	Started bool
	// Restarted is the hash of the revision that the rollback's own restart made; empty while it is not known.
	Restarted string
	// ClaimedBy is another bake that is putting back what this one, in place, would put back; nil when none is.
	ClaimedBy *restored
	// PutBack is another bake's rollback that put the ConfigMaps of this one back; nil when there is none.
	PutBack *restored
	// Alerting are the alerts of the workload that fired before the rollout, by name.
	Alerting []string
	// Budget says why no rollback is left in the budget; nil when one is.
	Budget *v1alpha1.Reason
	// Plan is how the workload goes back with its Helm release, looked up before an intent; nil where it is not to. An operation
	// on the release that is under way is waited for until BusyUntil.
	Plan      *ReleasePlan
	BusyUntil time.Time
	// Moved is why the rollout that came is nobody's new version: it went back with its release; nil where it did not.
	Moved *v1alpha1.Reason
	// Along is the same of the rollout that this bake is about.
	Along *v1alpha1.Reason
	// Progress is how far the undo has come. Looked up once the patch's receipt is recorded. MovedAt is when it last came
	// further.
	Progress Progress
	// NotScalable is why replicas may not be lowered. Looked up before such an intent.
	NotScalable string
	MovedAt     time.Time
	// Back is that a live look found the judged template rolled out once more after it was undone; nil when it did not.
	Back *writing
	// Resumed says that a person has let a rollout go on that is paused by the record, Changed that the template of one that is
	// paused is not the one that is judged any more.
	Resumed, Changed bool
	Now              time.Time
}

// Progress is how far an undo has come.
type Progress struct {
	OnTarget bool   // the live template is the target's
	Complete bool   // and all its pods are available
	Message  string // what it waits for, for people
	Done     int32  // how many of its pods are available
	// Stuck is a pod of the bad revision that is not ready, and that its controller does not replace; nil when there is none.
	Stuck *StuckPod
	// Left says which pods go on running the bad revision until somebody deletes them, and why; empty when none do.
	Left string
}

// StuckPod is a pod that stands in the way of a rollback.
type StuckPod struct {
	Name, UID string
	Since     time.Time // since when it is not ready
}

// Do is what a Step does.
type Do string

// What a Step may do. Each is at most one write to the cluster.
const (
	Reduce   Do = "reduce"   // record the intent to lower replicas
	Lower    Do = "lower"    // lower them, and record the receipt
	Wait     Do = "wait"     // nothing; look again at Until, or when something changes
	Open     Do = "open"     // the record was just made: mark it as Rolling
	Begin    Do = "begin"    // the first new pod is ready: start judging
	Find     Do = "find"     // find out what measures the workload
	Complete Do = "complete" // the rollout is complete: the window starts
	Migrate  Do = "migrate"  // record the database migrations that ran
	Blind    Do = "blind"    // record which sources do not answer
	Remember Do = "remember" // record the pods that are gone
	Ask      Do = "ask"      // record that people are asked whether to roll back, until Until
	Suspect  Do = "suspect"  // record that most of the evidence has gathered that a regression takes
	Intend   Do = "intend"   // record the intent to roll back
	Plan     Do = "plan"     // find out what to propose where the workload is deployed from, and record that as intended
	Propose  Do = "propose"  // propose it, and record where it is
	Suspend  Do = "suspend"  // have what keeps the workload as Git has it leave it alone, and record that
	Restore  Do = "restore"  // put the content of a ConfigMap back, and record its receipt
	Restart  Do = "restart"  // replace pods that were started with what was put back, and record its receipt
	Retarget Do = "retarget" // record which revision the restart made
	Undo     Do = "undo"     // carry the undo out, and record its receipt
	Single   Do = "single"   // record the intent to delete a pod that stands in the way of the undo
	Free     Do = "free"     // delete it, and record that it is gone
	Halt     Do = "halt"     // record the intent to pause the rollout part-way
	Pause    Do = "pause"    // pause it, and record its receipt
	GoOn     Do = "go-on"    // record the intent to let it go on
	Release  Do = "release"  // let it go on, and record its receipt
	Verify   Do = "verify"   // the old revision is available: measure recovery
	End      Do = "end"      // record the outcome
)

// Step is the one next thing to do for a bake.
type Step struct {
	Do                  Do
	Until               time.Time         // for Wait and Ask
	Why                 string            // for Wait: what it waits for, where that is more than time; for Halt and GoOn: why
	Cause               string            // for Halt: canary, or suspicion
	ByPerson            bool              // for GoOn: a person did
	Outcome             v1alpha1.Outcome  // for End
	Reasons             []v1alpha1.Reason // for End, Intend and Ask
	Good                bool              // for End: the new revision is known good from now on
	Answer              string            // for End and Intend: what people said, if they were asked
	By                  string            // for End: who said it
	ByHand              *v1alpha1.ByHand  // for End and Intend: that a person asked for it
	Observed            bool              // for End: only said, because of mode observe
	Recovered, Recovery string            // for End after a rollback

	NotLowered *v1alpha1.ScaleDown // for End: replicas that would have been lowered, and why they were not
}

// Next decides the one next step of a bake. It is pure: all it knows is in the State.
func Next(s State) Step {
	step := s.next()
	if by := s.ClaimedBy; by != nil && step.Do == Intend {
		return Step{Do: Wait, Until: s.Now.Add(time.Second), Why: configMap(by.name) + " is being put back by the rollback of " + by.ref}
	}
	return step
}

func (s State) next() Step {
	if s.Bake.Status.Outcome != "" {
		return Step{Do: Wait}
	}
	if step, lowers := s.lowering(); lowers {
		return step
	}
	switch s.Bake.Status.Phase {
	case v1alpha1.PhaseRollingBack:
		return s.rollingBack()
	case v1alpha1.PhaseVerifying:
		return s.verifying()
	case v1alpha1.PhaseBaking:
		if end, over := s.takenOver(); over {
			return end
		}
		return s.onceFree(s.baking())
	case v1alpha1.PhaseRolling:
		if end, over := s.takenOver(); over {
			return end
		}
		return s.onceFree(s.rolling())
	default: // created a moment ago: the API server drops the status of what is created
		return Step{Do: Open, Observed: s.observed()}
	}
}

// takenOver ends a bake whose rollout is no longer there to be judged, or is in a person's hands.
func (s State) takenOver() (Step, bool) {
	spec := s.Bake.Spec
	switch {
	case !s.Sight.Exists || s.Sight.UID != spec.Workload.UID:
		return end(v1alpha1.OutcomeAbandoned, CodeDeleted, spec.Ref+" was deleted"), true
	case !s.Live.Watched:
		return end(v1alpha1.OutcomeAbandoned, CodeOptedOut, spec.Ref+" is no longer watched: "+s.Live.NotWatched), true
	case s.Along != nil && !s.movedOn():
		return wentAlong(*s.Along), true
	case s.movedOn() && s.Moved != nil:
		return Step{Do: End, Outcome: v1alpha1.OutcomeAbandoned, Reasons: []v1alpha1.Reason{*s.Moved}}, true
	case s.PutBack != nil && spec.From != nil:
		return s.putBack(), true
	case s.movedOn() && spec.From != nil && sameRevision(s.Current, *spec.From):
		return end(v1alpha1.OutcomeAbandoned, CodeUndone,
			fmt.Sprintf("%s was put back to the known good %s by hand", spec.Ref, rev(*spec.From))), true
	case s.movedOn():
		return end(v1alpha1.OutcomeSuperseded, CodeNewer, fmt.Sprintf("%s came before %s was judged", rev(s.Current), rev(spec.To))), true
	case s.abandoned() != nil:
		return Step{Do: End, Outcome: v1alpha1.OutcomeAbandoned, Reasons: []v1alpha1.Reason{*s.abandoned()}}, true
	case s.Sight.Paused && !s.Sight.marked():
		return end(v1alpha1.OutcomeAbandoned, CodePaused, spec.Ref+" was paused: a person has taken over"), true
	case s.Sight.CaughtUp && s.Sight.Replicas == 0 && !s.asked():
		return end(v1alpha1.OutcomeInconclusive, CodeScaledToZero, spec.Ref+" is scaled to zero: there is nothing to measure"), true
	}
	return Step{}, false
}

// movedOn reports whether the template is no longer the one this bake judges.
func (s State) movedOn() bool {
	return s.Current.Hash != "" && !sameRevision(s.Current, s.Bake.Spec.To)
}

func (s State) rolling() Step {
	if step, due := s.letGo(); due {
		return step
	}
	if len(s.Migrated) > 0 {
		return Step{Do: Migrate}
	}
	if step, asked := s.byHand(); asked {
		return step
	}
	if s.Bake.Status.Approval != nil {
		return s.waiting()
	}
	if step, planned := s.proposed(); planned {
		return step
	}
	if step, due := s.gently(); due {
		return step
	}
	if s.Crew.Ready && !s.Now.Before(s.readFrom()) {
		return Step{Do: Begin}
	}
	if step, dead := s.cannotRun(); dead {
		return step
	}
	if step, given := s.givenUp(); given {
		return step
	}
	if limit := s.Bake.Spec.StartedAt.Add(s.Frozen.Window + patience + s.pausedFor()); !s.Now.Before(limit) {
		return end(v1alpha1.OutcomeInconclusive, CodeNeverReady, fmt.Sprintf("no pod of %s became ready in %s", rev(s.Bake.Spec.To), short(s.Now.Sub(s.Bake.Spec.StartedAt.Time))))
	}
	return Step{Do: Wait, Until: s.Now.Add(min(s.Frozen.Interval, soon))}
}

// cannotRun treats a rollout as regressed none of whose pods can run, which needs neither traffic nor time.
func (s State) cannotRun() (Step, bool) {
	if s.Pods == nil || s.Pods.Fault != decide.FaultOwn {
		return Step{}, false
	}
	if step, given := s.givenUp(); given {
		return step, true // it says both
	}
	return s.regressed([]v1alpha1.Reason{podReason(s.Pods)}), true
}

func podReason(f *decide.PodFinding) v1alpha1.Reason {
	return v1alpha1.Reason{Code: f.Code, Sentence: f.Sentence}
}

// outOfTime treats a rollout as regressed whose time is over, unless others fare alike. What its pods say stands first.
func (s State) outOfTime(sentence string) Step {
	why := v1alpha1.Reason{Code: CodeDeadline, Sentence: CodeDeadline + ": " + sentence}
	switch {
	case s.Pods == nil:
		return s.regressed([]v1alpha1.Reason{why})
	case s.Pods.Fault == decide.FaultShared:
		return Step{Do: End, Outcome: v1alpha1.OutcomeInconclusive, Reasons: []v1alpha1.Reason{podReason(s.Pods), why}, Observed: s.observed()}
	}
	return s.regressed([]v1alpha1.Reason{podReason(s.Pods), why})
}

// givenUp treats a rollout the controller itself has given up as regressed: its new pods cannot run.
//
// StatefulSets and DaemonSets know no progress deadline: a new pod that is not ready for as long as a rollback may take to
// come back stands for it, until the rollout is complete.
func (s State) givenUp() (Step, bool) {
	if late := s.Crew.LateSince; !late.IsZero() && s.Bake.Status.CompletedAt == nil && !s.Now.Before(late.Add(s.Frozen.Deadline)) {
		return s.outOfTime(fmt.Sprintf("%s of %s has not been ready for %s", s.Crew.Late, rev(s.Bake.Spec.To), short(s.Now.Sub(late)))), true
	}
	if s.Sight.Stuck == "" || !s.Sight.CaughtUp || s.Sight.Complete() {
		return Step{}, false
	}
	if at := s.Sight.SettledAt; !at.IsZero() && !at.After(s.Bake.Spec.StartedAt.Time) {
		return Step{}, false // said of the rollout before: until a pod of an old revision that came back is up, it still stands
	}
	return s.outOfTime(fmt.Sprintf("%d of %d pods of %s are up after its progress deadline (%s)",
		s.Sight.Updated-s.unavailable(), s.Sight.Replicas, rev(s.Bake.Spec.To), s.Sight.Stuck)), true
}

// unavailable is how many pods are not available; they are counted as new ones, because a stuck rollout's are.
func (s State) unavailable() int32 {
	return min(s.Sight.Updated, max(0, s.Sight.Total-s.Sight.Available))
}

func (s State) baking() Step {
	if step, due := s.letGo(); due {
		return step
	}
	if len(s.Migrated) > 0 {
		return Step{Do: Migrate}
	}
	if step, asked := s.byHand(); asked {
		return step
	}
	if s.Bake.Status.Approval != nil {
		return s.waiting()
	}
	if step, planned := s.proposed(); planned {
		return step
	}
	if !slices.EqualFunc(s.Blind, s.Bake.Status.Blind, func(a, b v1alpha1.BlindSource) bool { return a.Source == b.Source }) {
		return Step{Do: Blind}
	}
	if len(s.Gone) > 0 {
		return Step{Do: Remember}
	}
	if step, dead := s.cannotRun(); dead {
		return step
	}
	if s.Unfound {
		return Step{Do: Find}
	}
	if s.Verdict != nil && s.Verdict.Result == decide.Regressed {
		if s.hold() == nil {
			if step, wait := s.yields(); wait {
				return step
			}
		}
		return s.regressed(reasons(s.Verdict.Reasons))
	}
	if step, given := s.givenUp(); given {
		return step
	}
	if s.suspects() {
		return Step{Do: Suspect}
	}
	if step, due := s.gently(); due {
		return step
	}
	st := s.Bake.Status
	if st.CompletedAt == nil {
		if s.rolledOut() {
			return Step{Do: Complete}
		}
		if limit := st.FirstReadyAt.Add(s.Frozen.Window + patience + s.pausedFor()); !s.Now.Before(limit) {
			return end(v1alpha1.OutcomeInconclusive, CodeNotComplete, fmt.Sprintf("the rollout of %s was not complete after %s: %d of %d pods are new",
				rev(s.Bake.Spec.To), short(s.Now.Sub(st.FirstReadyAt.Time)), s.Sight.Updated, s.Sight.Replicas))
		}
		return Step{Do: Wait}
	}
	if over := s.Verdict != nil && !s.readTo().Add(s.Frozen.Interval).Before(st.CompletedAt.Add(s.Frozen.Window)); !over && !s.early() {
		return Step{Do: Wait}
	}
	if !s.Sight.Complete() {
		// What serves well while pods are missing has not passed. A window more is for those that are just being added or moved.
		if limit := st.CompletedAt.Add(2 * s.Frozen.Window); s.Now.Before(limit) {
			return Step{Do: Wait}
		}
		why := v1alpha1.Reason{Code: CodeUnavailable, Sentence: fmt.Sprintf("%s: %d of %d pods were not available at the end of twice the window",
			CodeUnavailable, max(s.Sight.Replicas-s.Sight.Available, 0), s.Sight.Replicas)}
		all := append([]v1alpha1.Reason{why}, reasons(s.Verdict.Reasons)...)
		if s.Pods != nil {
			all = append([]v1alpha1.Reason{podReason(s.Pods)}, all...)
		}
		return Step{Do: End, Outcome: v1alpha1.OutcomeInconclusive, Reasons: all, Observed: s.observed()}
	}
	if s.Verdict.Result == decide.Healthy {
		return Step{Do: End, Outcome: v1alpha1.OutcomePassed, Reasons: reasons(s.Verdict.Reasons), Good: true, Observed: s.observed()}
	}
	return Step{Do: End, Outcome: v1alpha1.OutcomeInconclusive, Reasons: reasons(s.Verdict.Reasons), Good: servedWell(s.Verdict), Observed: s.observed()}
}

// readTo is up to when all signals were read.
func (s State) readTo() time.Time { return s.JudgedTo.Add(-s.Behind) }

// early reports whether a complete rollout may pass before its window is over.
func (s State) early() bool {
	v := s.Verdict
	return s.Frozen.PassEarly && v != nil && v.Early && v.Result == decide.Healthy && s.readTo().After(s.Bake.Status.CompletedAt.Time)
}

// servedWell reports whether an undecided verdict still speaks for the revision: it served its whole window, every signal
// that could speak did, and none raised suspicion; there was just too little traffic, or no metric at all. Without this a
// service that nobody measures would for ever be compared with, and undone to, its very first revision.
func servedWell(v *decide.Verdict) bool {
	for _, r := range v.Reasons {
		switch r.Code {
		case decide.CodeTooFewRequests, decide.CodeNoSeries, decide.CodeNoBaseline, decide.CodeWithin:
		default:
			return false
		}
	}
	return true
}

// regressed decides what a regression leads to: a rollback, unless a guard leaves it to a person.
func (s State) regressed(why []v1alpha1.Reason) Step {
	if held := s.hold(); held != nil {
		if step, first := s.inGit(why, held); first {
			return step
		}
		return s.orLower(Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(why, *held), Observed: s.observed()})
	}
	return s.mayGo(why)
}

func (s State) rollingBack() Step {
	rb := s.Bake.Status.Rollback
	why := s.Bake.Status.Reasons
	if !s.Sight.Exists || s.Sight.UID != s.Bake.Spec.Workload.UID {
		return end(v1alpha1.OutcomeAbandoned, CodeDeleted, s.Bake.Spec.Ref+" was deleted")
	}
	if rb.PatchedAt == nil {
		if sameRevision(s.Current, rb.Target) && rb.Target.Hash != "" {
			return s.nextUndo() // it is done, and only the receipt is missing
		}
		if s.observed() {
			return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Observed: true, Reasons: append(why, s.observeReason())}
		}
		if !s.Live.Watched {
			return end(v1alpha1.OutcomeAbandoned, CodeOptedOut, s.Bake.Spec.Ref+" is no longer watched: "+s.Live.NotWatched)
		}
		if r := s.ask(State.frozenNow); r != nil && s.Bake.Status.ByHand == nil {
			return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(slices.Clone(why), *r)}
		}
		if s.toSuspend() {
			return Step{Do: Suspend}
		}
		return s.nextUndo()
	}
	if s.isBack() {
		return s.undoneInVain()
	}
	if s.leftTarget() {
		return s.rolledBack("Unknown", fmt.Sprintf("%s came before recovery was measured", rev(s.Current)))
	}
	return s.comingBack()
}

// leftTarget reports whether the template is neither the one that was judged nor the one that was put back.
func (s State) leftTarget() bool {
	return s.movedOn() && !sameRevision(s.Current, s.Bake.Status.Rollback.Target)
}

func (s State) verifying() Step {
	rb := s.Bake.Status.Rollback
	if step, goesOn := s.proposing(); goesOn {
		return step
	}
	switch {
	case !s.Sight.Exists || s.Sight.UID != s.Bake.Spec.Workload.UID:
		return s.rolledBack("Unknown", s.Bake.Spec.Ref+" was deleted before recovery was measured")
	case s.isBack():
		return s.undoneInVain()
	case s.leftTarget():
		return s.rolledBack("Unknown", fmt.Sprintf("%s came before recovery was measured", rev(s.Current)))
	case s.proposes():
		return Step{Do: Plan}
	case s.Unfound:
		return Step{Do: Find}
	case s.Verdict == nil || s.readTo().Add(s.Frozen.Interval).Before(rb.AvailableAt.Add(s.Frozen.Verify)):
		return Step{Do: Wait}
	}
	if s.Verdict.Result == decide.Undecided && s.Now.Before(rb.AvailableAt.Add(verifyAtMost*s.Frozen.Verify)) {
		return Step{Do: Wait} // the source may need longer to see the new pods, and they to serve enough
	}
	first := s.Verdict.Reasons[0].Sentence
	switch s.Verdict.Result {
	case decide.Healthy:
		return s.rolledBack("Yes", "recovered: "+first)
	case decide.Regressed:
		return s.rolledBack("No", "the rollback did not help, so it is likely not this deploy: "+first)
	case decide.Undecided:
	}
	return s.rolledBack("Unknown", "recovery could not be measured: "+first)
}

func (s State) rolledBack(recovered, recovery string) Step {
	return Step{Do: End, Outcome: v1alpha1.OutcomeRolledBack, Reasons: slices.Concat(s.Bake.Status.Reasons, suspendedReason(s.Bake), proposalReason(s.Bake)), Recovered: recovered, Recovery: recovery}
}

func end(o v1alpha1.Outcome, code, sentence string) Step {
	return Step{Do: End, Outcome: o, Reasons: []v1alpha1.Reason{{Code: code, Sentence: sentence}}}
}

func reasons(rs []decide.Reason) []v1alpha1.Reason {
	out := make([]v1alpha1.Reason, len(rs))
	for i, r := range rs {
		out[i] = v1alpha1.Reason{Code: r.Code, Signal: r.Signal, Sentence: r.Sentence}
	}
	return out
}

// short prints a duration for people: 1h5m, 90s.
func short(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= time.Minute && d%time.Minute == 0 {
		if h := d / time.Hour; h > 0 && d%time.Hour == 0 {
			return fmt.Sprintf("%dh", h)
		} else if h > 0 {
			return fmt.Sprintf("%dh%dm", h, (d%time.Hour)/time.Minute)
		}
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
