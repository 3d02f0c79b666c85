package bake

import (
	"fmt"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// Codes of the guards: reasons not to roll back although the new version regressed. Each leaves it to a person.
const (
	CodeObserve     = "observe"          // mode: observe only says what would be done
	CodeNoGood      = "no-good-revision" // there is no known good revision to go back to
	CodeRestartOnly = "restart-only"     // nothing but a restart was rolled out; going back would change nothing
	CodeOwned       = "owned"            // another controller owns the template, and would undo the undo
	CodeBudget      = "budget"           // too many rollbacks at once are one incident
)

// hold asks the guards in turn and returns the first that holds; nil when the rollback may go ahead.
func (s State) hold() *v1alpha1.Reason {
	spec := s.Bake.Spec
	switch {
	case spec.From == nil:
		return &v1alpha1.Reason{Code: CodeNoGood, Sentence: fmt.Sprintf("held: %s has no known good revision to go back to", spec.Ref)}
	case spec.RestartOnly:
		return &v1alpha1.Reason{Code: CodeRestartOnly, Sentence: fmt.Sprintf("held: %s only restarted the pods of %s; going back would change nothing", rev(spec.To), rev(*spec.From))}
	case s.Sight.Owner != "":
		return &v1alpha1.Reason{Code: CodeOwned, Sentence: fmt.Sprintf("held: %s is kept by %s, which would put %s back; revert it there", spec.Ref, s.Sight.Owner, rev(spec.To))}
	case s.observed():
		r := s.observeReason()
		return &r
	case s.Budget != nil:
		return s.Budget
	}
	return nil
}

// observed reports whether the bake may only say what it would do: by the policy it began with, or by the one of now.
func (s State) observed() bool {
	return s.Frozen.Mode != policy.Guard || s.Live.Mode != policy.Guard
}

func (s State) observeReason() v1alpha1.Reason {
	return v1alpha1.Reason{Code: CodeObserve, Sentence: fmt.Sprintf("held: mode is observe; would have rolled %s back to %s", s.Bake.Spec.Ref, rev(*s.Bake.Spec.From))}
}
