package bake

import (
	"fmt"
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// A rollout of a Deployment may be paused part-way, so that both versions serve beside each other while the new one is judged:
// at the share of new pods that policy names, and once more when there is a suspicion. What is paused carries a mark with the
// name of its Bake, written in the same patch. Whatever carries a mark that no bake under way stands for is released (freePaused), so
// that nothing stays paused whatever became of the bake, the policy or the daemon that paused it.

// AnnotationPaused marks a Deployment whose rollout Bakewatch has paused: the name of the Bake. What is paused without it was
// paused by a person.
const AnnotationPaused = "bakewatch.dev/paused-by"

// Why a rollout is paused, as it is recorded.
const (
	pauseCanary    = "canary"
	pauseSuspicion = "suspicion"
)

// pauseAtMost is how many times the policy's time a rollout stays paused while it cannot be told whether the new version is well.
const pauseAtMost = 3

// openPause is the pause that is not released yet; nil when there is none.
func openPause(b *v1alpha1.Bake) *v1alpha1.Pause {
	if n := len(b.Status.Pauses); n > 0 && b.Status.Pauses[n-1].ReleasedAt == nil {
		return &b.Status.Pauses[n-1]
	}
	return nil
}

// marked reports whether Bakewatch paused the workload, by any of its Bakes.
func (s Sight) marked() bool { return s.Annotations[AnnotationPaused] != "" }

// pausedFor is how long the rollout has been paused by Bakewatch, all in all. That time counts for no deadline.
func (s State) pausedFor() (d time.Duration) {
	for _, p := range s.Bake.Status.Pauses {
		if p.PausedAt == nil {
			continue
		}
		until := s.Now
		if p.ReleasedAt != nil {
			until = p.ReleasedAt.Time
		}
		d += max(0, until.Sub(p.PausedAt.Time))
	}
	return d
}

// on reports whether a policy pauses rollouts for that.
func on(rules policy.CanaryRules, why string) bool {
	if why == pauseSuspicion {
		return rules.FreezeOnSuspicion
	}
	return rules.Pause > 0
}

// noPause is why the rollout may not be paused for that, or stay so, as a clause; empty when it may. Switches that make
// Bakewatch do less act at once.
func (s State) noPause(why string) string {
	switch {
	case s.observed():
		return "mode is observe"
	case s.ask(State.frozenNow) != nil:
		return "policy has Bakewatch only observe at this time"
	case !on(s.Frozen.Canary, why) || !on(s.Live.Canary, why):
		return "policy does not pause it for that"
	}
	return s.unpausable()
}

// unpausable is why rollouts of the workload cannot be paused part-way, as a clause; empty when they can.
func (s State) unpausable() string {
	switch spec := s.Bake.Spec; {
	case spec.Workload.Kind != KindDeployment:
		return "only the rollout of a Deployment can be paused, and this is a " + spec.Workload.Kind
	case s.Sight.Recreate:
		return "its strategy is Recreate: old and new pods never serve beside each other"
	case s.Sight.Owner.Name != "":
		return "it is kept by " + s.Sight.Owner.Name + ", which may undo the pause, and would undo a rollback"
	}
	return ""
}

// notGentle is what keeps a canary that policy asks for from being as gentle as it says; empty when nothing does.
func (s State) notGentle() string {
	rules := s.Frozen.Canary
	if !rules.On() || s.observed() || !s.Sight.Exists {
		return ""
	}
	if why := s.unpausable(); why != "" {
		return fmt.Sprintf("policy has rollouts of %s paused part-way, and they are not: %s", s.Bake.Spec.Ref, why)
	}
	if s.Sight.Replicas == 1 {
		return fmt.Sprintf("policy has rollouts of %s paused part-way, and they are not: of a single replica there is no part, because the old pod goes once the new one is available, paused or not", s.Bake.Spec.Ref)
	}
	want, wanted := rules.Pods(s.Sight.Replicas), s.Sight.Replicas
	if rules.Pause > 0 && wanted > 0 && s.Sight.AtOnce > want {
		return fmt.Sprintf("policy has rollouts of %s paused at %s, %d of %d pods, and its strategy makes %d new ones at once; lower maxSurge and maxUnavailable", s.Bake.Spec.Ref,
			rules.Pause, want, wanted, s.Sight.AtOnce)
	}
	return ""
}

// letGo is the step to release a pause that may not stay, whatever is found; false when none is due.
func (s State) letGo() (Step, bool) {
	p := openPause(s.Bake)
	if p == nil {
		return Step{}, false
	}
	goOn := func(why string) (Step, bool) { return Step{Do: GoOn, Why: why}, true }
	no := s.noPause(p.Why)
	switch {
	case p.EndsAt != nil:
		return Step{Do: Release}, true
	case s.Resumed:
		return Step{Do: GoOn, Why: "somebody let it go on", ByPerson: true}, true
	case s.Changed:
		return goOn("its template was changed")
	case no != "":
		return goOn(no)
	case s.Sight.CaughtUp && s.Sight.Replicas > 0 && s.Sight.Updated == 0:
		return goOn("no pod of " + rev(s.Bake.Spec.To) + " is left")
	case s.Sight.CaughtUp && s.Sight.Replicas > 0 && s.Sight.Updated >= s.Sight.Total:
		return goOn("all pods are of " + rev(s.Bake.Spec.To))
	}
	return Step{}, false
}

// gently is the step about a pause that is due as long as nothing regressed: to pause, or to let go on; false when none is.
func (s State) gently() (Step, bool) {
	p := openPause(s.Bake)
	switch {
	case p == nil:
		return s.halt()
	case p.PausedAt == nil:
		return Step{Do: Pause}, true
	}
	if why := s.enough(p); why != "" {
		return Step{Do: GoOn, Why: why}, true
	}
	return Step{}, false
}

// halt is the intent to pause, if it is time for it.
func (s State) halt() (Step, bool) {
	spec, sight := s.Bake.Spec, s.Sight
	was := func(why string) bool {
		return slices.ContainsFunc(s.Bake.Status.Pauses, func(p v1alpha1.Pause) bool { return p.Why == why || p.ByHand })
	}
	switch {
	case spec.RestartOnly, spec.InPlace, spec.ByHand != nil, s.Bake.Status.CompletedAt != nil:
		return Step{}, false
	case sight.Paused, !sight.CaughtUp, s.Changed, s.Current.Hash != spec.To.Hash:
		return Step{}, false
	case sight.Updated < 1, sight.Updated >= sight.Total, sight.Updated >= sight.Replicas:
		return Step{}, false // one at least is to serve on either side
	}
	rules := s.Frozen.Canary
	pods := fmt.Sprintf("paused with %d of %d pods new", sight.Updated, sight.Replicas)
	if s.noPause(pauseCanary) == "" && !was(pauseCanary) && sight.Updated >= rules.Pods(sight.Replicas) {
		return Step{Do: Halt, Cause: pauseCanary, Why: fmt.Sprintf("%s: %s, to judge %s beside what ran before for %s", pauseCanary, pods, rev(spec.To), short(s.pauseSpan()))}, true
	}
	if s.Verdict == nil || s.noPause(pauseSuspicion) != "" || was(pauseSuspicion) {
		return Step{}, false
	}
	if r := s.Verdict.Suspected; r != nil {
		return Step{Do: Halt, Cause: pauseSuspicion, Why: fmt.Sprintf("%s: %s: %s", pauseSuspicion, pods, r.Sentence)}, true
	}
	return Step{}, false
}

// pauseSpan is how long both versions are judged beside each other: as policy has it, and two ticks at least.
func (s State) pauseSpan() time.Duration {
	return max(time.Duration(s.Frozen.Canary.For), 2*s.Frozen.Interval)
}

// enough is why a paused rollout goes on: the new version is well after the time given, or it cannot be told in several times
// as long. Empty while it stays paused.
func (s State) enough(p *v1alpha1.Pause) string {
	st, to := s.Bake.Status, rev(s.Bake.Spec.To)
	if st.FirstReadyAt == nil {
		// The controller's own deadline does not count while it is paused; from now on it does.
		if !s.Now.Before(p.PausedAt.Add(s.Frozen.Deadline)) {
			return fmt.Sprintf("no pod of %s became ready within %s", to, short(s.Frozen.Deadline))
		}
		return ""
	}
	since := p.PausedAt.Time
	if st.FirstReadyAt.After(since) {
		since = st.FirstReadyAt.Time
	}
	span := s.pauseSpan()
	if !s.Now.Before(since.Add(pauseAtMost * span)) {
		return fmt.Sprintf("whether %s is well could not be told within %s", to, short(pauseAtMost*span))
	}
	over := s.Verdict != nil && !s.readTo().Add(s.Frozen.Interval).Before(since.Add(span))
	if !over || s.Sight.Available < s.Sight.Total || !servedWell(s.Verdict) {
		return ""
	}
	return fmt.Sprintf("nothing speaks against %s after %s beside what ran before: %s", to, short(span), s.Verdict.Reasons[0].Sentence)
}
