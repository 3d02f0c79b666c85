package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The goals, and how far the judge is from each.

type goal struct {
	what   string
	met    bool
	detail string
	misses []string
}

func (r results) reach(j judge) []goal {
	return []goal{r.quiet(), r.quietInNoise(), r.fast(j), r.instant(), r.harmless(j)}
}

func describe(goals []goal) string {
	var w strings.Builder
	for _, g := range goals {
		verdict := "met    "
		if !g.met {
			verdict = "NOT MET"
		}
		fmt.Fprintf(&w, "%s  %s: %s\n", verdict, g.what, g.detail)
		for _, m := range g.misses {
			fmt.Fprintf(&w, "           %s\n", m)
		}
	}
	return w.String()
}

const (
	certified = 30_000 // healthy runs without any noise
	perNoise  = 3_000  // healthy runs of each noise
)

// quiet: no false rollback in 30,000 independent healthy runs.
func (r results) quiet() goal {
	g := goal{what: "no false rollback in 30,000 healthy runs without noise"}
	runs, wrong := 0, 0
	for _, s := range r.Scenarios {
		if s.Noise != "independent" || !s.healthyIn() {
			continue
		}
		n := times(s.FalseRollback, s.Runs)
		runs, wrong = runs+s.Runs, wrong+n
		if n > 0 {
			g.misses = append(g.misses, fmt.Sprintf("%s: %d of %d", s.Name, n, s.Runs))
		}
	}
	g.met = wrong == 0 && runs >= certified
	g.detail = fmt.Sprintf("%d of %d", wrong, runs)
	for _, v := range rivals {
		n := 0
		for _, s := range r.Scenarios {
			if s.Noise == "independent" && s.healthyIn() {
				n += times(s.Rivals[v.name].FalseRollback, s.Runs)
			}
		}
		g.detail += fmt.Sprintf(", %s %d", v.name, n)
	}
	return g
}

func times(share float64, runs int) int { return int(math.Round(share * float64(runs))) }

// quietInNoise: at most one false rollback in a thousand healthy runs of each other noise.
func (r results) quietInNoise() goal {
	g := goal{what: "at most 1 false rollback in 1,000 healthy runs of each noise", met: true}
	var noises []string
	runs, wrong := map[string]int{}, map[string]int{}
	where := map[string][]string{}
	for _, s := range r.Scenarios {
		if s.Noise == "independent" || !s.healthyIn() {
			continue
		}
		if !slices.Contains(noises, s.Noise) {
			noises = append(noises, s.Noise)
		}
		n := times(s.FalseRollback, s.Runs)
		runs[s.Noise] += s.Runs
		wrong[s.Noise] += n
		if n > 0 {
			where[s.Noise] = append(where[s.Noise], fmt.Sprintf("%s: %d of %d", s.Name, n, s.Runs))
		}
	}
	for i, n := range noises {
		if i > 0 {
			g.detail += ", "
		}
		g.detail += fmt.Sprintf("%s %d of %d", n, wrong[n], runs[n])
		if wrong[n]*1000 > runs[n] || runs[n] < perNoise {
			g.met = false
			g.misses = append(g.misses, where[n]...)
		}
	}
	return g
}

// fast: as near to the bound as promised.
func (r results) fast(j judge) goal {
	g := goal{what: "step faults of 4x and more, mean delay near the bound"}
	checked := 0
	for _, s := range r.Scenarios {
		if !s.plainFault() || s.Bound == nil || s.Control == "both" {
			continue // of both controls together nothing is promised beyond that neither is lost
		}
		bound, limit := *s.Bound, 0.0
		switch {
		case bound >= baked/2:
			continue // nobody finds it in time
		case bound <= tick:
			limit = 2 * tick
		case s.Control == "concurrent":
			limit = 1.5*bound + tick
		default:
			limit = 2*bound + tick
		}
		checked++
		if s.MeanDelay > limit {
			miss := fmt.Sprintf("%s: mean %s, limit %s, bound %s, detected %s", s.Name, seconds(s.MeanDelay), seconds(limit), seconds(bound), percent(s.Detected))
			g.misses = append(g.misses, miss+j.remark(s.scenario, limit)+j.unknown(s, limit))
		}
	}
	g.met = checked > 0 && len(g.misses) == 0
	g.detail = fmt.Sprintf("%d of %d scenarios within it", checked-len(g.misses), checked)
	return g
}

// plainFault reports whether the goals for speed speak of the scenario.
func (r result) plainFault() bool {
	return r.Shape == "step" && r.Noise == "independent" && (r.Ratio == nil || *r.Ratio >= 4)
}

// instant: a version that fails every request is found within three ticks.
func (r results) instant() goal {
	g := goal{what: "all requests failing found within 3 ticks from 10 requests/s up"}
	checked := 0
	for _, s := range r.Scenarios {
		if s.Ratio != nil || s.Rate < 10 || s.Shape != "step" || s.Noise != "independent" {
			continue
		}
		checked++
		if s.Detected < 1 || s.MeanDelay > 3*tick {
			g.misses = append(g.misses, fmt.Sprintf("%s: mean %s, detected %s", s.Name, seconds(s.MeanDelay), percent(s.Detected)))
		}
	}
	g.met = checked > 0 && len(g.misses) == 0
	g.detail = fmt.Sprintf("%d of %d scenarios", checked-len(g.misses), checked)
	return g
}

// harmless: a fifth of the failed requests of the best rival that is no more often wrong about a healthy version.
func (r results) harmless(j judge) goal {
	g := goal{what: "5x fewer failed requests than the best rival with no more false rollbacks"}
	healthy := map[string]result{}
	for _, s := range r.Scenarios {
		if s.healthyIn() {
			healthy[s.Name] = s
		}
	}
	checked, beyond := 0, 0
	for _, s := range r.Scenarios {
		twin, ok := healthy[s.scenario.twin()]
		if !ok || !s.plainFault() || (s.Bound != nil && *s.Bound >= baked/2) {
			continue
		}
		best, who := math.Inf(1), ""
		for _, v := range rivals {
			if o := s.Rivals[v.name]; twin.Rivals[v.name].FalseRollback <= twin.FalseRollback && o.Failed < best {
				best, who = o.Failed, v.name
			}
		}
		if who == "" {
			continue
		}
		checked++
		if best < 5*s.Failed {
			miss := fmt.Sprintf("%s: %.1f failed against %.1f with %s, %.2gx fewer", s.Name, s.Failed, best, who, best/s.Failed)
			if at := s.failedAtBound(); best < 5*at {
				beyond++
				miss += fmt.Sprintf("; no test can: until the bound %.1f fail", at)
			} else {
				miss += j.remark(s.scenario, best/5/(s.Rate*s.scenario.bad()))
			}
			g.misses = append(g.misses, miss)
		}
	}
	g.met = checked > 0 && len(g.misses) == 0
	g.detail = fmt.Sprintf("%d of %d scenarios, %d of the misses out of reach of any test", checked-len(g.misses), checked, beyond)
	return g
}

// failedAtBound is how many requests the new version has failed by the time that the best test there is needs.
func (r result) failedAtBound() float64 {
	if r.Bound == nil {
		return 0
	}
	var failed float64
	how := r.scenario.rollout()
	const step = 0.1
	for t := 0.0; t < *r.Bound; t += step {
		failed += r.Rate * how.share(t) * r.scenario.bad() * math.Min(step, *r.Bound-t)
	}
	return failed
}

// unknown says what stands in the way that no test can know: how the old version really fails, of which the past has shown
// only so many errors; and that two ticks, the first of them begun, hold little more than the bound.
func (j judge) unknown(s result, limit float64) string {
	if s.Control == "history" {
		past := s.Rate * s.Base * before * tick
		if b := s.scenario.boundUnknown(j.falseAlarm, j.margin, past); s.MeanDelay <= 2*b+tick {
			return fmt.Sprintf("; the past has %.2g errors, and with the old rate no better known the bound is %s", past, seconds(b))
		}
	}
	if limit == 2*tick && *s.Bound > 1.5*tick/4 {
		return fmt.Sprintf("; until the end of the second tick there is %.2g times the bound on the mean", 1.5*tick / *s.Bound)
	}
	return ""
}

// remark says where the policy's threshold, and not the evidence, is what a scenario waits for beyond a number of seconds.
func (j judge) remark(s scenario, limit float64) string {
	t := j.signal.Threshold
	if s.bad() < s.base+t.Floor {
		return "; the increase is below the policy's floor"
	}
	how, at := s.rollout(), 0.0
	for served := 0.0; served < t.MinRequests; at++ {
		served += s.rate * how.share(at)
	}
	at += float64(t.Ticks-1) * tick // each of the newest ticks looks back at as many
	if at > limit {
		return fmt.Sprintf("; the policy waits for %g requests in %d ticks, %s", t.MinRequests, t.Ticks, seconds(at))
	}
	return ""
}
