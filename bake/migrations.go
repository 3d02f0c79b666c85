package bake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
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
	return newsOf(st.Migrations, all)
}

func sameMigration(a, b v1alpha1.Migration) bool { return a.Tool == b.Tool && a.Name == b.Name }

// newsOf are the migrations that are not on record, as many as fit, and those of which the log has come to tell what they did.
func newsOf(onRecord, all []v1alpha1.Migration) []v1alpha1.Migration {
	var out []v1alpha1.Migration
	room := maxMigrations - len(onRecord)
	for _, m := range all {
		i := slices.IndexFunc(onRecord, func(r v1alpha1.Migration) bool { return sameMigration(r, m) })
		switch {
		case i >= 0 && m.ToldBy == "log" && onRecord[i].ToldBy != "log":
			out = append(out, m)
		case i < 0 && room > 0:
			out = append(out, m)
			room--
		}
	}
	return out
}

// withMigrations is what is on record with what is new.
func withMigrations(onRecord, news []v1alpha1.Migration) []v1alpha1.Migration {
	out := slices.Clone(onRecord)
	for _, m := range news {
		if i := slices.IndexFunc(out, func(r v1alpha1.Migration) bool { return sameMigration(r, m) }); i >= 0 {
			out[i] = m
		} else {
			out = append(out, m)
		}
	}
	return out
}

// migrated: an older version need not run on a database that a newer one has changed, and may even do harm to it. Only people
// know, and say so on the workload.
func (s State) migrated(rules policy.GuardRules) *v1alpha1.Reason {
	ran := s.Bake.Status.Migrations
	if !rules.Migrations || len(ran) == 0 || s.Sight.Annotations[policy.AnnotationMigrations] == policy.Reversible {
		return nil
	}
	spec := s.Bake.Spec
	return held(CodeMigrations, "%s migrated the database, and %s may not run on it. In order: %s. Choose: roll forward with a fix; or, if %s does run on it, kubectl bakewatch undo %s -n %s, and annotate %s: %s if that is so in general; or reverse the migrations with their tool first, which does not bring back what they deleted",
		rev(spec.To), rev(*spec.From), migrationList(ran), rev(*spec.From), spec.Ref, s.Bake.Namespace, policy.AnnotationMigrations, policy.Reversible)
}

// migrationList are the first migrations in their order, and what each changed where that is known.
func migrationList(ran []v1alpha1.Migration) string {
	const few = 10
	var names []string
	tool, unknown := "", 0
	for _, m := range ran[:min(few, len(ran))] {
		name := m.Name
		if m.Tool != tool {
			tool, name = m.Tool, m.Tool+" "+m.Name
		}
		if what := m.Changed(); what != "" {
			name += " (" + what + ")"
		} else {
			unknown++
		}
		names = append(names, name)
	}
	list := strings.Join(names, ", ")
	if more := len(ran) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	switch {
	case unknown == len(names):
		list += "; whether they changed only the schema, or data too, their logs do not tell"
	case unknown > 0:
		list += "; of those without a word, whether they changed only the schema, or data too, is not known"
	}
	return list
}
