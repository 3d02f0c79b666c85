package bake

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
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

func TestGuardFreeze(t *testing.T) {
	const baking, back = v1alpha1.PhaseBaking, v1alpha1.PhaseRollingBack
	// Noon of the tables is 14:00 in Vienna, on a Friday.
	friday := policy.Freeze{Start: "0 14 * * FRI", For: policy.Span(62 * time.Hour), TimeZone: "Europe/Vienna", Why: "weekend"}
	lunch := policy.Freeze{Start: "0 12 * * *", For: policy.Span(30 * time.Minute)}
	frozen := policy.GuardRules{Freeze: []policy.Freeze{lunch, friday}}
	const says = "policy only observes until Mon 2026-05-04 04:00 CEST (weekend); would have rolled deployment/web back to rev 6"
	try(t,
		guardCase{"no windows", in(baking, worse), "", ""},
		guardCase{"in two, the one that ends last is named", in(baking, worse, rules(frozen)), CodeFreeze, says},
		guardCase{"in one without a name", in(baking, worse, rules(policy.GuardRules{Freeze: []policy.Freeze{lunch}})), CodeFreeze,
			"policy only observes until Fri 2026-05-01 12:30 UTC (0 12 * * * for 30m); would have rolled deployment/web back to rev 6"},
		guardCase{"over", in(baking, worse, rules(policy.GuardRules{Freeze: []policy.Freeze{lunch}}), at(30*time.Minute)), "", ""},
		guardCase{"not begun", in(baking, worse, rules(frozen), at(-time.Second)), "", ""},
		guardCase{"one that policy has had since the bake began", in(baking, worse, rulesNow(frozen)), CodeFreeze, says},
		guardCase{"it began between the intent and the deed", in(back, rules(frozen), at(2*time.Minute)), CodeFreeze, says},
	)
	if got := Next(in(back, undone, rules(frozen))); got.Do != Undo {
		t.Errorf("it is done, and only the receipt is missing; the step is %+v", got)
	}
	if got := Next(in(baking, worse, rules(frozen))); got.Observed {
		t.Error("a regression in a frozen time is a matter for a person, and not marked as observed")
	}
}

func lacks(names ...string) func(*State) { return func(s *State) { s.Missing = names } }

func TestGuardReferences(t *testing.T) {
	const baking = v1alpha1.PhaseBaking
	on := policy.GuardRules{References: true}
	try(t,
		guardCase{"all is there", in(baking, worse, rules(on)), "", ""},
		guardCase{"some is gone", in(baking, worse, rules(on), lacks("ConfigMap web", "Secret tls")), CodeReferences,
			"pods of rev 6 would not start, because what they refer to is gone: ConfigMap web, Secret tls; put it back, or roll forward"},
		guardCase{"much is gone", in(baking, worse, rules(on), lacks("A a", "B b", "C c", "D d", "E e", "F f", "G g")), CodeReferences,
			"pods of rev 6 would not start, because what they refer to is gone: A a, B b, C c, D d, E e and 2 more; put it back, or roll forward"},
		guardCase{"policy does not mind", in(baking, worse, rules(policy.GuardRules{}), lacks("ConfigMap web")), "", ""},
	)
}

func TestGuardAlerting(t *testing.T) {
	const baking = v1alpha1.PhaseBaking
	on := policy.GuardRules{Alerting: true}
	fired := func(names ...string) func(*State) { return func(s *State) { s.Alerting = names } }
	try(t,
		guardCase{"none fired", in(baking, worse, rules(on)), "", ""},
		guardCase{"one fired", in(baking, worse, rules(on), fired("Slow")), CodeAlerting,
			"Slow fired for deployment/web before rev 7 was rolled out: it was not well before, and may not be after an undo"},
		guardCase{"many fired", in(baking, worse, rules(on), fired("A", "B", "C", "D", "E")), CodeAlerting, "A, B, C and 2 more fired for deployment/web before rev 7 was rolled out: it was not well before, and may not be after an undo"},
		guardCase{"policy does not mind", in(baking, worse, rules(policy.GuardRules{}), fired("Slow")), "", ""},
	)
}

// TestAlertsAreAskedForInTime: as of the rollout's beginning; a Prometheus that does not answer holds nothing.
func TestAlertsAreAskedForInTime(t *testing.T) {
	for name, c := range map[string]struct {
		alerts []string
		err    error
		want   v1alpha1.Outcome
	}{
		"none fired": {nil, nil, v1alpha1.OutcomeRolledBack},
		"one fired":  {[]string{"Slow"}, nil, v1alpha1.OutcomeHeld},
		"not known":  {nil, errors.New("no answer"), v1alpha1.OutcomeRolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				p := w.start()
				var asked []time.Time
				p.loop.Alerts = func(_ context.Context, _ Key, at time.Time) ([]string, error) {
					asked = append(asked, at)
					return c.alerts, c.err
				}
				w.deploy(web, "B")
				w.pass(5 * time.Minute)
				b := w.bake(t, 2)
				if b.Status.Outcome != c.want || len(asked) == 0 || !asked[0].Equal(b.Spec.StartedAt.Time) {
					t.Errorf("%s: %s; asked for %v, want %s", b.Status.Outcome, b.Status.Why, asked, b.Spec.StartedAt)
				}
			})
		})
	}
}

// It is looked for when a rollback is due, not before; when that fails for a moment the rollback waits, and not for ever.
func TestReferencesAreLookedForInTime(t *testing.T) {
	for _, c := range []struct {
		name    string
		missing []string // by the good version
		fails   time.Duration
		want    v1alpha1.Outcome
	}{
		{"there", nil, 0, v1alpha1.OutcomeRolledBack},
		{"gone", []string{"ConfigMap web"}, 0, v1alpha1.OutcomeHeld},
		{"gone, and not to be seen for a moment", []string{"ConfigMap web"}, 50 * time.Second, v1alpha1.OutcomeHeld},
		{"not to be seen at all", []string{"ConfigMap web"}, time.Hour, v1alpha1.OutcomeRolledBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.start()
				w.deploy(web, "B")
				w.pass(20 * time.Second)
				set := func(err error) {
					w.cluster.mu.Lock()
					defer w.cluster.mu.Unlock()
					w.missing, w.missingErr = map[string][]string{"A": c.missing}, err
					if err != nil {
						w.missing = nil
					}
				}
				set(nil)
				if c.fails > 0 {
					set(errors.New("etcd is slow"))
					time.AfterFunc(c.fails, func() { set(nil) })
				}
				w.pass(8 * time.Minute)
				wantOutcome(t, w.bake(t, 2), c.want, decide.CodeThreshold)
			})
		})
	}
}

func ran(migrations ...v1alpha1.Migration) func(*State) {
	return func(s *State) { s.Bake.Namespace, s.Bake.Status.Migrations = "shop", migrations }
}

func annotated(key, value string) func(*State) {
	return func(s *State) { s.Sight.Annotations = map[string]string{key: value} }
}

func TestGuardMigrations(t *testing.T) {
	const baking = v1alpha1.PhaseBaking
	on := policy.GuardRules{Migrations: true}
	drop := v1alpha1.Migration{Tool: "django", Name: "shop.0042_drop_price"}
	several := ran(drop, v1alpha1.Migration{Tool: "django", Name: "shop.0043_tax"}, v1alpha1.Migration{Tool: "flyway", Name: "V7"})
	var many []v1alpha1.Migration
	for range 12 {
		many = append(many, v1alpha1.Migration{Tool: "rails", Name: "x"})
	}
	const (
		before  = "rev 7 migrated the database, and rev 6 may not run on it. In order: "
		unknown = "; whether they changed only the schema, or data too, their logs do not tell"
		choices = ". Choose: roll forward with a fix; or, if rev 6 does run on it, kubectl bakewatch undo deployment/web -n shop, and annotate bakewatch.dev/migrations: reversible if that is so in general; or reverse the migrations with their tool first, which does not bring back what they deleted"
	)
	try(t,
		guardCase{"none ran", in(baking, worse, rules(on)), "", ""},
		guardCase{"one ran", in(baking, worse, rules(on), ran(drop)), CodeMigrations, before + "django shop.0042_drop_price" + unknown + choices},
		guardCase{"several ran, of two tools", in(baking, worse, rules(on), several), CodeMigrations, before + "django shop.0042_drop_price, shop.0043_tax, flyway V7" + unknown + choices},
		guardCase{"many ran", in(baking, worse, rules(on), ran(many...)), CodeMigrations, before + "rails x, x, x, x, x, x, x, x, x, x and 2 more" + unknown + choices},
		guardCase{"the new version cannot even start", in(v1alpha1.PhaseRolling, stuck, rules(on), ran(drop)), CodeMigrations, ""},
		guardCase{"the workload says that it is safe", in(baking, worse, rules(on), ran(drop), annotated("bakewatch.dev/migrations", "reversible")), "", ""},
		guardCase{"it says something else", in(baking, worse, rules(on), ran(drop), annotated("bakewatch.dev/migrations", "true")), CodeMigrations, ""},
		guardCase{"policy does not mind", in(baking, worse, rules(policy.GuardRules{}), ran(drop)), "", ""},
	)
}

func TestGuardMaxAge(t *testing.T) {
	const baking = v1alpha1.PhaseBaking
	hours := func(n int) policy.GuardRules {
		return policy.GuardRules{MaxAge: policy.Limit(n) * policy.Limit(time.Hour)}
	}
	try(t,
		guardCase{"young", in(baking, worse, rules(hours(2)), at(2*time.Hour)), "", ""},
		guardCase{"too old", in(baking, worse, rules(hours(2)), at(2*time.Hour+time.Second)), CodeTooOld,
			"rev 7 was rolled out 2h0m1s ago, and policy lets no rollout older than 2h be undone by itself"},
		guardCase{"the smaller of both counts", in(baking, worse, rulesAtStart(hours(9)), rulesNow(hours(1)), at(3*time.Hour)), CodeTooOld, ""},
		guardCase{"any age", in(baking, worse, rules(policy.GuardRules{}), at(999*time.Hour)), "", ""},
	)
}
