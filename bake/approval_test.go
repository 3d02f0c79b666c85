package bake

import (
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

func needsApproval(s *State) {
	s.Live.Guards.Approval = policy.ApprovalRules{Required: true, Deadline: policy.Span(30 * time.Minute), Default: policy.Hold}
}

func neededApproval(s *State) {
	s.Frozen.Guards.Approval = policy.ApprovalRules{Required: true, Deadline: policy.Span(time.Hour), Default: policy.RollBack}
}
func approves(s *State) { annotated(policy.AnnotationApprove, "7")(s) }
func rejects(s *State)  { annotated(policy.AnnotationReject, " 7\n")(s) }

// waitsForApproval is a bake that asked people a minute after noon, and waits for half an hour.
func waitsForApproval(s *State) {
	if s.Bake.Spec.From == nil || s.Bake.Status.Rollback != nil {
		return // nobody is asked then
	}
	needsApproval(s)
	s.Bake.Status.Reasons = []v1alpha1.Reason{{Code: decide.CodeThreshold, Sentence: "worse"}, {Code: CodeApproval, Sentence: "held: waits"}}
	s.Bake.Status.Approval = &v1alpha1.Approval{AskedAt: *after(time.Minute), Until: *after(31 * time.Minute), Default: "hold"}
}

// waitsForAPerson turns on what leaves the decision to a person.
func waitsForAPerson(s *State) {
	s.Live.Guards.Migrations, s.Live.Guards.MaxAge, s.Live.Guards.Cooldown, s.Live.Guards.ToAndFro = true, policy.Limit(time.Minute), policy.Limit(time.Hour), true
	s.Undone = []pastUndo{{bad: s.Bake.Spec.To, good: *s.Bake.Spec.From, at: s.Now.Add(-time.Minute)}}
}

// byItself is the bake of a rollback that a person asked for.
func byItself(s *State) { s.Bake.Spec.ByHand = &v1alpha1.ByHand{Word: "7"} }

func orRollBack(s *State) { s.Bake.Status.Approval.Default = "rollback" }

func TestApproval(t *testing.T) {
	const rolling, baking = v1alpha1.PhaseRolling, v1alpha1.PhaseBaking
	saysBoth := func(s *State) {
		s.Sight.Annotations = map[string]string{policy.AnnotationApprove: "7", policy.AnnotationReject: "7"}
	}
	for _, c := range []struct {
		name   string
		state  State
		do     Do
		code   string // of the last reason
		says   string // its sentence
		answer string
	}{
		{"not needed", in(baking, worse), Intend, decide.CodeThreshold, "", ""},
		{"needed", in(baking, worse, needsApproval), Ask, CodeApproval,
			"held: waits until 12:31:01 UTC for somebody to approve: kubectl -n shop annotate deployment/web bakewatch.dev/approve=7 rolls back to rev 6, bakewatch.dev/reject=7 leaves rev 7; without an answer it is held", ""},
		{"needed since the bake began", in(baking, worse, neededApproval), Ask, CodeApproval,
			"held: waits until 13:01:01 UTC for somebody to approve: kubectl -n shop annotate deployment/web bakewatch.dev/approve=7 rolls back to rev 6, bakewatch.dev/reject=7 leaves rev 7; without an answer it is rolled back", ""},
		{"needed by both, that of now counts", in(baking, worse, needsApproval, neededApproval), Ask, CodeApproval, "", ""},
		{"needed, and the new version cannot even start", in(rolling, stuck, needsApproval), Ask, CodeApproval, "", ""},
		{"needed, but another guard holds", in(baking, worse, needsApproval, observing), End, CodeObserve, "", ""},
		{"needed, but healthy", in(baking, needsApproval, completed, verdict(decide.Healthy, 16*time.Minute, decide.CodeWithin)), End, decide.CodeWithin, "", ""},
		{"approved beforehand", in(baking, worse, needsApproval, approves), Intend, decide.CodeThreshold, "", ""},
		{"rejected beforehand", in(baking, worse, needsApproval, rejects), End, CodeRejected, "held: somebody said not to roll deployment/web back from rev 7 (annotation bakewatch.dev/reject)", rejected},
		{"not needed, and rejected", in(baking, worse, rejects), Intend, decide.CodeThreshold, "", ""},
		{"approved for another revision", in(baking, worse, needsApproval, annotated(policy.AnnotationApprove, "6")), Ask, CodeApproval, "", ""},

		{"rejected, by somebody with a name", in(baking, worse, needsApproval, annotated(policy.AnnotationReject, "7  ann@example.com ")), End, CodeRejected,
			"held: ann@example.com said not to roll deployment/web back from rev 7 (annotation bakewatch.dev/reject)", rejected},
		{"undone by hand while all is well", in(baking, annotated(policy.AnnotationUndo, "7 ann")), Intend, CodeByHand, "by-hand: ann asked to roll deployment/web back from rev 7 to rev 6", ""},
		{"undone by hand while no pod is ready", in(rolling, annotated(policy.AnnotationUndo, "7")), Intend, CodeByHand, "by-hand: somebody asked to roll deployment/web back from rev 7 to rev 6", ""},
		{"undone by hand, and a guard holds", in(baking, observing, annotated(policy.AnnotationUndo, "7")), End, CodeObserve, "", ""},
		{"undone by hand, where approval is needed", in(baking, needsApproval, annotated(policy.AnnotationUndo, "7")), Intend, CodeByHand, "", ""},
		{"undone by hand, over guards that wait for a person", in(baking, noBudget, ran(v1alpha1.Migration{Tool: "django", Name: "x"}), muchLater, waitsForAPerson, annotated(policy.AnnotationUndo, "7")), Intend, CodeByHand, "", ""},
		{"undone by hand, where it would not work", in(baking, owned, annotated(policy.AnnotationUndo, "7")), End, CodeGitOps, "", ""},
		{"undone by hand, to the one it would go back to", in(baking, annotated(policy.AnnotationUndo, "7 to 6 ann")), Intend, CodeByHand, "by-hand: ann asked to roll deployment/web back from rev 7 to rev 6", ""},
		{"undone by hand, to another", in(baking, annotated(policy.AnnotationUndo, "7 to 5 ann")), End, CodeByHand, "by-hand: ann asked to roll deployment/web back from rev 7 to rev 5", ""},
		{"undone by hand, without pods", in(rolling, toZero, annotated(policy.AnnotationUndo, "7")), Intend, CodeByHand, "", ""},
		{"undone by hand, and taken back", in(rolling, byItself), End, CodeAborted, "aborted: the annotation that asked to roll deployment/web back was taken away", ""},
		{"undone by hand, an earlier revision", in(baking, annotated(policy.AnnotationUndo, "6")), Wait, "", "", ""},
		{"aborted", in(baking, worse, annotated(policy.AnnotationAbort, "7 ann")), End, CodeAborted, "aborted: ann said to leave rev 7 of deployment/web alone", ""},
		{"aborted, an earlier revision", in(baking, worse, annotated(policy.AnnotationAbort, "6 ann")), Intend, decide.CodeThreshold, "", ""},

		{"waiting", in(baking, waitsForApproval), Wait, "", "", ""},
		{"waiting, while no pod is ready", in(rolling, waitsForApproval, newReady), Wait, "", "", ""},
		{"waiting, and healthy again", in(baking, waitsForApproval, completed, verdict(decide.Healthy, 16*time.Minute, decide.CodeWithin)), Wait, "", "", ""},
		{"waiting, approved", in(baking, waitsForApproval, approves), Intend, decide.CodeThreshold, "worse", approved},
		{"waiting, approved, but another guard holds by now", in(baking, waitsForApproval, approves, observing), End, CodeObserve, "", approved},
		{"waiting, rejected", in(baking, waitsForApproval, rejects), End, CodeRejected, "", rejected},
		{"waiting, both", in(baking, waitsForApproval, saysBoth), End, CodeRejected, "", rejected},
		{"waiting, the last moment", in(baking, waitsForApproval, at(31*time.Minute-time.Second)), Wait, "", "", ""},
		{"nobody answered", in(baking, waitsForApproval, at(31*time.Minute)), End, CodeApproval, "held: nobody approved the rollback of deployment/web from rev 7 within 30m", ""},
		{"nobody answered, and the default is to roll back", in(baking, waitsForApproval, orRollBack, at(31*time.Minute)), Intend, decide.CodeThreshold, "", ""},
		{"nobody answered, the default is to roll back, and another guard holds", in(baking, waitsForApproval, orRollBack, at(31*time.Minute), owned), End, CodeGitOps, "", ""},
		{"waiting, and a person puts the good version back", in(baking, waitsForApproval, undone), End, CodeUndone, "", ""},
		{"waiting, and a fix comes", in(baking, waitsForApproval, newer, approves), End, CodeNewer, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.state.Bake.Namespace = "shop"
			got := Next(c.state)
			if got.Do != c.do || got.Answer != c.answer {
				t.Fatalf("the step is %+v, want %s, answer %q", got, c.do, c.answer)
			}
			if c.code == "" {
				return
			}
			last := got.Reasons[len(got.Reasons)-1]
			if last.Code != c.code || c.says != "" && last.Sentence != c.says {
				t.Errorf("the last reason is %+v, want %s: %s", last, c.code, c.says)
			}
			if c.do == Ask && got.Until.Before(c.state.Now.Add(30*time.Minute)) {
				t.Errorf("an answer is waited for until %s", got.Until)
			}
		})
	}
}

// The whole of it: people are asked, told, and obeyed, across a restart.
func TestPeopleAreAsked(t *testing.T) {
	annotate := func(w *world, key string) {
		w.with(web, func(x *workload) { x.annotations = map[string]string{key: "2"} })
	}
	for _, c := range []struct {
		name    string
		policy  string
		answer  string // annotation that somebody writes ten minutes later; empty: nobody does
		restart bool
		want    v1alpha1.Outcome
		code    string
		record  string
	}{
		{"approved", "", policy.AnnotationApprove, false, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, approved},
		{"approved after a restart", "", policy.AnnotationApprove, true, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, approved},
		{"rejected", "", policy.AnnotationReject, false, v1alpha1.OutcomeHeld, CodeRejected, rejected},
		{"nobody answers", "", "", true, v1alpha1.OutcomeHeld, CodeApproval, ""},
		{"nobody answers, and it is rolled back", ", default: rollback", "", false, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.setPolicy(guardPolicy + "guards: {approval: {required: true, deadline: 20m" + c.policy + "}}\n")
				p := w.start()
				w.deploy(web, "B")
				w.pass(5 * time.Minute)
				b := w.bake(t, 2)
				if a := b.Status.Approval; b.Status.Phase != v1alpha1.PhaseBaking || a == nil || a.Until.Sub(a.AskedAt.Time) != 20*time.Minute || !has(b.Status.Reasons, CodeApproval) {
					t.Fatalf("nobody is asked: %+v", b.Status)
				}
				signals := b.Status.Signals
				if told := w.headlines(announce.Deciding); len(told) != 1 || !strings.Contains(told[0], "rev 2 regressed, and waits until ") {
					t.Errorf("people were told %q", told)
				}
				if sent, _ := w.alerts(AlertHeld); len(sent) == 0 || sent[0].Severity != "critical" {
					t.Errorf("alerts: %v", sent)
				}
				if n := len(w.newest.loop.budget.spent); n != 0 {
					t.Errorf("%d spent of the budget for a question", n)
				}
				if c.restart {
					p.stop()
					w.start()
				}
				w.pass(5 * time.Minute)
				wantChanges(t, w)
				if c.answer != "" {
					annotate(w, c.answer)
					w.pass(5 * time.Minute)
				} else {
					w.pass(20 * time.Minute)
				}
				b = w.bake(t, 2)
				wantOutcome(t, b, c.want, c.code)
				if b.Status.Approval.Answer != c.record || (b.Status.Approval.AnsweredAt == nil) != (c.record == "") {
					t.Errorf("the answer on record is %+v, want %q", b.Status.Approval, c.record)
				}
				if len(signals) == 0 || len(b.Status.Signals) != len(signals) {
					t.Errorf("what was counted is lost: %v, then %v", signals, b.Status.Signals)
				}
				if c.want == v1alpha1.OutcomeRolledBack {
					wantChanges(t, w, "B to A")
					if has(b.Status.Reasons, CodeApproval) {
						t.Errorf("the question is still among the reasons: %+v", b.Status.Reasons)
					}
				} else {
					wantChanges(t, w)
				}
			})
		})
	}
}

// A fix comes while people are asked: the alert ends, and nothing is undone.
func TestAFixComesWhilePeopleAreAsked(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.setPolicy(guardPolicy + "guards: {approval: {required: true}}\n")
		w.start()
		w.deploy(web, "B")
		w.pass(5 * time.Minute)
		w.deploy(web, "C")
		w.pass(5 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeSuperseded, CodeNewer)
		wantOutcome(t, w.bake(t, 3), v1alpha1.OutcomePassed, decide.CodeWithin)
		wantChanges(t, w)
		if n := len(w.newest.loop.alerts); n != 0 {
			t.Errorf("%d alerts fire on", n)
		}
	})
}
