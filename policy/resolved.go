package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// Mode says how far Bakewatch may go.
type Mode string

// The modes.
const (
	Observe Mode = "observe" // say what would be done, touch no workload
	Guard   Mode = "guard"   // roll back
)

// Target is what policy needs to know of a workload to resolve what applies to it.
type Target struct {
	Kind, Namespace, Name string
	Labels, Annotations   map[string]string
}

// Resolved is the policy for one workload: what the ConfigMap, its overrides and the workload's own annotations add up
// to. The Bake keeps a copy of it, as JSON, so its thresholds are frozen when the bake begins.
type Resolved struct {
	Watched    bool          `json:"watched"`              // whether its rollouts are baked at all
	NotWatched string        `json:"notWatched,omitempty"` // why not, for people
	Mode       Mode          `json:"mode"`
	Window     time.Duration `json:"-"`          // how long a complete rollout is baked
	Interval   time.Duration `json:"-"`          // time between ticks
	Verify     time.Duration `json:"-"`          // how long recovery is measured after a rollback
	Deadline   time.Duration `json:"-"`          // how long a rollback may stand still until it is called stuck
	PassEarly  bool          `json:"passEarly"`  // whether a rollout that is surely not worse ends its window early
	FalseAlarm float64       `json:"falseAlarm"` // chance of a false rollback per deploy that is accepted
	Margin     float64       `json:"margin"`     // how many times worse is not yet worse
	Layers     Layers        `json:"layers"`
	Guards     GuardRules    `json:"guards"`  // what leaves a regression to a person
	Canary     CanaryRules   `json:"canary"`  // when a rollout is paused part-way
	Signals    []Signal      `json:"signals"` // sorted by name
	Git        GitRules      `json:"git"`     // where it is deployed from
	GitOps     Strategy      `json:"gitops"`  // empty in records of versions that knew none: Notify

	ScaleDown ScaleDownRules `json:"scaleDown,omitzero"` // what has replicas lowered
	Helm      HelmRules      `json:"helm"`               // whether it goes back with its Helm release; the policy of now counts

	Configuration ConfigurationRules `json:"configuration"`
}

// times are the durations of a Resolved as people read them in a record: 15m0s.
type times struct {
	Window   string `json:"window"`
	Interval string `json:"interval"`
	Verify   string `json:"verify"`
	Deadline string `json:"deadline"`
}

// plain is a Resolved without its methods.
type plain Resolved

// MarshalJSON writes durations the way people read them.
func (r Resolved) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plain
		times
	}{plain(r), times{r.Window.String(), r.Interval.String(), r.Verify.String(), r.Deadline.String()}})
}

// UnmarshalJSON reads what MarshalJSON wrote. Records of versions that knew no margin, layers, guards or releases have the defaults.
func (r *Resolved) UnmarshalJSON(data []byte) error {
	r.Margin, r.Layers, r.Guards = decide.DefaultMargin, Layers{Threshold: true, Evidence: true, Blame: true}, defaultGuards().resolved()
	r.Helm = defaultRollback().Helm.resolved()
	var t times
	in := struct {
		*plain
		*times
	}{(*plain)(r), &t}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	for _, d := range []struct {
		text string
		to   *time.Duration
	}{{t.Window, &r.Window}, {t.Interval, &r.Interval}, {t.Verify, &r.Verify}, {t.Deadline, &r.Deadline}} {
		v, err := time.ParseDuration(d.text)
		if err != nil {
			return fmt.Errorf("read a policy: %w", err)
		}
		*d.to = v
	}
	return nil
}

// Signal is one signal's query and threshold, resolved. A query that is not known is to be found among the presets: what
// measures the workload is known once its bake begins (Measured).
type Signal struct {
	Name string `json:"name"`
	signals.Query
	Threshold decide.Threshold      `json:"threshold"`
	Level     decide.ValueThreshold `json:"level,omitzero"` // in place of Threshold where the query is for a value
	Unit      string                `json:"unit,omitempty"` // of the value, in sentences
	Wording   decide.Wording        `json:"wording,omitzero"`
}

// Key tells the signal from others of the same name that another source answers.
func (s Signal) Key() string { return s.Query.Key(s.Name) }

// Unfound are the names of the signals whose queries are to be found among the presets.
func (r Resolved) Unfound() []string {
	var out []string
	for _, s := range r.Signals {
		if !s.Known() {
			out = append(out, s.Name)
		}
	}
	return out
}

// NeedsService reports whether a query has the variable $service, which has to be found out.
func (r Resolved) NeedsService() bool {
	for _, s := range r.Signals {
		for _, text := range []string{s.Errors, s.Good, s.Requests, s.Histogram, s.Events, s.Value, s.BaselineValue} {
			if strings.Contains(text, "$service") || strings.Contains(text, "${service}") {
				return true
			}
		}
	}
	return false
}

// Measured is r with what was found in place of the signals whose queries were to be found. A signal of which nothing was
// found is gone: the workload has no such metric.
func (r Resolved) Measured(found []signals.Found) Resolved {
	var all []Signal
	for _, s := range r.Signals {
		if s.Known() {
			all = append(all, s)
			continue
		}
		for _, f := range found {
			if f.Signal == s.Name {
				all = append(all, s.by(f.Query))
			}
		}
	}
	r.Signals = all
	return r
}

// by is the signal as a query measures it that was found. What others count, the query may give the value of: the same threshold is
// for the share then.
func (s Signal) by(q signals.Query) Signal {
	s.Query = q
	if t := s.Threshold; q.Value != "" && s.Level.Ticks == 0 {
		s.Level = decide.ValueThreshold{Max: t.Max, Increase: t.Increase, Floor: t.Floor, Ticks: t.Ticks}
		s.Threshold, s.Unit = decide.Threshold{}, presets[s.Name].unit
	}
	return s
}
