package policy

import (
	"cmp"
	"fmt"
	"strconv"
)

// ScaleDown has replicas lowered where a regression is held. A nil field is not set, as in Guards.
type ScaleDown struct {
	OOM *Replicas `json:"oom,omitempty"` // to how many, where pods are killed for want of memory again and again
}

// ScaleDownRules are a ScaleDown, resolved. The zero ScaleDownRules never touch replicas.
type ScaleDownRules struct {
	OOM Replicas `json:"oom,omitzero"`
}

// Replicas is how many pods are wanted, or off, which is 0.
type Replicas int32

const maxReplicas = 1000

// UnmarshalText reads a whole number above 0, or "off".
func (r *Replicas) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*r = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxReplicas {
		return fmt.Errorf("must be a whole number from 1 to %d, or off, not %s", maxReplicas, quote(string(text)))
	}
	*r = Replicas(n)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r Replicas) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the number as people write it.
func (r Replicas) String() string {
	if r == 0 {
		return "off"
	}
	return strconv.Itoa(int(r))
}

func defaultScaleDown() ScaleDown { return ScaleDown{OOM: new(Replicas(0))} }

// with is s with what o sets in its place.
func (s ScaleDown) with(o ScaleDown) ScaleDown { return ScaleDown{OOM: cmp.Or(o.OOM, s.OOM)} }

// resolved is s for a bake. All of it is set: it began from the defaults.
func (s ScaleDown) resolved() ScaleDownRules { return ScaleDownRules{OOM: *s.OOM} }
