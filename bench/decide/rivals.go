package main

import "github.com/bakewatch/bakewatch/signals"

// rival is another guard's rule. It is shown the same measurements, and says in which tick it rolls back, or never.
//
// Its clock starts with the first tick, a little before the first new pod is ready, which is in its favour.
type rival struct {
	name string
	rule func(d *draw) int
}

const never = -1

var rivals = []rival{{"flagger", flagger}, {"argo", argo}, {"kayenta", kayenta}}

const ticksPerMinute = int(60 / tick)

// served is what the candidate was seen to serve in the ticks from the first to before the last.
func (d *draw) served(from, to int) signals.Counts {
	var c signals.Counts
	for _, r := range d.ticks[max(from, 0):min(to, len(d.ticks))] {
		if r.Candidate.Spoke() {
			c = c.Add(r.Candidate.Counts)
		}
	}
	return c
}
