package logs

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (c *written) Starts(context.Context, Workload, string, string, time.Time) ([]Start, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Start
	for _, p := range c.pods {
		out = append(out, Start{UID: p.UID, Pod: p.Name, Container: "app", Began: p.Born})
	}
	return out, c.err
}

func TestSeer(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing": {"starting\nNo migrations to apply.\nApplying patches\nBatch 0 run: 0 migrations\n", nil},
		"django": {`Operations to perform:
  Apply all migrations: admin, auth, shop
Running migrations:
  Applying shop.0041_add_note... OK
  Applying shop.0042_drop_price... OK
  Unapplying shop.0042_drop_price... OK`, []string{"django shop.0041_add_note", "django shop.0042_drop_price"}},
		"rails":            {"== 20260301120000 DropPrice: migrating =====\n-- remove_column(:carts, :price)\n== 20260301120000 DropPrice: migrated (0.0123s) =====\n== 20260301120000 DropPrice: reverted (0.1s) ==", []string{"rails 20260301120000 DropPrice"}},
		"laravel":          {"   INFO  Running migrations.\n\n  2026_03_01_120000_drop_price ........................ 12.34ms DONE\n  2026_03_01_120001_other ...... RUNNING", []string{"laravel 2026_03_01_120000_drop_price"}},
		"laravel, older":   {"Migrating: 2026_03_01_120000_drop_price\nMigrated:  2026_03_01_120000_drop_price (12.34ms)", []string{"laravel 2026_03_01_120000_drop_price"}},
		"alembic":          {"INFO  [alembic.runtime.migration] Running upgrade 1975ea83b712 -> ae1027a6acf, drop price\nINFO  [alembic.runtime.migration] Running upgrade  -> 1975ea83b712", []string{"alembic 1975ea83b712 -> ae1027a6acf, drop price", "alembic -> 1975ea83b712"}},
		"flyway":           {`2026-03-01 INFO o.f.c.i.c.DbMigrate : Migrating schema "public" to version "2 - drop price"`, []string{"flyway 2 - drop price"}},
		"liquibase":        {"[INFO] ChangeSet db/changelog.xml::drop-price::ann ran successfully in 12ms", []string{"liquibase db/changelog.xml::drop-price::ann"}},
		"prisma":           {"Applying migration `20260301120000_drop_price`", []string{"prisma 20260301120000_drop_price"}},
		"entity framework": {`info: Microsoft.EntityFrameworkCore.Migrations[20402]` + "\n      Applying migration '20260301120000_DropPrice'.", []string{"entity-framework 20260301120000_DropPrice"}},
		"knex":             {"Batch 3 run: 2 migrations\n20260301120000_drop_price.js\n20260301120001_other.ts\nlistening", []string{"knex batch 3 of 2", "knex 20260301120000_drop_price.js", "knex 20260301120001_other.ts"}},
		"golang-migrate":   {"3/u drop_price (12.345ms)\n2026/03/01 12:00:00 4/u other (1.2s)\n3/d drop_price (1ms)", []string{"golang-migrate 3/u drop_price", "golang-migrate 4/u other"}},
		"within JSON":      {`{"level":"INFO","message":"Applying migration '20260301120000_DropPrice'."}`, []string{"entity-framework 20260301120000_DropPrice"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s seer
			var got []string
			for line := range strings.Lines(c.text) {
				s.see(start, line)
			}
			for _, m := range s.of {
				got = append(got, m.Tool+" "+m.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDeeds: what a migration changed, by its log where the tool prints its steps, by its name where that tells, and else not.
func TestDeeds(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Migration
	}{
		"django: its name tells no more": {"  Applying shop.0041_add_note... OK", Migration{Tool: "django", Name: "shop.0041_add_note"}},
		"django: its name says removed":  {"  Applying shop.0042_remove_cart_price... OK", Migration{Tool: "django", Name: "shop.0042_remove_cart_price", Removes: "remove", ToldBy: "name"}},
		"prisma: its name says data":     {"Applying migration `20260301_BackfillPrices`", Migration{Tool: "prisma", Name: "20260301_BackfillPrices", Data: "yes", ToldBy: "name"}},
		"rails: steps, and perhaps models": {"== 20260301 AddNote: migrating ===\n-- add_column(:carts, :note, :string)\n   -> 0.0012s\n== 20260301 AddNote: migrated (0.1s) ===",
			Migration{Tool: "rails", Name: "20260301 AddNote", Schema: "yes", ToldBy: "log"}},
		"rails: removed": {"== 20260301 X: migrating ===\n-- remove_column(:carts, :price)\n-- execute(\"UPDATE carts SET x = 1\")\n== 20260301 X: migrated (0.1s) ===",
			Migration{Tool: "rails", Name: "20260301 X", Schema: "yes", Data: "yes", Removes: "remove_column", ToldBy: "log"}},
		"rails: said nothing": {"== 20260301 Tidy: migrating ===\n== 20260301 Tidy: migrated (0.1s) ===", Migration{Tool: "rails", Name: "20260301 Tidy"}},
		"rails: others' steps before it": {"== 1 A: migrating ==\n-- drop_table(:a)\n== 1 A: reverted ==\n== 2 B: migrating ==\n-- create_table(:b)\n== 2 B: migrated (1s)",
			Migration{Tool: "rails", Name: "2 B", Schema: "yes", ToldBy: "log"}},
		"liquibase: schema only": {"[INFO] Running Changeset: db/c.xml::1::ann\n[INFO] Table inventory created\n[INFO] Columns note(varchar(255)) added to inventory\n[INFO] ChangeSet db/c.xml::1::ann ran successfully in 7ms",
			Migration{Tool: "liquibase", Name: "db/c.xml::1::ann", Schema: "yes", Data: "no", ToldBy: "log"}},
		"liquibase: data only": {"Running Changeset: db/c.xml::1::ann\nINFO 1 --- [main] liquibase.changelog : Lookup\n2026-03-01 INFO [liquibase.changelog] New row inserted into inventory\nChangeSet db/c.xml::1::ann ran successfully in 7ms",
			Migration{Tool: "liquibase", Name: "db/c.xml::1::ann", Schema: "no", Data: "yes", ToldBy: "log"}},
		"liquibase: dropped, and SQL": {"Running Changeset: db/c.xml::1::ann\nColumn inventory.price dropped\nCustom SQL executed\nChangeSet db/c.xml::1::ann ran successfully in 7ms",
			Migration{Tool: "liquibase", Name: "db/c.xml::1::ann", Schema: "yes", Removes: "column dropped", ToldBy: "log"}},
		"liquibase: SQL, of which nothing is known": {"Running Changeset: db/drop.xml::1::ann\nCustom SQL executed\nChangeSet db/drop.xml::1::ann ran successfully in 7ms",
			Migration{Tool: "liquibase", Name: "db/drop.xml::1::ann"}},
		"entity framework": {"      Applying migration '2026_X'.\ninfo: Command[20101]\n      Executed DbCommand (12ms) [Parameters=[]]\n      ALTER TABLE [Carts]\n      DROP COLUMN [Price];\ninfo: Command[20101]\n      Executed DbCommand (2ms)\n      INSERT INTO [__EFMigrationsHistory] ([MigrationId])\n      VALUES (N'2026_X');",
			Migration{Tool: "entity-framework", Name: "2026_X", Schema: "yes", Data: "no", Removes: "drop column", ToldBy: "log"}},
		"entity framework: what others print": {"Applying migration '2026_X'.\nDROP TABLE says somebody\n      Executed DbCommand (2ms)\n      UPDATE [Carts] SET [Price] = 1;\ndelete this",
			Migration{Tool: "entity-framework", Name: "2026_X", Schema: "no", Data: "yes", ToldBy: "log"}},
		"flyway": {`Migrating schema "public" to version "2 - tidy up"`, Migration{Tool: "flyway", Name: "2 - tidy up"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s seer
			for line := range strings.Lines(c.text) {
				s.see(time.Time{}, line)
			}
			if len(s.of) != 1 {
				t.Fatalf("%+v", s.of)
			}
			if diff := cmp.Diff(c.want, s.of[0]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMigrations: those of all new pods, each once, in their order; and a log that tells no more is not read again.
func TestMigrations(t *testing.T) {
	c := &written{now: start}
	at := start.Add(-5 * time.Minute)
	first := func(text string) func(time.Time) string {
		return func(second time.Time) string {
			if second.Equal(at) {
				return text
			}
			return ""
		}
	}
	c.pod(newPod, at, first("  Applying shop.0041_a... OK\n  Applying shop.0042_b... OK"))
	c.pod(newPod+"2", at, first("  Applying shop.0042_b... OK"))
	s := sourceOf(c)
	w := Workload{Kind: "Deployment", Namespace: "shop", Name: "web"}
	for range 3 {
		got, err := s.Migrations(t.Context(), w, "pod-template-hash", "x", at)
		if err != nil || len(got) != 2 || got[0].Name != "shop.0041_a" || got[1].Name != "shop.0042_b" || got[1].Tool != "django" {
			t.Errorf("%+v %v", got, err)
		}
	}
	if c.reads != 2 {
		t.Errorf("logs were read %d times", c.reads)
	}
}

// FuzzSeer: whatever is written, a migration has a name and a tool.
func FuzzSeer(f *testing.F) {
	f.Add("  Applying shop.0041_a... OK\nBatch 1 run: 1 migrations\n20260301120000_x.js")
	f.Fuzz(func(t *testing.T, text string) {
		var s seer
		for line := range strings.Lines(text) {
			s.see(start, line)
		}
		for _, m := range s.of {
			known := m.Schema + m.Data + m.Removes
			if m.Name == "" || m.Tool == "" || (m.ToldBy == "") != (known == "") || len(m.Removes) > 60 {
				t.Errorf("%+v", m)
			}
		}
	})
}
