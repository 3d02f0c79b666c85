package main

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// measured is a draw of which each minute's error rate, in percent, is given; "-" is a minute without requests.
func measured(minutes string) *draw {
	d := &draw{}
	for _, word := range strings.Fields(minutes) {
		var c signals.Counts
		if word != "-" {
			c = signals.Counts{Requests: 1000, Errors: 10 * parse(word)}
		}
		for range ticksPerMinute {
			d.ticks = append(d.ticks, signals.Reading{Candidate: signals.Side{Counts: c}, Baseline: signals.Side{Counts: signals.Counts{Requests: 3000, Errors: 30}}})
		}
	}
	return d
}

func parse(s string) float64 {
	var whole float64
	for _, digit := range s {
		whole = 10*whole + float64(digit-'0')
	}
	return whole
}

// minute is the tick that ends so many minutes after the start.
func minute(n int) int { return n*ticksPerMinute - 1 }

func TestFlagger(t *testing.T) {
	cases := []struct {
		name, minutes string
		want          int
	}{
		{"a steady failure takes threshold+1 intervals", strings.Repeat("2 ", 15), minute(6)},
		{"99% is enough", strings.Repeat("1 ", 15), never},
		{"a pass resets nothing", "2 0 2 0 2 0 2 0 2 0 0 0 0 0 0", minute(10)},
		{"four failures are not enough", "2 2 2 2 0 0 0 0 0 0 0 0 0 0 0", never},
		{"nothing to look at is a failure", strings.Repeat("- ", 15), minute(6)},
		{"the check after the last failure is needed", "0 0 0 0 0 0 0 0 0 0 2 2 2 2 2", never},
	}
	for _, c := range cases {
		if got := flagger(measured(c.minutes)); got != c.want {
			t.Errorf("%s: tick %d, want %d", c.name, got, c.want)
		}
	}
}

func TestArgo(t *testing.T) {
	cases := []struct {
		name, minutes string
		want          int
	}{
		{"the fourth measurement is one too many", strings.Repeat("6 ", 16), minute(15) + 1},
		{"95% is enough", strings.Repeat("5 ", 16), never},
		{"three failures are allowed", strings.Repeat("6 ", 15), never},
		{"five errors in a row end it", strings.Repeat("- ", 16), 2},
		{"counters that stand still are a failure", "0 " + strings.Repeat("- ", 30), minute(25) + 1},
		{"an old failure is forgotten only with its window", "99 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0", never},
	}
	for _, c := range cases {
		if got := argo(measured(c.minutes)); got != c.want {
			t.Errorf("%s: tick %d, want %d", c.name, got, c.want)
		}
	}
}

func TestKayenta(t *testing.T) {
	cases := []struct {
		name, minutes string
		want          int
	}{
		{"worse, said at the end", "4 5 6 4 5 6 4 5 6 4 5 6 4 5 6", minute(15)},
		{"the same", strings.Repeat("1 ", 15), never},
		{"better is not worse", strings.Repeat("0 ", 15), never},
		{"nothing to look at", strings.Repeat("- ", 15), never},
		{"mostly the same", "1 1 1 1 1 1 1 1 1 1 1 1 5 5 5", never},
	}
	for _, c := range cases {
		if got := kayenta(measured(c.minutes)); got != c.want {
			t.Errorf("%s: tick %d, want %d", c.name, got, c.want)
		}
	}
}

// The example of R's wilcox.test: permeability constants of the human chorioamnion (Hollander and Wolfe, 1973).
func TestShift(t *testing.T) {
	atTerm := []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	earlier := []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	lower, estimate := shift(atTerm, earlier, 0.95)
	near(t, "lower end", lower, -0.15, 1e-9)
	near(t, "estimate", estimate, 0.305, 1e-9)

	// Ties make the interval narrower, and values that are all the same have none.
	if lower, estimate := shift([]float64{1, 1, 1}, []float64{1, 1, 1}, 0.98); lower != 0 || estimate != 0 {
		t.Errorf("of equal values: %g, %g", lower, estimate)
	}
	near(t, "ties", ties([]float64{3, 1, 3, 2, 3, 1}), 24+6, 0)
}
