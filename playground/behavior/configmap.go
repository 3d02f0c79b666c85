package behavior

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ConfigPrefix begins the keys of a ConfigMap by which a pod that reads it is told how to behave; the rest of a key is as that of an
// annotation: playground.error-rate.
const ConfigPrefix = "playground."

// Configured is b with what the data of a ConfigMap says instead. Keys without the prefix are somebody else's.
func (b Behavior) Configured(data map[string]string) (Behavior, error) {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		name, ours := strings.CutPrefix(key, ConfigPrefix)
		if !ours {
			continue
		}
		if err := b.set(name, strings.TrimSpace(data[key])); err != nil {
			return b, fmt.Errorf("key %s: %w", key, err)
		}
	}
	return b, nil
}
