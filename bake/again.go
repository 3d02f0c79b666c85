package bake

import (
	"fmt"
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// AnnotationRolledBack marks a workload that was rolled back, until a newer version has proved itself: the number of the
// bad revision and the time.
const AnnotationRolledBack = "bakewatch.dev/rolled-back-from"

// maxUndone is how many rollbacks of a workload are remembered at most: more than any policy keeps records.
const maxUndone = 100

// pastUndo is a rollback of a workload that was carried out.
type pastUndo struct {
	bake      string // name of its record
	bad, good v1alpha1.Revision
	at        time.Time
}

// rememberUndone adds what a Bake undid, if it undid anything.
func (e *entry) rememberUndone(b *v1alpha1.Bake) {
	rb := b.Status.Rollback
	if rb == nil || rb.PatchedAt == nil || slices.ContainsFunc(e.undone, func(u pastUndo) bool { return u.bake == b.Name }) {
		return
	}
	e.undone = append(e.undone, pastUndo{b.Name, b.Spec.To, rb.Target, rb.PatchedAt.Time})
	if len(e.undone) > maxUndone {
		e.undone = e.undone[1:]
	}
}

// again is the newest rollback of the template that is rolled out now; nil when there was none.
func (e *entry) again(to v1alpha1.Revision) *v1alpha1.Again {
	for _, u := range slices.Backward(e.undone) {
		if u.bad.Hash != "" && alike(u.bad, to) {
			return &v1alpha1.Again{Number: u.bad.Number, Bake: u.bake, At: micro(u.at)}
		}
	}
	return nil
}

// alike reports whether two revisions are the same version: of template and of configuration.
func alike(a, b v1alpha1.Revision) bool {
	return sameRevision(a, b) && a.Configuration == b.Configuration
}

// itIs says of a revision that it was rolled back before: "rev 9 is rev 7 again, rolled back 20m ago".
func itIs(spec v1alpha1.BakeSpec, now time.Time) string {
	return fmt.Sprintf("%s is %s again, rolled back %s ago", rev(spec.To), calledThen(spec), short(now.Sub(spec.Again.At.Time)))
}

// toAndFro: two revisions that took turns once do not do so again. Somebody, or something, wants the one, and Bakewatch the
// other; more rollbacks would be a fight.
func (s State) toAndFro(rules policy.GuardRules) *v1alpha1.Reason {
	if !rules.ToAndFro {
		return nil
	}
	spec := s.Bake.Spec
	for _, u := range slices.Backward(s.Undone) {
		switch {
		case u.bad.Hash == "" || u.good.Hash == "":
		case alike(u.bad, spec.To) && alike(u.good, *spec.From):
			by := ""
			if spec.ChangedBy != "" {
				by = " by " + spec.ChangedBy
			}
			return held(CodeToAndFro, "rev %d is rev %d again, rolled back %s ago, and was put back%s; it is not rolled back to %s a second time: fix it, or revert it where it is applied from",
				spec.To.Number, u.bad.Number, short(s.Now.Sub(u.at)), by, rev(*spec.From))
		case alike(u.good, spec.To) && alike(u.bad, *spec.From):
			return held(CodeToAndFro, "%s is what %s was rolled back to %s ago, when it was rev %d; the two do not take turns: choose one, or fix what is wrong with both",
				rev(spec.To), rev(*spec.From), short(s.Now.Sub(u.at)), u.good.Number)
		}
	}
	return nil
}

// coolingDown: a service that was rolled back a moment ago is not itself yet.
func (s State) coolingDown(rules policy.GuardRules) *v1alpha1.Reason {
	if rules.Cooldown == 0 || len(s.Undone) == 0 {
		return nil
	}
	last := s.Undone[len(s.Undone)-1]
	if ago := s.Now.Sub(last.at); ago < time.Duration(rules.Cooldown) {
		return held(CodeCooldown, "%s was rolled back from rev %d %s ago already, and policy lets %s pass between two rollbacks; see what they have in common",
			s.Bake.Spec.Ref, last.bad.Number, short(ago), rules.Cooldown)
	}
	return nil
}
