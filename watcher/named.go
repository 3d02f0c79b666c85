package watcher

import (
	"context"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// Revisions implements bake.Watcher.
func (w *Watcher) Revisions(ctx context.Context, k bake.Key, number int64) (current, named v1alpha1.Revision, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	live, err := Read(ctx, w.client, k)
	if err != nil {
		return current, named, err
	}
	if v := live.Current(); v != nil && live.newest(v) {
		current = v.Revision
	}
	if v := live.Numbered(number); v != nil {
		named = v.Revision
	}
	return current, named, nil
}

// Numbered is the revision of that number, or else the one that once had it; nil when there is none.
func (w *Workload) Numbered(number int64) *Version {
	var once *Version
	for i := range w.Versions {
		switch v := &w.Versions[i]; {
		case number <= 0:
		case v.Number == number:
			return v
		case v.had(number):
			once = v
		}
	}
	return once
}
