package bake

import (
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestMigrationsAreOnRecord: each once, in their order, and the guard holds for one that was written of after the last look.
func TestMigrationsAreOnRecord(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.5
		w.start()
		begun := time.Now()
		looks := 0
		w.with(web, func(x *workload) {
			x.migrates = map[string]func() []v1alpha1.Migration{"B": func() []v1alpha1.Migration {
				looks++
				all := []v1alpha1.Migration{{Tool: "django", Name: "shop.0041_a"}}
				if time.Since(begun) > 12*time.Second {
					all = append(all, v1alpha1.Migration{Tool: "django", Name: "shop.0042_b"})
				}
				return all
			}}
		})
		w.deploy(web, "B")
		w.pass(10 * time.Second)
		if got := w.bake(t, 2).Status.Migrations; len(got) != 1 {
			t.Errorf("on record after 10s: %+v", got)
		}
		w.pass(10 * time.Minute)
		b := w.bake(t, 2)
		if got := b.Status.Migrations; len(got) != 2 || got[1].Name != "shop.0042_b" {
			t.Errorf("on record: %+v", got)
		}
		wantOutcome(t, b, v1alpha1.OutcomeHeld, CodeMigrations)
		if looks > 60 {
			t.Errorf("looked %d times in 10 minutes", looks)
		}
	})
}
