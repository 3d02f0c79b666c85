package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

var api = Target{Kind: "Deployment", Namespace: "pay-eu", Name: "api-1", Labels: map[string]string{"tier": "web"}}

func annotated(kv ...string) Target {
	t := api
	t.Annotations = map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		t.Annotations["bakewatch.dev/"+kv[i]] = kv[i+1]
	}
	return t
}

// http is the signal http-errors.
func (r *Resolved) http() *Signal {
	return &r.Signals[slices.IndexFunc(r.Signals, func(s Signal) bool { return s.Name == DefaultSignal })]
}

func TestForDefaults(t *testing.T) {
	got, problems := parse(t, smallest).For(api)
	want := Resolved{
		Watched: true, Mode: Observe,
		Window: 15 * time.Minute, Interval: 15 * time.Second, Verify: 2 * time.Minute, Deadline: 10 * time.Minute,
		FalseAlarm: 0.001, Margin: 1.5, Layers: Layers{Threshold: true, Evidence: true, Blame: true},
		Guards: GuardRules{GitOps: true, Owner: true, Migrations: true, References: true, Alerting: true, ToAndFro: true, Cooldown: Limit(5 * time.Minute), MaxAge: Limit(24 * time.Hour),
			Approval: ApprovalRules{Deadline: Span(30 * time.Minute), Default: Hold}},
		Canary:  CanaryRules{For: Span(5 * time.Minute)},
		Signals: got.Signals, GitOps: Notify, Configuration: ConfigurationRules{Sync: Span(2 * time.Minute)},
		Helm: HelmRules{Hooks: RunHooks, Fallback: FallbackHold, Timeout: Span(5 * time.Minute)},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(problems) > 0 {
		t.Errorf("%v (-want +got):\n%s", problems, diff)
	}
	if len(got.Signals) != len(presets) || len(got.Unfound()) != len(presets) {
		t.Errorf("%d signals, of which %v are to be found; there are %d presets", len(got.Signals), got.Unfound(), len(presets))
	}
	if http := (Signal{Name: DefaultSignal, Threshold: decide.Threshold{Max: 0.05, Increase: 2, Floor: 0.002, MinRequests: 5, Ticks: 2}}); *got.http() != http {
		t.Errorf("%+v", got.http())
	}
}

// The presets that a configuration does not name apply all the same, unless it turns them off.
func TestPresetsApply(t *testing.T) {
	r, _ := parse(t, smallest+"signals: {http-errors: {threshold: {max: 1%}}, memory: {enabled: false}, mine: {prometheus: {errors: e, requests: r}}}").For(api)
	if len(r.Signals) != len(presets) || r.http().Threshold.Max != 0.01 || slices.ContainsFunc(r.Signals, func(s Signal) bool { return s.Name == "memory" }) {
		t.Errorf("%+v", r.Signals)
	}
}

// Whatever a query measures, it is what people wrote.
func TestQueries(t *testing.T) {
	for text, want := range map[string]signals.Query{
		`{errors: 'e{a="$namespace"}', requests: r, by: pod}`: {By: signals.ByPod, Errors: `e{a="$namespace"}`, Requests: "r"},
		`{good: g, requests: r}`:                              {Good: "g", Requests: "r"},
		`{histogram: h_seconds_bucket, over: 250ms}`:          {Histogram: "h_seconds_bucket", Over: 0.25},
		`{histogram: 'h_ms_bucket{a="b"}', over: 250ms}`:      {Histogram: `h_ms_bucket{a="b"}`, Over: 250, Milli: true},
		`{histogram: x_duration_milliseconds, over: 1s}`:      {Histogram: "x_duration_milliseconds", Over: 1000, Milli: true},
		`{events: restarts, by: pod}`:                         {By: signals.ByPod, Events: "restarts"},
		`{value: 'max(rate(x{pod=~"$pods_candidate"}[$window]))', baseline: 'max(rate(x{pod=~"$pods_baseline"}[$window]))'}`: {
			Value: `max(rate(x{pod=~"$pods_candidate"}[$window]))`, BaselineValue: `max(rate(x{pod=~"$pods_baseline"}[$window]))`},
	} {
		r, _ := parse(t, smallest+"signals: {a: {prometheus: "+text+", unit: MiB}}").For(api)
		if got := r.Signals[0].Query; got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
		if value := want.Value != ""; value != (r.Signals[0].Unit == "MiB") || value != (r.Signals[0].Level.Increase > 0) || value == (r.Signals[0].Threshold.Increase > 0) {
			t.Errorf("%s: %+v", text, r.Signals[0])
		}
	}
}

func TestFor(t *testing.T) {
	cases := []struct {
		name, config string
		target       Target
		want         func(*Resolved) // changes what the defaults resolve to
		problems     []string
	}{
		{name: "excluded namespace", target: Target{Kind: "Deployment", Namespace: "kube-system", Name: "dns"},
			want: func(r *Resolved) { r.NotWatched = "namespace kube-system is excluded" }},
		{name: "not excluded when the list is replaced", config: "watch: {excludeNamespaces: []}", target: Target{Namespace: "kube-system"}},
		{name: "namespace not listed", config: "watch: {namespaces: [shop, 'web-*']}", target: api,
			want: func(r *Resolved) { r.NotWatched = "namespace pay-eu is not in watch.namespaces" }},
		{name: "namespace listed", config: "watch: {namespaces: [shop, 'pay-??']}", target: api},
		{name: "exclusion wins", config: "watch: {namespaces: ['*'], excludeNamespaces: ['pay-*']}", target: annotated("enabled", "true"),
			want: func(r *Resolved) { r.NotWatched = "namespace pay-eu is excluded" }},
		{name: "selector", config: "watch: {selector: 'tier!=web'}", target: api,
			want: func(r *Resolved) { r.NotWatched = "its labels do not match watch.selector tier!=web" }},
		{name: "opt-in missing", config: "watch: {optIn: true}", target: api,
			want: func(r *Resolved) {
				r.NotWatched = "watch.optIn is set and annotation bakewatch.dev/enabled is not true"
			}},
		{name: "opt-in given", config: "watch: {optIn: true}", target: annotated("enabled", "true")},
		{name: "opt-in is the workload's alone", config: "watch: {optIn: true}\nworkloads: [{match: {name: '*'}, enabled: true}]", target: api,
			want: func(r *Resolved) {
				r.NotWatched = "watch.optIn is set and annotation bakewatch.dev/enabled is not true"
			}},
		{name: "opt-out", target: annotated("enabled", "false"),
			want: func(r *Resolved) { r.NotWatched = "annotation bakewatch.dev/enabled is false" }},
		{name: "disabled by an override, annotation cannot enable", config: "workloads: [{match: {namespace: 'pay-*'}, enabled: false}]", target: annotated("enabled", "true"),
			want: func(r *Resolved) { r.NotWatched = "workloads[0].enabled is false" }},
		{name: "enabled again by a later override", config: "workloads: [{match: {namespace: 'pay-*'}, enabled: false}, {match: {name: 'api-*'}, enabled: true}]", target: api},
		{name: "enabled is neither", target: annotated("enabled", "no"),
			problems: []string{`bakewatch.dev/enabled: must be "true" or "false", not "no"`}},

		{name: "annotation observes", config: "mode: guard", target: annotated("mode", "observe")},
		{name: "annotation cannot guard", target: annotated("mode", "guard"),
			problems: []string{"bakewatch.dev/mode: cannot be guard: the ConfigMap says observe, and the less of both applies"}},
		{name: "annotation repeats guard", config: "mode: guard", target: annotated("mode", "guard"), want: func(r *Resolved) { r.Mode = Guard }},
		{name: "annotation mode is neither", config: "mode: guard", target: annotated("mode", "off"), want: func(r *Resolved) { r.Mode = Guard },
			problems: []string{`bakewatch.dev/mode: must be observe or guard, not "off"`}},
		{name: "override guards", config: "workloads: [{match: {kind: Deployment}, mode: guard}]", target: api, want: func(r *Resolved) { r.Mode = Guard }},
		{name: "override observes", config: "mode: guard\nworkloads: [{match: {selector: 'tier=web'}, mode: observe}]", target: annotated("mode", "guard"),
			problems: []string{"bakewatch.dev/mode: cannot be guard: the ConfigMap says observe, and the less of both applies"}},

		{name: "override does not match", target: api, config: "workloads:\n" +
			"- {match: {namespace: pay}, enabled: false}\n- {match: {name: 'api-*', selector: tier=db}, enabled: false}\n" +
			"- {match: {kind: Deployment, name: api}, enabled: false}\n- {match: {namespace: 'pay-*', name: '?'}, enabled: false}"},
		{name: "later override wins, key by key", target: api, config: "workloads:\n" +
			"- {match: {namespace: 'pay-*'}, bake: {window: 30m, verify: 5m}, signals: {http-errors: {threshold: {max: 1%, ticks: 3}}}}\n" +
			"- {match: {name: 'api-*'}, bake: {window: 1h}, signals: {http-errors: {threshold: {max: 2%}}}}\n",
			want: func(r *Resolved) {
				r.Window, r.Verify = time.Hour, 5*time.Minute
				r.http().Threshold.Max, r.http().Threshold.Ticks = 0.02, 3
			}},
		{name: "margin, layers and an early pass", config: "margin: 2x\nlayers: {evidence: false}\nbake: {passEarly: true}", target: api,
			want: func(r *Resolved) { r.Margin, r.Layers.Evidence, r.PassEarly = 2, false, true }},
		{name: "override passes early", config: "bake: {passEarly: true}\nworkloads: [{match: {name: '*'}, bake: {passEarly: false}}, {match: {name: web}, bake: {passEarly: true}}]", target: api},
		{name: "override replaces queries as a whole", config: "workloads: [{match: {name: '*'}, signals: {http-errors: {prometheus: {errors: a, requests: b}}}}]", target: api,
			want: func(r *Resolved) { r.http().Query = signals.Query{Errors: "a", Requests: "b"} }},
		{name: "override adds and removes signals", config: "workloads: [{match: {name: '*'}, signals: {http-errors: {enabled: false}, a: {prometheus: {errors: e, requests: r}, threshold: {max: 9%}}}}]", target: api,
			want: func(r *Resolved) {
				a := Signal{Name: "a", Query: signals.Query{Errors: "e", Requests: "r"}, Threshold: r.http().Threshold}
				a.Threshold.Max = 0.09
				r.Signals = append([]Signal{a}, slices.DeleteFunc(r.Signals, func(s Signal) bool { return s.Name == DefaultSignal })...)
			}},
		{name: "signal whose queries are in an override for others", target: api,
			config: "workloads:\n- {match: {name: web}, signals: {a: {prometheus: {errors: e, requests: r}}}}\n- {match: {name: 'api-*'}, signals: {a: {threshold: {max: 9%}}}}",
			problems: []string{
				"workloads[1].signals.a: is left out: its queries are in an override that does not match this workload"}},
		{name: "overrides that do not go together", target: api,
			config: "workloads:\n- {match: {name: '*'}, bake: {window: 1m}}\n- {match: {name: '*'}, bake: {interval: 1m}, mode: guard}",
			want:   func(r *Resolved) { r.Window, r.Mode = time.Minute, Guard },
			problems: []string{
				"workloads[1].bake: is left out for this workload, together with earlier overrides: interval must be at most half the window, which is 1m"}},

		{name: "annotations tune", target: annotated("window", "1h", "interval", "30s", "http-errors.max", "1%", "http-errors.increase", "3x",
			"http-errors.floor", "0.1%", "http-errors.minRequests", "10", "http-errors.ticks", "5"),
			want: func(r *Resolved) {
				r.Window, r.Interval = time.Hour, 30*time.Second
				r.http().Threshold = decide.Threshold{Max: 0.01, Increase: 3, Floor: 0.001, MinRequests: 10, Ticks: 5}
			}},
		{name: "annotations win over overrides", config: "workloads: [{match: {name: '*'}, bake: {window: 1h}, signals: {http-errors: {threshold: {max: 2%}}}}]",
			target: annotated("window", "2h", "http-errors.max", "3%"),
			want:   func(r *Resolved) { r.Window = 2 * time.Hour; r.http().Threshold.Max = 0.03 }},
		{name: "annotations that only go together", config: "bake: {verify: 10m, window: 1m}", target: annotated("window", "10m", "interval", "5m"),
			want: func(r *Resolved) { r.Window, r.Verify, r.Interval = 10*time.Minute, 10*time.Minute, 5*time.Minute }},
		{name: "one bad annotation leaves the rest", target: annotated("window", "10s", "interval", "20s", "http-errors.max", "200%", "http-errors.ticks", "3"),
			want: func(r *Resolved) { r.Interval = 20 * time.Second; r.http().Threshold.Ticks = 3 },
			problems: []string{
				"bakewatch.dev/http-errors.max: must be above 0% and at most 100%, not 200%",
				"bakewatch.dev/window: is left out: window must be at least two intervals, 30s, not 10s"}},
		{name: "interval too long for verify", target: annotated("interval", "90s"),
			problems: []string{"bakewatch.dev/interval: is left out: interval must be at most half the verify, which is 2m"}},
		{name: "annotations that cannot be read", target: annotated("window", "long", "interval", "0s", "http-errors.max", "", "http-errors.ticks", "two", "http-errors.mx", "1%", "grpc.max", "1%"),
			problems: []string{
				`bakewatch.dev/grpc.max: no signal "grpc" applies to this workload (known: cpu-throttling, grpc-errors, grpc-latency, http-errors, http-latency, ingress-errors, ingress-latency, log-errors, memory, oom-kills, restarts)`,
				`bakewatch.dev/http-errors.max: must be a share such as 5% or 0.05, not ""`,
				`bakewatch.dev/http-errors.mx: unknown threshold "mx" (known: max, increase, floor, minRequests, ticks)`,
				`bakewatch.dev/http-errors.ticks: must be a whole number, not "two"`,
				`bakewatch.dev/interval: must be a duration above 0 such as 30s, 15m or 1d, not "0s"`,
				`bakewatch.dev/window: must be a duration above 0 such as 30s, 15m or 1d, not "long"`}},
		{name: "nearly an annotation", target: annotated("windw", "1h", "approve", "yes", "released-by", "x"),
			problems: []string{"bakewatch.dev/windw: unknown annotation; did you mean bakewatch.dev/window?"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want, _ := Default().For(Target{})
			if c.want != nil {
				c.want(&want)
			}
			want.Watched = want.NotWatched == ""
			got, problems := parse(t, smallest+c.config).For(c.target)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var texts []string
			for _, p := range problems {
				texts = append(texts, p.String())
			}
			if diff := cmp.Diff(c.problems, texts); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// optional draws nil or a value.
func optional[V any](g *rapid.Generator[V]) *rapid.Generator[*V] { return rapid.Ptr(g, true) }

func thresholds() *rapid.Generator[Threshold] {
	return rapid.Custom(func(t *rapid.T) Threshold {
		return Threshold{
			Max:         optional(rapid.Map(rapid.IntRange(1, 100), func(i int) Share { return Share(i) / 100 })).Draw(t, "max"),
			Increase:    optional(rapid.Map(rapid.IntRange(1, 9), func(i int) Ratio { return Ratio(i) })).Draw(t, "increase"),
			Floor:       optional(rapid.Map(rapid.IntRange(0, 100), func(i int) Share { return Share(i) / 100 })).Draw(t, "floor"),
			MinRequests: optional(rapid.IntRange(1, 1000)).Draw(t, "minRequests"),
			Ticks:       optional(rapid.IntRange(1, 100)).Draw(t, "ticks"),
		}
	})
}

func overrides() *rapid.Generator[Override] {
	return rapid.Custom(func(t *rapid.T) Override {
		span := func(unit time.Duration, least, most int) *rapid.Generator[*time.Duration] {
			return optional(rapid.Map(rapid.IntRange(least, most), func(i int) time.Duration { return time.Duration(i) * unit }))
		}
		o := Override{
			Match:   Match{Name: rapid.SampledFrom([]string{"*", "api-*", "other"}).Draw(t, "name")},
			Enabled: optional(rapid.Bool()).Draw(t, "enabled"),
			Mode:    rapid.SampledFrom([]Mode{"", Observe, Guard}).Draw(t, "mode"),
			Bake: Bake{
				Window:   span(time.Minute, 1, 60).Draw(t, "window"),
				Interval: span(time.Second, 1, 300).Draw(t, "interval"),
				Verify:   span(time.Minute, 1, 20).Draw(t, "verify"),
			},
			Signals: map[string]SignalRule{},
		}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{DefaultSignal, "a", "b"}), rapid.ID).Draw(t, "signals") {
			s := SignalRule{Threshold: thresholds().Draw(t, "threshold"), Enabled: optional(rapid.Bool()).Draw(t, "on")}
			if rapid.Bool().Draw(t, "queries") {
				s.Prometheus = &Queries{Errors: "e", Requests: "r", By: rapid.SampledFrom([]string{"", "pod"}).Draw(t, "by")}
			}
			o.Signals[name] = s
		}
		return o
	})
}

func targets() *rapid.Generator[Target] {
	keys := []string{"enabled", "mode", "window", "interval", "http-errors.max", "a.ticks", "b.floor", "nonsense", "a.b.c"}
	values := []string{"true", "false", "observe", "guard", "1m", "3h", "2", "5%", "", "x"}
	return rapid.Custom(func(t *rapid.T) Target {
		target := api
		target.Annotations = map[string]string{}
		for k, v := range rapid.MapOf(rapid.SampledFrom(keys), rapid.SampledFrom(values)).Draw(t, "annotations") {
			target.Annotations[AnnotationPrefix+k] = v
		}
		return target
	})
}

func configs() *rapid.Generator[*Config] {
	return rapid.Custom(func(t *rapid.T) *Config {
		c := Default()
		c.Sources.Prometheus.URL = "http://prometheus"
		c.Mode = rapid.SampledFrom([]Mode{Observe, Guard}).Draw(t, "mode")
		c.Workloads = rapid.SliceOfN(overrides(), 0, 4).Filter(func(os []Override) bool {
			c.Workloads = os
			return len(c.validate()) == 0
		}).Draw(t, "workloads")
		return c
	})
}

// Resolving changes nothing and gives the same answer each time, and the answer is always within the bounds.
func TestForProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, target := configs().Draw(t, "config"), targets().Draw(t, "target")
		hash, had := c.Hash(), maps.Clone(target.Annotations)
		first, p1 := c.For(target)
		second, p2 := c.For(target)
		if diff := cmp.Diff(first, second) + cmp.Diff(p1, p2); diff != "" {
			t.Fatalf("the second answer differs:\n%s", diff)
		}
		if c.Hash() != hash || !maps.Equal(had, target.Annotations) {
			t.Fatal("resolving changed its input")
		}
		if first.Watched != (first.NotWatched == "") {
			t.Fatalf("watched %v because %q", first.Watched, first.NotWatched)
		}
		var k checker
		k.bake("", Bake{Window: &first.Window, Interval: &first.Interval, Verify: &first.Verify, Deadline: &first.Deadline}, Bake{})
		if len(k.errs) > 0 {
			t.Fatalf("out of bounds: %v", k.errs)
		}
		for i, s := range first.Signals {
			_, preset := presets[s.Name]
			if !s.Known() && !preset || max(s.Threshold.Ticks, s.Level.Ticks) < 1 || max(s.Threshold.Max, s.Level.Max) <= 0 || (i > 0 && first.Signals[i-1].Name >= s.Name) {
				t.Fatalf("signals %+v", first.Signals)
			}
		}
		for _, p := range p1 {
			if p.Key == "" || p.Message == "" || strings.Contains(p.String(), "\n") {
				t.Fatalf("problem %#v", p)
			}
		}
	})
}

// An annotation never makes Bakewatch do more than the ConfigMap allows.
func TestLessWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, target := configs().Draw(t, "config"), targets().Draw(t, "target")
		bare := target
		bare.Annotations = nil
		with, _ := c.For(target)
		without, _ := c.For(bare)
		if with.Watched && !without.Watched {
			t.Fatal("an annotation made it watched")
		}
		if with.Mode == Guard && without.Mode == Observe {
			t.Fatal("an annotation made it guard")
		}
	})
}

// The last override that matches decides on all it sets, whatever came before; one that does not match decides nothing.
func TestOverrideOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := configs().Draw(t, "config")
		last := Override{
			Match: Match{Name: "*"}, Enabled: new(true), Mode: Guard,
			Bake: Bake{Window: new(7 * time.Minute), Interval: new(7 * time.Second), Verify: new(70 * time.Second), Deadline: new(7 * time.Hour), PassEarly: new(true)},
			Signals: map[string]SignalRule{DefaultSignal: {
				Enabled: new(true), Prometheus: &Queries{Errors: "x", Requests: "y"},
				Threshold: Threshold{new(Share(0.07)), new(Ratio(7)), new(Share(0.007)), new(7), new(7)},
			}},
		}
		other := last
		other.Match.Name = "somebody-else"
		before, _ := c.For(api)
		workloads := c.Workloads

		c.Workloads = append(append([]Override{}, workloads...), other)
		if after, _ := c.For(api); !cmp.Equal(before, after) {
			t.Fatalf("an override for others changed it:\n%s", cmp.Diff(before, after))
		}
		c.Workloads = append(append([]Override{}, workloads...), last)
		got, _ := c.For(api)
		if !got.Watched || got.Mode != Guard || got.Window != 7*time.Minute || got.Interval != 7*time.Second || got.Verify != 70*time.Second || got.Deadline != 7*time.Hour || !got.PassEarly {
			t.Fatalf("the last override does not win: %+v", got)
		}
		want := Signal{Name: DefaultSignal, Query: signals.Query{Errors: "x", Requests: "y"}, Threshold: decide.Threshold{Max: 0.07, Increase: 7, Floor: 0.007, MinRequests: 7, Ticks: 7}}
		for _, s := range got.Signals {
			if s.Name == DefaultSignal && s != want {
				t.Fatalf("the last override does not win: %+v", s)
			}
		}
	})
}
