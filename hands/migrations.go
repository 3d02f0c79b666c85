package hands

import (
	"cmp"
	"fmt"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// migrations are the database migrations that ran with a rollout, in their order, and what people may do.
type migrations struct {
	Rows    []migration
	Choices []string
}

type migration struct{ Tool, Name, Changed, Where string }

func migrationsOf(b *v1alpha1.Bake) *migrations {
	st := b.Status
	if len(st.Migrations) == 0 {
		return nil
	}
	var out migrations
	for _, m := range st.Migrations {
		out.Rows = append(out.Rows, migration{m.Tool, m.Name, cmp.Or(m.Changed(), "not known whether schema or data"), "container " + m.Container + " of " + m.Pod})
	}
	if !worse(b) || b.Spec.From == nil || st.Rollback != nil && st.Rollback.PatchedAt != nil {
		return &out
	}
	old := fmt.Sprintf("revision %d", b.Spec.From.Number)
	out.Choices = []string{
		"Roll forward: fix the new version, and deploy that. It is the safe choice where a migration removed or rewrote anything.",
		fmt.Sprintf("Undo, if %s runs on the migrated database because the migrations only added something: kubectl bakewatch undo %s -n %s. Where that is so for this workload in general, annotate it bakewatch.dev/migrations: reversible.", old, b.Spec.Ref, b.Namespace),
		"Reverse the migrations with their tool, and then undo. What they deleted does not come back, and what was written since may be lost: ask who wrote them, and take a backup first.",
	}
	return &out
}
