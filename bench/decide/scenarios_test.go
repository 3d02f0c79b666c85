package main

import (
	"math"
	"regexp"
	"testing"
)

// What the results promise must be in the table.
func TestTable(t *testing.T) {
	healthy := map[string]int{}
	names := map[string]bool{}
	for _, s := range scenarios(nil, 1) {
		if names[s.name] {
			t.Errorf("%s twice", s.name)
		}
		names[s.name] = true
		if s.ratio == 1 {
			healthy[s.noise] += s.runs
		}
		if rollouts[s.how].after == 0 {
			t.Errorf("%s: unknown rollout", s.name)
		}
	}
	for noise, n := range healthy {
		want := perNoise
		if noise == "independent" {
			want = certified
		}
		if n < want {
			t.Errorf("%s: %d healthy runs, want %d", noise, n, want)
		}
	}
	for _, s := range scenarios(nil, 1) {
		if !names[s.twin()] {
			t.Errorf("%s has no healthy twin", s.name)
		}
	}
}

func TestOnly(t *testing.T) {
	got := scenarios(regexp.MustCompile(`^step/independent/replace/50rps/1%/(x4|all-fail)$`), 0.1)
	if len(got) != 2 || got[0].runs != 10 || !math.IsInf(got[1].ratio, 1) {
		t.Errorf("got %v", got)
	}
}

func TestShare(t *testing.T) {
	cases := []struct {
		how     string
		t, want float64
	}{
		{"1of4", 0, 0.25}, {"2of4", 900, 0.5}, {"replace", 0, 1},
		{"rolling5m", 0, 0.25}, {"rolling5m", 99, 0.25}, {"rolling5m", 100, 0.5}, {"rolling5m", 300, 1},
	}
	for _, c := range cases {
		if got := rollouts[c.how].share(c.t); got != c.want {
			t.Errorf("%s after %g s: %g, want %g", c.how, c.t, got, c.want)
		}
	}
}
