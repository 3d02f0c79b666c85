package bake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

const configPolicy = guardPolicy + "configuration: {configMaps: true, sync: 30s}\n"

// inConfiguredWorld is inWorld, where web reads the ConfigMap app, with its content good1 for an hour, as reads says.
func inConfiguredWorld(t *testing.T, reads string, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(configPolicy)
		w.with(web, func(x *workload) { x.reads = []string{reads} })
		w.configure("app", "good1")
		w.pass(time.Hour)
		w.since = time.Now()
		test(t, w)
	})
}

// ofConfig are the Bakes of web that are about its configuration, oldest first.
func (w *world) ofConfig(k Key) []*v1alpha1.Bake {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	var out []*v1alpha1.Bake
	for _, b := range w.records {
		if keyOf(b) == k && b.Spec.InPlace {
			out = append(out, b.DeepCopy())
		}
	}
	slices.SortFunc(out, older)
	return out
}

// last is the newest of them.
func (w *world) last(t *testing.T, k Key) *v1alpha1.Bake {
	t.Helper()
	all := w.ofConfig(k)
	if len(all) == 0 {
		t.Fatalf("no bake of a configuration of %s; there are %v", k, w.outcomes())
	}
	return all[len(all)-1]
}

func (w *world) wantRestores(t *testing.T, want ...string) {
	t.Helper()
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if got := w.configs["app"].restores; !slices.Equal(got, want) {
		t.Errorf("restores of app: %q, want %q", got, want)
	}
}

// TestKilledAtEveryWriteOfAConfiguration: the content of a mounted ConfigMap turns bad while the template stays. However often
// the daemon is killed, the content is put back once.
func TestKilledAtEveryWriteOfAConfiguration(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int, killed bool) {
		inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			for range 30 { // it is adopted, and kept
				if p.gone() != nil {
					killed = true
					w.start()
					break
				}
				w.pass(time.Second)
			}
			w.pass(time.Minute)
			w.configure("app", "bad")
			for range 10 * 60 {
				if p.gone() != nil && !killed {
					killed = true
					w.pass(5 * time.Second)
					w.start()
					break
				}
				w.pass(time.Second)
			}
			w.pass(10 * time.Minute)
			b := w.last(t, web)
			wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			w.wantRestores(t, "bad to good1")
			wantChanges(t, w)
			if w.configs["app"].owned {
				t.Error("its data still belongs to bakewatch")
			}
			if got := w.outcomes(); len(got) != 1 {
				t.Errorf("bakes: %v", got)
			}
			if rb := b.Status.Rollback; rb.Recovered != "Yes" || len(rb.ConfigMaps) != 1 || rb.ConfigMaps[0].DoneAt == nil {
				t.Errorf("on record: %+v", rb)
			}
			if b.Spec.Revisions != "1 → 1 with app@bad" || !slices.Contains(b.Spec.Changes, "ConfigMap app: key color changed") {
				t.Errorf("%s; %q", b.Spec.Revisions, b.Spec.Changes)
			}
			if e := w.newest.loop.ledger.of(web); e.work != nil || e.current.ConfigMaps[0].Digest != "good1" || e.good.ConfigMaps[0].Digest != "good1" {
				t.Errorf("remembered: %+v", *e)
			}
			writes = p.writes
		})
		return writes, killed
	}
	total, _ := story(t, 0, false)
	if total < 10 {
		t.Fatalf("only %d writes without a kill", total)
	}
	for n := 1; n <= total; n++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %d of %d, before=%v", n, total, before), func(t *testing.T) {
				if _, killed := story(t, n, before); !killed {
					t.Error("it was never killed")
				}
			})
		}
	}
}

// A good change passes, and is what is gone back to afterwards.
func TestAGoodConfigurationPasses(t *testing.T) {
	inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
		w.start()
		w.pass(time.Minute)
		w.configure("app", "good2")
		w.pass(5 * time.Minute)
		b := w.last(t, web)
		wantOutcome(t, b, v1alpha1.OutcomePassed, decide.CodeWithin)
		if told := w.headlines(announce.Started); !slices.Contains(told, "shop deployment/web: watching the rollout of rev 1 with app@good2 over rev 1 with app@good1") {
			t.Errorf("told: %q", told)
		}
		w.configure("app", "bad")
		w.pass(10 * time.Minute)
		wantOutcome(t, w.last(t, web), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		w.wantRestores(t, "bad to good2")
	})
}

// The template changes right after the content: one rollout, and both are put back, the content first.
func TestContentAndTemplateAreOneRollout(t *testing.T) {
	for _, reads := range []string{"app", "$app"} {
		t.Run(reads, func(t *testing.T) {
			inConfiguredWorld(t, reads, func(t *testing.T, w *world) {
				w.start()
				w.pass(time.Minute)
				w.configure("app", "bad")
				w.pass(5 * time.Second)
				w.deploy(web, "B")
				w.pass(10 * time.Minute)
				b := w.bake(t, 2)
				wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
				if len(w.ofConfig(web)) > 0 || !slices.Contains(b.Spec.Changes, "ConfigMap app: key color changed") {
					t.Errorf("%v; %q", w.outcomes(), b.Spec.Changes)
				}
				w.wantRestores(t, "bad to good1")
				wantChanges(t, w, "B to A")
				rb := b.Status.Rollback
				if len(rb.ConfigMaps) != 1 || rb.ConfigMaps[0].DoneAt.After(rb.PatchedAt.Time) {
					t.Errorf("on record: %+v", rb)
				}
			})
		})
	}
}

// What is read at start only is no rollout until pods start.
func TestVariablesWaitForARestart(t *testing.T) {
	inConfiguredWorld(t, "$app", func(t *testing.T, w *world) {
		w.start()
		w.pass(time.Minute)
		w.configure("app", "bad")
		w.pass(time.Hour)
		if got := w.outcomes(); len(got) > 0 {
			t.Fatalf("bakes: %v", got)
		}
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		w.wantRestores(t, "bad to good1")
	})
}

// Pods are made anew under the same template, with variables that went bad meanwhile: the content is put back, and the pods are
// restarted, once each, however often the daemon is killed.
func TestKilledAtEveryWriteOfARestart(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int, killed bool) {
		inConfiguredWorld(t, "$app", func(t *testing.T, w *world) {
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			again := func() {
				if p.gone() != nil && !killed {
					killed = true
					w.pass(5 * time.Second)
					w.start()
				}
			}
			for range 60 {
				again()
				w.pass(time.Second)
			}
			w.configure("app", "bad")
			w.pass(10 * time.Minute)
			if got := w.outcomes(); len(got) > 0 {
				t.Fatalf("bakes before any pod was started: %v", got)
			}
			w.with(web, func(x *workload) { x.reborn = time.Now() })
			for range 10 * 60 {
				again()
				w.pass(time.Second)
			}
			w.pass(10 * time.Minute)
			b := w.last(t, web)
			wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			w.wantRestores(t, "bad to good1")
			wantChanges(t, w, "restart of A")
			rb := b.Status.Rollback
			if rb.Recovered != "Yes" || rb.Restart == nil || rb.Restart.DoneAt == nil || rb.Target.Hash != "A-again" || rb.Target.ConfigMaps[0].Digest != "good1" {
				t.Errorf("on record: %+v", rb)
			}
			if got := w.outcomes(); len(got) != 1 {
				t.Errorf("bakes: %v", got)
			}
			if e := w.newest.loop.ledger.of(web); e.work != nil || e.current.Hash != "A-again" || e.good.Hash != "A-again" || e.good.ConfigMaps[0].Digest != "good1" || w.workloads[web].owned {
				t.Errorf("remembered: %+v", *e)
			}
			writes = p.writes
			if killAt == 0 {
				w.deploy(web, "B")
				w.pass(10 * time.Minute)
				wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomePassed, decide.CodeWithin)
			}
		})
		return writes, killed
	}
	total, _ := story(t, 0, false)
	for n := 1; n <= total; n++ {
		for _, before := range []bool{true, false} {
			if _, killed := story(t, n, before); !killed {
				t.Errorf("it was not killed at write %d of %d", n, total)
			}
		}
	}
}

// A ConfigMap that two workloads read is put back once; the other bake says by whom.
func TestASharedConfigMapIsPutBackOnce(t *testing.T) {
	inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
		w.create(api, "A")
		w.with(api, func(x *workload) { x.reads = []string{"app"} })
		w.pass(time.Hour)
		w.since = time.Now()
		w.start()
		w.pass(time.Minute)
		w.configure("app", "bad")
		w.pass(10 * time.Minute)
		w.wantRestores(t, "bad to good1")
		outcomes := map[v1alpha1.Outcome]*v1alpha1.Bake{}
		for _, k := range []Key{web, api} {
			if n := len(w.ofConfig(k)); n != 1 {
				t.Fatalf("%d bakes of %s: %v", n, k, w.outcomes())
			}
			b := w.last(t, k)
			outcomes[b.Status.Outcome] = b
		}
		undone, other := outcomes[v1alpha1.OutcomeRolledBack], outcomes[v1alpha1.OutcomeAbandoned]
		if undone == nil || other == nil {
			t.Fatalf("bakes: %v", w.outcomes())
		}
		if want := "ConfigMap app was put back by the rollback of shop " + undone.Spec.Ref; !strings.Contains(other.Status.Why, want) {
			t.Errorf("the other says %q", other.Status.Why)
		}
	})
}

// Of two bakes that find out in the same instant, one puts the ConfigMap back.
func TestClaims(t *testing.T) {
	var rs restores
	now := time.Now()
	of := func(name string) *v1alpha1.Bake {
		b := &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Ref: "deployment/" + name, InPlace: true,
			From: &v1alpha1.Revision{Hash: "A", ConfigMaps: []v1alpha1.ConfigVersion{{Name: "app", Digest: "good1"}}},
			To:   v1alpha1.Revision{Hash: "A", ConfigMaps: []v1alpha1.ConfigVersion{{Name: "app", Digest: "bad"}}}}}
		b.Namespace, b.Name = "shop", name
		return b
	}
	web, api := of("web"), of("api")
	want := func(what string, b *v1alpha1.Bake, at time.Time, by string) {
		t.Helper()
		got := ""
		if r := rs.claim(b, at); r != nil {
			got = r.bake
		}
		if got != by {
			t.Errorf("%s: claimed by %q, want %q", what, got, by)
		}
	}
	want("the first", web, now, "")
	want("the first again", web, now, "")
	want("the second", api, now, "shop/web")
	want("one that never put its intent on record", api, now.Add(claimFor), "")
	rs = restores{}
	want("the first", web, now, "")
	web.Status.Rollback = &v1alpha1.Rollback{IntendedAt: micro(now.Add(time.Second)), ConfigMaps: toRestore(web.Spec)}
	rs.note(web)
	want("an intent on record is waited for", api, now.Add(time.Minute), "shop/web")
	web.Status.Outcome = v1alpha1.OutcomeHeld // its rights did not suffice
	rs.note(web)
	want("it was not put back", api, now.Add(time.Minute), "")

	s := in(v1alpha1.PhaseBaking, worse)
	if step := Next(s); step.Do != Intend {
		t.Fatalf("nothing is intended: %+v", step)
	}
	s.ClaimedBy = &restored{name: "app", ref: "shop deployment/api"}
	if step := Next(s); step.Do != Wait || !strings.Contains(step.Why, "ConfigMap app is being put back by the rollback of shop deployment/api") {
		t.Errorf("it does not wait: %+v", step)
	}
}

// Nothing is fought for: a content that somebody changed again is theirs, and what a GitOps controller keeps is left alone.
func TestAConfigMapInOtherHands(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*world)
		outcome v1alpha1.Outcome
		code    string
	}{
		{"kept as Git has it", func(w *world) {
			w.configs["app"].owner = Owner{GitOps: true, Name: "Argo CD application shop", Where: "in the Git repository that the application follows"}
		}, v1alpha1.OutcomeHeld, CodeGitOps},
		{"its good content is gone", func(w *world) { w.configs["app"].kept = nil }, v1alpha1.OutcomeHeld, CodeConfigNotKept},
	} {
		t.Run(c.name, func(t *testing.T) {
			inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
				w.start()
				w.pass(time.Minute)
				w.configure("app", "bad")
				w.pass(20 * time.Second)
				w.cluster.mu.Lock()
				c.change(w)
				w.cluster.mu.Unlock()
				w.pass(10 * time.Minute)
				wantOutcome(t, w.last(t, web), c.outcome, c.code)
				w.wantRestores(t)
			})
		})
	}
	t.Run("changed again", func(t *testing.T) {
		inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
			w.start()
			w.pass(time.Minute)
			w.configure("app", "bad")
			w.pass(25 * time.Second)
			w.configure("app", "good2")
			w.pass(10 * time.Minute)
			all := w.ofConfig(web)
			if len(all) != 2 {
				t.Fatalf("bakes: %v", w.outcomes())
			}
			wantOutcome(t, all[0], v1alpha1.OutcomeSuperseded, CodeNewer)
			wantOutcome(t, all[1], v1alpha1.OutcomePassed, decide.CodeWithin)
			w.wantRestores(t)
		})
	})
	t.Run("put back by hand", func(t *testing.T) {
		inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
			w.start()
			w.pass(time.Minute)
			w.configure("app", "bad")
			w.pass(25 * time.Second)
			w.configure("app", "good1")
			w.pass(10 * time.Minute)
			wantOutcome(t, w.ofConfig(web)[0], v1alpha1.OutcomeAbandoned, CodeUndone)
			w.wantRestores(t)
		})
	})
}

// The bad content is applied again: once while recovery is measured, and once later.
func TestABadContentIsWrittenBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		first string // code of the first bake's last reason
	}{{"at once", 20 * time.Second, CodeWrittenBack}, {"later", 5 * time.Minute, decide.CodeEvidence}} {
		t.Run(c.name, func(t *testing.T) {
			inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
				w.start()
				w.pass(time.Minute)
				w.configure("app", "bad")
				for range 600 {
					if w.pass(time.Second); len(w.restoresOf("app")) > 0 {
						break
					}
				}
				w.pass(c.after)
				w.configure("app", "bad")
				w.pass(15 * time.Minute)
				all := w.ofConfig(web)
				if len(all) != 2 || all[1].Spec.Again == nil || all[1].Spec.Again.Bake != all[0].Name {
					t.Fatalf("bakes: %v", w.outcomes())
				}
				first, second := all[0].Status, all[1].Status
				if first.Outcome != v1alpha1.OutcomeRolledBack || first.Reasons[len(first.Reasons)-1].Code != c.first {
					t.Errorf("the first ended %s: %+v", first.Outcome, first.Reasons)
				}
				if second.Outcome != v1alpha1.OutcomeHeld || !has(second.Reasons, CodeToAndFro) {
					t.Errorf("the second ended %s: %+v", second.Outcome, second.Reasons)
				}
				w.wantRestores(t, "bad to good1")
			})
		})
	}
}

// It changes while the daemon is down, before any Bake is on record: what was kept tells.
func TestAConfigurationChangesWhileNobodyWatches(t *testing.T) {
	inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
		p := w.start()
		w.pass(time.Minute)
		p.stop()
		w.configure("app", "bad")
		w.pass(time.Minute)
		w.start()
		w.pass(10 * time.Minute)
		wantOutcome(t, w.last(t, web), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		w.wantRestores(t, "bad to good1")
	})
}

// Policy does not want it, or no longer: nothing is written.
func TestConfigMapsAreLeftAlone(t *testing.T) {
	inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
		w.setPolicy(guardPolicy)
		w.start()
		w.configure("app", "bad")
		w.pass(10 * time.Minute)
		if got := w.outcomes(); len(got) > 0 || len(w.configs["app"].kept) > 0 {
			t.Errorf("bakes: %v, kept %v", got, w.configs["app"].kept)
		}
	})
	inConfiguredWorld(t, "app", func(t *testing.T, w *world) {
		w.start()
		w.pass(time.Minute)
		w.configure("app", "bad")
		w.pass(20 * time.Second)
		w.setPolicy(guardPolicy)
		w.pass(10 * time.Minute)
		wantOutcome(t, w.last(t, web), v1alpha1.OutcomeHeld, CodeConfigOff)
		w.wantRestores(t)
	})
	inConfiguredWorld(t, "app", func(t *testing.T, w *world) { // a controller writes it
		w.configs["app"].left = "leader election writes it"
		w.start()
		w.pass(time.Minute)
		w.configure("app", "bad")
		w.pass(10 * time.Minute)
		if got := w.outcomes(); len(got) > 0 || len(w.configs["app"].kept) > 0 {
			t.Errorf("bakes: %v, kept %v", got, w.configs["app"].kept)
		}
	})
}
