package datadog

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// A version whose requests take longer than twice as long as 95 of 100 did is found by the preset alone, and said to be slow.
func TestSlowVersion(t *testing.T) {
	for name, c := range map[string]struct {
		takes float64
		want  decide.Result
	}{
		"slow":   {0.5, decide.Regressed},
		"as was": {0.1, decide.Healthy},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{}
			for at := noon.Unix() - 3600; at < noon.Unix()+300; at++ {
				version, takes := "v1", 0.1
				if at >= noon.Unix() {
					version, takes = "v2", c.takes
				}
				for range 3 {
					a.add("trace.web.request", "service:web,version:"+version, at, takes)
				}
			}
			s := newSource(t, a)
			at(0)
			found, absent, err := s.Find(context.Background(), signals.Subject{Kind: "Deployment", Namespace: "shop", Name: "web", Signals: []string{"http-latency"}, At: time.Now(), Past: noon.Add(-time.Hour),
				Candidate: signals.Version{Version: "v2"}, Baseline: signals.Version{Version: "v1"}})
			if err != nil || len(found) != 1 || found[0].Over != 0.2 || found[0].Errors != "count(v: v>0.2):trace.web.request{service:web} by {version}.as_count()" {
				t.Fatalf("%+v, %+v, %v", found, absent, err)
			}
			at(5 * time.Minute)
			span := func(from, to int64, version string) []signals.Reading {
				var ends []int64
				for at := from; at <= to; at += interval {
					ends = append(ends, at)
				}
				q := asking(found[0].Query, ends...)
				q.CandidateVersion, q.BaselineVersion = version, ""
				return read(t, s, q)
			}
			e := decide.Evidence{Signal: "http-latency", Query: found[0].Query, Threshold: decide.Threshold{Max: 0.5, Increase: 3, Floor: 0.1, MinRequests: 20, Ticks: 4}, Ticks: span(15, 240, "v2")}
			for _, r := range span(-3585, 0, "v1") {
				e.Blocks = append(e.Blocks, r.Candidate)
				e.History.Counts = e.History.Add(r.Candidate.Counts)
			}
			v := decide.Judge(decide.Input{To: "rev 7", From: "rev 6", FalseAlarm: 0.001, Margin: 1.5, Signals: []decide.Evidence{e}})
			if v.Result != c.want || !strings.Contains(v.Reasons[0].Sentence, "requests took over 200ms on rev 7") {
				t.Errorf("%s: %s, %+v", name, v.Result, v.Reasons)
			}
		})
	}
}

func TestRoundUp(t *testing.T) {
	for x, want := range map[float64]float64{0.25: 0.25, 0.2501: 0.26, 0.0123: 0.013, 1.21: 1.3, 12.1: 13, 99.1: 100, 0.00042: 0.00042, 345: 350} {
		if got := roundUp(x); got != want {
			t.Errorf("%g: %g, want %g", x, got, want)
		}
	}
}
