package bake

import (
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

func TestARegressionOfAWorkloadThatAControllerKeepsIsHeld(t *testing.T) {
	for owner, want := range map[string]Do{"": Intend, "Argo CD": End} {
		s := State{
			Bake:   &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Ref: "deployment/web", From: &v1alpha1.Revision{Number: 6}, To: v1alpha1.Revision{Number: 7}}},
			Frozen: policy.Resolved{Mode: policy.Guard}, Live: policy.Resolved{Mode: policy.Guard},
			Sight: Sight{Owner: owner},
		}
		got := s.regressed([]v1alpha1.Reason{{Code: "threshold", Sentence: "worse"}})
		if got.Do != want {
			t.Errorf("owner %q: the step is %s, want %s", owner, got.Do, want)
		}
		if want == End && (got.Outcome != v1alpha1.OutcomeHeld || got.Reasons[1].Code != CodeOwned || got.Observed) {
			t.Errorf("owner %q: ended %s by %+v, want Held by %s", owner, got.Outcome, got.Reasons, CodeOwned)
		}
	}
}
