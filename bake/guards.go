package bake

import (
	"fmt"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// Codes of the guards: reasons not to roll back although the new version regressed. Each leaves it to a person.
const (
	CodeObserve     = "observe"          // mode: observe only says what would be done
	CodeNoGood      = "no-good-revision" // there is no known good revision to go back to
	CodeRestartOnly = "restart-only"     // nothing but a restart was rolled out; going back would change nothing
	CodeGitOps      = "gitops"           // Argo CD or Flux keeps the template as Git has it, and would undo the undo
	CodeOwned       = "owned"            // another controller owns the workload, and would undo the undo
	CodeTooOld      = "too-old"          // it was rolled out too long ago to be undone without a person
	CodeMigrations  = "migrations"       // database migrations ran, which the good revision does not know of
	CodeAlerting    = "alerting"         // an alert of the workload fired before the rollout
	CodeReferences  = "references"       // what the good revision refers to is no longer there
	CodeToAndFro    = "to-and-fro"       // the same two revisions took turns before
	CodeCooldown    = "cooldown"         // the workload was rolled back a moment ago
	CodeFreeze      = "freeze"           // policy has it only observe at this time
	CodeApproval    = "approval"         // policy wants somebody's word, and nobody gave it
	CodeRejected    = "rejected"         // somebody said no
	CodeByHand      = "by-hand"          // somebody asked for the rollback
	CodeAborted     = "aborted"          // somebody said to leave the rollout alone
	CodeBudget      = "budget"           // too many rollbacks at once are one incident
)

// guards leave a regression to a person by rules that policy sets, in the order in which they are asked. Each returns why
// it holds, and nil when it does not.
var guards = []struct {
	holds func(State, policy.GuardRules) *v1alpha1.Reason
	// futile: the rollback would not work, whoever wants it. The others wait for a person, and a person who asks for a rollback
	// has answered.
	futile bool
}{
	{State.keptByGitOps, true},
	{State.ownedByAnother, true},
	{State.tooOld, false},
	{State.migrated, false},
	{State.wasAlerting, false},
	{State.unstartable, true},
	{State.keptConfig, true},
	{State.unkept, true},
	{State.configOff, true},
	{State.toAndFro, false},
	{State.coolingDown, false},
	{State.frozenNow, false},
}

// hold asks the guards in turn and returns the first that holds; nil when the rollback may go ahead. A guard that is on in
// the policy of now holds, and so does one that was on when the bake began.
func (s State) hold() *v1alpha1.Reason {
	spec := s.Bake.Spec
	switch {
	case spec.From == nil:
		return held(CodeNoGood, "%s has no known good revision to go back to", spec.Ref)
	case spec.RestartOnly:
		return held(CodeRestartOnly, "%s only restarted the pods of %s; going back would change nothing", rev(spec.To), rev(*spec.From))
	}
	asked := s.asked()
	for _, guard := range guards {
		if asked && !guard.futile {
			continue
		}
		if r := s.ask(guard.holds); r != nil {
			return r
		}
	}
	if r := s.heldByRelease(); r != nil {
		return r
	}
	if s.observed() {
		r := s.observeReason()
		return &r
	}
	if asked {
		return nil
	}
	return s.Budget
}

// ask asks a guard by both policies.
func (s State) ask(guard func(State, policy.GuardRules) *v1alpha1.Reason) *v1alpha1.Reason {
	for _, rules := range []policy.GuardRules{s.Live.Guards, s.Frozen.Guards} {
		if r := guard(s, rules); r != nil {
			return r
		}
	}
	return nil
}

// held is the reason of a guard that holds.
func held(code, format string, args ...any) *v1alpha1.Reason {
	return &v1alpha1.Reason{Code: code, Sentence: "held: " + fmt.Sprintf(format, args...)}
}

// keptByGitOps: what Git says comes back, whatever is done to the workload.
func (s State) keptByGitOps(rules policy.GuardRules) *v1alpha1.Reason {
	o := s.Sight.Owner
	if !rules.GitOps || !o.GitOps || o.Name == "" || s.strategy() == policy.Suspend {
		return nil
	}
	return s.kept(CodeGitOps, o)
}

// ownedByAnother: nobody knows what a controller that Bakewatch does not know makes of an undo.
func (s State) ownedByAnother(rules policy.GuardRules) *v1alpha1.Reason {
	o := s.Sight.Owner
	if !rules.Owner || o.GitOps || o.Name == "" {
		return nil
	}
	return s.kept(CodeOwned, o)
}

func (s State) kept(code string, o Owner) *v1alpha1.Reason {
	spec := s.Bake.Spec
	return held(code, "%s is kept by %s, which would put %s back; revert %s: %s", spec.Ref, o.Name, rev(spec.To), o.Where, s.changes())
}

// changes are the first few things that are to be reverted.
func (s State) changes() string {
	const few = 3
	switch c := s.Bake.Spec.Changes; {
	case len(c) == 0:
		return "what " + rev(s.Bake.Spec.To) + " changed"
	case len(c) > few:
		return fmt.Sprintf("%s and %d more", strings.Join(c[:few], ", "), len(c)-few)
	default:
		return strings.Join(c, ", ")
	}
}

// observed reports whether the bake may only say what it would do: by the policy it began with, or by the one of now.
func (s State) observed() bool {
	return s.Frozen.Mode != policy.Guard || s.Live.Mode != policy.Guard
}

func (s State) observeReason() v1alpha1.Reason {
	return *held(CodeObserve, "mode is observe; would have rolled %s back to %s", s.Bake.Spec.Ref, rev(*s.Bake.Spec.From))
}

// tooOld: what a version wrote in a long time, and what others did meanwhile, an undo does not take back.
func (s State) tooOld(rules policy.GuardRules) *v1alpha1.Reason {
	age := s.Now.Sub(s.Bake.Spec.StartedAt.Time)
	if rules.MaxAge == 0 || age <= time.Duration(rules.MaxAge) {
		return nil
	}
	return held(CodeTooOld, "%s was rolled out %s ago, and policy lets no rollout older than %s be undone by itself", rev(s.Bake.Spec.To), short(age), rules.MaxAge)
}

// wasAlerting: a workload that was not well before may be made better by a version that looks worse, and nothing that is known of
// it is a standard.
func (s State) wasAlerting(rules policy.GuardRules) *v1alpha1.Reason {
	if !rules.Alerting || len(s.Alerting) == 0 {
		return nil
	}
	const few = 3
	names, more := s.Alerting, ""
	if len(names) > few {
		names, more = names[:few], fmt.Sprintf(" and %d more", len(names)-few)
	}
	return held(CodeAlerting, "%s%s fired for %s before %s was rolled out: it was not well before, and may not be after an undo", strings.Join(names, ", "), more, s.Bake.Spec.Ref, rev(s.Bake.Spec.To))
}

// unstartable: the good revision's pods would not start.
func (s State) unstartable(rules policy.GuardRules) *v1alpha1.Reason {
	if !rules.References || len(s.Missing) == 0 {
		return nil
	}
	const few = 5
	names := s.Missing
	more := ""
	if len(names) > few {
		names, more = names[:few], fmt.Sprintf(" and %d more", len(names)-few)
	}
	return held(CodeReferences, "pods of %s would not start, because what they refer to is gone: %s%s; put it back, or roll forward", rev(*s.Bake.Spec.From), strings.Join(names, ", "), more)
}

// frozenNow: at some times nobody wants a change, be it a good one.
func (s State) frozenNow(rules policy.GuardRules) *v1alpha1.Reason {
	window, until, in := rules.Frozen(s.Now)
	if !in {
		return nil
	}
	return held(CodeFreeze, "policy only observes until %s (%s); would have rolled %s back to %s", until.Format("Mon 2006-01-02 15:04 MST"), window, s.Bake.Spec.Ref, rev(*s.Bake.Spec.From))
}
