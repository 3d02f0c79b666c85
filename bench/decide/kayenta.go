package main

import "github.com/bakewatch/bakewatch/signals"

// Kayenta's rule: a point a minute for the canary and for its baseline, compared once, at the end. The metric is High, which
// with one metric is a score of 0 and fails, if the whole 98% confidence interval of the shift between them lies
// above a quarter of the estimated shift. Minutes without requests give no point, and without points there is no
// judgement. Where no old pods serve beside, the minutes before the rollout are the baseline.
const (
	kayentaConfidence = 0.98
	kayentaTolerance  = 0.25
)

func kayenta(d *draw) int {
	var canary, baseline, past []signals.Side
	for _, r := range d.ticks {
		canary, baseline = append(canary, r.Candidate), append(baseline, r.Baseline)
	}
	past = d.blocks
	control := points(baseline)
	if len(past) > 0 {
		control = points(past)
	}
	if high(points(canary), control) {
		return len(d.ticks) - 1
	}
	return never
}

// points are the error rates of the minutes that have requests.
func points(sides []signals.Side) []float64 {
	var out []float64
	for i := 0; i+ticksPerMinute <= len(sides); i += ticksPerMinute {
		var c signals.Counts
		for _, s := range sides[i : i+ticksPerMinute] {
			if s.Spoke() {
				c = c.Add(s.Counts)
			}
		}
		if c.Requests > 0 {
			out = append(out, c.Rate())
		}
	}
	return out
}

// high reports whether the canary's points are above the control's.
func high(canary, control []float64) bool {
	if len(canary) == 0 || len(control) == 0 {
		return false
	}
	lower, estimate := shift(canary, control, kayentaConfidence)
	if estimate < 0 {
		estimate = -estimate
	}
	return lower > kayentaTolerance*estimate
}
