package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

const (
	maxReceivers = 10 // beyond those that have their own key
	maxRoutes    = 100
)

// outcomes and severities are what stories have, the latter in order.
var (
	outcomes   = []string{"Passed", "RolledBack", "Held", "Inconclusive", "Superseded", "Abandoned"}
	severities = []string{"info", "warning", "critical"}
)

// Route sends the stories that match to some receivers. A receiver that no route names hears what it usually does; one that
// is named hears what its routes send, and nothing else.
type Route struct {
	Match StoryMatch `json:"match"`
	To    []string   `json:"to"`
}

// StoryMatch selects stories: all that is set must hold.
type StoryMatch struct {
	Namespace string   `json:"namespace,omitempty"` // pattern with * and ?
	Kind      string   `json:"kind,omitempty"`      // of the workload
	Name      string   `json:"name,omitempty"`      // pattern with * and ?
	Selector  string   `json:"selector,omitempty"`  // label selector on the workload
	Severity  string   `json:"severity,omitempty"`  // this or worse
	Outcome   []string `json:"outcome,omitempty"`   // one of these, which is known at the end
}

// Workload reports whether stories of the workload match, as far as that goes.
func (m StoryMatch) Workload(t Target) bool {
	return m.workload().selects(t)
}

func (m StoryMatch) workload() Match {
	return Match{Namespace: m.Namespace, Kind: m.Kind, Name: m.Name, Selector: m.Selector}
}

// Story reports whether stories of such a severity and outcome match; the outcome is empty before the end.
func (m StoryMatch) Story(severity, outcome string) bool {
	return (m.Severity == "" || slices.Index(severities, severity) >= slices.Index(severities, m.Severity)) &&
		(len(m.Outcome) == 0 || slices.Contains(m.Outcome, outcome))
}

// routed are the names of the receivers that routes may name, in order.
func (a Announce) routed() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a.Outlets.each())), maps.Keys(a.Receivers))
	if a.Grafana != nil {
		names = append(names, "grafana")
	}
	names = append(names, "events")
	slices.Sort(names)
	return names
}

// reserved are names that receivers have by their key, or by themselves.
var reserved = append(keys(reflect.TypeFor[Announce]()), "events")

func (k *checker) routes(a Announce) {
	for _, name := range slices.Sorted(maps.Keys(a.Receivers)) {
		path := join("announce.receivers", name)
		switch {
		case !signalName.MatchString(name):
			k.errorf(path, "a receiver's name must be lower-case letters, digits and dashes, at most 63, such as pay-team")
		case slices.Contains(reserved, name):
			k.errorf(path, "is a name that is taken; choose another")
		}
		if n := len(a.Receivers[name].each()); n != 1 {
			k.errorf(path, "must hold one of %s, not %d of them", strings.Join(keys(reflect.TypeFor[Outlets]()), ", "), n)
		}
		k.outlets(path, a.Receivers[name])
	}
	if len(a.Receivers) > maxReceivers {
		k.errorf("announce.receivers", "at most %d may be named, not %d", maxReceivers, len(a.Receivers))
	}
	if len(a.Routes) > maxRoutes {
		k.errorf("announce.routes", "at most %d may be written, not %d", maxRoutes, len(a.Routes))
	}
	known := a.routed()
	for i, r := range a.Routes {
		path := fmt.Sprintf("announce.routes[%d]", i)
		if len(r.To) == 0 {
			k.errorf(join(path, "to"), "is missing; name the receivers that hear what matches, such as [slack]")
		}
		for j, name := range r.To {
			switch at := fmt.Sprintf("%s.to[%d]", path, j); {
			case name == "alertmanager":
				k.errorf(at, "is sent alerts, not stories; route them in Alertmanager")
			case !slices.Contains(known, name):
				k.errorf(at, "must be a receiver that is configured, one of %s, not %s", strings.Join(known, ", "), quote(name))
			}
		}
		at, m := join(path, "match"), r.Match
		if plain := m.workload(); plain != (Match{}) {
			k.match(at, plain)
		}
		if m.Severity != "" && !slices.Contains(severities, m.Severity) {
			k.errorf(join(at, "severity"), "must be one of %s, not %s", strings.Join(severities, ", "), quote(m.Severity))
		}
		for j, o := range m.Outcome {
			if !slices.Contains(outcomes, o) {
				k.errorf(fmt.Sprintf("%s.outcome[%d]", at, j), "must be one of %s, not %s", strings.Join(outcomes, ", "), quote(o))
			}
		}
	}
}
