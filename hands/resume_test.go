package hands

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestResume(t *testing.T) {
	at := metav1.NowMicro()
	bake := func(number int64, s *v1alpha1.Suspension) *v1alpha1.Bake {
		b := bakeOf("Deployment", "web", number, int(number)*100, v1alpha1.OutcomeRolledBack)
		b.Status.Rollback = &v1alpha1.Rollback{Target: v1alpha1.Revision{Number: number - 1}, Suspension: s}
		return b
	}
	open := v1alpha1.Suspension{Kind: "Application", Name: "shop", DoneAt: &at, Of: "automated sync of application argocd/shop is off"}
	resumed, already, failed := open, open, open
	resumed.ResumedAt, already.Already, failed.DoneAt = &at, true, nil
	going := bake(7, &open)
	going.Status.EndedAt, going.Status.Outcome = nil, ""
	plain := bakeOf("Deployment", "web", 9, 900, v1alpha1.OutcomePassed)
	for name, c := range map[string]struct {
		bakes []*v1alpha1.Bake
		value string // empty: it cannot be
		says  string
	}{
		"the newest":              {[]*v1alpha1.Bake{bake(7, &open), bake(5, &resumed)}, "7 ann", "automated sync of application argocd/shop is off since the rollback from rev 7"},
		"one before other bakes":  {[]*v1alpha1.Bake{plain, bake(8, &already), bake(7, &open)}, "7 ann", "if Git still says rev 7"},
		"resumed":                 {[]*v1alpha1.Bake{bake(7, &resumed)}, "", "no rollback of deployment/web on record has anything suspended"},
		"nothing was changed":     {[]*v1alpha1.Bake{bake(7, &already)}, "", "has anything suspended"},
		"it could not be":         {[]*v1alpha1.Bake{bake(7, &failed)}, "", "has anything suspended"},
		"nothing to be suspended": {[]*v1alpha1.Bake{bake(7, nil), plain}, "", "has anything suspended"},
		"it is being rolled back": {[]*v1alpha1.Bake{going}, "", "is being rolled back to rev 6; resume it when that is over"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resume(c.bakes, "ann")
			if c.value == "" {
				if !errors.Is(err, ErrNotNow) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || got.Value != c.value || got.Annotation != "bakewatch.dev/resume" || !strings.Contains(got.Does, c.says) || got.Bake != c.bakes[len(c.bakes)-1].Name && c.bakes[0].Name != got.Bake {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
