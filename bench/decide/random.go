package main

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// random is where all chance in a run comes from. Each run has its own, so that a result depends on the seed alone and
// not on what ran beside it.
type random struct{ *rand.Rand }

func newRandom(seed uint64, scenario string, run int) random {
	h := fnv.New64a()
	_, _ = h.Write([]byte(scenario))
	return random{rand.New(rand.NewPCG(seed^h.Sum64(), uint64(run)))}
}

// poisson draws a Poisson number, exactly: by adding up probabilities where the mean is small, else by Hörmann's
// transformed rejection (W. Hörmann, "The transformed rejection method for generating Poisson random variables",
// Insurance: Mathematics and Economics 12, 1993, algorithm PTRS).
func (r random) poisson(mean float64) float64 {
	switch {
	case mean <= 0:
		return 0
	case mean < 10:
		p := math.Exp(-mean)
		k, u := 0.0, r.Float64()
		for sum := p; u > sum && p > 0; sum += p {
			k++
			p *= mean / k
		}
		return k
	}
	root, logMean := math.Sqrt(mean), math.Log(mean)
	b := 0.931 + 2.53*root
	a := -0.059 + 0.02483*b
	inverse := 1.1239 + 1.1328/(b-3.4)
	squeeze := 0.9277 - 3.6224/(b-2)
	for {
		u, v := r.Float64()-0.5, r.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + mean + 0.43)
		if us >= 0.07 && v <= squeeze {
			return k
		}
		if k < 0 || (us < 0.013 && v > us) {
			continue
		}
		gamma, _ := math.Lgamma(k + 1)
		if math.Log(v)+math.Log(inverse)-math.Log(a/(us*us)+b) <= k*logMean-mean-gamma {
			return k
		}
	}
}

// gamma draws a Gamma number with mean 1 and the given squared coefficient of variation (G. Marsaglia and W. W. Tsang,
// "A simple method for generating gamma variables", ACM TOMS 26, 2000).
func (r random) gamma(cv2 float64) float64 {
	shape, boost := 1/cv2, 1.0
	if shape < 1 {
		boost = math.Pow(r.Float64(), 1/shape)
		shape++
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if u := r.Float64(); math.Log(u) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v * boost * cv2
		}
	}
}
