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
				if name, by := s.see(line); name != "" {
					got = append(got, by+" "+name)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
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
			if name, by := s.see(line); (name == "") != (by == "") {
				t.Errorf("%q %q", name, by)
			}
		}
	})
}
