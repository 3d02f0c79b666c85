package policy

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
)

// AnnotationPrefix begins the annotations on a workload that override its own policy.
const AnnotationPrefix = "bakewatch.dev/"

// The annotations that are not about a signal; those are <signal>.<threshold key>, such as http-errors.max.
const (
	annotationEnabled  = AnnotationPrefix + "enabled"
	annotationMode     = AnnotationPrefix + "mode"
	annotationWindow   = AnnotationPrefix + "window"
	annotationInterval = AnnotationPrefix + "interval"

	annotationConfigMaps = AnnotationPrefix + "config-maps"

	// AnnotationMigrations says of a workload that its versions run on a database that a newer one has migrated: Reversible.
	AnnotationMigrations = AnnotationPrefix + "migrations"
	// AnnotationApprove and AnnotationReject answer whether the revision of that number is to be rolled back.
	AnnotationApprove = AnnotationPrefix + "approve"
	AnnotationReject  = AnnotationPrefix + "reject"
	// AnnotationUndo and AnnotationAbort are a person's word on the bake of the revision of that number: roll it back now, or
	// leave it alone.
	AnnotationUndo  = AnnotationPrefix + "undo"
	AnnotationAbort = AnnotationPrefix + "abort"
)

// Reversible is the one value of AnnotationMigrations.
const Reversible = "reversible"

// Problem is something in a workload's policy that was left out because it makes no sense. The rest applies.
type Problem struct {
	Key     string // the annotation, or the key path in bakewatch.yaml
	Message string
}

// String is the problem on one line.
func (p Problem) String() string { return p.Key + ": " + p.Message }

// For is the policy for one workload: the ConfigMap, the overrides that match, in order, and last the workload's own
// annotations. Problems are sorted by key.
func (c *Config) For(t Target) (Resolved, []Problem) {
	r := resolver{target: t, mode: c.Mode, enabled: true, bake: c.Bake, guards: c.Guards, canary: c.Canary, scaleDown: c.ScaleDown, rollback: c.Rollback, gitOps: c.GitOps, signals: maps.Clone(c.Signals), configuration: c.Configuration}
	if c.Git != nil {
		r.git = c.Git.GitPlace
	}
	for i, o := range c.Workloads {
		if o.Match.selects(t) {
			r.override(fmt.Sprintf("workloads[%d]", i), o)
		}
	}
	r.userFlows(c.Flows)
	r.annotations()

	out := Resolved{
		Mode:       r.mode,
		Window:     *r.bake.Window,
		Interval:   *r.bake.Interval,
		Verify:     *r.bake.Verify,
		Deadline:   *r.bake.Deadline,
		PassEarly:  *r.bake.PassEarly,
		FalseAlarm: float64(c.FalseAlarm),
		Margin:     float64(c.Margin),
		Layers:     c.Layers,
		Guards:     r.guards.resolved(),
		Canary:     r.canary.resolved(),
		GitOps:     r.gitOps,
		ScaleDown:  r.scaleDown.resolved(),
		Git:        r.git,
		Helm:       r.rollback.Helm.resolved(),
		Signals:    []Signal{},

		Configuration: r.configuration.resolved(),
	}
	for _, name := range slices.Sorted(maps.Keys(r.signals)) {
		if s := r.signals[name]; s.on() {
			if signal, ok := r.flow(name, s); ok {
				out.Signals = append(out.Signals, signal)
				continue
			}
			for _, q := range s.queries() {
				out.Signals = append(out.Signals, s.resolved(name, q))
			}
		}
	}
	out.NotWatched = c.notWatched(t, r)
	out.Watched = out.NotWatched == ""
	slices.SortFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message))
	})
	return out, r.problems
}

// notWatched is why t is not watched, as a clause, or empty.
func (c *Config) notWatched(t Target, r resolver) string {
	matches := func(p string) bool { return glob(p, t.Namespace) }
	switch {
	case slices.ContainsFunc(c.Watch.ExcludeNamespaces, matches):
		return fmt.Sprintf("namespace %s is excluded", t.Namespace)
	case len(c.Watch.Namespaces) > 0 && !slices.ContainsFunc(c.Watch.Namespaces, matches):
		return fmt.Sprintf("namespace %s is not in watch.namespaces", t.Namespace)
	case !selects(c.Watch.Selector, t.Labels):
		return fmt.Sprintf("its labels do not match watch.selector %s", c.Watch.Selector)
	case !r.enabled:
		return r.disabledBy
	case c.Watch.OptIn && !r.optedIn:
		return fmt.Sprintf("watch.optIn is set and annotation %s is not true", annotationEnabled)
	}
	return ""
}

func (m Match) selects(t Target) bool {
	return (m.Namespace == "" || glob(m.Namespace, t.Namespace)) &&
		(m.Kind == "" || m.Kind == t.Kind) &&
		(m.Name == "" || glob(m.Name, t.Name)) &&
		selects(m.Selector, t.Labels)
}

func glob(pattern, s string) bool {
	ok, _ := path.Match(pattern, s) // patterns were validated
	return ok
}

func selects(selector string, set map[string]string) bool {
	if selector == "" {
		return true
	}
	s, err := labels.Parse(selector)
	return err == nil && s.Matches(labels.Set(set))
}

// resolver is the policy of one workload in the making.
type resolver struct {
	target     Target
	mode       Mode
	enabled    bool
	disabledBy string // a clause, when not enabled
	optedIn    bool
	bake       Bake
	guards     Guards
	canary     Canary
	scaleDown  ScaleDown
	rollback   Rollback
	signals    map[string]SignalRule
	flows      []UserFlow // that match
	gitOps     Strategy
	git        GitPlace
	problems   []Problem

	configuration Configuration
}

func (r *resolver) problem(key, format string, args ...any) {
	r.problems = append(r.problems, Problem{Key: key, Message: fmt.Sprintf(format, args...)})
}

func (r *resolver) override(path string, o Override) {
	if o.Enabled != nil {
		r.enabled, r.disabledBy = *o.Enabled, path+".enabled is false"
	}
	if o.Mode != "" {
		r.mode = o.Mode
	}
	// Each override was validated over the ConfigMap's own bake, not over every other override.
	if err := r.setBake(o.Bake); err != "" {
		r.problem(join(path, "bake"), "is left out for this workload, together with earlier overrides: %s", err)
	}
	r.guards = r.guards.with(o.Guards)
	r.canary = r.canary.with(o.Canary)
	if o.GitOps != "" {
		r.gitOps = o.GitOps
	}
	r.scaleDown = r.scaleDown.with(o.ScaleDown)
	r.git = r.git.with(o.Git)
	r.rollback = r.rollback.with(o.Rollback)
	r.configuration = r.configuration.with(o.Configuration)
	for name, s := range o.Signals {
		have, ok := r.signals[name]
		if !ok {
			have = defaultRule(name)
		}
		if _, preset := presets[name]; !preset && !have.with(s).written() {
			r.problem(join(join(path, "signals"), name), "is left out: its queries are in an override that does not match this workload")
			continue
		}
		have = have.with(s)
		r.signals[name] = have
	}
}

// setBake puts b over what applied before, unless it does not go together; then it says why.
func (r *resolver) setBake(b Bake) string {
	var k checker
	if k.bake("", b, r.bake); len(k.errs) > 0 {
		return k.errs[0].Path + " " + k.errs[0].Message
	}
	r.bake = r.bake.with(b)
	return ""
}

// annotations applies the workload's own annotations. They may ask for less, and tune; they cannot ask for more than
// the ConfigMap allows.
func (r *resolver) annotations() {
	a := r.target.Annotations
	switch v, ok := a[annotationEnabled]; {
	case !ok:
	case v == "true":
		r.optedIn = true
	case v == "false":
		r.enabled, r.disabledBy = false, fmt.Sprintf("annotation %s is false", annotationEnabled)
	default:
		r.problem(annotationEnabled, `must be "true" or "false", not %s`, quote(v))
	}
	switch v, ok := a[annotationMode]; {
	case !ok || v == string(r.mode):
	case v == string(Observe):
		r.mode = Observe
	case v == string(Guard):
		r.problem(annotationMode, "cannot be guard: the ConfigMap says observe, and the less of both applies")
	default:
		r.problem(annotationMode, "must be observe or guard, not %s", quote(v))
	}
	if v, ok := a[AnnotationMigrations]; ok && v != Reversible {
		r.problem(AnnotationMigrations, "must be %s, not %s", Reversible, quote(v))
	}
	r.ownStrategy(a)
	r.ownPlace(a)
	r.spans(a)
	r.configMaps()
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if name, ok := strings.CutPrefix(key, AnnotationPrefix); ok {
			r.annotation(key, name, a[key])
		}
	}
}

// spans applies the annotations on time: both at once, so that a longer interval may come with the longer window it
// needs, or else each that makes sense alone.
func (r *resolver) spans(a map[string]string) {
	read := func(key string) *time.Duration {
		v, ok := a[key]
		if !ok {
			return nil
		}
		d, err := parseDuration(v)
		if err != nil {
			r.problem(key, "%v", err)
			return nil
		}
		return &d
	}
	window, interval := read(annotationWindow), read(annotationInterval)
	if r.setBake(Bake{Window: window, Interval: interval}) == "" {
		return
	}
	if err := r.setBake(Bake{Window: window}); err != "" {
		r.problem(annotationWindow, "is left out: %s", err)
	}
	if err := r.setBake(Bake{Interval: interval}); err != "" {
		r.problem(annotationInterval, "is left out: %s", err)
	}
}

// annotation applies one annotation about a signal, and reports one that is nearly an annotation of ours. Others are
// left alone: not all annotations under the prefix are about policy.
func (r *resolver) annotation(key, name, value string) {
	if r.canaryNote(key, value) {
		return
	}
	signal, field, dotted := cutLast(name, ".")
	if !dotted {
		plain := []string{"enabled", "mode", "window", "interval", "config-maps", "migrations", "approve", "reject", "undo", "abort", "gitops", "git-path", "git-workflow", "resume"}
		if near := nearest(name, plain); near != "" && near != name {
			r.problem(key, "unknown annotation; did you mean %s%s?", AnnotationPrefix, near)
		}
		return
	}
	rule, ok := r.signals[signal]
	if !ok || !rule.on() {
		r.problem(key, "no signal %s applies to this workload (known: %s)", quote(signal), strings.Join(r.names(), ", "))
		return
	}
	var t Threshold
	v := reflect.ValueOf(&t).Elem()
	index, ok := fields(v.Type())[field]
	if !ok {
		r.problem(key, "unknown threshold %s (known: %s)", quote(field), strings.Join(keys(v.Type()), ", "))
		return
	}
	f := v.FieldByIndex(index)
	f.Set(reflect.New(f.Type().Elem()))
	if err := setScalar(f.Elem(), value, "!!str"); err != nil {
		r.problem(key, "%v", err)
		return
	}
	var k checker
	if k.threshold("", t); len(k.errs) > 0 {
		r.problem(key, "%s", k.errs[0].Message)
		return
	}
	r.signals[signal] = rule.with(SignalRule{Threshold: t})
}

// names are the signals that apply, sorted.
func (r *resolver) names() []string {
	var names []string
	for name, s := range r.signals {
		if s.on() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// with is b with what o sets in its place.
func (b Bake) with(o Bake) Bake {
	return Bake{
		Window:   cmp.Or(o.Window, b.Window),
		Interval: cmp.Or(o.Interval, b.Interval),
		Verify:   cmp.Or(o.Verify, b.Verify),
		Deadline: cmp.Or(o.Deadline, b.Deadline),

		PassEarly: cmp.Or(o.PassEarly, b.PassEarly),
	}
}

// with is s with what o sets in its place.
func (s SignalRule) with(o SignalRule) SignalRule {
	return SignalRule{
		Enabled:    cmp.Or(o.Enabled, s.Enabled),
		Prometheus: cmp.Or(o.Prometheus, s.Prometheus),
		Datadog:    cmp.Or(o.Datadog, s.Datadog),
		Unit:       cmp.Or(o.Unit, s.Unit),
		Threshold: Threshold{
			Max:         cmp.Or(o.Threshold.Max, s.Threshold.Max),
			Increase:    cmp.Or(o.Threshold.Increase, s.Threshold.Increase),
			Floor:       cmp.Or(o.Threshold.Floor, s.Threshold.Floor),
			MinRequests: cmp.Or(o.Threshold.MinRequests, s.Threshold.MinRequests),
			Ticks:       cmp.Or(o.Threshold.Ticks, s.Threshold.Ticks),
		},
	}
}

func (s SignalRule) on() bool { return s.Enabled == nil || *s.Enabled }

// written reports whether people wrote queries for the signal.
func (s SignalRule) written() bool { return s.Prometheus != nil || s.Datadog != nil }

// resolved is the signal for a bake, as one source measures it. Its threshold is set as a whole: it began from a defaultRule.
func (s SignalRule) resolved(name string, q signals.Query) Signal {
	t := s.Threshold
	out := Signal{Name: name, Query: q, Wording: presets[name].wording}
	if query.AboutMonitors(q.Events) {
		out.Wording = decide.Wording{Counted: "looks at monitors", Bad: "found an alert"}
	}
	if out.Value != "" || !out.Known() && presets[name].value {
		out.Unit = s.Unit
		out.Level = decide.ValueThreshold{Max: float64(*t.Max), Increase: float64(*t.Increase), Floor: float64(*t.Floor), Ticks: *t.Ticks}
		return out
	}
	out.Threshold = decide.Threshold{Max: float64(*t.Max), Increase: float64(*t.Increase), Floor: float64(*t.Floor), MinRequests: float64(*t.MinRequests), Ticks: *t.Ticks}
	return out
}

// query is the zero Query, to be found, unless people wrote one.
func (p *Queries) query() signals.Query {
	if p == nil {
		return signals.Query{}
	}
	q := signals.Query{By: signals.By(p.By), Errors: p.Errors, Good: p.Good, Requests: p.Requests, Histogram: p.Histogram, Events: p.Events, Value: p.Value, BaselineValue: p.Baseline}
	if q.Over = p.Over.Seconds(); inMilliseconds(p.Histogram) {
		q.Milli, q.Over = true, q.Over*1000
	}
	return q
}

// inMilliseconds reports whether a histogram is one of milliseconds, as its name says.
func inMilliseconds(selector string) bool {
	name := strings.TrimSuffix(metricName.FindString(strings.TrimSpace(selector)), "_bucket")
	return strings.HasSuffix(name, "_ms") || strings.HasSuffix(name, "_milliseconds")
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
