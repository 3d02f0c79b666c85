package bake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

const canaryPolicy = guardPolicy + "canary: {pause: 50%, for: 1m}\n"

// wantFree checks that web is neither paused nor marked.
func wantFree(t *testing.T, w *world) {
	t.Helper()
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	x := w.workloads[web]
	if mark := x.annotations[AnnotationPaused]; x.paused || mark != "" {
		t.Errorf("paused: %v, mark %q", x.paused, mark)
	}
}

// untilPaused lets time go by until web is paused.
func (w *world) untilPaused() {
	for range 600 {
		if s := w.sight(web); s.Paused {
			return
		}
		w.pass(time.Second)
	}
	w.t.Fatalf("it was never paused: %v", w.outcomes())
}

// ofPause is the last pause on record of a revision.
func ofPause(t *testing.T, w *world, number int64) v1alpha1.Pause {
	t.Helper()
	all := w.bake(t, number).Status.Pauses
	if len(all) == 0 {
		t.Fatal("no pause is on record")
	}
	return all[len(all)-1]
}

// A bad version is paused with one of two pods new, and undone from there; a good one goes on by itself. Whenever the daemon is
// killed, nothing stays paused.
func TestCanaryKilledAtEveryWrite(t *testing.T) {
	for _, bad := range []bool{true, false} {
		story := func(t *testing.T, killAt int, before bool, down time.Duration) (writes int) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["A"] = 0.001
				if bad {
					w.rates["B"] = 0.2
				}
				w.setPolicy(canaryPolicy)
				p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
				w.deploy(web, "B")
				for range 10 * 60 {
					if p.gone() != nil {
						w.pass(down)
						w.start()
						break
					}
					w.pass(time.Second)
				}
				w.pass(10 * time.Minute)
				b := w.bake(t, 2)
				wantFree(t, w)
				pauses := slices.DeleteFunc(slices.Clone(w.pauses), func(s string) bool { return !strings.HasPrefix(s, "pause") })
				if len(pauses) > 1 || killAt == 0 && len(pauses) != 1 {
					t.Errorf("paused: %v", w.pauses)
				}
				late := len(pauses) == 0 // it was complete before it could be paused
				if !late && openPause(b) != nil {
					t.Errorf("on record it is still paused: %+v", b.Status.Pauses)
				}
				if bad {
					wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
					wantChanges(t, w, "B to A")
					if !late && w.most(web, "B") > 1 {
						t.Errorf("%d pods were new", w.most(web, "B"))
					}
				} else {
					wantOutcome(t, b, v1alpha1.OutcomePassed, decide.CodeWithin)
					wantChanges(t, w)
					if got := w.sight(web); !got.Complete() {
						t.Errorf("it is not complete: %+v", got)
					}
				}
				writes = p.writes
			})
			return writes
		}
		total := story(t, 0, false, 0)
		if total < 10 {
			t.Fatalf("only %d writes without a kill", total)
		}
		for n := 1; n <= total; n++ {
			for _, before := range []bool{true, false} {
				for _, down := range []time.Duration{5 * time.Second, 4 * time.Minute} {
					t.Run(fmt.Sprintf("bad=%v, write %d of %d, before=%v, down for %s", bad, n, total, before, down), func(t *testing.T) { story(t, n, before, down) })
				}
			}
		}
	}
}

// Any write may fail and be tried again.
func TestCanaryWithWritesThatFail(t *testing.T) {
	story := func(t *testing.T, failAt int) (writes int) {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["B"] = 0.2
			w.setPolicy(canaryPolicy)
			p := w.start(func(p *process) {
				p.failWrite = func(n int) error {
					if n == failAt {
						return errors.New("the API server hiccuped")
					}
					return nil
				}
			})
			w.deploy(web, "B")
			w.pass(10 * time.Minute)
			wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			wantFree(t, w)
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0)
	for n := 1; n <= total; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) { story(t, n) })
	}
}

// What ends a pause before its time, and what becomes of the bake.
func TestWhatEndsAPause(t *testing.T) {
	annotate := func(key, value string) func(*world) {
		return func(w *world) { w.with(web, func(x *workload) { x.annotations[key] = value }) }
	}
	for _, c := range []struct {
		name    string
		policy  string // in place of the one that pauses; empty: stays
		deed    func(*world)
		ended   string // of the pause, on record
		byHand  bool
		outcome v1alpha1.Outcome
		code    string
	}{
		{"a person lets it go on", "", func(w *world) { w.resume(web) }, "somebody let it go on", true, v1alpha1.OutcomePassed, decide.CodeWithin},
		{"mode observe", strings.Replace(canaryPolicy, "guard", "observe", 1), nil, "mode is observe", false, v1alpha1.OutcomePassed, decide.CodeWithin},
		{"mode observe of the workload", "", annotate("bakewatch.dev/mode", "observe"), "mode is observe", false, v1alpha1.OutcomePassed, decide.CodeWithin},
		{"a window in which it only observes", canaryPolicy + "guards: {freeze: [{start: '* * * * *', for: 10m}]}\n", nil, "policy has Bakewatch only observe at this time", false, v1alpha1.OutcomePassed, decide.CodeWithin},
		{"switched off", guardPolicy, nil, "policy does not pause it for that", false, v1alpha1.OutcomePassed, decide.CodeWithin},
		{"switched off for the workload", "", annotate("bakewatch.dev/canary.pause", "off"), "policy does not pause it for that", false, v1alpha1.OutcomePassed, decide.CodeWithin},
		{"opted out", "", annotate("bakewatch.dev/enabled", "false"), "the bake is over", false, v1alpha1.OutcomeAbandoned, CodeOptedOut},
		{"aborted", "", annotate("bakewatch.dev/abort", "2"), "the bake is over", false, v1alpha1.OutcomeAbandoned, CodeAborted},
		{"rolled back by hand", "", annotate("bakewatch.dev/undo", "2"), "rolled back", false, v1alpha1.OutcomeRolledBack, CodeByHand},
		{"a newer version", "", func(w *world) { w.deploy(web, "C") }, "its template was changed", false, v1alpha1.OutcomeSuperseded, CodeNewer},
		{"put back by hand", "", func(w *world) { w.deploy(web, "A") }, "its template was changed", false, v1alpha1.OutcomeAbandoned, CodeUndone},
		{"scaled to zero", "", func(w *world) { w.with(web, func(x *workload) { x.replicas = 0 }) }, "the bake is over", false, v1alpha1.OutcomeInconclusive, CodeScaledToZero},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart=%v", c.name, restart), func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					w.setPolicy(canaryPolicy)
					p := w.start()
					w.deploy(web, "B")
					w.untilPaused()
					w.pass(10 * time.Second)
					if restart {
						p.stop()
					}
					if c.policy != "" {
						w.setPolicy(c.policy)
					}
					if c.deed != nil {
						c.deed(w)
					}
					if restart {
						w.start()
					}
					w.pass(35 * time.Second) // it would be paused for longer
					if mark := w.sight(web).Annotations[AnnotationPaused]; strings.HasSuffix(mark, "-2") {
						t.Error("it is still paused")
					}
					w.pass(10 * time.Minute)
					b := w.bake(t, 2)
					wantOutcome(t, b, c.outcome, c.code)
					if len(b.Status.Pauses) != 1 {
						t.Fatalf("pauses on record: %+v", b.Status.Pauses)
					}
					if got := b.Status.Pauses[0]; got.Ended != c.ended || got.ByHand != c.byHand || got.ReleasedAt == nil {
						t.Errorf("on record: %+v", got)
					}
					for n, b := range w.bakes(web) {
						if b.Status.Outcome == "" {
							t.Errorf("rev %d goes on", n)
						}
					}
					wantFree(t, w)
				})
			})
		}
	}
}

// What comes after a version that was paused is paused, too.
func TestANewerVersionIsPausedInItsTurn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["C"] = 0.2
		w.setPolicy(canaryPolicy)
		w.start()
		w.deploy(web, "B")
		w.untilPaused()
		w.deploy(web, "C")
		w.pass(10 * time.Minute)
		wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		if n := w.most(web, "C"); n != 1 || ofPause(t, w, 3).PausedAt == nil {
			t.Errorf("%d pods were new", n)
		}
		wantChanges(t, w, "C to A")
		wantFree(t, w)
	})
}

// A person's pause is theirs: one that came before, and one that they made theirs by taking the mark away.
func TestAPersonsPauseStays(t *testing.T) {
	for _, theirs := range []string{"before", "taken over"} {
		t.Run(theirs, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.setPolicy(canaryPolicy)
				if theirs == "before" {
					w.setPolicy(strings.Replace(canaryPolicy, "50%", "90%", 1)) // 1 of 2 all the same
					w.start(func(p *process) { p.pauseErr = ErrPaused })
				} else {
					w.start()
				}
				w.deploy(web, "B")
				if theirs == "before" {
					w.with(web, func(x *workload) { x.hold() })
				} else {
					w.untilPaused()
					w.with(web, func(x *workload) { delete(x.annotations, AnnotationPaused) })
				}
				w.pass(20 * time.Minute)
				wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeAbandoned, CodePaused)
				if !w.sight(web).Paused {
					t.Error("a person's pause was taken away")
				}
			})
		})
	}
}

// Nothing can be paused: judging goes on all the same.
func TestAPauseThatMayNotBe(t *testing.T) {
	for _, err := range []error{fmt.Errorf("%w: deployments.apps is forbidden", ErrNotPermitted), errors.New("a webhook says no"), ErrNewer, ErrGone} {
		t.Run(err.Error(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.setPolicy(canaryPolicy)
				w.start(func(p *process) { p.pauseErr = err })
				w.deploy(web, "B")
				w.pass(10 * time.Minute)
				wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
				if p := ofPause(t, w, 2); p.PausedAt != nil || p.ReleasedAt == nil || p.Ended == "" {
					t.Errorf("on record: %+v", p)
				}
			})
		})
	}
}

// What was held stays paused while it calls a person, who may let it go on, and no longer than a day.
func TestHeldStaysPaused(t *testing.T) {
	held := canaryPolicy + "budget: {perNamespace: 0}\n"
	for _, c := range []struct {
		name  string
		deed  func(*world)
		after time.Duration
		free  bool
	}{
		{"nobody comes", func(*world) {}, 23 * time.Hour, false},
		{"nobody comes for a day", func(*world) {}, 25 * time.Hour, true},
		{"somebody lets it go on", func(w *world) { w.resume(web) }, time.Minute, true},
		{"somebody rolls it back", func(w *world) {
			w.with(web, func(x *workload) { x.annotations[policy.AnnotationUndo] = "2" })
		}, 2 * time.Minute, true},
		{"a newer version comes", func(w *world) { w.deploy(web, "C") }, 5 * time.Minute, true},
		{"mode observe", func(w *world) { w.setPolicy(strings.Replace(held, "guard", "observe", 1)) }, time.Minute, true},
		{"switched off", func(w *world) { w.setPolicy(guardPolicy) }, time.Minute, true},
		{"opted out", func(w *world) {
			w.with(web, func(x *workload) { x.annotations["bakewatch.dev/enabled"] = "false" })
		}, time.Minute, true},
		{"the daemon is started anew", func(w *world) { w.newest.stop(); w.start() }, time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.setPolicy(held)
				w.start()
				w.deploy(web, "B")
				w.pass(5 * time.Minute)
				wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeBudget)
				if told := w.headlines(announce.Ended); !slices.Contains(told, "shop deployment/web: rev 2 regressed and was NOT rolled back (budget); its rollout stays paused") {
					t.Errorf("told: %q", told)
				}
				if !w.sight(web).Paused || w.most(web, "B") != 1 {
					t.Fatal("a bad version goes on")
				}
				c.deed(w)
				w.pass(c.after)
				if c.free {
					wantFree(t, w)
				} else if !w.sight(web).Paused {
					t.Error("it goes on")
				}
			})
		})
	}
}

// Where it cannot be told how the new version is, it goes on after three times as long.
func TestAPauseIsNotForEver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(canaryPolicy)
		w.start()
		w.down = true
		w.deploy(web, "B")
		w.pass(2 * time.Minute)
		if !w.sight(web).Paused {
			t.Fatal("it goes on unseen")
		}
		w.pass(90 * time.Second)
		wantFree(t, w)
		if p := ofPause(t, w, 2); p.Ended != "whether rev 2 is well could not be told within 3m" {
			t.Errorf("ended: %s", p.Ended)
		}
	})
}

// No new pod becomes ready: the controller's own deadline, which does not count while it is paused, gets its turn.
func TestAPauseWithoutAReadyPod(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(canaryPolicy) // the deadline is 5 minutes
		w.start()
		w.deploy(web, "B")
		w.with(web, func(x *workload) { x.readyAfter, x.completeAfter = time.Hour, 2*time.Hour })
		w.pass(4 * time.Minute)
		if !w.sight(web).Paused {
			t.Fatal("it is not paused")
		}
		w.pass(2 * time.Minute)
		wantFree(t, w)
		if p := ofPause(t, w, 2); p.Ended != "no pod of rev 2 became ready within 5m" {
			t.Errorf("ended: %s", p.Ended)
		}
		w.pass(10 * time.Minute)
		wantFree(t, w) // once is enough
	})
}

// Without its record a bake is over, and so is its pause.
func TestThePauseOfARecordThatIsDeleted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(canaryPolicy)
		w.start()
		w.deploy(web, "B")
		w.untilPaused()
		w.cluster.mu.Lock()
		clear(w.records)
		w.cluster.mu.Unlock()
		w.pass(2 * time.Minute)
		wantFree(t, w)
	})
}

// The daemon starts and finds no policy: what is marked is not left paused.
func TestNoPolicyLeavesNothingPaused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(canaryPolicy)
		p := w.start()
		w.deploy(web, "B")
		w.untilPaused()
		p.stop()
		w.cluster.mu.Lock()
		w.config = nil
		w.cluster.mu.Unlock()
		w.start()
		w.pass(50 * time.Second)
		if !w.sight(web).Paused {
			t.Fatal("it was not waited for")
		}
		w.pass(20 * time.Second)
		wantFree(t, w)
	})
}

// A suspicion pauses a rollout, once, and before there is evidence enough.
func TestFreezeOnSuspicion(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["A"], w.rates["B"], w.rps = 0.01, 0.05, 4
		w.setPolicy(guardPolicy + "canary: {for: 1m, freezeOnSuspicion: true}\n")
		w.start()
		w.with(web, func(x *workload) { x.completeAfter = 10 * time.Minute })
		w.deploy(web, "B")
		w.untilPaused()
		b := w.bake(t, 2)
		if b.Status.Outcome != "" || b.Status.Rollback != nil {
			t.Fatalf("there was evidence enough: %+v", b.Status)
		}
		if p := b.Status.Pauses[0]; p.Why != pauseSuspicion || !strings.HasPrefix(p.Sentence, "suspicion: paused with 1 of 2 pods new: http-errors: ") {
			t.Errorf("on record: %+v", p)
		}
		w.pass(20 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantFree(t, w)
		if n := w.most(web, "B"); n != 1 {
			t.Errorf("%d pods were new", n)
		}
	})
}
