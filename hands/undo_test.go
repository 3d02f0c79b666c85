package hands

import (
	"errors"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestUndo(t *testing.T) {
	revision := func(n int64, hash string) v1alpha1.Revision {
		return v1alpha1.Revision{Number: n, Hash: hash, Images: []string{"web:" + hash}}
	}
	a, b, c := revision(5, "a"), revision(6, "b"), revision(7, "c")
	bake := func(to v1alpha1.Revision, from *v1alpha1.Revision, good bool) *v1alpha1.Bake {
		x := bakeOf("Deployment", "web", to.Number, int(to.Number)*100, v1alpha1.OutcomePassed)
		x.Spec.To, x.Spec.From, x.Spec.Workload.UID, x.Status.KnownGood = to, from, "u1", good
		return x
	}
	said := func(word string) *v1alpha1.Bake {
		x := bake(c, &b, false)
		x.Spec.ByHand = &v1alpha1.ByHand{Word: word}
		return x
	}
	going := bake(c, &b, false)
	going.Status = v1alpha1.BakeStatus{Rollback: &v1alpha1.Rollback{Target: b}}
	foreign := bake(c, &b, true)
	foreign.Spec.Workload.UID = "u0"
	gone := revision(4, "z")
	web := func(current v1alpha1.Revision, named *v1alpha1.Revision, others ...v1alpha1.Revision) Live {
		return Live{Namespace: "shop", Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web", UID: "u1"}, Current: current, Others: others, Named: named}
	}
	for name, x := range map[string]struct {
		live   Live
		bakes  []*v1alpha1.Bake
		number int64
		value  string // empty: it cannot be
		says   string
	}{
		"what its bake compared it with": {web(c, nil, a, b), []*v1alpha1.Bake{bake(c, &a, true), bake(b, &a, true)}, 0, "7 to 5 ann", "roll deployment/web in shop back from rev 7 (web:c) to rev 5 (web:a)"},
		"the newest known good":          {web(revision(8, "a"), nil, b, c), []*v1alpha1.Bake{bake(c, &b, false), bake(b, &a, true), bake(a, nil, true)}, 0, "8 to 6 ann", "to rev 6 (web:b)"},
		"the one that is named":          {web(c, &a, a, b), nil, 1, "7 to 5 ann", "to rev 5 (web:a)"},
		"none is named that is there":    {web(c, nil, a, b), nil, 9, "", "deployment/web has no rev 9; there are rev 6 (web:b), rev 5 (web:a)"},
		"what runs":                      {web(c, &c, a), nil, 7, "", "rev 7 of deployment/web is what runs; there are rev 5 (web:a)"},
		"nothing is known good":          {web(c, nil, a), nil, 0, "", "name one with --to, of rev 5 (web:a)"},
		"what was good is gone":          {web(c, nil), []*v1alpha1.Bake{bake(c, &gone, false)}, 0, "", "none: no other revision is kept"},
		"of a workload that is no more":  {web(c, nil, b), []*v1alpha1.Bake{foreign}, 0, "", "name one with --to"},
		"being rolled back":              {web(c, nil, b), []*v1alpha1.Bake{going}, 0, "", "is being rolled back to rev 6 already"},
		"said before":                    {web(c, &b, b), []*v1alpha1.Bake{said("7 to 6 ann #2"), said("7 to 6 ann")}, 6, "7 to 6 ann #3", "to rev 6"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Undo(x.live, x.bakes, x.number, "ann")
			if x.value == "" {
				if err == nil || !strings.Contains(err.Error(), x.says) || !errors.Is(err, ErrNoTarget) && !errors.Is(err, ErrNotNow) {
					t.Errorf("%+v, %v; want %s", got, err, x.says)
				}
				return
			}
			if err != nil || got.Value != x.value || !strings.Contains(got.Does, x.says) || got.Workload.UID != "u1" || got.Annotation != "bakewatch.dev/undo" {
				t.Errorf("%+v, %v; want %s: %s", got, err, x.value, x.says)
			}
		})
	}
}
