package integration

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// migrationJob is a Job that carries the label of a release.
const migrationJob = `apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  template:
    metadata:
      labels: {app.kubernetes.io/instance: shop}
      annotations: {playground.bakewatch.dev/log: "  Applying shop.0043_before... OK", prometheus.io/scrape: "false"}
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: "app:c"}]
`

// TestMigration: a version that migrated the database in its entry point is not rolled back by itself, until people say that
// older versions run on it. One that a Job ran for it is on record, too.
func TestMigration(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	s.daemon(rules{})

	b := bad("web", "b")
	b.log = "Operations to perform:\n  Apply all migrations: admin, shop\nRunning migrations:\n  Applying shop.0041_add_note... OK\n  Applying shop.0042_drop_price... OK"
	s.deploy(b)
	got := s.ended("web", 2, v1alpha1.OutcomeHeld, "threshold", "migrations")
	if ran := got.Status.Migrations; len(ran) != 2 || ran[0].Name != "shop.0041_add_note" || ran[1].Name != "shop.0042_drop_price" || ran[1].Tool != "django" || ran[1].Container != "app" {
		t.Errorf("migrations on record: %+v", ran)
	}
	if last := got.Status.Reasons[len(got.Status.Reasons)-1].Sentence; !strings.Contains(last, "django shop.0041_add_note, shop.0042_drop_price (removes or renames: drop, by its name)") || !strings.Contains(last, "roll forward") || !strings.Contains(last, "is not known") {
		t.Errorf("it does not say which, and what to do: %s", last)
	}
	if image := s.image("web"); image != "app:b" {
		t.Errorf("it was rolled back to %s", image)
	}

	s.kubectl("annotate", "deployment", "web", "bakewatch.dev/migrations=reversible")
	s.apply(migrationJob) // as a chart's hook, or a pipeline, runs it before the new version
	c := bad("web", "c")
	c.labels = map[string]string{"app.kubernetes.io/instance": "shop"}
	c.log, c.meta = "  Applying shop.0044_more... OK", map[string]string{"bakewatch.dev/migrations": "reversible"}
	s.deploy(c)
	back := s.ended("web", 3, v1alpha1.OutcomeRolledBack, "threshold")
	if ran := back.Status.Migrations; len(ran) != 2 || ran[0].Name != "shop.0043_before" || ran[0].Container != "migrate" || ran[1].Name != "shop.0044_more" || s.image("web") != "app:a" {
		t.Errorf("migrations %+v; %s runs", back.Status.Migrations, s.image("web"))
	}
}
