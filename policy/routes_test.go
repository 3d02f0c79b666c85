package policy

import (
	"slices"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestStoryMatch(t *testing.T) {
	for name, c := range map[string]struct {
		match             StoryMatch
		severity, outcome string
		want              bool
	}{
		"nothing set":         {StoryMatch{}, "info", "", true},
		"as bad":              {StoryMatch{Severity: "warning"}, "warning", "Held", true},
		"worse":               {StoryMatch{Severity: "warning"}, "critical", "Held", true},
		"not as bad":          {StoryMatch{Severity: "critical"}, "warning", "Held", false},
		"unknown severity":    {StoryMatch{Severity: "info"}, "", "", false},
		"outcome":             {StoryMatch{Outcome: []string{"Passed", "Held"}}, "critical", "Held", true},
		"another outcome":     {StoryMatch{Outcome: []string{"Passed"}}, "critical", "Held", false},
		"no outcome yet":      {StoryMatch{Outcome: []string{"RolledBack"}}, "critical", "", false},
		"outcome, not as bad": {StoryMatch{Outcome: []string{"Held"}, Severity: "critical"}, "warning", "Held", false},
		"namespace elsewhere": {StoryMatch{Namespace: "pay-*"}, "info", "", true},
	} {
		if got := c.match.Story(c.severity, c.outcome); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	m := StoryMatch{Namespace: "pay-*", Kind: "Deployment", Name: "web?"}
	for target, want := range map[[3]string]bool{
		{"pay-eu", "Deployment", "web1"}: true, {"pay", "Deployment", "web1"}: false, {"pay-eu", "DaemonSet", "web1"}: false, {"pay-eu", "Deployment", "web"}: false,
	} {
		if got := m.Workload(Target{Namespace: target[0], Kind: target[1], Name: target[2]}); got != want {
			t.Errorf("%v: got %t", target, got)
		}
	}
	m = StoryMatch{Selector: "team in (pay,shop),!quiet"}
	for want, labels := range map[bool]map[string]string{true: {"team": "pay", "app": "web"}, false: {"team": "pay", "quiet": ""}} {
		if got := m.Workload(Target{Name: "web", Labels: labels}); got != want {
			t.Errorf("%v: got %t", labels, got)
		}
	}
}

// The outcomes that may be written are those that bakes have.
func TestOutcomes(t *testing.T) {
	have := []v1alpha1.Outcome{v1alpha1.OutcomePassed, v1alpha1.OutcomeRolledBack, v1alpha1.OutcomeHeld, v1alpha1.OutcomeInconclusive, v1alpha1.OutcomeSuperseded, v1alpha1.OutcomeAbandoned}
	if len(have) != len(outcomes) {
		t.Errorf("%v, %v", have, outcomes)
	}
	for _, o := range have {
		if !slices.Contains(outcomes, string(o)) {
			t.Errorf("%s may not be written", o)
		}
	}
}
