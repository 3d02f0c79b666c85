package policy

import "cmp"

// Guards are reasons to leave a regression to a person although it could be rolled back. A nil field is not set: in
// Config.Guards the defaults fill all of them, in an Override nil leaves what applied before.
type Guards struct {
	GitOps *bool `json:"gitOps,omitempty"` // Argo CD or Flux keeps the workload
	Owner  *bool `json:"owner,omitempty"`  // another controller owns it
}

// GuardRules are the guards of one workload, resolved. The zero GuardRules hold nothing.
type GuardRules struct {
	GitOps bool `json:"gitOps"`
	Owner  bool `json:"owner"`
}

func defaultGuards() Guards {
	return Guards{GitOps: new(true), Owner: new(true)}
}

// with is g with what o sets in its place.
func (g Guards) with(o Guards) Guards {
	return Guards{
		GitOps: cmp.Or(o.GitOps, g.GitOps),
		Owner:  cmp.Or(o.Owner, g.Owner),
	}
}

// resolved is g for a bake. All of it is set: it began from the defaults.
func (g Guards) resolved() GuardRules {
	return GuardRules{GitOps: *g.GitOps, Owner: *g.Owner}
}
