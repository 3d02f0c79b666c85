package bake

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

const (
	// seekEvery is how often database migrations are looked for, and seekFor for how long after the rollout is complete; before
	// a rollback they are looked for in any case.
	seekEvery = 10 * time.Second
	seekFor   = 3 * time.Minute
	// jobLead is how long before the rollout a Job that migrates for it may have been started.
	jobLead = 10 * time.Minute

	maxMigrations = 100 // as the resource's schema has it
)

// migrations are the database migrations that ran with the rollout and are not on record.
func (l *Loop) migrations(ctx context.Context, k Key, w *work, s State, now bool) []v1alpha1.Migration {
	st, spec := s.Bake.Status, s.Bake.Spec
	if l.Migrations == nil || !s.Sight.Exists || s.Sight.UID != spec.Workload.UID || st.Phase != v1alpha1.PhaseRolling && st.Phase != v1alpha1.PhaseBaking {
		return nil
	}
	settled := st.CompletedAt != nil && s.Now.Sub(st.CompletedAt.Time) > seekFor
	if !now && (settled || s.Now.Sub(w.sought) < seekEvery) || w.sought.Equal(s.Now) {
		return nil
	}
	w.sought = s.Now
	since := spec.StartedAt.Add(-jobLead)
	if b := spec.BaselineSince; b != nil && b.After(since) {
		since = b.Time // what ran before is the old version's
	}
	all, err := l.Migrations(ctx, k, spec.To, since)
	if err != nil && err.Error() != w.unsought {
		w.unsought = err.Error()
		l.Log.Warn("which database migrations ran is not known in full", zap.String("bake", id(s.Bake)), zap.Error(err))
	}
	fresh := slices.DeleteFunc(all, func(m v1alpha1.Migration) bool {
		return slices.ContainsFunc(st.Migrations, func(r v1alpha1.Migration) bool { return r.Tool == m.Tool && r.Name == m.Name })
	})
	return fresh[:min(len(fresh), maxMigrations-len(st.Migrations))]
}
