package policy

import (
	"cmp"
	"time"
)

// Rollback is how a workload is rolled back where more is known of it than its template. A nil field is not set: in
// Config.Rollback the defaults fill all of them, in an Override nil leaves what applied before.
type Rollback struct {
	Helm Helm `json:"helm"`
}

// Helm has a workload that belongs to a Helm release rolled back with its release, as helm rollback does.
type Helm struct {
	Enabled  *bool     `json:"enabled,omitempty"`
	Hooks    *Hooks    `json:"hooks,omitempty"`    // what becomes of the chart's rollback hooks
	Fallback *Fallback `json:"fallback,omitempty"` // what happens where the release cannot be rolled back
	Timeout  *Span     `json:"timeout,omitempty"`  // how long it may take, and how long an operation under way is waited for
}

// Hooks is what becomes of the rollback hooks of a chart.
type Hooks string

// What may become of hooks.
const (
	RunHooks  Hooks = "run"
	SkipHooks Hooks = "skip"
)

// Fallback is what happens to a regression where the release cannot be rolled back.
type Fallback string

// The fallbacks.
const (
	FallbackHold  Fallback = "hold"  // it is left to a person
	FallbackPatch Fallback = "patch" // the workload's template is put back, and the release goes on to say otherwise
)

// HelmRules are a Helm, resolved. The zero HelmRules leave releases alone.
type HelmRules struct {
	Enabled  bool     `json:"enabled"`
	Hooks    Hooks    `json:"hooks"`
	Fallback Fallback `json:"fallback"`
	Timeout  Span     `json:"timeout"`
}

const minHelm, maxHelm = 10 * time.Second, 30 * time.Minute

func defaultRollback() Rollback {
	return Rollback{Helm: Helm{Enabled: new(false), Hooks: new(RunHooks), Fallback: new(FallbackHold), Timeout: new(Span(5 * time.Minute))}}
}

// with is r with what o sets in its place.
func (r Rollback) with(o Rollback) Rollback {
	return Rollback{Helm: Helm{
		Enabled:  cmp.Or(o.Helm.Enabled, r.Helm.Enabled),
		Hooks:    cmp.Or(o.Helm.Hooks, r.Helm.Hooks),
		Fallback: cmp.Or(o.Helm.Fallback, r.Helm.Fallback),
		Timeout:  cmp.Or(o.Helm.Timeout, r.Helm.Timeout),
	}}
}

// resolved is h for a bake. All of it is set: it began from the defaults.
func (h Helm) resolved() HelmRules {
	return HelmRules{Enabled: *h.Enabled, Hooks: *h.Hooks, Fallback: *h.Fallback, Timeout: *h.Timeout}
}

// rollback checks r as it was written.
func (k *checker) rollback(path string, r Rollback) {
	path = join(path, "helm")
	if h := r.Helm.Hooks; h != nil && *h != RunHooks && *h != SkipHooks {
		k.errorf(join(path, "hooks"), "must be %s or %s, not %s", RunHooks, SkipHooks, quote(string(*h)))
	}
	if f := r.Helm.Fallback; f != nil && *f != FallbackHold && *f != FallbackPatch {
		k.errorf(join(path, "fallback"), "must be %s or %s, not %s", FallbackHold, FallbackPatch, quote(string(*f)))
	}
	if t := r.Helm.Timeout; t != nil {
		k.between(join(path, "timeout"), time.Duration(*t), minHelm, maxHelm)
	}
}
