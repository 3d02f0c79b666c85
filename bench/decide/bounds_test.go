package main

import (
	"math"
	"testing"
)

func TestNeeded(t *testing.T) {
	// 0.9 ln(0.9/0.001) + 0.1 ln(0.1/0.999) = 6.12216 - 0.23016
	near(t, "information", needed(0.001), 5.8920, 0.0001)
}

func TestDivergence(t *testing.T) {
	near(t, "of two coins", divergence(0.5, 0.25), 0.5*math.Log(4.0/3), 1e-12) // 0.5 ln 2 + 0.5 ln(2/3)
	near(t, "of the same coin", divergence(0.2, 0.2), 0, 1e-12)
	near(t, "of heads only", divergence(1, 0.5), math.Ln2, 1e-12)
	near(t, "of tails only", divergence(0, 0.5), math.Ln2, 1e-12)
}

func TestBound(t *testing.T) {
	const a, margin = 0.001, 1.5
	cases := []struct {
		name     string
		scenario scenario
		want     float64
	}{
		// 5% against 0.75%: 0.05 ln(6.667) + 0.95 ln(0.95/0.9925) = 0.094856 - 0.041576 = 0.053280 a request; 5.8920 over
		// 50 times that.
		{"history", named("replace", func(s *scenario) { s.base, s.ratio = 0.005, 10 }), 2.2117},
		// A quarter of the requests: 0.325 + 0.375... of 50/s: errors/s = 50 (0.25x0.1 + 0.75x0.01) = 1.625, theta =
		// 2.5/3.25 = 0.76923, theta0 = 0.375/1.125 = 1/3: 0.76923 ln 2.30769 + 0.23077 ln 0.34615 = 0.39848.
		{"concurrent", named("1of4", func(s *scenario) { s.ratio = 10 }), 5.8920 / (1.625 * 0.39848)},
		// Every request fails: ln(1/0.015) = 4.19971 a request.
		{"all fail", named("replace", func(s *scenario) { s.ratio = allFail }), 5.8920 / (50 * 4.19971)},
		{"late is as fast", named("replace", func(s *scenario) { s.base, s.ratio, s.shape = 0.005, 10, "late" }), 2.2117},
		{"within the margin", named("replace", func(s *scenario) { s.ratio = 1.5 }), math.NaN()},
		{"nothing failed before", named("replace", func(s *scenario) { s.base, s.ratio = 0, 50 }), math.NaN()},
		// One pod of ten at 10%, nine at 1%: together 1.9%, a ratio of 1.9.
		{"one bad pod", named("10of20", func(s *scenario) { s.shape, s.ratio = "one-bad-pod", 10 }), 5.8920 / (50 * 0.5 * 0.029 * divergence(1.9/2.9, 0.6))},
		// Until all four pods are new the information comes in quarters of 100 s: 0.25, 0.5, 0.75 of 0.53280/s at 10/s.
		{"rolling", named("rolling5m", func(s *scenario) { s.rate, s.base, s.ratio = 10, 0.005, 10 }), 5.8920 / (0.53280 * 0.25)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := c.scenario.bound(a, margin)
			if math.IsNaN(c.want) {
				if !math.IsNaN(got) {
					t.Errorf("bound %g, want none", got)
				}
				return
			}
			near(t, "bound", got, c.want, 0.002*c.want)
		})
	}
	ramp, step := named("replace", func(s *scenario) { s.ratio, s.shape = 4, "ramp" }), named("replace", func(s *scenario) { s.ratio = 4 })
	if ramp.bound(a, margin) <= step.bound(a, margin) {
		t.Error("a ramp is found sooner than a step")
	}
}

// With a past of many errors the rate is as good as known, and the bound is that of Poisson counts.
func TestBoundUnknown(t *testing.T) {
	s := named("replace", func(s *scenario) { s.rate, s.base, s.ratio = 10, 0.001, 10 })
	known := needed(0.001) / (s.rate * s.base * (10*math.Log(10/1.5) - 8.5))
	near(t, "many errors", s.boundUnknown(0.001, 1.5, 1e6), known, 0.2)
	if few := s.boundUnknown(0.001, 1.5, 5); few < 1.2*known {
		t.Errorf("5 errors: %.0fs, which should be far more than %.0fs", few, known)
	}
	if none := s.boundUnknown(0.001, 1.5, 0); none <= s.boundUnknown(0.001, 1.5, 5) {
		t.Errorf("no error: %.0fs, no more than with 5", none)
	}
}
