package bake

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// crashing are a new pod that has crashed since it was born, so many times, and old pods.
func crashing(born time.Time, ends int, old ...signals.PodState) func() (signals.PodLook, error) {
	return func() (signals.PodLook, error) {
		return signals.PodLook{At: time.Now(), Baseline: old, Candidate: []signals.PodState{{
			Name: "web-B-1", Born: born, Ends: ends, Ran: 3 * time.Second,
			Trouble: &signals.Trouble{Cause: signals.CrashLoop, Container: "app", ExitCode: 1},
		}}}, nil
	}
}

// TestCannotRun: new pods that cannot run are rolled back long before the controller gives them up, and without any traffic.
func TestCannotRun(t *testing.T) {
	well := signals.PodState{Name: "web-A-1", Ready: true}
	ill := signals.PodState{Name: "web-A-1", Ends: 30, Ran: 30 * time.Second}
	for name, c := range map[string]struct {
		look    func() func() (signals.PodLook, error)
		stuck   bool
		outcome v1alpha1.Outcome // empty: none in two minutes
		code    string
	}{
		"new pods crash":              {look: func() func() (signals.PodLook, error) { return crashing(time.Now(), 3, well) }, outcome: v1alpha1.OutcomeRolledBack, code: decide.CodeCrashLoop},
		"they crashed twice":          {look: func() func() (signals.PodLook, error) { return crashing(time.Now(), 2, well) }},
		"the old ones crash, too":     {look: func() func() (signals.PodLook, error) { return crashing(time.Now(), 3, ill) }},
		"and the controller gives up": {look: func() func() (signals.PodLook, error) { return crashing(time.Now(), 3, ill) }, stuck: true, outcome: v1alpha1.OutcomeInconclusive, code: decide.CodeCrashLoop},
		"likewise, and a look takes seconds": {look: func() func() (signals.PodLook, error) {
			look := crashing(time.Now(), 3, ill)
			return func() (signals.PodLook, error) { time.Sleep(5 * time.Second); return look() }
		}, stuck: true, outcome: v1alpha1.OutcomeInconclusive, code: decide.CodeCrashLoop},
		"pods that cannot be seen":     {look: func() func() (signals.PodLook, error) { return unseen }},
		"unseen, the controller tells": {look: func() func() (signals.PodLook, error) { return unseen }, stuck: true, outcome: v1alpha1.OutcomeRolledBack, code: CodeDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				w.deploy(web, "B")
				w.with(web, func(x *workload) {
					x.readyAfter, x.completeAfter, x.look = time.Hour, time.Hour, c.look()
				})
				w.pass(time.Minute)
				w.with(web, func(x *workload) {
					if c.stuck {
						x.stuck, x.changedAt = "ReplicaSet has timed out progressing.", time.Now()
					}
					if c.outcome == v1alpha1.OutcomeRolledBack { // its pods are well
						x.readyAfter, x.completeAfter, x.look = 5*time.Second, 20*time.Second, nil
					}
				})
				w.pass(10 * time.Second)
				b := w.bake(t, 2)
				switch {
				case c.outcome == v1alpha1.OutcomeRolledBack:
					w.pass(5 * time.Minute)
					wantOutcome(t, w.bake(t, 2), c.outcome, c.code)
					if got := w.bake(t, 2).Status.Evidence; len(got) != 1 || got[0].State != "ready" {
						t.Errorf("the evidence that could be collected is not on record: %+v", got)
					}
				case c.outcome != "":
					wantOutcome(t, b, c.outcome, c.code)
				case b.Status.Outcome != "" || b.Status.Phase != v1alpha1.PhaseRolling:
					t.Errorf("%s %s: %s", b.Status.Phase, b.Status.Outcome, b.Status.Why)
				}
			})
		})
	}
}

func unseen() (signals.PodLook, error) { return signals.PodLook{}, errors.New("pods is forbidden") }

// TestCannotRunAnyMore: pods that became ready, and crash under load, are as conclusive.
func TestCannotRunAnyMore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.with(web, func(x *workload) { x.readyAfter, x.completeAfter = 5*time.Second, time.Hour })
		w.pass(20 * time.Second)
		if b := w.bake(t, 2); b.Status.Phase != v1alpha1.PhaseBaking {
			t.Fatalf("%s", b.Status.Phase)
		}
		w.with(web, func(x *workload) {
			x.look, x.completeAfter = crashing(time.Now().Add(-20*time.Second), 3), 20*time.Second
			x.completeAfter = time.Hour
		})
		w.pass(20 * time.Second)
		b := w.bake(t, 2)
		if w := b.Status.Warnings; len(w) != 1 || w[0].Code != CodeNoProbe {
			t.Errorf("warnings: %+v", w)
		}
		if b.Status.Rollback == nil || b.Status.Reasons[0].Code != decide.CodeCrashLoop || !strings.Contains(b.Status.Why, "ended 3 times") {
			t.Errorf("%s: %s", b.Status.Phase, b.Status.Why)
		}
	})
}

// TestItAlwaysCrashed: old pods that crashed as often acquit the new ones, also when they are gone.
func TestItAlwaysCrashed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.with(web, func(x *workload) {
			x.readyAfter, x.completeAfter = time.Hour, time.Hour
			x.look = crashing(time.Now(), 1, signals.PodState{Name: "web-A-1", Ready: true, Ends: 30, Ran: 30 * time.Second})
		})
		w.pass(20 * time.Second)
		w.with(web, func(x *workload) { x.look = crashing(time.Now().Add(-20*time.Second), 3) })
		w.pass(time.Minute)
		if b := w.bake(t, 2); b.Status.Rollback != nil || b.Status.Outcome != "" {
			t.Errorf("%s: %s", b.Status.Phase, b.Status.Why)
		}
	})
}

// TestPodsMissingAtTheEnd: what serves well while a pod is missing has not passed; one that comes back in time has.
func TestPodsMissingAtTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		back    bool
		outcome v1alpha1.Outcome
		code    string
	}{
		"it comes back":         {true, v1alpha1.OutcomePassed, decide.CodeWithin},
		"it does not come back": {false, v1alpha1.OutcomeInconclusive, CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				w.deploy(web, "B")
				w.pass(40 * time.Second)
				if b := w.bake(t, 2); b.Status.CompletedAt == nil {
					t.Fatalf("%s", b.Status.Phase)
				}
				resolved, _ := w.config.For(policy.Target{Kind: web.Kind, Namespace: web.Namespace, Name: web.Name})
				window := resolved.Window
				w.with(web, func(x *workload) { x.missing = 1 })
				w.pass(window + 10*time.Second)
				if b := w.bake(t, 2); b.Status.Outcome != "" {
					t.Fatalf("%s: %s", b.Status.Outcome, b.Status.Why)
				}
				if c.back {
					w.with(web, func(x *workload) { x.missing = 0 })
				}
				w.pass(window)
				wantOutcome(t, w.bake(t, 2), c.outcome, c.code)
			})
		})
	}
}
