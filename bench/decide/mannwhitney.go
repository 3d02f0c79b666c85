package main

import (
	"math"
	"slices"
)

// shift estimates by how much x is above y (Hodges-Lehmann), and the lower end of the two-sided confidence interval of that,
// by inverting the Mann-Whitney test with its normal approximation, corrected for ties and continuity, as R's wilcox.test
// does without exact: the shifts at which the test just rejects are differences between an x and a y.
func shift(x, y []float64, confidence float64) (lower, estimate float64) {
	m, n := float64(len(x)), float64(len(y))
	differences := make([]float64, 0, len(x)*len(y))
	for _, a := range x {
		for _, b := range y {
			differences = append(differences, a-b)
		}
	}
	slices.Sort(differences)

	// Once x is shifted, values are tied only within x and within y.
	tied := ties(x) + ties(y)
	spread := math.Sqrt(m * n / 12 * (m + n + 1 - tied/((m+n)*(m+n-1))))
	z := math.Sqrt2 * math.Erfinv(confidence)

	// Shifted by d, the statistic is the number of differences above d. Its distance from the mean, less 0.5, crosses z
	// spreads at the lower end, and 0 at the estimate. It falls in steps at the differences.
	crossing := func(above float64) float64 {
		k := len(differences) - int(math.Ceil(above)) // with k of them at or below d, at least so many are above
		return differences[min(max(k, 0), len(differences)-1)]
	}
	return crossing(m*n/2 + 0.5 + z*spread), median(differences)
}

// ties is the sum of t³-t over groups of t equal values.
func ties(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	var sum float64
	for i := 0; i < len(sorted); {
		j := i
		for j < len(sorted) && sorted[j] == sorted[i] {
			j++
		}
		t := float64(j - i)
		sum += t*t*t - t
		i = j
	}
	return sum
}

// median of values in order.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
