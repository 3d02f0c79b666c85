package policy

import (
	"cmp"
	"time"
)

// Guards are reasons to leave a regression to a person although it could be rolled back. A nil field is not set: in
// Config.Guards the defaults fill all of them, in an Override nil leaves what applied before.
type Guards struct {
	GitOps     *bool  `json:"gitOps,omitempty"`     // Argo CD or Flux keeps the workload
	Owner      *bool  `json:"owner,omitempty"`      // another controller owns it
	Migrations *bool  `json:"migrations,omitempty"` // database migrations ran with the new version
	References *bool  `json:"references,omitempty"` // what the good revision refers to is gone
	Alerting   *bool  `json:"alerting,omitempty"`   // an alert of the workload fired before the rollout
	ToAndFro   *bool  `json:"toAndFro,omitempty"`   // the same two revisions took turns before
	Cooldown   *Limit `json:"cooldown,omitempty"`   // least time between two rollbacks of a workload
	MaxAge     *Limit `json:"maxAge,omitempty"`     // age of a rollout above which it is not undone

	Freeze *[]Freeze `json:"freeze,omitempty"` // windows in which it only observes

	Approval Approval `json:"approval"` // somebody's word before a rollback
}

// GuardRules are the guards of one workload, resolved. The zero GuardRules hold nothing.
type GuardRules struct {
	GitOps     bool  `json:"gitOps"`
	Owner      bool  `json:"owner"`
	Migrations bool  `json:"migrations"`
	References bool  `json:"references"`
	Alerting   bool  `json:"alerting"`
	ToAndFro   bool  `json:"toAndFro"`
	Cooldown   Limit `json:"cooldown"`
	MaxAge     Limit `json:"maxAge"`

	Freeze []Freeze `json:"freeze,omitempty"`

	Approval ApprovalRules `json:"approval"`
}

// Answer is what happens to a regression about which people were asked, and nobody answered.
type Answer string

// The answers.
const (
	Hold     Answer = "hold"
	RollBack Answer = "rollback"
)

// Approval has people asked before a rollback. A nil field is not set, as in Guards.
type Approval struct {
	Required *bool   `json:"required,omitempty"`
	Deadline *Span   `json:"deadline,omitempty"` // how long an answer is waited for
	Default  *Answer `json:"default,omitempty"`  // what happens without one
}

// ApprovalRules are an Approval, resolved.
type ApprovalRules struct {
	Required bool   `json:"required"`
	Deadline Span   `json:"deadline"`
	Default  Answer `json:"default"`
}

// The bounds of what may be set.
const (
	minCooldown, maxCooldown = time.Second, 7 * 24 * time.Hour
	minAnswer, maxAnswer     = time.Minute, 24 * time.Hour
	minAge, maxAge           = time.Minute, 30 * 24 * time.Hour
)

func defaultGuards() Guards {
	return Guards{
		GitOps: new(true), Owner: new(true), Migrations: new(true), References: new(true), Alerting: new(true), ToAndFro: new(true),
		Cooldown: new(Limit(5 * time.Minute)), MaxAge: new(Limit(24 * time.Hour)), Freeze: new([]Freeze(nil)),
		Approval: Approval{Required: new(false), Deadline: new(Span(30 * time.Minute)), Default: new(Hold)},
	}
}

// with is g with what o sets in its place.
func (g Guards) with(o Guards) Guards {
	return Guards{
		GitOps:     cmp.Or(o.GitOps, g.GitOps),
		Owner:      cmp.Or(o.Owner, g.Owner),
		Migrations: cmp.Or(o.Migrations, g.Migrations),
		References: cmp.Or(o.References, g.References),
		Alerting:   cmp.Or(o.Alerting, g.Alerting),
		ToAndFro:   cmp.Or(o.ToAndFro, g.ToAndFro),
		Cooldown:   cmp.Or(o.Cooldown, g.Cooldown),
		MaxAge:     cmp.Or(o.MaxAge, g.MaxAge),
		Freeze:     cmp.Or(o.Freeze, g.Freeze),
		Approval: Approval{
			Required: cmp.Or(o.Approval.Required, g.Approval.Required),
			Deadline: cmp.Or(o.Approval.Deadline, g.Approval.Deadline),
			Default:  cmp.Or(o.Approval.Default, g.Approval.Default),
		},
	}
}

// resolved is g for a bake. All of it is set: it began from the defaults.
func (g Guards) resolved() GuardRules {
	return GuardRules{
		GitOps: *g.GitOps, Owner: *g.Owner, Migrations: *g.Migrations, References: *g.References, Alerting: *g.Alerting, ToAndFro: *g.ToAndFro,
		Cooldown: *g.Cooldown, MaxAge: *g.MaxAge, Freeze: *g.Freeze,
		Approval: ApprovalRules{Required: *g.Approval.Required, Deadline: *g.Approval.Deadline, Default: *g.Approval.Default},
	}
}

// guards checks g as it was written.
func (k *checker) guards(path string, g Guards) {
	k.limit(join(path, "cooldown"), g.Cooldown, minCooldown, maxCooldown)
	k.limit(join(path, "maxAge"), g.MaxAge, minAge, maxAge)
	if d := g.Approval.Deadline; d != nil {
		k.between(join(join(path, "approval"), "deadline"), time.Duration(*d), minAnswer, maxAnswer)
	}
	if d := g.Approval.Default; d != nil && *d != Hold && *d != RollBack {
		k.errorf(join(join(path, "approval"), "default"), "must be %s or %s, not %s", Hold, RollBack, quote(string(*d)))
	}
	if g.Freeze != nil {
		k.freezes(join(path, "freeze"), *g.Freeze)
	}
}

// limit checks a limit that is set, and not off.
func (k *checker) limit(path string, l *Limit, least, most time.Duration) {
	if l != nil && *l != 0 {
		k.between(path, time.Duration(*l), least, most)
	}
}
