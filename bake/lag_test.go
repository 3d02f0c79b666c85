package bake

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// slow is a source that knows of what happened only a while after: until then it answers nothing.
type slow struct {
	counters
	lag time.Duration
	now time.Time
	t   *testing.T
}

func (s *slow) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	if to := q.Bounds[len(q.Bounds)-1]; to.Add(s.lag).After(s.now) {
		s.t.Errorf("at %s it is asked about %s, of which it knows nothing yet", s.now.Sub(noon), to.Sub(noon))
	}
	return s.counters.Read(ctx, q)
}

// Of a source that knows late, ticks are read late, and are the same ticks.
func TestTicksOfASourceThatKnowsLate(t *testing.T) {
	const lag = 20 * time.Second
	born := map[string]time.Duration{"new-1": 3 * time.Second}
	late := asked
	late.lag = func(source string) time.Duration {
		if source == signals.Datadog {
			return lag
		}
		return 0
	}
	late.policy.Signals = []policy.Signal{{Name: "s", Query: signals.Query{Source: signals.Datadog, By: signals.ByPod, Errors: "e", Requests: "r"}}}
	src := &slow{counters: counters{born: born}, lag: lag, t: t}
	v, prompt := newEvidence(noon, asked.policy.Interval), newEvidence(noon, asked.policy.Interval)
	for i := 1; i <= 6; i++ {
		src.now = noon.Add(time.Duration(i) * 15 * time.Second)
		v.read(context.Background(), src, late, src.now)
	}
	prompt.read(context.Background(), &counters{born: born}, asked, noon.Add(4*15*time.Second))
	v.signals["s"] = v.signals["s@datadog"]
	if diff := cmp.Diff(counted(prompt), counted(v)); diff != "" || len(counted(v)) != 4 {
		t.Errorf("(-of a source that knows at once, 30 s earlier +got):\n%s", diff)
	}
}

// A bake ends when all its signals were read to the end of the window, those of the slowest source, too.
func TestTheSlowestSourceIsWaitedFor(t *testing.T) {
	behind := func(s *State) { s.Behind = 30 * time.Second }
	window := time.Minute + 15*time.Minute
	healthy := func(to time.Duration) func(*State) { return verdict(decide.Healthy, to, decide.CodeWithin) }
	for name, c := range map[string]struct {
		state State
		do    Do
	}{
		"the window over, but not read":      {in(v1alpha1.PhaseBaking, completed, behind, healthy(window)), Wait},
		"the window read":                    {in(v1alpha1.PhaseBaking, completed, behind, healthy(window+15*time.Second)), End},
		"early, by ticks before complete":    {in(v1alpha1.PhaseBaking, completed, behind, healthy(90*time.Second), surely, passesEarly), Wait},
		"early":                              {in(v1alpha1.PhaseBaking, completed, behind, healthy(91*time.Second), surely, passesEarly), End},
		"regressed, whatever is not read":    {in(v1alpha1.PhaseBaking, behind, worse), Intend},
		"recovery over, but not read":        {in(v1alpha1.PhaseVerifying, behind, healthy(3*time.Minute)), Wait},
		"recovery read":                      {in(v1alpha1.PhaseVerifying, behind, healthy(3*time.Minute+15*time.Second)), End},
		"undecided, and the end is not read": {in(v1alpha1.PhaseBaking, completed, behind, verdict(decide.Undecided, window, decide.CodeBlind)), Wait},
	} {
		if step := Next(c.state); step.Do != c.do {
			t.Errorf("%s: %s, want %s", name, step.Do, c.do)
		}
	}
}

// The whole loop, by a source that knows late: a bad version is found as much later, and a good one passes as much later.
func TestALoopBySlowSource(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const lag = time.Minute
		w.lag = func(string) time.Duration { return lag }
		w.rates["C"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(5 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomePassed, decide.CodeWithin)
		if ended := b.Status.EndedAt.Sub(b.Status.CompletedAt.Time); ended < 2*time.Minute-15*time.Second+lag {
			t.Errorf("it passed %s after it was complete", ended)
		}
		w.deploy(web, "C")
		w.pass(6 * time.Minute)
		b = w.bake(t, 3)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		if after := b.Status.Rollback.IntendedAt.Sub(b.Status.FirstReadyAt.Time); after < lag || after > lag+time.Minute {
			t.Errorf("it was found %s after the first pod was ready", after)
		}
		if !strings.HasPrefix(b.Status.Rollback.Recovery, "recovered") {
			t.Error(b.Status.Rollback.Recovery)
		}
		wantChanges(t, w, "C to B")
	})
}

// Of two sources, the one that knows at once is not kept waiting by the one that does not, and says so.
func TestTheLateOneOfTwoSources(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lag = func(source string) time.Duration {
			if source == signals.Datadog {
				return time.Minute
			}
			return 0
		}
		rule := w.config.Signals["http-errors"]
		rule.Datadog = &policy.DatadogQueries{Errors: "sum:e{*} by {pod_name}.as_count()", Requests: "sum:r{*} by {pod_name}.as_count()", By: "pod"}
		w.config.Signals["http-errors"] = rule
		w.rates["B"] = 0.3
		w.start()
		w.deploy(web, "B")
		w.until(2, v1alpha1.PhaseRollingBack)
		b := w.bake(t, 2)
		if after := b.Status.Rollback.IntendedAt.Sub(b.Status.FirstReadyAt.Time); after > time.Minute {
			t.Errorf("it took %s to find", after)
		}
		if want := "; datadog has not reported for this time yet"; !strings.HasPrefix(b.Status.Why, "http-errors (prometheus): ") || !strings.HasSuffix(b.Status.Why, want) {
			t.Error(b.Status.Why)
		}
	})
}

func TestVersionOf(t *testing.T) {
	for want, r := range map[string]*v1alpha1.Revision{
		"1.2":  {Version: "1.2", Images: []string{"web:3"}},
		"3":    {Images: []string{"registry:5000/shop/web:3@sha256:00", "proxy:9"}},
		"main": {Images: []string{"web:main"}},
	} {
		if got := VersionOf(r); got != want {
			t.Errorf("%+v calls itself %q, want %q", r, got, want)
		}
	}
	for _, r := range []*v1alpha1.Revision{nil, {}, {Images: []string{"registry:5000/shop/web"}}, {Images: []string{"web@sha256:00"}}} {
		if got := VersionOf(r); got != "" {
			t.Errorf("%+v calls itself %q", r, got)
		}
	}
}
