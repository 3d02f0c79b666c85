package main

// Argo Rollouts' rule, with the settings of its documentation: measured at once and every five minutes, 95% of the last five
// minutes' requests must succeed, and the fourth failure is one too many. While there is no series yet, measuring is an
// error, which is tried again after ten seconds; five in a row end the analysis. Where the counters stand still the success
// rate is NaN, which is not at least 95%, and so fails.
const (
	argoSuccess      = 0.95
	argoFailureLimit = 3
	argoInterval     = 5 * ticksPerMinute
	argoErrors       = 5
	argoRetry        = 10.0
)

func argo(d *draw) int {
	// The first measurement comes before there is anything to measure. It is repeated until there is, or too often.
	first := 0
	for d.served(0, first+1).Requests == 0 {
		if edge(first) > (argoErrors-1)*argoRetry {
			return first
		}
		first++
	}
	failed := 0
	for i := first; i < len(d.ticks); i += argoInterval {
		if c := d.served(i+1-argoInterval, i+1); c.Requests == 0 || 1-c.Rate() < argoSuccess {
			failed++
		}
		if failed > argoFailureLimit {
			return i
		}
	}
	return never
}
