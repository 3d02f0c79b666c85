package decide

import "math"

// What else moved: workloads that did not deploy.

// lift is how many times worse the neighbours that did not deploy became, for a past that is no fair control any more.
type lift struct {
	ratio    float64 // 1 where they did not move for sure
	variance float64 // of its logarithm
	count    int     // neighbours it was taken from
}

// sure is how many standard errors the neighbours must have moved to count as having moved. It is low: to excuse too much
// delays a rollback, to excuse too little undoes a version that is not to blame.
const sure = 1

// fewest errors of a neighbour, before and after together, that say anything of how it moved.
const fewest = 5

// newLift takes the mean of the neighbours' log ratios of after to before, weighed by what is known of each and of how they
// differ among themselves (DerSimonian and Laird's random effects). Compared with a past lifted by it, the test asks for the
// difference of two differences: of this workload's and of theirs.
func newLift(neighbours []Neighbour) lift {
	var sum, weights, squares, square float64
	n := 0
	type moved struct{ ratio, weight float64 }
	all := make([]moved, 0, len(neighbours))
	for _, o := range neighbours {
		b, a := o.Before, o.After
		if !sane(b.Requests, b.Errors, a.Requests, a.Errors) || b.Requests == 0 || a.Requests == 0 || a.Errors+b.Errors < fewest {
			continue
		}
		r := math.Log((a.Errors + 0.5) / a.Requests * b.Requests / (b.Errors + 0.5))
		if math.IsInf(r, 0) {
			continue
		}
		w := 1 / (1/(a.Errors+0.5) + 1/(b.Errors+0.5))
		all = append(all, moved{r, w})
		sum += w * r
		weights += w
		squares += w * w
		n++
	}
	if n == 0 {
		return lift{ratio: 1}
	}
	mean := sum / weights
	for _, m := range all {
		square += m.weight * (m.ratio - mean) * (m.ratio - mean)
	}
	between := 0.0
	if n > 1 {
		between = math.Max(0, (square-float64(n-1))/(weights-squares/weights))
	}
	sum, weights = 0, 0
	for _, m := range all {
		w := 1 / (1/m.weight + between)
		sum += w * m.ratio
		weights += w
	}
	mean = sum / weights
	se := math.Sqrt(1 / weights)
	if mean < sure*se {
		return lift{ratio: 1}
	}
	return lift{ratio: math.Exp(mean), variance: se*se + between, count: n}
}

func sane(xs ...float64) bool {
	for _, x := range xs {
		if !(x >= 0 && x <= 1<<53) {
			return false
		}
	}
	return true
}
