package bake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

func TestKnownGoodAcrossABadOne(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.setPolicy(strings.Replace(guardPolicy, "guard", "observe", 1)) // nothing is rolled back: B stays
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeObserve)
		bad := w.bake(t, 2)
		w.deploy(web, "C")
		w.pass(4 * time.Minute)
		c := w.bake(t, 3)
		wantOutcome(t, c, v1alpha1.OutcomePassed, decide.CodeWithin)
		if c.Spec.From.Hash != "A" {
			t.Errorf("C is compared with %s, want A, the last known good", c.Spec.From.Hash)
		}
		if !c.Spec.BaselineUntil.Equal(&bad.Spec.StartedAt) {
			t.Errorf("A's past is read until %s; it served alone until %s", c.Spec.BaselineUntil, bad.Spec.StartedAt)
		}
		w.deploy(web, "D")
		w.pass(4 * time.Minute)
		if d := w.bake(t, 4); d.Spec.From.Hash != "C" || !d.Spec.BaselineUntil.Equal(&d.Spec.StartedAt) || !d.Spec.BaselineSince.Equal(c.Status.CompletedAt) {
			t.Errorf("D is compared with %s, whose past is from %s to %s", d.Spec.From.Hash, d.Spec.BaselineSince, d.Spec.BaselineUntil)
		}
	})
}

func TestABAB(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		w.deploy(web, "A")
		w.pass(4 * time.Minute)
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		for number, from := range map[int64]string{2: "A", 3: "B", 4: "A"} {
			b := w.bake(t, number)
			wantOutcome(t, b, v1alpha1.OutcomePassed, decide.CodeWithin)
			if b.Spec.From.Hash != from {
				t.Errorf("revision %d is compared with %s, want %s", number, b.Spec.From.Hash, from)
			}
		}
	})
}

func TestUndoneByHand(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.pass(time.Minute)
		w.deploy(web, "A")
		w.pass(10 * time.Second)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeAbandoned, CodeUndone)
		wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomePassed, CodeReturn)
		w.pass(5 * time.Minute)
		wantChanges(t, w)
		w.deploy(web, "C")
		w.pass(10 * time.Second)
		if c, b := w.bake(t, 4), w.bake(t, 2); !c.Spec.BaselineUntil.Equal(&b.Spec.StartedAt) {
			t.Errorf("A's past is read from %s to %s; it served for long until %s, and for 5 minutes since", c.Spec.BaselineSince, c.Spec.BaselineUntil, b.Spec.StartedAt)
		}
	})
}

// A person puts the bad version's fix out while the rollback is under way: it is baked against the good one.
func TestFixDuringVerification(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseVerifying)
		w.deploy(web, "C")
		w.pass(4 * time.Minute)
		b, c := w.bake(t, 2), w.bake(t, 4)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		if b.Status.Rollback.Recovered != "Unknown" || b.Status.Rollback.Recovery != "rev 4 came before recovery was measured" {
			t.Errorf("recovery: %+v", b.Status.Rollback)
		}
		wantOutcome(t, c, v1alpha1.OutcomePassed, decide.CodeWithin)
		if c.Spec.From.Hash != "A" {
			t.Errorf("compared with %s", c.Spec.From.Hash)
		}
	})
}

func TestDeletedAndMadeAnew(t *testing.T) {
	for _, c := range []struct {
		name     string
		gone     time.Duration // until it is made anew; 0: at once
		template string
		down     bool // the daemon does not run meanwhile
	}{
		{"at once", 0, "C", false},
		{"at once, the same template", 0, "B", false},
		{"later", time.Minute, "C", false},
		{"later, the same template", time.Minute, "B", false},
		{"while the daemon was down", time.Second, "C", true},
		{"while the daemon was down, the same template", time.Second, "B", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				p := w.start()
				w.deploy(web, "B")
				w.pass(time.Minute)
				old := w.bake(t, 2)
				if c.down {
					p.stop()
				}
				w.remove(web)
				if c.gone > 0 {
					w.pass(c.gone)
				}
				w.create(web, c.template)
				if c.down {
					w.start()
				}
				w.pass(5 * time.Minute)
				wantOutcome(t, w.records[id(old)], v1alpha1.OutcomeAbandoned, CodeDeleted)
				anew := w.bake(t, 1)
				if anew.Status.Outcome != v1alpha1.OutcomePassed || anew.Spec.From != nil || anew.Spec.Workload.UID == old.Spec.Workload.UID {
					t.Errorf("the new one: %+v", anew)
				}
				wantChanges(t, w)
			})
		})
	}
}

func TestPruning(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.start()
		for i := range 6 {
			w.deploy(web, fmt.Sprintf("T%d", i))
			w.pass(4 * time.Minute)
			if i%2 == 1 {
				p.stop()
				p = w.start()
			}
		}
		if got := slices.Sorted(maps.Keys(w.bakes(web))); !slices.Equal(got, []int64{5, 6, 7}) {
			t.Errorf("of 6 bakes, these revisions' are kept: %v, want the last 3", got)
		}
	})
}

// Records whose receivers were never told are still unfinished after a restart; they count as one each all the same.
func TestPruningCountsEachOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.deaf = true
		p := w.start()
		for i := range 5 {
			w.deploy(web, fmt.Sprintf("T%d", i))
			w.pass(4 * time.Minute)
			p.stop()
			p = w.start()
		}
		if got := slices.Sorted(maps.Keys(w.bakes(web))); !slices.Equal(got, []int64{4, 5, 6}) {
			t.Errorf("of 5 bakes, these revisions' are kept: %v, want the last 3", got)
		}
	})
}

func TestRecordsOfTheGoneAreSweptAfterAWeek(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		w.remove(web)
		w.pass(orphanFor)
		if len(w.bakes(web)) != 1 {
			t.Fatal("swept before its time")
		}
		w.pass(2 * time.Hour)
		if got := w.outcomes(); len(got) != 0 {
			t.Errorf("still there: %v", got)
		}
	})
}

// remembered is what must not depend on whether it was lived through or read from the records.
type remembered struct {
	UID, Current, Good       string
	GoodSince, UnprovenSince string
	Past                     []string
	Working                  string
}

func memory(e *entry) remembered {
	r := remembered{UID: e.uid, Current: e.current.Hash, Good: e.good.Hash, GoodSince: e.goodSince.UTC().Format(time.TimeOnly), UnprovenSince: e.unprovenSince.UTC().Format(time.TimeOnly)}
	for _, name := range e.past {
		if strings.Contains(name, e.uid) { // those of one that was deleted before are swept in time, remembered or not
			r.Past = append(r.Past, name)
		}
	}
	if e.work != nil {
		r.Working = e.work.bake.Name
	}
	return r
}

// TestLoadedAsLived lives through any story, then starts anew: what the records give is what was remembered.
func TestLoadedAsLived(t *testing.T) {
	deeds := map[string]func(*world, string){
		"deploy":      func(w *world, x string) { w.deploy(web, x) },
		"wait":        func(w *world, _ string) { w.pass(30 * time.Second) },
		"wait long":   func(w *world, _ string) { w.pass(5 * time.Minute) },
		"pause":       func(w *world, _ string) { w.with(web, func(x *workload) { x.paused = true }) },
		"resume":      func(w *world, _ string) { w.resume(web) },
		"anew":        func(w *world, x string) { w.remove(web); w.pass(time.Second); w.create(web, x) },
		"prometheus":  func(w *world, _ string) { w.cluster.mu.Lock(); w.down = !w.down; w.cluster.mu.Unlock() },
		"scale to 0":  func(w *world, _ string) { w.with(web, func(x *workload) { x.replicas = 0 }) },
		"scale to 2":  func(w *world, _ string) { w.with(web, func(x *workload) { x.replicas = 2 }) },
		"spend it":    func(w *world, _ string) { w.setPolicy(guardPolicy + "budget: {perNamespace: 0}\n") },
		"have budget": func(w *world, _ string) { w.setPolicy(guardPolicy) },
	}
	names := slices.Sorted(maps.Keys(deeds))
	rapid.Check(t, func(rt *rapid.T) {
		story := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string {
			return [2]string{rapid.SampledFrom(names).Draw(t, "deed"), rapid.SampledFrom([]string{"A", "B", "C", "bad", "worse"}).Draw(t, "template")}
		}), 1, 10).Draw(rt, "story") // drawn out here: rapid stays outside of synctest's bubble
		var lived, loaded remembered
		var outcomes map[string]string
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["bad"], w.rates["worse"] = 0.2, 0.4
			p := w.start()
			w.deploy(web, "B") // a workload without a bake is adopted, not loaded
			w.pass(4 * time.Minute)
			for _, d := range story {
				deeds[d[0]](w, d[1])
				w.pass(2 * time.Second)
			}
			w.resume(web) // what is not rolled out yet is not on record
			w.setPolicy(guardPolicy)
			w.pass(2 * time.Second)
			lived = memory(p.loop.ledger.of(web))
			p.stop()
			anew := NewLoop(Options{Records: recordsOf{&process{cluster: w.cluster}}, Teller: p.loop.Teller, Policy: p.loop.Policy, Log: p.loop.Log})
			defer anew.queue.ShutDown()
			if err := anew.Load(t.Context()); err != nil {
				t.Error(err)
			}
			loaded = memory(anew.ledger.of(web))
			outcomes = w.outcomes()
		})
		if diff := cmp.Diff(lived, loaded); diff != "" {
			rt.Fatalf("after %q\nthe records %v\ngive (-lived +loaded):\n%s", story, outcomes, diff)
		}
	})
}
