package bake

import (
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// Answers of people to the question whether to roll back, as they are recorded. None came while it is empty.
const (
	approved = "Approved"
	rejected = "Rejected"
)

// approval is by what rules a rollback needs somebody's word; those of the policy of now go before those the bake began with.
func (s State) approval() policy.ApprovalRules {
	if a := s.Live.Guards.Approval; a.Required {
		return a
	}
	return s.Frozen.Guards.Approval
}

// answer is what people said; empty: nothing yet. Who says no is heard before who says yes.
func (s State) answer() string {
	for _, a := range []struct{ annotation, answer string }{{policy.AnnotationReject, rejected}, {policy.AnnotationApprove, approved}} {
		if _, said := s.said(a.annotation); said {
			return a.answer
		}
	}
	return ""
}

// answeredBy is who gave the answer.
func (s State) answeredBy() string {
	for _, annotation := range []string{policy.AnnotationReject, policy.AnnotationApprove} {
		if w, said := s.said(annotation); said {
			return w.by
		}
	}
	return ""
}

// mayGo decides, once no other guard holds, whether anybody has to be asked: a rollback, an end, or the question.
func (s State) mayGo(why []v1alpha1.Reason) Step {
	rules := s.approval()
	if !rules.Required {
		return Step{Do: Intend, Reasons: why}
	}
	switch s.answer() {
	case approved:
		return Step{Do: Intend, Reasons: why}
	case rejected:
		return s.refused(why)
	}
	until := s.Now.Add(time.Duration(rules.Deadline))
	return Step{Do: Ask, Until: until, Reasons: append(slices.Clone(why), *s.question(until, rules.Default))}
}

// question is the reason why nothing happens until somebody answers.
func (s State) question(until time.Time, otherwise policy.Answer) *v1alpha1.Reason {
	spec := s.Bake.Spec
	without := "it is held"
	if otherwise == policy.RollBack {
		without = "it is rolled back"
	}
	return held(CodeApproval, "waits until %s for somebody to approve: kubectl -n %s annotate %s %s=%d rolls back to %s, %s=%d leaves %s; without an answer %s", clock(until),
		s.Bake.Namespace, spec.Ref, policy.AnnotationApprove, spec.To.Number, rev(*spec.From), policy.AnnotationReject, spec.To.Number, rev(spec.To), without)
}

// clock is a moment for people: who reads it is near to it.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 MST") }

// waiting is what becomes of a bake that has asked people.
func (s State) waiting() Step {
	a := s.Bake.Status.Approval
	why := slices.DeleteFunc(slices.Clone(s.Bake.Status.Reasons), func(r v1alpha1.Reason) bool { return r.Code == CodeApproval })
	over := !s.Now.Before(a.Until.Time)
	switch answer := s.answer(); {
	case answer == rejected:
		return s.refused(why)
	case answer == approved, over && a.Default == string(policy.RollBack):
		if held := s.hold(); held != nil { // much may have happened meanwhile
			return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(why, *held), Answer: answer, By: s.answeredBy(), Observed: s.observed()}
		}
		return Step{Do: Intend, Reasons: why, Answer: answer}
	case over:
		return s.orLower(Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(why, *held(CodeApproval, "nobody approved the rollback of %s from %s within %s", s.Bake.Spec.Ref, rev(s.Bake.Spec.To), short(a.Until.Sub(a.AskedAt.Time))))})
	}
	return Step{Do: Wait, Until: a.Until.Time}
}

func (s State) refused(why []v1alpha1.Reason) Step {
	return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Answer: rejected, By: s.answeredBy(), Reasons: append(slices.Clone(why), *held(CodeRejected, "%s said not to roll %s back from %s (annotation %s)",
		somebody(s.answeredBy()), s.Bake.Spec.Ref, rev(s.Bake.Spec.To), policy.AnnotationReject))}
}

// recordAnswer records what people said to the question, if it was asked, and they did.
func recordAnswer(st *v1alpha1.BakeStatus, answer, by string, at time.Time) {
	if a := st.Approval; a != nil && answer != "" {
		t := micro(at)
		a.Answer, a.AnsweredAt, a.By = answer, &t, by
	}
}
