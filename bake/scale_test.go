package bake

import (
	"context"
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
	"github.com/bakewatch/bakewatch/signals"
)

func (p *process) Autoscaled(_ context.Context, k Key) (string, error) {
	if err := p.gone(); err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.autoscaler, p.autoscalerErr
}

func (p *process) Lower(_ context.Context, k Key, uid string, judged v1alpha1.Revision, from, to int32) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	mark := fmt.Sprintf("%d from %d to %d", judged.Number, from, to)
	switch {
	case w == nil || w.uid != uid:
		return ErrGone
	case w.template != judged.Hash:
		return ErrNewer
	case w.annotations[AnnotationScaledDown] == mark:
		return nil
	case w.replicas != from:
		return ErrScaled
	}
	return p.write(func() error {
		p.scaled = append(p.scaled, fmt.Sprintf("%d to %d", w.replicas, to))
		if w.annotations == nil {
			w.annotations = map[string]string{}
		}
		w.replicas, w.annotations[AnnotationScaledDown] = to, mark
		return nil
	})
}

func (p *process) Restore(_ context.Context, k Key, uid string, judged v1alpha1.Revision, from, to int32) (restored, over bool, err error) {
	if err := p.gone(); err != nil {
		return false, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	switch {
	case w == nil || w.uid != uid:
		return false, false, ErrGone
	case w.annotations[AnnotationScaledDown] == "":
		return false, true, nil
	case w.replicas == to && w.template == judged.Hash:
		return false, false, nil
	}
	restored = w.replicas == to
	err = p.write(func() error {
		delete(w.annotations, AnnotationScaledDown)
		if restored {
			p.scaled = append(p.scaled, fmt.Sprintf("%d to %d", to, from))
			w.replicas = from
		}
		return nil
	})
	return restored, true, err
}

const lowerPolicy = guardPolicy + "scaleDown: {oom: 1}\n"

// starving are pods that are killed for want of memory again and again.
func starving() (signals.PodLook, error) {
	var pods []signals.PodState
	for i := range 3 {
		pods = append(pods, signals.PodState{Name: fmt.Sprintf("web-b-%d", i), Born: time.Now().Add(-time.Minute), Ends: 4,
			Trouble: &signals.Trouble{Cause: signals.OOMKilled, Container: "app", Limit: "64Mi"}})
	}
	return signals.PodLook{At: time.Now(), Candidate: pods}, nil
}

// storm rolls B out, whose pods are killed once all are new, and which has migrated the database.
func (w *world) storm() {
	w.setPolicy(lowerPolicy)
	w.with(web, func(x *workload) {
		x.replicas = 3
		x.migrates = map[string]func() []v1alpha1.Migration{"B": func() []v1alpha1.Migration { return []v1alpha1.Migration{{Tool: "django", Name: "shop.0042_drop"}} }}
	})
	w.deploy(web, "B")
	w.pass(30 * time.Second) // all are new
	w.with(web, func(x *workload) { x.look, x.missing = starving, 1 })
}

// well has the workload's pods run again, as they do with the next version.
func (w *world) well(template string) {
	w.with(web, func(x *workload) { x.look, x.missing = nil, 0 })
	w.deploy(web, template)
}

// TestLowered: pods are killed again and again, the rollback is held: fewer replicas are left, until a newer version comes.
func TestLowered(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.storm()
		w.pass(2 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeHeld, decide.CodeOOMKilled)
		if last := b.Status.Reasons[len(b.Status.Reasons)-1]; last.Code != CodeMigrations {
			t.Errorf("held by %s", last.Code)
		}
		if d := b.Status.ScaleDown; d == nil || d.From != 3 || d.To != 1 || d.DoneAt == nil || d.OverAt != nil {
			t.Errorf("on record: %+v", d)
		}
		if got := w.headlines(announce.Ended); len(got) != 1 || !strings.HasSuffix(got[0], "(migrations), replicas lowered from 3 to 1") {
			t.Errorf("told: %v", got)
		}
		if len(b.Status.Evidence) == 0 {
			t.Error("no evidence is kept")
		}
		w.well("C")
		w.pass(time.Minute)
		if d := w.bake(t, 2).Status.ScaleDown; d.OverAt == nil || !d.Restored {
			t.Errorf("after C: %+v", d)
		}
		if !slices.Equal(w.scaled, []string{"3 to 1", "1 to 3"}) || w.workloads[web].annotations[AnnotationScaledDown] != "" {
			t.Errorf("replicas went %v", w.scaled)
		}
	})
}

// TestKilledAtEveryWriteOfLowering: whatever the moment the daemon is killed at, replicas are lowered once, and put back once.
func TestKilledAtEveryWriteOfLowering(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int) {
		inWorld(t, func(t *testing.T, w *world) {
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			again := func() {
				if p.gone() != nil && w.newest == p {
					w.pass(5 * time.Second)
					w.start()
				}
			}
			w.storm()
			for range 180 {
				w.pass(time.Second)
				again()
			}
			if !slices.Equal(w.scaled, []string{"3 to 1"}) {
				t.Errorf("replicas went %v", w.scaled)
			}
			if d := w.bake(t, 2).Status.ScaleDown; d == nil || d.DoneAt == nil || w.bake(t, 2).Status.Outcome != v1alpha1.OutcomeHeld {
				t.Errorf("on record: %+v", d)
			}
			w.well("C")
			for range 180 {
				w.pass(time.Second)
				again()
			}
			if killAt > 0 && w.newest == p {
				t.Error("it was never killed")
			}
			// Killed after replicas were put back, and before that was on record, nobody knows who did it.
			d := w.bake(t, 2).Status.ScaleDown
			if !slices.Equal(w.scaled, []string{"3 to 1", "1 to 3"}) || d.OverAt == nil || w.workloads[web].annotations[AnnotationScaledDown] != "" {
				t.Errorf("replicas went %v; on record: %+v", w.scaled, d)
			}
			if len(w.changes) != 0 {
				t.Errorf("templates changed: %v", w.changes)
			}
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0, false)
	if total < 12 {
		t.Fatalf("only %d writes without a kill", total)
	}
	for n := 1; n <= total; n++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %d of %d, before=%v", n, total, before), func(t *testing.T) { story(t, n, before) })
		}
	}
}

// TestReplicasOfOthers: what sets the replicas by itself keeps them from being lowered, and so does not knowing; a person who sets
// them has them left.
func TestReplicasOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		by  string
		err error
		why string
	}{
		"an autoscaler": {"HorizontalPodAutoscaler web", nil, "HorizontalPodAutoscaler web sets the replicas"},
		"not known":     {"", errors.New("forbidden"), "whether something else sets the replicas is not known: forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.autoscaler, w.autoscalerErr = c.by, c.err
				w.start()
				w.storm()
				w.pass(2 * time.Minute)
				b := w.bake(t, 2)
				wantOutcome(t, b, v1alpha1.OutcomeHeld, decide.CodeOOMKilled)
				if d := b.Status.ScaleDown; d == nil || d.NotDone != c.why || d.DoneAt != nil || len(w.scaled) > 0 {
					t.Errorf("%+v; replicas went %v", d, w.scaled)
				}
			})
		})
	}
	t.Run("a person", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			w.start()
			w.storm()
			w.pass(2 * time.Minute)
			w.with(web, func(x *workload) { x.replicas = 2 })
			w.pass(time.Minute)
			w.well("C")
			w.pass(time.Minute)
			if d := w.bake(t, 2).Status.ScaleDown; d.OverAt == nil || d.Restored || !slices.Equal(w.scaled, []string{"3 to 1"}) {
				t.Errorf("%+v; replicas went %v", d, w.scaled)
			}
		})
	})
	t.Run("a person, before it is done", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			p := w.start()
			p.state.Lock()
			p.failWrite = func(int) error { // somebody is quicker than the patch
				if x := w.workloads[web]; len(w.scaled) == 0 && x.missing > 0 {
					x.replicas = 2
				}
				return nil
			}
			p.state.Unlock()
			w.storm()
			w.pass(2 * time.Minute)
			b := w.bake(t, 2)
			if d := b.Status.ScaleDown; d == nil || !strings.Contains(d.NotDone, ErrScaled.Error()) || len(w.scaled) > 0 || b.Status.Outcome != v1alpha1.OutcomeHeld {
				t.Errorf("%s, %+v; replicas went %v", b.Status.Outcome, d, w.scaled)
			}
		})
	})
}

// TestWhenLowered: only where policy asks for it, pods are killed for want of memory, a guard that leaves it to people holds, and
// no pod of the old revision serves.
func TestWhenLowered(t *testing.T) {
	sure := func() (State, Step) {
		s := State{
			Bake: &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Workload: v1alpha1.WorkloadReference{Kind: KindDeployment, Name: "web"}}},
			Live: policy.Resolved{Mode: policy.Guard, ScaleDown: policy.ScaleDownRules{OOM: 1}}, Frozen: policy.Resolved{Mode: policy.Guard, ScaleDown: policy.ScaleDownRules{OOM: 1}},
			Sight: Sight{CaughtUp: true, Replicas: 3, Updated: 3, Total: 3},
		}
		return s, Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: []v1alpha1.Reason{{Code: decide.CodeOOMKilled}, {Code: CodeMigrations}}}
	}
	for name, c := range map[string]struct {
		change func(*State, *Step)
		lowers bool
	}{
		"all is so": {func(*State, *Step) {}, true},
		"by the signal": {func(_ *State, e *Step) {
			e.Reasons[0] = v1alpha1.Reason{Code: decide.CodeThreshold, Signal: "oom-kills"}
		}, true},
		"of a StatefulSet":          {func(s *State, _ *Step) { s.Bake.Spec.Workload.Kind = KindStatefulSet }, true},
		"of a DaemonSet":            {func(s *State, _ *Step) { s.Bake.Spec.Workload.Kind = KindDaemonSet }, false},
		"off now":                   {func(s *State, _ *Step) { s.Live.ScaleDown.OOM = 0 }, false},
		"off when the bake began":   {func(s *State, _ *Step) { s.Frozen.ScaleDown.OOM = 0 }, false},
		"more by the policy of now": {func(s *State, _ *Step) { s.Live.ScaleDown.OOM = 3 }, false},
		"observed":                  {func(s *State, _ *Step) { s.Live.Mode = policy.Observe }, false},
		"of another cause":          {func(_ *State, e *Step) { e.Reasons[0].Code = decide.CodeCrashLoop }, false},
		"frozen":                    {func(_ *State, e *Step) { e.Reasons[1].Code = CodeFreeze }, false},
		"rejected":                  {func(_ *State, e *Step) { e.Reasons[1].Code = CodeRejected }, false},
		"kept by GitOps":            {func(_ *State, e *Step) { e.Reasons[1].Code = CodeGitOps }, false},
		"owned, by another guard":   {func(s *State, _ *Step) { s.Sight.Owner.Name = "Argo CD application shop" }, false},
		"nobody approved":           {func(_ *State, e *Step) { e.Reasons[1].Code = CodeApproval }, true},
		"old pods serve":            {func(s *State, _ *Step) { s.Sight.Updated = 2 }, false},
		"old pods beside":           {func(s *State, _ *Step) { s.Sight.Total = 4 }, false},
		"some are held":             {func(s *State, _ *Step) { s.Sight.Held = 1 }, false},
		"not caught up":             {func(s *State, _ *Step) { s.Sight.CaughtUp = false }, false},
		"as few already":            {func(s *State, _ *Step) { s.Sight.Replicas = 1 }, false},
		"done already":              {func(s *State, _ *Step) { s.Bake.Status.ScaleDown = &v1alpha1.ScaleDown{} }, false},
		"nobody can tell":           {func(_ *State, e *Step) { e.Outcome = v1alpha1.OutcomeInconclusive }, false},
	} {
		s, end := sure()
		c.change(&s, &end)
		if got := s.orLower(end); (got.Do == Reduce) != c.lowers || !c.lowers && got.Do != End {
			t.Errorf("%s: %s", name, got.Do)
		}
	}
}

// TestLoweringEnds: an intent that is not carried out yet goes where the bake goes.
func TestLoweringEnds(t *testing.T) {
	held := []v1alpha1.Reason{{Code: decide.CodeOOMKilled}, {Code: CodeMigrations}}
	for name, c := range map[string]struct {
		change func(*State)
		do     Do
		out    v1alpha1.Outcome
	}{
		"as it was":       {func(*State) {}, Lower, ""},
		"done":            {func(s *State) { s.Bake.Status.ScaleDown.DoneAt = new(micro(time.Unix(1, 0))) }, End, v1alpha1.OutcomeHeld},
		"turned off":      {func(s *State) { s.Live.ScaleDown.OOM = 0 }, End, v1alpha1.OutcomeHeld},
		"observed":        {func(s *State) { s.Live.Mode = policy.Observe }, End, v1alpha1.OutcomeHeld},
		"not watched":     {func(s *State) { s.Live.Watched = false }, End, v1alpha1.OutcomeAbandoned},
		"a newer rollout": {func(s *State) { s.Current.Hash = "c" }, End, v1alpha1.OutcomeSuperseded},
		"deleted":         {func(s *State) { s.Sight.Exists = false }, End, v1alpha1.OutcomeAbandoned},
		"paused":          {func(s *State) { s.Sight.Paused = true }, End, v1alpha1.OutcomeAbandoned},
	} {
		rules := policy.Resolved{Mode: policy.Guard, Watched: true, ScaleDown: policy.ScaleDownRules{OOM: 1}}
		s := State{Live: rules, Frozen: rules, Sight: Sight{Exists: true, UID: "u", CaughtUp: true, Replicas: 3}, Current: v1alpha1.Revision{Hash: "b"},
			Bake: &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Workload: v1alpha1.WorkloadReference{Kind: KindDeployment, UID: "u"}, To: v1alpha1.Revision{Hash: "b"}, From: &v1alpha1.Revision{Hash: "a"}},
				Status: v1alpha1.BakeStatus{Phase: v1alpha1.PhaseBaking, Reasons: held, ScaleDown: &v1alpha1.ScaleDown{From: 3, To: 1}}}}
		c.change(&s)
		if got := Next(s); got.Do != c.do || got.Outcome != c.out {
			t.Errorf("%s: %s %s", name, got.Do, got.Outcome)
		}
	}
}
