package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

func (p *process) Suspend(_ context.Context, k Key, uid string, s v1alpha1.Suspension, bake string) (v1alpha1.Suspension, error) {
	if err := p.gone(); err != nil {
		return s, err
	}
	if p.keeperErr != nil {
		if err := p.keeperErr(); err != nil {
			return s, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workloads[k]; w == nil || w.uid != uid {
		return s, ErrGone
	}
	s.Of = "automated sync of application argocd/" + s.Name + " is off"
	if by := p.keptOff[k]; by != "" {
		s.Already = by != bake
		return s, nil
	}
	return s, p.write(func() error {
		p.keptOff[k], p.keptBy = bake, append(p.keptBy, "off")
		return nil
	})
}

func (p *process) Resume(_ context.Context, k Key, _ string, _ v1alpha1.Suspension, bake string) (string, error) {
	if err := p.gone(); err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keptOff[k] != bake {
		return "", nil
	}
	return "", p.write(func() error {
		delete(p.keptOff, k)
		p.keptBy = append(p.keptBy, "on")
		return nil
	})
}

// keeping has Argo CD keep web, and write the bad template back a second after an undo unless it was told not to.
func (w *world) keeping(strategy policy.Strategy) {
	w.setPolicy(guardPolicy + "gitops: " + string(strategy) + "\n")
	w.writer, w.writesBack = "argocd-controller", time.Second
	w.with(web, func(x *workload) {
		x.owner = argo
		x.owner.Kind, x.owner.Object = KindApplication, "shop"
	})
}

func (w *world) wantKept(t *testing.T, want ...string) {
	t.Helper()
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if diff := cmp.Diff(want, w.keptBy); diff != "" {
		t.Fatalf("the controller was switched (-want +got):\n%s", diff)
	}
}

func (w *world) resumes(number int64) {
	w.with(web, func(x *workload) {
		if x.annotations == nil {
			x.annotations = map[string]string{}
		}
		x.annotations[policy.AnnotationResume] = fmt.Sprintf("%d ann", number)
	})
}

func TestSuspendedRolledBackAndResumed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.keeping(policy.Suspend)
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantChanges(t, w, "B to A")
		w.wantKept(t, "off")
		sus := b.Status.Rollback.Suspension
		if sus == nil || sus.DoneAt == nil || sus.DoneAt.After(b.Status.Rollback.PatchedAt.Time) || sus.Kind != KindApplication || sus.Name != "shop" {
			t.Fatalf("on record: %+v", sus)
		}
		if last := b.Status.Reasons[len(b.Status.Reasons)-1]; last.Code != CodeSuspended || last.Sentence != "suspended: automated sync of application argocd/shop is off, so that deployment/web stays at rev 1; what Git says has no effect on it until somebody resumes that: bakewatch resume deployment/web -n shop, once Git is right" {
			t.Errorf("people are told: %+v", last)
		}

		w.resumes(1) // about another
		w.pass(time.Minute)
		w.wantKept(t, "off")
		w.resumes(2)
		w.pass(time.Minute)
		w.wantKept(t, "off", "on")
		if sus = w.bake(t, 2).Status.Rollback.Suspension; sus.ResumedAt == nil || sus.ResumedBy != "ann" {
			t.Errorf("on record: %+v", sus)
		}
		w.newest.stop() // and after a restart it is not heeded again
		w.start()
		w.pass(time.Minute)
		w.wantKept(t, "off", "on")
	})
}

// By default, and where the policy of now or that of the start says so, nothing is written, neither to the workload nor to its keeper.
func TestNotifyWritesNothing(t *testing.T) {
	for _, c := range []struct{ atStart, now policy.Strategy }{{policy.Notify, policy.Notify}, {policy.Notify, policy.Suspend}, {policy.Suspend, policy.Notify}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.keeping(c.atStart)
				w.start()
				w.deploy(web, "B")
				w.pass(10 * time.Second)
				w.keeping(c.now)
				w.pass(4 * time.Minute)
				wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeGitOps)
				wantChanges(t, w)
				w.wantKept(t)
			})
		})
	}
}

// What cannot be suspended is not rolled back: it would be reverted.
func TestSuspensionFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		lasts time.Duration // 0: for ever
		held  string        // by this sentence; empty: it is rolled back
	}{
		{"never", fmt.Errorf("%w: there is no Application called shop", ErrNotSuspendable), 0, "held: deployment/web is kept by Argo CD application shop, which would put rev 2 back, and could not be told to leave it alone: it cannot be suspended: there is no Application called shop"},
		{"forbidden", fmt.Errorf("%w: applications", ErrNotPermitted), 0, "not permitted: applications"},
		{"forbidden for a moment", fmt.Errorf("%w: applications", ErrNotPermitted), 20 * time.Second, ""},
		{"the API server is slow", errors.New("etcd is slow"), 0, "etcd is slow"},
		{"the API server is slow for a moment", errors.New("etcd is slow"), time.Minute, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.keeping(policy.Suspend)
				var first time.Time
				w.start(func(p *process) {
					p.keeperErr = func() error {
						if first.IsZero() {
							first = time.Now()
						}
						if c.lasts > 0 && time.Since(first) >= c.lasts {
							return nil
						}
						return c.err
					}
				})
				w.deploy(web, "B")
				w.pass(10 * time.Minute)
				b := w.bake(t, 2)
				if c.held == "" {
					wantOutcome(t, b, v1alpha1.OutcomeRolledBack, CodeSuspended)
					wantChanges(t, w, "B to A")
					return
				}
				wantOutcome(t, b, v1alpha1.OutcomeHeld, CodeSuspendFailed)
				if last := b.Status.Reasons[len(b.Status.Reasons)-1]; !strings.Contains(last.Sentence, c.held) {
					t.Errorf("said %q", last.Sentence)
				}
				wantChanges(t, w)
				if sent, _ := w.alerts(AlertHeld); len(sent) == 0 {
					t.Error("nobody was alarmed")
				}
			})
		})
	}
}

// Killed at any write it is suspended once, before the one undo, and resumed once.
func TestSuspendedAndKilledAtEveryWrite(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int) {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["B"] = 0.2
			w.keeping(policy.Suspend)
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			again := func() {
				if w.newest == p && p.gone() != nil {
					w.pass(20 * time.Second)
					w.start()
				}
			}
			w.deploy(web, "B")
			for range 5 * 60 {
				w.pass(time.Second)
				again()
			}
			wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			wantChanges(t, w, "B to A")
			w.wantKept(t, "off")
			if got := w.sight(web).Digest; got != "digest of A" {
				t.Fatalf("what keeps it has put it back: %s", got)
			}
			w.resumes(2)
			for range 60 {
				w.pass(time.Second)
				again()
			}
			w.wantKept(t, "off", "on")
			if s := w.bake(t, 2).Status.Rollback.Suspension; s.ResumedAt == nil || s.ResumedBy != "ann" {
				t.Errorf("on record: %+v", s)
			}
			if told := w.headlines(announce.Ended); !slices.Contains(told, "shop deployment/web: rolled back from rev 2 to rev 1, recovered") {
				t.Errorf("told of the end: %q", told)
			}
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0, false)
	for n := 1; n <= total; n++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d before=%v", n, before), func(t *testing.T) { story(t, n, before) })
		}
	}
}

// Where nothing is rolled back after all, nothing stays suspended: also when it is killed at any write.
func TestNothingStaysSuspendedInVain(t *testing.T) {
	for name, err := range map[string]error{"paused": ErrPaused, "garbage-collected": ErrNoRevision, "newer": ErrNewer} {
		story := func(t *testing.T, killAt int, before bool) (writes int) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.keeping(policy.Suspend)
				refuse := func(p *process) { p.undoErr = func() error { return err } }
				p := w.start(refuse, func(p *process) { p.killAt, p.before = killAt, before })
				w.deploy(web, "B")
				for range 5 * 60 {
					w.pass(time.Second)
					if w.newest == p && p.gone() != nil {
						w.pass(20 * time.Second)
						w.start(refuse)
					}
				}
				b := w.bake(t, 2)
				if b.Status.Outcome != v1alpha1.OutcomeHeld && b.Status.Outcome != v1alpha1.OutcomeSuperseded || suspended(b) || has(b.Status.Reasons, CodeSuspended) {
					t.Fatalf("%s %+v, %+v", b.Status.Outcome, b.Status.Reasons, b.Status.Rollback.Suspension)
				}
				wantChanges(t, w)
				w.wantKept(t, "off", "on")
				writes = p.writes
			})
			return writes
		}
		total := story(t, 0, false)
		for n := 1; n <= total; n++ {
			for _, before := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %d before=%v", name, n, before), func(t *testing.T) { story(t, n, before) })
			}
		}
	}
}

// The record by which something is resumed outlives those that are kept only for their history.
func TestASuspensionIsNotPruned(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.keeping(policy.Suspend)
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		w.wantKept(t, "off")
		for _, template := range []string{"C", "D", "E", "F", "G"} {
			w.deploy(web, template)
			w.pass(4 * time.Minute)
		}
		if all := w.bakes(web); len(all) != 3 || all[2] == nil {
			t.Fatalf("on record: %v", w.outcomes())
		}
		w.resumes(2)
		w.pass(time.Minute)
		w.wantKept(t, "off", "on")
		w.deploy(web, "H")
		w.pass(4 * time.Minute)
		if all := w.bakes(web); len(all) != 3 || all[2] != nil {
			t.Fatalf("on record: %v", w.outcomes())
		}
	})
}
