package bake

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

func gathering(s *State) {
	verdict(decide.Undecided, time.Minute, decide.CodeSuspicion)(s)
	s.Verdict.Suspected = &s.Verdict.Reasons[0]
}

// It is recorded once, it ends nothing, and what ends a bake goes before it.
func TestSuspects(t *testing.T) {
	if got := Next(in(v1alpha1.PhaseBaking, gathering)); got.Do != Suspect {
		t.Errorf("got %+v", got)
	}
	known := func(s *State) { s.Bake.Status.Suspicion = &v1alpha1.Suspicion{} }
	if got := Next(in(v1alpha1.PhaseBaking, gathering, known)); got.Do != Wait {
		t.Errorf("known already: got %+v", got)
	}
	if got := Next(in(v1alpha1.PhaseBaking, gathering, newer)); got.Do != End {
		t.Errorf("superseded: got %+v", got)
	}
	if got := Next(in(v1alpha1.PhaseVerifying, gathering)); got.Do == Suspect {
		t.Errorf("after a rollback: got %+v", got)
	}
}

// Whoever hears of it hears it once, before it is decided and as no more than it is; and when nothing comes of it, the end says so.
func TestSuspicionIsTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rps, w.rates["B"] = 1, 0.05
		w.start()
		w.deploy(web, "B")
		w.pass(20 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		told := w.of(announce.Suspicion)
		if len(told) != 1 || b.Status.Suspicion == nil {
			t.Fatalf("told %+v, on record %+v", told, b.Status.Suspicion)
		}
		s := told[0]
		if s.Severity != announce.Info || s.Decided || s.Outcome != "" || s.Why != b.Status.Suspicion.Sentence || !strings.Contains(s.Why, "1 in 1,000 is needed") || !strings.Contains(s.Headline, "not yet sure") {
			t.Errorf("got %+v", s)
		}
		if !b.Status.Suspicion.At.Before(&b.Status.Rollback.IntendedAt) {
			t.Errorf("suspected at %s, decided at %s", b.Status.Suspicion.At, b.Status.Rollback.IntendedAt)
		}
		var stages []string
		for _, r := range b.Status.Announced {
			stages = append(stages, r.Stage)
		}
		if want := []string{"started", "suspicion", "deciding", "ended"}; !slices.Equal(stages, want) {
			t.Errorf("receipts of %v, want %v", stages, want)
		}
	})
}

func TestTheStoryOfASuspicionKnowsNoMore(t *testing.T) {
	b := &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Ref: "deployment/web", To: v1alpha1.Revision{Number: 7}}}
	b.Status = v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomePassed, Why: "within", EndedAt: after(time.Hour), Suspicion: &v1alpha1.Suspicion{Sentence: "it is more"},
		Signals: []v1alpha1.SignalSummary{{Name: "http-errors"}}}
	s := story(b, announce.Suspicion)
	if s.Why != "it is more" || s.Outcome != "" || !s.EndedAt.IsZero() || s.Severity != announce.Info || len(s.Measured) > 0 || announce.WorthTelling(s) != announce.IfAsked {
		t.Errorf("got %+v", s)
	}
	if s := story(b, announce.Ended); s.Why != "within" {
		t.Errorf("got %+v", s)
	}
}
