package gitops

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bakewatch/bakewatch/bake"
)

// Mark is the annotation on what was suspended.
const Mark = "bakewatch.dev/suspended"

// mark is its value, as JSON.
type mark struct {
	// For are the bakes for which it is suspended, by workload: shop/deployment/web. One bake a workload.
	For map[string]string `json:"for"`
	// At is when it was suspended, RFC 3339.
	At string `json:"at"`
	// Before is what was there: an Application's spec.syncPolicy.automated, a HelmRelease's spec.suspend, the value of an annotation;
	// null where there was nothing.
	Before any `json:"before"`
}

// markOf reads the mark of an object; nil where there is none. One that a person has broken is not replaced: what was there before
// would be lost.
func markOf(o *unstructured.Unstructured) (*mark, error) {
	text, ok := o.GetAnnotations()[Mark]
	if !ok {
		return nil, nil
	}
	m := &mark{}
	if err := json.Unmarshal([]byte(text), m); err != nil || len(m.For) == 0 {
		return nil, fmt.Errorf("%w: its annotation %s cannot be read; put right what it was about, and remove it", bake.ErrNotSuspendable, Mark)
	}
	if len(m.For) > maxApps {
		return nil, fmt.Errorf("%w: its annotation %s names %d workloads", bake.ErrNotSuspendable, Mark, len(m.For))
	}
	return m, nil
}

// by is the bake for which it is suspended for a workload.
func (m *mark) by(k bake.Key) (id string, marked bool) {
	if m == nil {
		return "", false
	}
	id, marked = m.For[k.String()]
	return id, marked
}

// text is the annotation's value in a JSON merge patch: nil takes it away.
func (m *mark) text() (any, error) {
	if m == nil {
		return nil, nil
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the mark: %w", err)
	}
	return string(raw), nil
}

// others says for whom an object stays suspended; empty where for nobody.
func (m *mark) others(called string) string {
	if m == nil {
		return ""
	}
	const few = 5
	names := slices.Sorted(maps.Keys(m.For))
	more := ""
	if len(names) > few {
		names, more = names[:few], fmt.Sprintf(" and %d more", len(names)-few)
	}
	return fmt.Sprintf("%s stays so for %s%s", called, strings.Join(names, ", "), more)
}
