package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// orphanFor is how long the Bakes of a workload that is gone are kept.
const orphanFor = 7 * 24 * time.Hour

// prune deletes the oldest ended Bakes of a workload beyond the number that policy keeps.
func (l *Loop) prune(ctx context.Context, k Key, e *entry) error {
	cfg := l.Policy()
	if cfg == nil {
		return nil
	}
	for len(e.past) > cfg.History {
		i := slices.IndexFunc(e.past, func(name string) bool { return !slices.Contains(e.suspended, name) }) // by those that are, they are resumed
		if i < 0 {
			return nil
		}
		if err := l.Records.Delete(ctx, k.Namespace, e.past[i]); err != nil && !errors.Is(err, ErrNoRecord) {
			return fmt.Errorf("delete the old bake %s/%s: %w", k.Namespace, e.past[i], err)
		}
		e.past = slices.Delete(e.past, i, i+1)
	}
	return nil
}

// sweep deletes, once an hour, the Bakes of workloads that have been gone for long.
func (l *Loop) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.sweepOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			l.Log.Warn("old bakes not swept; will try again in an hour", zap.Error(err))
		}
	}
}

func (l *Loop) sweepOnce(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var old []*v1alpha1.Bake
	err := l.Records.List(ctx, func(b *v1alpha1.Bake) {
		s := l.Watcher.Sight(keyOf(b))
		if b.Status.EndedAt != nil && now.Sub(b.Status.EndedAt.Time) > orphanFor && (!s.Exists || s.UID != b.Spec.Workload.UID) {
			old = append(old, b)
		}
	})
	if err != nil {
		return fmt.Errorf("list bakes to sweep: %w", err)
	}
	for _, b := range old {
		if err := l.Records.Delete(ctx, b.Namespace, b.Name); err != nil && !errors.Is(err, ErrNoRecord) {
			return fmt.Errorf("delete %s of a workload that is gone: %w", id(b), err)
		}
	}
	return nil
}
