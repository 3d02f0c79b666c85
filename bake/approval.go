package bake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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

// word reports whether an annotation on the workload names the revision that is judged, and who wrote it, if it says so: 7, or
// 7 ann@example.com.
func (s State) word(annotation string) (by string, said bool) {
	number, by, _ := strings.Cut(strings.TrimSpace(s.Sight.Annotations[annotation]), " ")
	if number != strconv.FormatInt(s.Bake.Spec.To.Number, 10) {
		return "", false
	}
	const most = 200 // runes of a name
	name := []rune(strings.Join(strings.Fields(by), " "))
	return string(name[:min(len(name), most)]), true
}

// somebody is who wrote an annotation, for people.
func somebody(by string) string {
	if by == "" {
		return "somebody"
	}
	return by
}

// answer is what people said; empty: nothing yet. Who says no is heard before who says yes.
func (s State) answer() string {
	for _, a := range []struct{ annotation, answer string }{{policy.AnnotationReject, rejected}, {policy.AnnotationApprove, approved}} {
		if _, said := s.word(a.annotation); said {
			return a.answer
		}
	}
	return ""
}

// answeredBy is who gave the answer.
func (s State) answeredBy() string {
	for _, annotation := range []string{policy.AnnotationReject, policy.AnnotationApprove} {
		if by, said := s.word(annotation); said {
			return by
		}
	}
	return ""
}

// abandoned is why the bake is given up, if a person wants that; else nil.
func (s State) abandoned() *v1alpha1.Reason {
	by, said := s.word(policy.AnnotationAbort)
	if !said {
		return nil
	}
	return &v1alpha1.Reason{Code: CodeAborted, Sentence: fmt.Sprintf("%s: %s said to leave %s of %s alone", CodeAborted, somebody(by), rev(s.Bake.Spec.To), s.Bake.Spec.Ref)}
}

// byHand is a rollback that a person asks for. It needs neither ground nor approval, and goes by the same guards.
func (s State) byHand() (Step, bool) {
	by, said := s.word(policy.AnnotationUndo)
	if !said {
		return Step{}, false
	}
	why := []v1alpha1.Reason{{Code: CodeByHand, Sentence: fmt.Sprintf("%s: %s asked to roll %s back from %s", CodeByHand, somebody(by), s.Bake.Spec.Ref, rev(s.Bake.Spec.To))}}
	if held := s.hold(); held != nil {
		return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(why, *held), Observed: s.observed()}, true
	}
	return Step{Do: Intend, Reasons: why}, true
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
		return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(why, *held(CodeApproval, "nobody approved the rollback of %s from %s within %s", s.Bake.Spec.Ref, rev(s.Bake.Spec.To), short(a.Until.Sub(a.AskedAt.Time))))}
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
