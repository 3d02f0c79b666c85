package decide

import "math"

// Suspicious is the reason of a verdict that is not in yet, if what was seen of a signal so far is over its threshold and speaks
// for harm by half of what a verdict takes: an e-value of 1/√falseAlarm where 1/falseAlarm is needed, both by their logarithms,
// 1 in 32 for the usual 1 in 1,000. falseAlarm is Input's; where it turns the evidence layer off, being over the threshold in
// fewer ticks than are needed is all there is to go by.
//
// Under the model a version that is no worse than the margin is ever suspicious with a chance of at most √falseAlarm for a
// signal (Ville's inequality); how often good rollouts are is measured by bench/decide.
func (v Verdict) Suspicious(falseAlarm float64) (Reason, bool) {
	if v.Result != Undecided {
		return Reason{}, false
	}
	least := 0.0
	if falseAlarm > 0 && falseAlarm < 1 {
		least = -math.Log(falseAlarm) / 2
	}
	for _, r := range v.Reasons {
		if r.Code == CodeSuspicion && r.Numbers.LogE >= least {
			return r, true
		}
	}
	return Reason{}, false
}
