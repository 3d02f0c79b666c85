package bake

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// rules sets the guards of the policy that a bake began with, and of that of now.
func rules(g policy.GuardRules) func(*State) {
	return func(s *State) { s.Frozen.Guards, s.Live.Guards = g, g }
}

func rulesAtStart(g policy.GuardRules) func(*State) { return func(s *State) { s.Frozen.Guards = g } }
func rulesNow(g policy.GuardRules) func(*State)     { return func(s *State) { s.Live.Guards = g } }

func ownedBy(o Owner) func(*State)     { return func(s *State) { s.Sight.Owner = o } }
func changed(c ...string) func(*State) { return func(s *State) { s.Bake.Spec.Changes = c } }

var (
	argo     = Owner{GitOps: true, Name: "Argo CD application shop", Where: "in the Git repository that the application follows"}
	frontend = Owner{Name: "Frontend web (shop.example.com)", Where: "in that Frontend"}
)

// guardCase is a regression with a guard in its way, or not.
type guardCase struct {
	name  string
	state State
	held  string // code of the guard that holds; empty: it is rolled back
	says  string // the guard's sentence
}

// try checks that each case is held, or not, and says why.
func try(t *testing.T, cases ...guardCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Next(c.state)
			if c.held == "" {
				if got.Do != Intend {
					t.Fatalf("the step is %s %s by %+v, want %s", got.Do, got.Outcome, got.Reasons, Intend)
				}
				return
			}
			if got.Do != End || got.Outcome != v1alpha1.OutcomeHeld || len(got.Reasons) < 2 {
				t.Fatalf("the step is %s %s by %+v, want Held by %s, after what was found", got.Do, got.Outcome, got.Reasons, c.held)
			}
			last := got.Reasons[len(got.Reasons)-1]
			if last.Code != c.held || got.Reasons[0].Code == c.held {
				t.Errorf("held by %s, want %s after what was found: %+v", last.Code, c.held, got.Reasons)
			}
			if !strings.HasPrefix(last.Sentence, "held: ") || c.says != "" && last.Sentence != "held: "+c.says {
				t.Errorf("said\n%s, want\nheld: %s", last.Sentence, c.says)
			}
		})
	}
}

func TestGuardOfOwners(t *testing.T) {
	const baking = v1alpha1.PhaseBaking
	both := policy.GuardRules{GitOps: true, Owner: true}
	try(t,
		guardCase{"nobody's", in(baking, worse, rules(both)), "", ""},
		guardCase{"Argo CD's", in(baking, worse, rules(both), ownedBy(argo), changed("image of app: app:6 → app:7")), CodeGitOps,
			"deployment/web is kept by Argo CD application shop, which would put rev 7 back; revert in the Git repository that the application follows: image of app: app:6 → app:7"},
		guardCase{"many changes", in(baking, worse, rules(both), ownedBy(argo), changed("a", "b", "c", "d", "e")), CodeGitOps,
			"deployment/web is kept by Argo CD application shop, which would put rev 7 back; revert in the Git repository that the application follows: a, b, c and 2 more"},
		guardCase{"an unknown controller's", in(baking, worse, rules(both), ownedBy(frontend)), CodeOwned,
			"deployment/web is kept by Frontend web (shop.example.com), which would put rev 7 back; revert in that Frontend: what rev 7 changed"},
		guardCase{"Argo CD's, and policy does not mind", in(baking, worse, rules(policy.GuardRules{Owner: true}), ownedBy(argo)), "", ""},
		guardCase{"an unknown controller's, and policy does not mind", in(baking, worse, rules(policy.GuardRules{GitOps: true}), ownedBy(frontend)), "", ""},
		guardCase{"the guard was on at the start", in(baking, worse, rulesAtStart(both), ownedBy(argo)), CodeGitOps, ""},
		guardCase{"the guard is on now", in(baking, worse, rulesNow(both), ownedBy(argo)), CodeGitOps, ""},
		guardCase{"given up by its controller", in(v1alpha1.PhaseRolling, stuck, rules(both), ownedBy(frontend)), CodeOwned, ""},
	)
}
