package bake

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// TestKilledAndOvertaken: whenever it is killed, and whatever is deployed while it is dead, it leaves no field owned behind.
func TestKilledAndOvertaken(t *testing.T) {
	owned := 0
	for killAt := 1; ; killAt++ {
		killed := false
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["A"], w.rates["B"] = 0.001, 0.2
			p := w.start(func(p *process) { p.killAt = killAt })
			w.deploy(web, "B")
			for range 10 * 60 {
				if killed = p.gone() != nil; killed {
					break
				}
				w.pass(time.Second)
			}
			w.with(web, func(x *workload) {
				if x.owned {
					owned++
				}
			})
			w.deploy(web, "C")
			w.pass(5 * time.Second)
			if killed {
				w.start()
			}
			w.pass(10 * time.Minute)
			w.with(web, func(x *workload) {
				if x.owned || x.template != "C" {
					t.Errorf("killed at write %d: owned: %v, template %s", killAt, x.owned, x.template)
				}
			})
		})
		if !killed {
			break
		}
	}
	if owned == 0 {
		t.Error("it was never killed between the patch and the handing back")
	}
}

// TestKilledAtEveryWrite kills the daemon before and after each of its writes in the life of a bad rollout, and starts it
// anew five seconds later. Whatever the moment: the template is changed once, and the story ends as if nothing had
// happened.
func TestKilledAtEveryWrite(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int, killed bool, why string) {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["A"], w.rates["B"] = 0.001, 0.2
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			w.deploy(web, "B")
			for range 10 * 60 {
				if p.gone() != nil {
					killed = true
					w.pass(5 * time.Second)
					w.start()
					break
				}
				w.pass(time.Second)
			}
			w.pass(10 * time.Minute)

			b := w.bake(t, 2)
			wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			wantChanges(t, w, "B to A")
			if w.releases != 1 || w.workloads[web].owned {
				t.Errorf("fields handed back %d times", w.releases)
			}
			if got := w.outcomes(); len(got) != 1 {
				t.Errorf("bakes: %v", got)
			}
			if rb := b.Status.Rollback; rb.Recovered != "Yes" || rb.PatchedAt == nil || rb.AvailableAt == nil {
				t.Errorf("rollback on record: %+v", rb)
			}
			if a := b.Status.Alert; a == nil || a.ResolvedAt == nil {
				t.Errorf("alert on record: %+v", a)
			}
			if len(b.Status.Announced) != 3 {
				t.Errorf("receipts on record: %+v", b.Status.Announced)
			}
			if e := w.newest.loop.ledger.of(web); e.work != nil || e.good.Hash != "A" || e.current.Hash != "A" {
				t.Errorf("remembered: %+v", *e)
			}
			writes, why = p.writes, b.Status.Why
		})
		return writes, killed, why
	}
	total, _, undisturbed := story(t, 0, false)
	if total < 10 {
		t.Fatalf("only %d writes without a kill", total)
	}
	for n := 1; n <= total; n++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %d of %d, before=%v", n, total, before), func(t *testing.T) {
				_, killed, why := story(t, n, before)
				if !killed {
					t.Error("it was never killed")
				}
				if why != undisturbed {
					t.Errorf("the verdict became\n%s, undisturbed it is\n%s", why, undisturbed)
				}
			})
		}
	}
}

// A healthy rollout is killed at every write likewise; nothing is ever changed.
func TestKilledAtEveryWriteOfAHealthyRollout(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int) {
		inWorld(t, func(t *testing.T, w *world) {
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			w.deploy(web, "B")
			for range 5 * 60 {
				if p.gone() != nil {
					w.pass(5 * time.Second)
					w.start()
					break
				}
				w.pass(time.Second)
			}
			w.pass(5 * time.Minute)
			wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomePassed, decide.CodeWithin)
			wantChanges(t, w)
			if e := w.newest.loop.ledger.of(web); e.good.Hash != "B" || e.work != nil {
				t.Errorf("remembered: %+v", *e)
			}
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0, false)
	for n := 1; n <= total; n++ {
		story(t, n, true)
		story(t, n, false)
	}
}

// It is killed at every write while one rollout supersedes another: both stories come to their end, and are told to it.
func TestKilledWhileSuperseded(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int) {
		inWorld(t, func(t *testing.T, w *world) {
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			w.deploy(web, "B")
			for i := range 5 * 60 {
				if i == 60 {
					w.deploy(web, "C")
				}
				if p.gone() != nil {
					w.pass(5 * time.Second)
					w.start()
					w.deploy(web, "C")
					break
				}
				w.pass(time.Second)
			}
			w.pass(5 * time.Minute)
			got := w.bakes(web)
			if b := got[2]; b != nil { // else it was killed before B was on record
				wantOutcome(t, b, v1alpha1.OutcomeSuperseded, CodeNewer)
				if told := w.headlines(announce.Ended); !slices.Contains(told, "shop deployment/web: rev 2 was superseded by a newer rollout") {
					t.Errorf("write %d, before=%v: told of the end: %q", killAt, before, told)
				}
			}
			wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomePassed, decide.CodeWithin)
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0, false)
	for n := 1; n <= total; n++ {
		story(t, n, true)
		story(t, n, false)
	}
}

// Any write may fail and be tried again, without a restart.
func TestEveryWriteMayFailOnce(t *testing.T) {
	story := func(t *testing.T, failAt int) (writes int) {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["B"] = 0.2
			p := w.start(func(p *process) {
				p.failWrite = func(n int) error {
					if n == failAt {
						return fmt.Errorf("the API server hiccuped at write %d", n)
					}
					return nil
				}
			})
			w.deploy(web, "B")
			w.pass(4 * time.Minute)
			wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			w.deploy(web, "C") // while the alert of the rollback still fires
			w.pass(10 * time.Minute)
			if got := len(w.bakes(web)); got != 2 {
				t.Fatalf("write %d failed, and of two rollouts these were baked: %v", failAt, w.outcomes())
			}
			wantOutcome(t, w.bake(t, 4), v1alpha1.OutcomePassed, decide.CodeWithin)
			wantChanges(t, w, "B to A")
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0)
	for n := 1; n <= total; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) { story(t, n) })
	}
}

// A newer rollout comes while the API server refuses writes: when it is back, the newer one is baked.
func TestANewerRolloutIsNotLostWhileWritesFail(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var down atomic.Bool
		w.start(func(p *process) {
			p.failWrite = func(int) error {
				if down.Load() {
					return fmt.Errorf("the API server is away")
				}
				return nil
			}
		})
		w.deploy(web, "B")
		w.pass(time.Minute)
		down.Store(true)
		w.deploy(web, "C")
		w.pass(30 * time.Second)
		down.Store(false)
		w.pass(5 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeSuperseded, CodeNewer)
		wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomePassed, decide.CodeWithin)
	})
}

// Nor because an alert cannot be resolved: an outage of Alertmanager stops no guarding.
func TestANewerRolloutDoesNotWaitForAlertmanager(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.setPolicy(guardPolicy + "budget: {perNamespace: 0, perCluster: 0, within: 10m}\n")
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeBudget)
		w.people.mu.Lock()
		w.alertErr = fmt.Errorf("alertmanager: connection refused")
		w.people.mu.Unlock()
		w.deploy(web, "C")
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomePassed, decide.CodeWithin)
	})
}

// The bad template comes again as it is: first while the alert of its rollback still fires, then while nobody watches.
// Where policy says so it is rolled back each time.
func TestTheSameBadTemplateAgain(t *testing.T) {
	for _, c := range []struct {
		name          string
		after, outage time.Duration
	}{
		{"at once", 160 * time.Second, 0},
		{"later", 30 * time.Minute, 0},
		{"while the daemon was down", 30 * time.Minute, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.setPolicy(guardPolicy + "guards: {toAndFro: false, cooldown: off}\n")
				p := w.start()
				w.deploy(web, "B")
				w.pass(c.after)
				wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
				if c.outage > 0 {
					p.stop()
				}
				w.deploy(web, "B")
				if c.outage > 0 {
					w.pass(c.outage)
					w.start()
				}
				w.pass(10 * time.Minute)
				wantOutcome(t, w.bake(t, 4), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
				wantChanges(t, w, "B to A", "B to A")
				if n := len(w.newest.loop.alerts); n != 0 {
					t.Errorf("%d alerts fire on although all is well", n)
				}
			})
		})
	}
}

// The template changes while the rollout is paused, the daemon is restarted, and the rollout is resumed.
func TestPausedOverARestart(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprintf("first start=%v", first), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				number := int64(2)
				if !first {
					p := w.start()
					w.deploy(web, "B")
					w.pass(4 * time.Minute)
					wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomePassed, decide.CodeWithin)
					p.stop()
					number = 3
				}
				w.with(web, func(x *workload) { x.paused, x.template = true, "C" })
				w.pass(time.Minute)
				w.start()
				w.pass(time.Minute)
				w.resume(web)
				w.pass(5 * time.Minute)
				wantOutcome(t, w.bake(t, number), v1alpha1.OutcomePassed, decide.CodeWithin)
			})
		})
	}
}

// A rollout that began while the daemon was down is picked up.
func TestARolloutWhileDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["C"] = 0.2
		p := w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		p.stop()
		w.deploy(web, "C")
		w.pass(time.Minute)
		w.start()
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantChanges(t, w, "C to B")
	})
}

// With every signal switched off there is nothing to judge by; a rollout that cannot run is rolled back all the same.
func TestNoSignals(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(guardPolicy + "signals: {http-errors: {enabled: false}}\n")
		if r, _ := w.config.For(policy.Target{Kind: web.Kind, Namespace: web.Namespace, Name: web.Name}); len(r.Signals) != 0 {
			t.Fatalf("signals: %v", r.Signals)
		}
		w.start()
		w.deploy(web, "B")
		w.with(web, func(x *workload) { x.readyAfter, x.completeAfter = time.Hour, time.Hour })
		w.pass(time.Minute)
		w.with(web, func(x *workload) {
			x.stuck, x.readyAfter, x.completeAfter = "ReplicaSet has timed out progressing.", 5*time.Second, 20*time.Second
			x.changedAt = time.Now()
		})
		w.pass(5 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, CodeDeadline)
		if got := w.bake(t, 2).Status.Rollback.Recovered; got != "Unknown" {
			t.Errorf("recovered: %s", got)
		}
		w.deploy(web, "C")
		w.pass(5 * time.Minute)
		if b := w.bake(t, 4); b.Status.Outcome != v1alpha1.OutcomeInconclusive || !b.Status.KnownGood {
			t.Errorf("%s, known good %v", b.Status.Outcome, b.Status.KnownGood)
		}
	})
}

// What was read is read again after a restart, and the record says the same.
func TestTheRecordDoesNotDependOnARestart(t *testing.T) {
	record := func(restart bool) (out v1alpha1.BakeStatus) {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["A"], w.rates["B"] = 0.001, 0.002
			p := w.start()
			w.deploy(web, "B")
			w.pass(73 * time.Second)
			if restart {
				p.stop()
				w.pass(10 * time.Second)
				w.start()
			}
			w.pass(5 * time.Minute)
			out = w.bake(t, 2).Status
		})
		return out
	}
	a, b := record(false), record(true)
	if diff := cmp.Diff(a.Reasons, b.Reasons); diff != "" {
		t.Errorf("reasons with a restart (+):\n%s", diff)
	}
	if diff := cmp.Diff(a.Signals, b.Signals); diff != "" {
		t.Errorf("signals with a restart (+):\n%s", diff)
	}
	if diff := cmp.Diff(a.Courses, b.Courses); diff != "" || len(a.Courses) == 0 {
		t.Errorf("courses with a restart (+):\n%s", diff)
	}
}
