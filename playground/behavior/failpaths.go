package behavior

import (
	"fmt"
	"strings"
)

// FailPaths is the annotation with the paths that fail, without its prefix.
const FailPaths = "fail-paths"

// maxFailPaths is how many paths a pod may fail on.
const maxFailPaths = 20

// Fails reports whether the pod fails on a path, once it no longer behaves well: the path is one of FailPaths, or below one
// that ends in a slash. Such requests are missing from the pod's metrics, as those are that fail before they are counted.
func (b Behavior) Fails(path string) bool {
	for _, p := range b.FailPaths {
		if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// failPaths reads paths with commas between them.
func failPaths(value string) ([]string, error) {
	paths := strings.Split(value, ",")
	if len(paths) > maxFailPaths {
		return nil, fmt.Errorf("%d paths are too many; at most %d", len(paths), maxFailPaths)
	}
	for i, p := range paths {
		if paths[i] = strings.TrimSpace(p); !strings.HasPrefix(paths[i], "/") {
			return nil, fmt.Errorf("%q is not a path; it begins with /", paths[i])
		}
	}
	return paths, nil
}
