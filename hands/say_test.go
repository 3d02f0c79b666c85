package hands

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestSay(t *testing.T) {
	going := func(change func(*v1alpha1.Bake)) *v1alpha1.Bake {
		b := undone()
		b.Status = v1alpha1.BakeStatus{Phase: v1alpha1.PhaseBaking}
		change(b)
		return b
	}
	asIs := func(*v1alpha1.Bake) {}
	asked := func(b *v1alpha1.Bake) { b.Status.Approval = &v1alpha1.Approval{} }
	first := func(b *v1alpha1.Bake) { b.Spec.From = nil }
	rolling := func(b *v1alpha1.Bake) { b.Status.Rollback = &v1alpha1.Rollback{Target: v1alpha1.Revision{Number: 1}} }
	over := func(b *v1alpha1.Bake) {
		b.Status.EndedAt, b.Status.Outcome = &metav1.MicroTime{}, v1alpha1.OutcomePassed
	}
	for _, c := range []struct {
		verb  string
		bake  *v1alpha1.Bake
		value string // empty: it cannot be said
		says  string
	}{
		{"approve", going(asked), "2 ann@example.com", "roll deployment/web in shop back from rev 2 (web:v2) to rev 1 (web:v1)"},
		{"approve", going(asIs), "", "no rollback of deployment/web waits for approval; it stands at Baking"},
		{"approve", going(over), "", "it ended as Passed; bakewatch undo deployment/web rolls it back all the same"},
		{"reject", going(asked), "2 ann@example.com", "leave deployment/web in shop at rev 2"},
		{"reject", going(rolling), "", "is being rolled back to rev 1 already"},
		{"abort", going(first), "2 ann@example.com", "stop watching the rollout of deployment/web in shop from the beginning to rev 2"},
		{"abort", going(rolling), "", "is being rolled back"},
	} {
		for _, v := range Verbs {
			if v.Name != c.verb {
				continue
			}
			got, err := v.Say(c.bake, "ann@example.com")
			switch {
			case c.value == "" && (!errors.Is(err, ErrNotNow) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%s: %v, want %s", c.verb, err, c.says)
			case c.value != "" && (err != nil || got.Value != c.value || got.Annotation != "bakewatch.dev/"+c.verb || !strings.Contains(got.Does, c.says)):
				t.Errorf("%s: %+v, %v; want %s: %s", c.verb, got, err, c.value, c.says)
			}
		}
	}
}
