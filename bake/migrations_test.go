package bake

import (
	"strconv"
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

// TestMigrationDeedsAreOnRecord: what the log comes to tell of a migration later is taken over, in its place; nothing else is.
func TestMigrationDeedsAreOnRecord(t *testing.T) {
	a, b := v1alpha1.Migration{Tool: "entity-framework", Name: "A", Removes: "drop", ToldBy: "name"}, v1alpha1.Migration{Tool: "entity-framework", Name: "B"}
	told := a
	told.Schema, told.Data, told.ToldBy = "yes", "no", "log"
	if got := newsOf([]v1alpha1.Migration{told, b}, []v1alpha1.Migration{a, b}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	news := newsOf([]v1alpha1.Migration{a}, []v1alpha1.Migration{told, b})
	if got := withMigrations([]v1alpha1.Migration{a}, news); len(got) != 2 || got[0] != told || got[1] != b {
		t.Errorf("%+v", got)
	}
	full := make([]v1alpha1.Migration, maxMigrations)
	if got := newsOf(full, []v1alpha1.Migration{a, b}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestMigrationList: in their order, with what each changed, and a word about what is not known.
func TestMigrationList(t *testing.T) {
	many := make([]v1alpha1.Migration, 12)
	for i := range many {
		many[i] = v1alpha1.Migration{Tool: "flyway", Name: strconv.Itoa(i)}
	}
	for _, c := range []struct {
		ran  []v1alpha1.Migration
		want string
	}{
		{many, "flyway 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more; whether they changed only the schema, or data too, their logs do not tell"},
		{[]v1alpha1.Migration{{Tool: "liquibase", Name: "a", Schema: "yes", Data: "no", ToldBy: "log"}, {Tool: "rails", Name: "b", Schema: "yes", Data: "yes", Removes: "drop_table", ToldBy: "log"}},
			"liquibase a (schema only), rails b (schema and data, removes or renames: drop_table)"},
		{[]v1alpha1.Migration{{Tool: "django", Name: "a", Removes: "drop", ToldBy: "name"}, {Tool: "django", Name: "b"}, {Tool: "rails", Name: "c", Schema: "yes", ToldBy: "log"}, {Tool: "rails", Name: "d", Data: "yes", ToldBy: "name"}, {Tool: "rails", Name: "e", Schema: "no", Data: "yes", ToldBy: "log"}},
			"django a (removes or renames: drop, by its name), b, rails c (schema; whether data, too, is not known), d (data, by its name), e (data only); of those without a word, whether they changed only the schema, or data too, is not known"},
	} {
		if got := migrationList(c.ran); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
