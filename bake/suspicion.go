package bake

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

const maxSuspicion = 1000 // characters, as the resource's schema has it

// suspects reports whether it is new that most of the evidence has gathered that a regression takes. It is told once a bake.
func (s State) suspects() bool {
	return s.Verdict != nil && s.Verdict.Suspected != nil && s.Bake.Status.Suspicion == nil
}

// suspect records it.
func (l *Loop) suspect(s State, st *v1alpha1.BakeStatus) {
	why := s.Verdict.Suspected
	st.Suspicion = &v1alpha1.Suspicion{At: micro(s.Now), Sentence: announce.Clip(why.Sentence, maxSuspicion), Signal: why.Signal}
	l.Log.Info("evidence is gathering", zap.String("bake", id(s.Bake)), zap.String("signal", why.Signal), zap.String("what", why.Sentence))
}

// suspicion makes a story say what was known when evidence was gathering, and no more.
func suspicion(s *announce.Story, b *v1alpha1.Bake) {
	if x := b.Status.Suspicion; x != nil {
		s.Why, s.Reasons = x.Sentence, []string{x.Sentence}
	}
}

// suspected is the headline of that story.
func suspected(who string, b *v1alpha1.Bake) string {
	return fmt.Sprintf("%s: %s looks worse, and it is not yet sure", who, rev(b.Spec.To))
}
