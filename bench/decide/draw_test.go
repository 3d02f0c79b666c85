package main

import (
	"reflect"
	"runtime"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// named is a scenario that need not be in the table.
func named(how string, change func(*scenario)) scenario {
	s := scenario{rate: 50, base: 0.01, ratio: 1, shape: "step", noise: "independent", how: how, runs: 1}
	if change != nil {
		change(&s)
	}
	s.name = s.title()
	return s
}

// candidate adds up what the candidate served from an edge on.
func (d *draw) candidate(from float64) signals.Counts {
	var c signals.Counts
	for i, r := range d.ticks {
		if edge(i-1) >= from && r.Candidate.Spoke() {
			c = c.Add(r.Candidate.Counts)
		}
	}
	return c
}

func TestSimulate(t *testing.T) {
	cases := []struct {
		name     string
		scenario scenario
		from     float64 // the candidate is looked at from this edge on
		share    float64 // of requests that are the candidate's there
		rate     float64 // of them that fail
	}{
		{"healthy", named("1of4", nil), 15, 0.25, 0.01},
		{"half", named("2of4", nil), 15, 0.5, 0.01},
		{"step", named("1of4", func(s *scenario) { s.ratio = 10 }), 15, 0.25, 0.1},
		{"all requests fail", named("replace", func(s *scenario) { s.ratio = allFail }), 15, 1, 1},
		{"nothing failed before", named("replace", func(s *scenario) { s.base, s.ratio = 0, 50 }), 15, 1, 0.05},
		{"rate capped", named("replace", func(s *scenario) { s.base, s.ratio = 0.05, 50 }), 15, 1, 1},
		{"rolled out", named("rolling5m", func(s *scenario) { s.ratio = 4 }), 330, 1, 0.04},
		{"late", named("replace", func(s *scenario) { s.shape, s.ratio = "late", 4 }), 330, 1, 0.04},
		{"ramp, once there", named("replace", func(s *scenario) { s.shape, s.ratio = "ramp", 4 }), 330, 1, 0.04},
		{"one bad pod of ten", named("10of20", func(s *scenario) { s.shape, s.ratio = "one-bad-pod", 11 }), 15, 0.5, 0.02},
		{"missing scrapes lose nothing", named("2of4", func(s *scenario) { s.noise = "missing-scrapes" }), 15, 0.5, 0.01},
		{"bursts keep the mean", named("1of4", func(s *scenario) { s.noise = "gamma-1" }), 15, 0.25, 0.01},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var sum signals.Counts
			var span float64
			for run := range 20 {
				d := simulate(c.scenario, 1, run)
				sum = sum.Add(d.candidate(c.from))
				span += d.end() - c.from
			}
			near(t, "requests/s", sum.Requests/span, 50*c.share, 50*c.share*0.02)
			near(t, "error rate", sum.Rate(), c.rate, 0.1*c.rate)
		})
	}
}

func TestSimulateSides(t *testing.T) {
	d := simulate(named("replace", nil), 1, 0)
	if len(d.ticks) != 61 || len(d.blocks) != before || d.onset < 0 || d.onset >= tick {
		t.Errorf("%d ticks, %d blocks, onset %g", len(d.ticks), len(d.blocks), d.onset)
	}
	for _, r := range d.ticks {
		if r.Candidate.Pods != nil || r.Baseline.Missing != signals.NoSeries {
			t.Fatal("service totals tell no pods, and have no baseline")
		}
	}
	near(t, "requests of the history", d.history.Requests, 180_000, 3_000)

	d = simulate(named("1of4", nil), 1, 0)
	if last := d.ticks[60]; len(last.Candidate.Pods) != 1 || len(last.Baseline.Pods) != 3 {
		t.Errorf("pods %v beside %v", last.Candidate.Pods, last.Baseline.Pods)
	}

	d = simulate(named("rolling5m", nil), 1, 0)
	if first, last := d.ticks[0], d.ticks[len(d.ticks)-1]; !first.Baseline.Spoke() || last.Baseline.Missing != signals.NoSeries || len(last.Candidate.Pods) != 4 {
		t.Errorf("from %v to %v", first, last)
	}
	for i, r := range d.ticks {
		var sum signals.Counts
		for _, c := range r.Candidate.Pods {
			sum = sum.Add(c)
		}
		if sum != r.Candidate.Counts {
			t.Fatalf("tick %d: pods add up to %v, not %v", i, sum, r.Candidate.Counts)
		}
	}
}

func TestNoErrorsBefore(t *testing.T) {
	d := simulate(named("rolling5m", func(s *scenario) { s.noise = "no-errors-before" }), 1, 0)
	if d.history.Errors != 0 || d.history.Requests == 0 || d.candidate(0).Errors == 0 {
		t.Errorf("history %v, candidate %v", d.history.Counts, d.candidate(0))
	}
}

func TestSurgeIsShared(t *testing.T) {
	s := named("2of4", func(s *scenario) { s.noise = "surge" })
	var candidate, baseline signals.Counts
	for run := range 40 {
		for _, r := range simulate(s, 1, run).ticks {
			candidate, baseline = candidate.Add(r.Candidate.Counts), baseline.Add(r.Baseline.Counts)
		}
	}
	near(t, "candidate's error rate", candidate.Rate(), 0.016, 0.001) // 60 s of about 910 are ten times worse
	near(t, "baseline's error rate", baseline.Rate(), 0.016, 0.001)
}

func TestNeighboursShareTheCause(t *testing.T) {
	s := named("replace", func(s *scenario) { s.noise = "shared-cause" })
	var before, after, own signals.Counts
	for run := range 40 {
		d := simulate(s, 1, run)
		own = own.Add(d.candidate(0))
		for _, n := range d.around[len(d.ticks)-1] {
			before, after = before.Add(n.Before), after.Add(n.After)
		}
	}
	near(t, "error rate before", before.Rate(), 0.01, 0.0002)
	near(t, "error rate since", after.Rate(), own.Rate(), 0.001)
	if after.Rate() < 0.02 {
		t.Errorf("the cause is not there: %g", after.Rate())
	}
}

func TestTell(t *testing.T) {
	d := &draw{ticks: make([]signals.Reading, 4), onset: 20, failed: []float64{0, 3, 8, 9}}
	cases := []struct {
		in   int
		want outcome
	}{
		{never, outcome{delay: 40, failed: 9}},
		{0, outcome{rolledBack: true, early: true, delay: 40}},
		{1, outcome{rolledBack: true, delay: 10, failed: 3}},
		{3, outcome{rolledBack: true, delay: 40, failed: 9}},
	}
	for _, c := range cases {
		if got := d.tell(c.in); got != c.want {
			t.Errorf("tick %d: %+v, want %+v", c.in, got, c.want)
		}
	}
}

// What is drawn depends on the seed and the scenario, and on nothing else.
func TestDeterminism(t *testing.T) {
	s := named("rolling5m", func(s *scenario) { s.noise = "missing-scrapes" })
	if a, b := simulate(s, 7, 3), simulate(s, 7, 3); !reflect.DeepEqual(a, b) {
		t.Error("the same seed gave different draws")
	}
	if a, b := simulate(s, 7, 3), simulate(s, 8, 3); reflect.DeepEqual(a, b) {
		t.Error("another seed gave the same draws")
	}
	s = named("replace", func(s *scenario) { s.noise, s.runs = "missing-scrapes", 22 })
	quick := named("1of4", func(s *scenario) { s.ratio, s.runs = allFail, 22 })
	all := []scenario{s, quick}
	j := defaultJudge()
	first := runAll(all, j, 7, func(int) {})
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if second := runAll(all, j, 7, func(int) {}); !reflect.DeepEqual(first, second) {
		t.Error("the same seed gave different outcomes on one core")
	}
}
