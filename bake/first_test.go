package bake

import (
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

func TestFirst(t *testing.T) {
	for _, c := range []struct {
		name string
		fs   []finding
		want string
	}{
		{"one", []finding{{bake: "a", worse: 2}}, "a"},
		{"the worse one", []finding{{bake: "a", worse: 2}, {bake: "b", worse: 3}}, "b"},
		{"by name where none is worse", []finding{{bake: "b", worse: 3}, {bake: "a", worse: 3}}, "a"},
	} {
		if got := first(c.fs).bake; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// judged is at noon and a minute: the tick by which web, three times as bad as its old pods, is found regressed.
const judged = time.Minute

func TestWhoIsRolledBackFirst(t *testing.T) {
	api := finding{bake: "shop/api", ref: "deployment/api", judgedTo: noon.Add(judged), interval: 15 * time.Second, regressed: true, worse: 50}
	beside := func(change func(*finding)) func(*State) {
		return func(s *State) {
			f := api
			change(&f)
			s.Others = append(s.Others, f)
		}
	}
	asIs := func(*finding) {}
	waited := func(d time.Duration) func(*State) {
		return func(s *State) { s.WaitedSince = s.Now.Add(-d) }
	}
	for _, c := range []struct {
		name string
		also []func(*State)
		do   Do
		why  string
	}{
		{"alone", nil, Intend, ""},
		{"a worse one", []func(*State){beside(asIs)}, Wait, "deployment/api, whose new pods fail 50.0 times as often as its old ones, is rolled back before deployment/web with 3.0 times"},
		{"one that is less bad", []func(*State){beside(func(f *finding) { f.worse = 2.9 })}, Intend, ""},
		{"as bad, and first by name", []func(*State){beside(func(f *finding) { f.worse = 3 })}, Wait, "deployment/api"},
		{"as bad, and not first by name", []func(*State){beside(func(f *finding) { f.worse, f.bake = 3, "shop/zoo" })}, Intend, ""},
		{"the worst of several", []func(*State){beside(func(f *finding) { f.worse = 4 }), beside(func(f *finding) { f.ref, f.worse = "deployment/db", 70 })}, Wait, "deployment/db"},
		{"a worse one that is held, or did not regress", []func(*State){beside(func(f *finding) { f.regressed = false })}, Intend, ""},
		{"a worse one found a tick ago", []func(*State){beside(func(f *finding) { f.judgedTo = noon.Add(judged - 15*time.Second) })}, Wait, "deployment/api"},
		{"a worse one not heard of for long", []func(*State){beside(func(f *finding) { f.judgedTo = noon.Add(judged - time.Minute) })}, Intend, ""},
		{"a worse one, rolled back in this tick", []func(*State){beside(func(f *finding) { f.undone = noon.Add(judged - 5*time.Second) })}, Wait, "deployment/api"},
		{"a worse one, rolled back a tick ago", []func(*State){beside(func(f *finding) { f.undone = noon.Add(judged - 15*time.Second) })}, Intend, ""},
		{"a worse one, rolled back long ago", []func(*State){beside(func(f *finding) { f.judgedTo, f.undone = noon.Add(-time.Hour), noon.Add(-time.Hour) })}, Intend, ""},
		{"waited, but not long enough", []func(*State){beside(asIs), waited(44 * time.Second)}, Wait, "deployment/api"},
		{"waited long enough", []func(*State){beside(asIs), waited(45 * time.Second)}, Intend, ""},
		{"the worse one is just being judged", []func(*State){beside(func(f *finding) { f.judgedTo, f.regressed = noon.Add(judged-15*time.Second), false })}, Wait, ""},
		{"it takes its time to be judged", []func(*State){beside(func(f *finding) { f.judgedTo, f.regressed = noon.Add(judged-15*time.Second), false }), at(judged + 3*time.Second + 1)}, Intend, ""},
		{"its tick is longer", []func(*State){beside(func(f *finding) {
			f.judgedTo, f.regressed, f.interval = noon.Add(judged-15*time.Second), false, time.Minute
		})}, Intend, ""},
		{"no budget", []func(*State){beside(asIs), waited(time.Hour), noBudget}, End, ""},
		{"held: nothing to wait for", []func(*State){beside(asIs), noFrom}, End, ""},
		{"observed: nothing to wait for", []func(*State){beside(asIs), observing}, End, ""},
		{"the end comes first", []func(*State){beside(asIs), newer}, End, ""},
		{"healthy", []func(*State){beside(asIs), verdict(decide.Healthy, judged, decide.CodeWithin)}, Wait, ""},
		{"given up by its controller: nothing to wait for", []func(*State){beside(asIs), verdict(decide.Undecided, judged, decide.CodeBlind), stuck}, Intend, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := in(v1alpha1.PhaseBaking, worse)
			s.Own = finding{bake: "shop/web", ref: "deployment/web", judgedTo: noon.Add(judged), interval: 15 * time.Second, regressed: true, worse: 3}
			for _, f := range c.also {
				f(&s)
			}
			step := Next(s)
			if step.Do != c.do || (step.Why == "") != (c.why == "") || !strings.HasPrefix(step.Why, c.why) {
				t.Errorf("%s, because %q; want %s, because %q", step.Do, step.Why, c.do, c.why)
			}
			if limit := s.Now.Add(45 * time.Second); step.Do == Wait && step.Until.After(limit) {
				t.Errorf("it waits until %s", step.Until)
			}
		})
	}
}

func TestHowMuchWorse(t *testing.T) {
	counts := func(requests, errors float64) signals.Side {
		return signals.Side{Counts: signals.Counts{Requests: requests, Errors: errors}}
	}
	none := signals.Side{Missing: signals.NoSeries}
	v := newEvidence(noon, 15*time.Second)
	v.signals["beside"] = &track{ticks: []signals.Reading{{Candidate: counts(999, 99.5), Baseline: counts(999, 9.5)}, {Candidate: counts(1e6, 1e6), Baseline: none}}}
	v.signals["alone"] = &track{ticks: []signals.Reading{{Candidate: counts(999, 99.5), Baseline: none}}}
	numbers := decide.Numbers{Candidate: signals.Counts{Requests: 99, Errors: 19.5}, Baseline: signals.Counts{Requests: 99, Errors: 0}}
	for _, c := range []struct {
		verdict *decide.Verdict
		want    float64
	}{
		{nil, 0},
		{&decide.Verdict{}, 0},
		{&decide.Verdict{Reasons: []decide.Reason{{Signal: "beside", Numbers: numbers}, {Signal: "alone"}}}, 10},
		{&decide.Verdict{Reasons: []decide.Reason{{Signal: "alone", Numbers: numbers}}}, 40},
		{&decide.Verdict{Reasons: []decide.Reason{{Signal: "gone", Numbers: numbers}}}, 40},
		{&decide.Verdict{Reasons: []decide.Reason{{}}}, 1},
	} {
		if got := v.worse(c.verdict); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%+v: %v, want %v", c.verdict, got, c.want)
		}
	}
}

// web fails because the new version of api does, and both have just been rolled out: api is rolled back, and web is not.
func TestASymptomIsNotRolledBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		spreads bool // web recovers with api
	}{{"a symptom", true}, {"a fault of its own", false}} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				api := named("shop", "api")
				w.create(api, "A")
				w.pass(time.Hour)
				w.since = time.Now()
				w.rates["bad"], w.rates["B"] = 0.5, 0.1
				w.start()
				w.deploy(web, "B")
				w.deploy(api, "bad")
				for range 4 * 60 {
					w.pass(time.Second)
					w.cluster.mu.Lock()
					if c.spreads && len(w.changes) > 0 {
						w.rates["B"] = 0
					}
					w.cluster.mu.Unlock()
				}
				wantOutcome(t, w.bakes(api)[2], v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
				if c.spreads {
					wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomePassed, decide.CodeWithin)
					wantChanges(t, w, "bad to A")
				} else {
					wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
					wantChanges(t, w, "bad to A", "B to A")
					if late := w.bake(t, 2).Status.Rollback.IntendedAt.Sub(w.bakes(api)[2].Status.Rollback.IntendedAt.Time); late > yieldTicks*15*time.Second {
						t.Errorf("web waited for %s", late)
					}
				}
				if n := len(w.newest.loop.findings.byNamespace); n != 0 {
					t.Errorf("findings of %d namespaces are kept", n)
				}
			})
		})
	}
}

// Whoever observes acts on nothing, and nobody waits for it.
func TestNobodyWaitsForAnObserver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		api := named("shop", "api")
		w.create(api, "A")
		w.with(api, func(x *workload) { x.annotations = map[string]string{policy.AnnotationPrefix + "mode": "observe"} })
		w.pass(time.Hour)
		w.since = time.Now()
		w.rates["bad"], w.rates["B"] = 0.5, 0.1
		w.start()
		w.deploy(web, "B")
		w.deploy(api, "bad")
		w.pass(4 * time.Minute)
		b, a := w.bake(t, 2), w.bakes(api)[2]
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantOutcome(t, a, v1alpha1.OutcomeHeld, CodeObserve)
		if late := b.Status.Rollback.IntendedAt.Sub(a.Status.EndedAt.Time); late > time.Second {
			t.Errorf("web waited for %s", late)
		}
	})
}
