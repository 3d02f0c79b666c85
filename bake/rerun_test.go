package bake

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// again is the rollout of a Bake, to be baked once more.
func again(b *v1alpha1.Bake) Rerun {
	r := Rerun{Key: keyOf(b), To: b.Spec.To, CalledTo: rev(b.Spec.To), First: b.Spec.From == nil, StartedAt: b.Spec.StartedAt.Time,
		FirstReadyAt: b.Status.FirstReadyAt.Time, BaselineUntil: b.Spec.BaselineUntil.Time}
	if b.Spec.From != nil {
		r.From, r.CalledFrom = *b.Spec.From, rev(*b.Spec.From)
	}
	if b.Status.CompletedAt != nil {
		r.CompletedAt = b.Status.CompletedAt.Time
	}
	if b.Spec.BaselineSince != nil {
		r.BaselineSince = b.Spec.BaselineSince.Time
	}
	return r
}

// A rollout that is baked again ends as it ended live, for the same reasons.
func TestARerunEndsAsTheBakeDid(t *testing.T) {
	for _, c := range []struct {
		name string
		rate float64
		rps  float64
		want v1alpha1.Outcome
	}{{"healthy", 0, 20, v1alpha1.OutcomePassed}, {"bad", 0.3, 20, v1alpha1.OutcomeRolledBack}, {"quiet", 0, 0.02, v1alpha1.OutcomeInconclusive}} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"], w.rps = c.rate, c.rps
				p := w.start()
				w.deploy(web, "B")
				w.pass(10 * time.Minute)
				b := w.bake(t, 2)
				if b.Status.Outcome != c.want {
					t.Fatalf("live it is %s: %s", b.Status.Outcome, b.Status.Why)
				}
				resolved, _ := w.config.For(policy.Target{Kind: web.Kind, Namespace: web.Namespace, Name: web.Name})
				looser := resolved
				looser.Signals = append([]policy.Signal{}, resolved.Signals...)
				looser.Signals[0].Threshold.Increase, looser.Signals[0].Threshold.Max = 1000, 1
				looser.Layers.Evidence = false
				endings, err := again(b).Play(t.Context(), p, time.Now(), resolved, looser)
				if err != nil {
					t.Fatal(err)
				}
				e := endings[0]
				if diff := cmp.Diff(b.Status.Reasons, e.Reasons); diff != "" || e.Outcome != c.want || e.CutShort {
					t.Errorf("again it is %s (-live +again):\n%s", e.Outcome, diff)
				}
				ended := b.Status.EndedAt.Time
				if b.Status.Rollback != nil {
					ended = b.Status.Rollback.IntendedAt.Time
				}
				if late := ended.Sub(e.At); late < 0 || late > 2*time.Second {
					t.Errorf("it ended at %s, again at %s", ended, e.At)
				}
				if endings[1].Outcome == v1alpha1.OutcomeRolledBack {
					t.Errorf("by a looser policy it is rolled back: %+v", endings[1].Reasons)
				}
			})
		})
	}
}

func TestARerunThatIsCutShort(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		resolved, _ := w.config.For(policy.Target{Kind: web.Kind, Namespace: web.Namespace, Name: web.Name})
		r := again(w.bake(t, 2))
		r.FirstReadyAt, r.CompletedAt = time.Time{}, time.Time{}
		r.EndedAt = r.StartedAt.Add(time.Minute)
		for _, c := range []struct {
			now    time.Time
			enough bool
			want   v1alpha1.Outcome
		}{
			{time.Now(), true, v1alpha1.OutcomePassed},
			{time.Now(), false, v1alpha1.OutcomeInconclusive},
			{r.StartedAt.Add(50 * time.Second), true, v1alpha1.OutcomeInconclusive}, // it goes on
		} {
			r.Enough = c.enough
			endings, err := r.Play(t.Context(), p, c.now, resolved)
			if err != nil || !endings[0].CutShort || endings[0].Outcome != c.want || endings[0].At.After(r.EndedAt) || endings[0].At.After(c.now) {
				t.Errorf("want %s: %+v, %v", c.want, endings, err)
			}
		}
		other := resolved
		other.Interval *= 2
		if _, err := r.Play(t.Context(), p, time.Now(), resolved, other); err == nil {
			t.Error("policies with ticks of different length are played together")
		}
	})
}
