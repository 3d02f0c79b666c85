package hands

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// UndoAnnotation asks for a rollback of the revision that it names.
const UndoAnnotation = "bakewatch.dev/undo"

// Live is a workload as it is.
type Live struct {
	Namespace string
	Workload  v1alpha1.WorkloadReference
	Current   v1alpha1.Revision
	Others    []v1alpha1.Revision // to which it can go back
	Named     *v1alpha1.Revision  // the one that has, or once had, the number that was asked for; nil when there is none
}

// ErrNoTarget is why a workload cannot be rolled back.
var ErrNoTarget = errors.New("no revision to go back to")

// Undo makes the word that asks for a rollback of what runs to the revision of a number, or where that is 0 to the known good
// one. The word names it, so that what is done is what was shown. bakes are the workload's, newest first.
func Undo(live Live, bakes []*v1alpha1.Bake, number int64, by string) (Word, error) {
	ref := strings.ToLower(live.Workload.Kind) + "/" + live.Workload.Name
	w := Word{Namespace: live.Namespace, Workload: live.Workload, Ref: ref, Annotation: UndoAnnotation}
	for _, b := range bakes {
		if b.Spec.Workload.UID == live.Workload.UID && b.Spec.To.Number == live.Current.Number && w.Bake == "" {
			w.Bake = b.Name // the newest
			if rb := b.Status.Rollback; rb != nil && b.Status.EndedAt == nil {
				return w, fmt.Errorf("%w: %s is being rolled back to rev %d already", ErrNotNow, ref, rb.Target.Number)
			}
		}
	}
	to := live.Named
	if number == 0 {
		to = knownGood(live, bakes)
	}
	switch {
	case to == nil && number > 0:
		return w, fmt.Errorf("%w: %s has no rev %d; there are %s", ErrNoTarget, ref, number, listed(live.Others))
	case to == nil:
		return w, fmt.Errorf("%w: nothing but what runs is known to be good; name one with --to, of %s", ErrNoTarget, listed(live.Others))
	case to.Hash == live.Current.Hash:
		return w, fmt.Errorf("%w: rev %d of %s is what runs; there are %s", ErrNoTarget, to.Number, ref, listed(live.Others))
	}
	w.Value = strings.TrimSpace(fmt.Sprintf("%d to %d %s", live.Current.Number, to.Number, by))
	w.Value += again(bakes, w.Value)
	w.Does = fmt.Sprintf("roll %s in %s back from %s to %s", ref, live.Namespace, called(live.Current), called(*to))
	return w, nil
}

// again sets a word apart from the same that was answered before: each is heeded once.
func again(bakes []*v1alpha1.Bake, value string) string {
	said := map[string]bool{}
	for _, b := range bakes {
		for _, h := range []*v1alpha1.ByHand{b.Spec.ByHand, b.Status.ByHand} {
			if h != nil {
				said[h.Word] = true
			}
		}
	}
	for n := 2; said[value]; n++ {
		if mark := fmt.Sprintf(" #%d", n); !said[value+mark] {
			return mark
		}
	}
	return ""
}

// knownGood is what the bake of what runs is, or was, judged against, or else the newest revision that is known good; nil when
// none of these is there any more. bakes are newest first.
func knownGood(live Live, bakes []*v1alpha1.Bake) *v1alpha1.Revision {
	there := func(hash string) *v1alpha1.Revision {
		i := slices.IndexFunc(live.Others, func(r v1alpha1.Revision) bool { return hash != "" && r.Hash == hash })
		if i < 0 {
			return nil
		}
		return &live.Others[i]
	}
	for _, b := range bakes {
		if b.Spec.Workload.UID == live.Workload.UID && b.Spec.To.Number == live.Current.Number && b.Spec.ByHand == nil && b.Spec.From != nil {
			return there(b.Spec.From.Hash)
		}
	}
	for _, b := range bakes {
		if b.Spec.Workload.UID == live.Workload.UID && b.Status.KnownGood && b.Spec.To.Hash != live.Current.Hash {
			if r := there(b.Spec.To.Hash); r != nil {
				return r
			}
		}
	}
	return nil
}

// listed are revisions for people, newest first.
func listed(rs []v1alpha1.Revision) string {
	rs = slices.SortedFunc(slices.Values(rs), func(a, b v1alpha1.Revision) int { return cmp.Compare(b.Number, a.Number) })
	const few = 10
	var out []string
	for _, r := range rs[:min(few, len(rs))] {
		out = append(out, called(r))
	}
	switch {
	case len(rs) == 0:
		return "none: no other revision is kept"
	case len(rs) > few:
		return fmt.Sprintf("%s and %d more", strings.Join(out, ", "), len(rs)-few)
	}
	return strings.Join(out, ", ")
}
