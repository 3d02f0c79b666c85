package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// writesOfAStory are all the writes from a bad rollout to the next good one, as the proxy names them.
var writesOfAStory = []string{
	"record: created", "record: Rolling", "event: started", "annotation: created", "webhook: started",
	"record: Baking", "record: Baking, found", complete,
	"record: RollingBack", "event: deciding", "annotation: updated", "webhook: deciding", "alert: rolling back",
	"workload: template", "workload: ownership", "record: RollingBack, patched", "record: Verifying",
	"record: RolledBack", "event: ended", "annotation: closed", "webhook: ended", "alert: at the end",
	"receipts: started", "receipts: deciding", "receipts: ended",
	"alert: resolved", "record: RolledBack, alert resolved", "record: created of rev 4",
}

// withTheNext are those that come only with the next rollout.
var withTheNext = writesOfAStory[len(writesOfAStory)-3:]

// mayBeMissing reports whether a write need not come in every story: receipts that come together are noted together, and
// a regression may be found before the rollout is complete, the more so after a restart.
func mayBeMissing(what string) bool {
	return what == "receipts: started" || what == "receipts: deciding" || what == complete
}

const complete = "record: Baking, complete"

// whole plays a whole story, with the daemon killed at the moments given.
func whole(t *testing.T, what string, moments ...moment) *story {
	t.Helper()
	y := newStory(t)
	kills := len(moments)
	if mayBeMissing(what) {
		kills = 0
	}
	next := slices.Contains(withTheNext, what)
	if !next {
		y.killAt(what, moments...)
	}
	y.deploy(versionB)
	if next {
		y.until("all to be told", 0, func() (bool, string) { return y.allTold(2) })
		y.killAt(what, moments...)
	} else {
		y.until("all to be told", kills, func() (bool, string) { return y.allTold(2) })
		y.undone()
		y.isBack()
		y.alerted()
	}
	if !next && len(moments) > 0 {
		return y
	}
	y.deploy(versionC)
	y.until("the next rollout to be watched", kills, func() (bool, string) {
		b, state := y.bake("web", 4)
		return b != nil && len(y.p.find("record: RolledBack, alert resolved")) == 1, state
	})
	y.undone()
	if alerts, err := y.alerts(y.ended("web", 2, v1alpha1.OutcomeRolledBack)); err != nil || len(alerts) > 0 {
		t.Errorf("the alert is not resolved: %+v %v", alerts, err)
	}
	y.revisions(map[string]string{"app:a": "3", "app:b": "2", "app:c": "4"})
	return y
}

func TestKilledAroundEveryWrite(t *testing.T) {
	t.Parallel()
	t.Run("not at all", func(t *testing.T) {
		t.Parallel()
		y := whole(t, "")
		seen := map[string]bool{}
		for _, m := range y.p.mutations() {
			seen[m.What] = true
			if !mayBeMissing(m.What) && !slices.Contains(writesOfAStory, m.What) && !strings.HasSuffix(m.What, "of rev 4") {
				t.Errorf("the daemon writes %q, and no test kills it there", m.What)
			}
		}
		for _, what := range writesOfAStory {
			if !mayBeMissing(what) && !seen[what] {
				t.Errorf("%q did not come", what)
			}
		}
		t.Logf("%d writes: %s", len(y.p.mutations()), y.writes())
	})
	type kills struct {
		what    string
		moments []moment
	}
	var all []kills
	for _, what := range writesOfAStory {
		if what == complete { // the next daemon may not write it, and then could not be killed after it
			all = append(all, kills{what, []moment{before}}, kills{what, []moment{after}})
			continue
		}
		all = append(all, kills{what, []moment{before, after}})
	}
	for lane := range lanes {
		t.Run(fmt.Sprint("lane ", lane+1), func(t *testing.T) {
			t.Parallel()
			for i := lane; i < len(all); i += lanes {
				t.Run(fmt.Sprint(all[i].moments, " ", all[i].what), func(t *testing.T) { whole(t, all[i].what, all[i].moments...) })
			}
		})
	}
}

// lanes is how many stories are played at once. They mostly wait, but each starts a daemon three times.
const lanes = 10

// Version c comes when the rollback of b is intended and not carried out. Wherever the daemon is killed then, c stays.
func TestKilledWhileSuperseded(t *testing.T) {
	t.Parallel()
	// A patch that c overtakes is refused by the API server; what comes after that refusal is written, and killed, too.
	overtaken := []struct {
		what    string
		moments []moment
	}{
		{"workload: template", []moment{after}},
		{"record: Superseded", []moment{before, after}},
		{"record: created of rev 3", []moment{before, after}},
	}
	for _, c := range overtaken {
		t.Run(fmt.Sprintf("overtaken, killed %v %s", c.moments, c.what), func(t *testing.T) {
			t.Parallel()
			y := newStory(t)
			patch := y.p.hold(before, "workload: template")
			y.killAt(c.what, c.moments...)
			y.deploy(versionB)
			y.wait(patch)
			y.deploy(versionC)
			close(patch.release)
			y.until("c to have baked", len(c.moments), func() (bool, string) { return y.allTold(3) })
			y.superseded(0, 3)
		})
	}
	t.Run("dead before the patch", func(t *testing.T) {
		t.Parallel()
		y := newStory(t)
		y.killAt("workload: template", before)
		y.deploy(versionB)
		y.dies()
		y.deploy(versionC)
		y.restart()
		y.until("c to have baked", 0, func() (bool, string) { return y.allTold(3) })
		y.superseded(0, 3)
	})
	t.Run("dead after the patch", func(t *testing.T) {
		t.Parallel()
		y := newStory(t)
		y.killAt("workload: template", after)
		y.deploy(versionB)
		y.dies()
		y.rolledOut("web") // a is back
		y.deploy(versionC)
		y.restart()
		y.until("c to have baked", 0, func() (bool, string) { return y.allTold(4) })
		y.superseded(1, 4)
	})
}

// superseded checks that version c stayed, as the revision of that number, and that the template was written so many times.
func (y *story) superseded(patches int, number int64) {
	t := y.t
	t.Helper()
	c, state := y.bake("web", number)
	switch {
	case c == nil || c.Spec.From == nil || !slices.Equal(c.Spec.From.Images, []string{"app:a"}):
		t.Errorf("c was not compared with a: %s", state)
	case c.Status.Outcome == v1alpha1.OutcomePassed:
	case c.Status.Outcome == v1alpha1.OutcomeInconclusive: // where a busy machine leaves gaps in the metrics
		t.Logf("c did not pass: %s", state)
	default:
		t.Errorf("c was not left alone: %s", state)
	}
	b, state := y.bake("web", 2)
	if want := v1alpha1.OutcomeSuperseded; b == nil || b.Status.Outcome != want && (patches == 0 || b.Status.Outcome != v1alpha1.OutcomeRolledBack) {
		t.Errorf("the bake of b did not end as %s: %s", want, state)
	}
	if got := y.p.find("workload: template"); len(got) != patches {
		t.Errorf("the template was written %d times, want %d; writes: %s", len(got), patches, y.writes())
	}
	if all := y.bakes(); len(all) != 2 {
		t.Errorf("%d bakes, want those of b and c:\n%s", len(all), tell(all...))
	}
	if got := y.image("web"); got != "app:c" {
		t.Errorf("the template's image is %s, want c's", got)
	}
	y.unowned()
}

// A leader that hangs is overtaken by another, which finishes. When it comes back to life it undoes nothing and repeats
// nothing, though it was in the middle of the rollback and does not know what happened.
func TestStoppedLeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		when moment
		what string
	}{
		{"with the patch under way", before, "workload: template"},
		{"about to patch", after, "record: RollingBack"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := newStory(t)
			second := &story{stage: y.stage, p: newProxy(t, y.cluster), good: y.good, earlier: y.p}
			policy := filepath.Join(t.TempDir(), "policy.yaml") // the same, but for the addresses
			if err := os.WriteFile(policy, []byte(rules{more: quick}.yaml(second.p.through)), 0o600); err != nil {
				t.Fatal(err)
			}
			second.d = y.newDaemon(func(d *daemon) { d.kubeconfig, d.args = second.p.kubeconfig, []string{"--config", policy} })
			second.p.admit()
			second.d.start()

			stopped := y.p.hold(c.when, c.what)
			y.deploy(versionB)
			y.wait(stopped)
			y.signal(syscall.SIGSTOP)
			second.until("the second daemon to finish", 0, func() (bool, string) { return second.allTold(2) })
			y.signal(syscall.SIGCONT)
			close(stopped.release)
			y.d.says("standing for election again")
			if got := y.p.find("workload: template"); len(got) > 0 {
				t.Errorf("the daemon that had hung wrote the template: %s", y.writes())
			}
			second.undone()
			second.isBack()
			second.alerted()
		})
	}
}
