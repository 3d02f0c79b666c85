package policy

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Canary pauses rollouts of Deployments part-way. A nil field is not set: in Config.Canary the defaults fill all of them, in
// an Override nil leaves what applied before.
type Canary struct {
	Pause             *Portion `json:"pause,omitempty"`             // share of the pods that are new when it is paused
	For               *Span    `json:"for,omitempty"`               // how long both versions are judged beside each other
	FreezeOnSuspicion *bool    `json:"freezeOnSuspicion,omitempty"` // whether any rollout is paused while the judge has a suspicion
}

// CanaryRules are the canary of one workload, resolved. The zero CanaryRules pause nothing.
type CanaryRules struct {
	Pause             Portion `json:"pause"`
	For               Span    `json:"for"`
	FreezeOnSuspicion bool    `json:"freezeOnSuspicion"`
}

// On reports whether anything is ever paused.
func (r CanaryRules) On() bool { return r.Pause > 0 || r.FreezeOnSuspicion }

// Pods is how many of so many wanted pods are the share to pause at: rounded down, so that never more than the share is new,
// but one at least.
func (r CanaryRules) Pods(wanted int32) int32 {
	return max(1, int32(float64(r.Pause)*float64(wanted)+1e-9)) // 0.29 of 100 is 28.999…
}

// The bounds of how long a rollout is paused.
const minPause, maxPause = 10 * time.Second, 24 * time.Hour

// Portion is a share of pods that is neither none nor all, or off, which is 0.
type Portion float64

// UnmarshalText reads a share as everywhere, or "off".
func (p *Portion) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*p = 0
		return nil
	}
	var s Share
	if err := s.UnmarshalText(text); err != nil || s <= 0 || s >= 1 {
		return fmt.Errorf("must be a share above 0%% and below 100%% such as 20%%, or off, not %s", quote(string(text)))
	}
	*p = Portion(s)
	return nil
}

// MarshalText writes what UnmarshalText reads, to the last digit.
func (p Portion) MarshalText() ([]byte, error) {
	if p == 0 {
		return []byte("off"), nil
	}
	return strconv.AppendFloat(nil, float64(p), 'g', -1, 64), nil
}

// String is the share as people write it.
func (p Portion) String() string {
	if p == 0 {
		return "off"
	}
	return Share(p).String()
}

func defaultCanary() Canary {
	return Canary{Pause: new(Portion(0)), For: new(Span(5 * time.Minute)), FreezeOnSuspicion: new(false)}
}

// with is c with what o sets in its place.
func (c Canary) with(o Canary) Canary {
	return Canary{Pause: cmp.Or(o.Pause, c.Pause), For: cmp.Or(o.For, c.For), FreezeOnSuspicion: cmp.Or(o.FreezeOnSuspicion, c.FreezeOnSuspicion)}
}

// resolved is c for a bake. All of it is set: it began from the defaults.
func (c Canary) resolved() CanaryRules {
	return CanaryRules{Pause: *c.Pause, For: *c.For, FreezeOnSuspicion: *c.FreezeOnSuspicion}
}

// asks reports whether c has anything paused.
func (c Canary) asks() bool {
	return c.Pause != nil && *c.Pause > 0 || c.FreezeOnSuspicion != nil && *c.FreezeOnSuspicion
}

// canary checks c as it was written for workloads of a kind; empty: of any.
func (k *checker) canary(path string, c Canary, kind string) {
	if c.For != nil {
		k.between(join(path, "for"), time.Duration(*c.For), minPause, maxPause)
	}
	if kind != "" && kind != "Deployment" && c.asks() {
		k.errorf(path, "pauses Deployments only, and this matches kind %s, whose rollouts cannot be paused; remove it, or match kind Deployment", kind)
	}
}

// canaryAnnotation begins the annotations that set a key of the canary for a workload.
const canaryAnnotation = AnnotationPrefix + "canary."

// canaryNote applies an annotation about the canary; false when it is none.
func (r *resolver) canaryNote(key, value string) bool {
	field, ok := strings.CutPrefix(key, canaryAnnotation)
	if !ok {
		return false
	}
	var c Canary
	v := reflect.ValueOf(&c).Elem()
	index, ok := fields(v.Type())[field]
	if !ok {
		if rule, taken := r.signals["canary"]; taken && rule.on() {
			return false // a signal of that name
		}
		r.problem(key, "unknown key %s of canary (known: %s)", quote(field), strings.Join(keys(v.Type()), ", "))
		return true
	}
	f := v.FieldByIndex(index)
	f.Set(reflect.New(f.Type().Elem()))
	switch err := setScalar(f.Elem(), value, "!!bool"); {
	case f.Elem().Kind() == reflect.Bool && value != "true" && value != "false":
		r.problem(key, `must be "true" or "false", not %s`, quote(value))
		return true
	case err != nil:
		r.problem(key, "%v", err)
		return true
	}
	var k checker
	if k.canary("", c, r.target.Kind); len(k.errs) > 0 {
		r.problem(key, "%s", k.errs[0].Message)
		return true
	}
	r.canary = r.canary.with(c)
	return true
}
