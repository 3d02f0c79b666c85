package bake

import (
	"fmt"
	"slices"

	"github.com/bakewatch/bakewatch/act/announce"
)

// Origin is where a workload's template comes from, as far as the workload tells.
type Origin struct {
	Release   HelmRelease // the Helm release that it belongs to; zero: none
	Kustomize bool        // Kustomize made it
	File      string      // from which, as Kustomize wrote it down; empty: it did not
}

// mostAftermath is how long an aftermath may be, as the resource's schema has it.
const mostAftermath = 2000

// changedByHand are the field managers of commands that change what runs and nothing that is applied later.
var changedByHand = []string{"kubectl-set", "kubectl-edit", "kubectl-patch", "kubectl-rollout", "kubectl-label", "kubectl-annotate"}

// aftermath is what people have to know of a rollback that begins: what its workload's origin goes on to say. Empty: nothing.
func (s State) aftermath() string {
	spec, o := s.Bake.Spec, s.Sight.Origin
	if o.Release != (HelmRelease{}) && s.Sight.Owner.Name == "" {
		return announce.Clip(s.ofRelease(o.Release), mostAftermath)
	}
	where := "in what it is applied from"
	switch {
	case s.Sight.Owner.Name != "":
		where = s.Sight.Owner.Where
	case slices.Contains(changedByHand, spec.ChangedBy):
		return ""
	case o.File != "":
		where = "in " + o.File
	case o.Kustomize:
		where = "in the kustomization that makes it"
	}
	by := "the next apply"
	if s.Sight.Owner.Name != "" {
		by = s.Sight.Owner.Name
		if s.suspension() != nil {
			by += ", once it is resumed,"
		}
	}
	return announce.Clip(fmt.Sprintf("%s brings %s of %s back; revert %s: %s", by, rev(spec.To), spec.Ref, where, s.changes()), mostAftermath)
}
