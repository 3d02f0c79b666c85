package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestCannotRun: new pods that cannot run are rolled back within seconds, without a metric, and each for its right reason. The
// controller would give them up after ten minutes.
func TestCannotRun(t *testing.T) {
	const secret = "hunter2-of-the-shop"
	t.Parallel()
	s := newStage(t)
	s.running(good("crash", "a"), good("memory", "a"), goodSet("a"), good("image", "a"))
	s.daemon(rules{window: "40s"})

	for name, edit := range map[string]func(*app){
		"crash": func(a *app) {
			a.mode, a.env = "crash", map[string]string{"KEY": secret}
			a.log = "signing with " + secret + "\nGET /stock?token=" + strings.Repeat("7c2d", 8)
		},
		"memory": func(a *app) { a.mode, a.memory = "oom", "64Mi" },
		"image":  func(a *app) { a.mode = "imagepull" },
	} {
		b := good(name, "b")
		edit(&b)
		s.deploy(b)
	}
	b := goodSet("b")
	b.mode = "crash"
	s.deploy(b)
	for _, c := range []struct{ name, code, says, seen string }{
		{"crash", "crash-loop", "with exit code 1", "fatal: cannot start"},
		{"memory", "oom-killed", "its memory limit is 64Mi", "OOMKilled of container app, memory limit 64Mi"},
		{"image", "image-pull", "image app:b of container app", "ImagePullBackOff of container app, image app:b"},
		{db, "crash-loop", "container app of db-1 ended", "fatal: cannot start"},
	} {
		got := s.rolledBack(c.name, 1, 2, "a", 2, c.code)
		if !strings.Contains(got.Status.Why, c.says) {
			t.Errorf("%s: it does not say %q: %s", c.name, c.says, got.Status.Why)
		}
		if len(got.Status.Evidence) == 0 || !strings.Contains(fmt.Sprint(got.Status.Evidence), c.seen) {
			t.Errorf("%s: what was seen does not say %q: %+v", c.name, c.seen, got.Status.Evidence)
		}
		if c.name == "crash" && !strings.Contains(fmt.Sprint(got.Status.Evidence), "signing with ") {
			t.Errorf("its log is not on record: %+v", got.Status.Evidence)
		}
		if all := fmt.Sprint(got); strings.Contains(all, secret) || strings.Contains(all, strings.Repeat("7c2d", 8)) {
			t.Errorf("%s: a secret is on record: %s", c.name, all)
		}
	}
}

// TestRegistryAwayForEveryone: nobody's image can be pulled, so it is no bad image, whoever deploys.
func TestRegistryAwayForEveryone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	impatient := map[string]any{"progressDeadlineSeconds": 25}
	var apps []app
	for _, name := range []string{"api", "web"} {
		a := good(name, "a")
		a.spec = impatient
		apps = append(apps, a)
	}
	s.running(apps...)
	s.daemon(rules{})
	for _, a := range apps {
		a.version, a.mode = "b", "registry"
		s.deploy(a)
	}
	for i, a := range apps {
		got := s.ended(a.name, 2, v1alpha1.OutcomeInconclusive, "image-pull", "progress-deadline")
		if other := apps[1-i].name; !strings.Contains(got.Status.Why, "nor can "+other+" pull theirs") {
			t.Errorf("it does not say who else cannot: %s", got.Status.Why)
		}
		if image := s.image(a.name); image != "app:b" {
			t.Errorf("%s runs %s: it was rolled back", a.name, image)
		}
	}
}

// TestItAlwaysCrashed: a workload whose containers always ended now and then is not blamed for it.
func TestItAlwaysCrashed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := good("web", "a")
	a.mode, a.after = "crash", "12s"
	s.deploy(a)
	s.waitFor("the old pods to have crashed", func() (bool, string) {
		out, err := s.try("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
		return err == nil && len(strings.Fields(out)) == 2 && !strings.Contains(out, "0"), out
	})
	s.rolledOut("web")
	s.daemon(rules{max: "90%", window: "30s"})
	b := a
	b.version = "b"
	s.deploy(b)
	s.waitFor("the bake to end", func() (bool, string) {
		got, state := s.bake("web", 2)
		if got == nil || got.Status.Outcome == "" {
			return false, state
		}
		// Whether a pod is missing at the end is chance; that it crashes is nobody's news.
		if o := got.Status.Outcome; got.Status.Rollback != nil || o != v1alpha1.OutcomePassed && o != v1alpha1.OutcomeInconclusive {
			t.Errorf("it is blamed: %s", tell(*got))
		}
		return true, state
	})
}
