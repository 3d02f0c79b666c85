package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/decide"
)

func TestInput(t *testing.T) {
	config := parse(t, smallest+"signals: {http-errors: {}, a: {prometheus: {errors: e, requests: r}}}\nmargin: 2x\nbake: {passEarly: true}\n")
	neighbours := []decide.Neighbour{{Name: "api"}}
	of := func(signal string) (decide.Evidence, bool) {
		return decide.Evidence{Neighbours: neighbours}, signal == DefaultSignal
	}
	usual := decide.Threshold{Max: 0.05, Increase: 2, Floor: 0.002, MinRequests: 5, Ticks: 2}
	r, _ := config.For(api)
	want := decide.Input{To: "rev 7", From: "rev 6", FalseAlarm: 0.001, Margin: 2, PassEarly: true,
		Signals: []decide.Evidence{{Signal: DefaultSignal, Threshold: usual, Neighbours: neighbours}}}
	if diff := cmp.Diff(want, r.Input("rev 7", "rev 6", of)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	r.Layers = Layers{}
	want.FalseAlarm = 0
	want.Signals = []decide.Evidence{{Signal: DefaultSignal, Threshold: decide.Threshold{Max: 1, Increase: 1, MinRequests: 5, Ticks: 2}}}
	if diff := cmp.Diff(want, r.Input("rev 7", "rev 6", of)); diff != "" {
		t.Errorf("all layers off (-want +got):\n%s", diff)
	}
}
