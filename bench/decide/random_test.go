package main

import (
	"fmt"
	"math"
	"testing"
)

// moments are the mean and the variance of n draws.
func moments(n int, draw func() float64) (mean, variance float64) {
	var sum, squares float64
	for range n {
		x := draw()
		sum += x
		squares += x * x
	}
	mean = sum / float64(n)
	return mean, squares/float64(n) - mean*mean
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s is %g, want %g (± %g)", what, got, want, tolerance)
	}
}

func TestPoisson(t *testing.T) {
	const n = 50_000
	for _, mean := range []float64{0.003, 0.5, 9.9, 10, 37.5, 750, 15_000} {
		t.Run(fmt.Sprint(mean), func(t *testing.T) {
			r := newRandom(1, "poisson", 0)
			m, v := moments(n, func() float64 { return r.poisson(mean) })
			near(t, "mean", m, mean, 5*math.Sqrt(mean/n))
			near(t, "variance", v, mean, 5*math.Sqrt((mean+2*mean*mean)/n))
		})
	}
	if got := newRandom(1, "none", 0).poisson(0); got != 0 {
		t.Errorf("a mean of 0 gives %g", got)
	}
}

// The whole distribution, at a mean where rejection is used.
func TestPoissonDistribution(t *testing.T) {
	const n, mean = 200_000, 12.0
	r := newRandom(2, "poisson", 0)
	seen := make([]float64, 60)
	for range n {
		seen[min(int(r.poisson(mean)), len(seen)-1)]++
	}
	for k := range 30 {
		gamma, _ := math.Lgamma(float64(k) + 1)
		p := math.Exp(float64(k)*math.Log(mean) - mean - gamma)
		near(t, fmt.Sprintf("share of %d", k), seen[k]/n, p, 5*math.Sqrt(p/n))
	}
}

func TestGamma(t *testing.T) {
	const n = 200_000
	for _, cv2 := range []float64{0.5, 1, 2} {
		r := newRandom(1, "gamma", 0)
		m, v := moments(n, func() float64 { return r.gamma(cv2) })
		near(t, fmt.Sprintf("mean at %g", cv2), m, 1, 0.02)
		near(t, fmt.Sprintf("variance at %g", cv2), v, cv2, 0.05*cv2+0.02)
	}
}
