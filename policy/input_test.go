package policy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

func TestInput(t *testing.T) {
	config := parse(t, smallest+"signals: {http-errors: {prometheus: {errors: 'x{namespace=\"$namespace\"}', requests: x, by: pod}}, a: {prometheus: {errors: e, requests: r}}}\nmargin: 2x\nbake: {passEarly: true}\n")
	neighbours := []decide.Neighbour{{Name: "api"}}
	of := func(signal string) (decide.Evidence, bool) {
		return decide.Evidence{Neighbours: neighbours}, signal == DefaultSignal
	}
	usual := decide.Threshold{Max: 0.05, Increase: 2, Floor: 0.002, MinRequests: 5, Ticks: 2}
	r, _ := config.For(api)
	query := signals.Query{By: signals.ByPod, Errors: `x{namespace="$namespace"}`, Requests: "x"}
	want := decide.Input{To: "rev 7", From: "rev 6", FalseAlarm: 0.001, Margin: 2, PassEarly: true,
		Signals: []decide.Evidence{{Signal: DefaultSignal, Query: query, Threshold: usual, Neighbours: neighbours}}}
	if diff := cmp.Diff(want, r.Input("rev 7", "rev 6", of)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	r.Layers = Layers{}
	want.FalseAlarm = 0
	want.Signals = []decide.Evidence{{Signal: DefaultSignal, Query: query, Threshold: decide.Threshold{Max: 1, Increase: 1, MinRequests: 5, Ticks: 2}}}
	if diff := cmp.Diff(want, r.Input("rev 7", "rev 6", of)); diff != "" {
		t.Errorf("all layers off (-want +got):\n%s", diff)
	}
}

// What is found takes the place of what was to be found, and is told apart by source.
func TestMeasured(t *testing.T) {
	r := Resolved{Signals: []Signal{{Name: "http-errors"}, {Name: "mine", Query: signals.Query{Errors: "e", Requests: "r"}}, {Name: "grpc-errors"}}}
	if got := r.Unfound(); !slices.Equal(got, []string{"http-errors", "grpc-errors"}) {
		t.Errorf("unfound: %v", got)
	}
	found := []signals.Found{
		{Signal: "http-errors", Query: signals.Query{Errors: "a", Requests: "b"}},
		{Signal: "http-errors", Query: signals.Query{Source: signals.Datadog, Errors: "c", Requests: "d"}},
		{Signal: "memory", Query: signals.Query{Value: "v"}}, // of a signal that policy does not have
	}
	var keys []string
	for _, s := range r.Measured(found).Signals {
		keys = append(keys, s.Key()+" "+s.Errors)
	}
	if want := []string{"http-errors a", "http-errors@datadog c", "mine e"}; !slices.Equal(keys, want) {
		t.Errorf("%q, want %q", keys, want)
	}
	in := r.Measured(found).Input("rev 7", "rev 6", func(key string) (decide.Evidence, bool) { return decide.Evidence{}, true })
	if in.Signals[0].Source != "prometheus" || in.Signals[1].Source != "datadog" || in.Signals[2].Source != "" {
		t.Errorf("sources in sentences: %+v", in.Signals)
	}
	r.Signals = []Signal{{Name: "memory", Query: signals.Query{Value: "v"}, Unit: "MiB", Level: decide.ValueThreshold{Increase: 2}}}
	if in := r.Input("rev 7", "rev 6", func(string) (decide.Evidence, bool) { return decide.Evidence{}, true }); len(in.Signals) != 0 || len(in.Values) != 1 || in.Values[0].Unit != "MiB" {
		t.Errorf("a value: %+v", in)
	}
}

// What is counted in one source may be a share in another: the threshold is the same.
func TestMeasuredByAValue(t *testing.T) {
	r, _ := Default().For(api)
	got := r.Measured([]signals.Found{
		{Signal: "cpu-throttling", Query: signals.Query{Errors: "e", Requests: "r"}},
		{Signal: "cpu-throttling", Query: signals.Query{Source: signals.Datadog, Value: "v"}},
	}).Signals
	if len(got) != 2 || got[0].Threshold.Max != 0.75 || got[0].Level.Ticks != 0 || got[0].Unit != "" {
		t.Fatalf("%+v", got)
	}
	want := decide.ValueThreshold{Max: 0.75, Increase: 3, Floor: 0.25, Ticks: 4}
	if s := got[1]; s.Level != want || s.Threshold.Ticks != 0 || s.Unit != "of the CPU periods throttled" {
		t.Errorf("%+v", s)
	}
}
