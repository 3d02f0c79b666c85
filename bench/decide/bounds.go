package main

import "math"

// How long the best test there can be needs, on the mean, for the same null (no worse than the margin), the same chance
// of a false alarm and power 0.9, if it knew the error rate of the old version (history) and need not wait for a tick.
//
// Source: A. Wald, "Sequential tests of statistical hypotheses", Annals of Mathematical Statistics 16 (1945): whatever the
// test, the mean information at its end is at least what it needs, so E[N] is at least that over the information of one
// request. Where information comes faster and faster (a rollout in progress, a ramp) the bound is taken at the time at which
// the information expected so far is what is needed, which is close, but no bound in the strict sense.

// missed is 1 - power.
const missed = 0.1

// needed is the information, in nats, that a test must have on the mean before it may say "worse".
func needed(falseAlarm float64) float64 {
	a, b := falseAlarm, missed
	return (1-b)*math.Log((1-b)/a) + b*math.Log(b/(1-a))
}

// divergence is the Kullback-Leibler divergence of two coins, per toss, in nats.
func divergence(p, q float64) float64 {
	term := func(p, q float64) float64 {
		if p == 0 {
			return 0
		}
		return p * math.Log(p/q)
	}
	return term(p, q) + term(1-p, 1-q)
}

// oneStream is the information a second of new pods brings where the old version's error rate is known: requests/s on
// new pods, of which the share bad fails, against margin x base.
func oneStream(requests, bad, base, margin float64) float64 {
	null := math.Min(1, margin*base)
	if bad <= null {
		return 0
	}
	return requests * divergence(bad, null)
}

// twoStreams is the information a second brings where only old pods beside tell their error rate: each error is on a new
// pod with chance theta, which under the null is what the margin makes of the share of requests on new pods.
func twoStreams(requests, share, bad, base, margin float64) float64 {
	if bad <= margin*base {
		return 0
	}
	errors := requests * (share*bad + (1-share)*base)
	return errors * divergence(onNew(bad/base, share), onNew(margin, share))
}

// onNew is the share of errors that are on new pods, which have a share of the requests and fail ratio times as often.
func onNew(ratio, share float64) float64 { return ratio * share / (1 + (ratio-1)*share) }

// bound is how many seconds from the onset of the fault a test needs on the mean, or NaN where there is no bound: without
// a fault beyond the margin; where nothing failed before, so that a single failure tells all; and where a cause outside
// makes more requests fail, which tells more. What makes it harder is left out.
func (s scenario) bound(falseAlarm, margin float64) float64 {
	if s.base == 0 || s.healthy(margin) || s.noise == "surge" || s.noise == "shared-cause" {
		return math.NaN()
	}
	how := s.rollout()
	information := func(t float64) float64 { // of the second t after the onset
		bad, since := s.bad(), t
		switch s.shape {
		case "ramp":
			bad = s.base + (bad-s.base)*math.Min(1, t/rampOver)
		case "one-bad-pod": // new pods taken together
			bad = s.base + (bad-s.base)/(how.share(t)*float64(how.after))
		case "late":
			since += lateBy
		}
		share := how.share(since)
		if how.control == "concurrent" {
			return twoStreams(s.rate, share, bad, s.base, margin)
		}
		return oneStream(s.rate*share, bad, s.base, margin)
	}
	const horizon = 30 * day
	sum, goal := 0.0, needed(falseAlarm)
	if i := information(rampOver + how.over); i <= 0 {
		return math.NaN()
	}
	for t := 0.0; t < horizon; {
		// Until all is as it will stay, in small steps; then in one.
		if t >= math.Max(rampOver, how.over) {
			return t + (goal-sum)/information(t)
		}
		const step = 0.1
		i := information(t + step/2)
		if sum+i*step >= goal {
			return t + (goal-sum)/i
		}
		sum += i * step
		t += step
	}
	return math.NaN()
}

// boundUnknown is the bound of a single-replica replacement where the old version's error rate is known from so many errors
// of the past alone: the time at which the information expected, with a gamma distribution of that shape in the place of
// the rate, is what is needed. It is no bound in the strict sense, as it takes the mean of what is seen for what is seen.
func (s scenario) boundUnknown(falseAlarm, margin, errors float64) float64 {
	goal, shape, ratio := needed(falseAlarm), errors+1, s.bad()/s.base
	for t := 0.1; t < baked; t += 0.1 {
		m := s.rate * s.base * t // expected of the old version; of the past's length, so many times the shape
		x := m * ratio
		per := m / shape
		if x*math.Log(ratio/margin)-(x+shape)*math.Log((1+ratio*per)/(1+margin*per)) >= goal {
			return t
		}
	}
	return math.Inf(1)
}
