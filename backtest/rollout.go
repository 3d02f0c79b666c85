// Package backtest bakes rollouts of the past again, by any configuration: what would these thresholds have done? It reads
// and judges with the code of the daemon; where the rollouts come from, and how the answer looks, is all that is here.
package backtest

import (
	"cmp"
	"regexp"
	"slices"
	"time"
)

// Rollout is one rollout of the past.
type Rollout struct {
	Kind, Namespace, Name string
	Labels, Annotations   map[string]string // of the workload now, where they are known
	Started               time.Time
	Ended                 time.Time // when it was over, such as by the next one; zero: at the end of its window
	Watched               time.Time // its bake is on record to have gone on until then; zero: not known
	EndGiven              bool      // somebody says that it was over then, and that it passed if it was well
	FirstReady, Completed time.Time // zero: not known

	// To and From are the ReplicaSets, and what sentences call them. From is empty when there was none before.
	To, From             string
	CalledTo, CalledFrom string
	// Candidate and Baseline tell the pods apart in place of the ReplicaSets' names; a nil Baseline: all other pods of
	// the workload.
	Candidate, Baseline *regexp.Regexp
	ByPattern           bool

	Since, Until time.Time // when From served alone; zero: not known, and Started
	Now          string    // how its bake ended, where one is on record
}

// id tells the rollouts of one workload from those of others.
func (r Rollout) id() [3]string { return [3]string{r.Kind, r.Namespace, r.Name} }

// order sorts rollouts by time, and has each end where the next one of its workload begins: not before its own bake did, as
// the start of a rollout is known to the second.
func order(rollouts []Rollout) {
	slices.SortStableFunc(rollouts, func(a, b Rollout) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	last := map[[3]string]int{}
	for i, r := range rollouts {
		if before, ok := last[r.id()]; ok {
			if p := &rollouts[before]; p.Ended.IsZero() && p.Started.Before(r.Started) {
				p.Ended = r.Started
				if p.Watched.After(p.Ended) {
					p.Ended = p.Watched
				}
			}
			if rollouts[i].Since.IsZero() && rollouts[before].Started.Before(r.Started) {
				rollouts[i].Since = rollouts[before].Started
			}
		}
		last[r.id()] = i
	}
}
