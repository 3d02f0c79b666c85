package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// judge is the judge with the default policy.
type judge struct {
	signal     policy.Signal
	falseAlarm float64
	margin     float64
}

func defaultJudge() judge {
	p, _ := policy.Default().For(policy.Target{Kind: "Deployment", Namespace: "shop", Name: "api"})
	at := slices.IndexFunc(p.Signals, func(s policy.Signal) bool { return s.Name == policy.DefaultSignal })
	return judge{signal: p.Signals[at], falseAlarm: p.FalseAlarm, margin: decide.DefaultMargin}
}

// decide says in which tick the judge rolls back, looking at each in turn as it would have come, and why; and in which it first
// had a suspicion; and whether people who ask would have been told of one.
func (j judge) decide(d *draw) (in, suspected int, told bool, why decide.Reason) {
	suspected = never
	input := decide.Input{To: "rev 2", From: "rev 1", FalseAlarm: j.falseAlarm, Margin: j.margin, Signals: []decide.Evidence{{
		Signal: j.signal.Name, Threshold: j.signal.Threshold, History: d.history, Blocks: d.blocks, Days: d.days, Lead: d.lead,
	}}}
	learnt := decide.Learn(d.blocks) // once a bake, as the daemon does
	input.Signals[0].Learnt = &learnt
	for i := range d.ticks {
		input.Signals[0].Ticks = d.ticks[:i+1]
		if d.around != nil {
			input.Signals[0].Neighbours = d.around[i]
		}
		v := decide.Judge(input)
		if v.Result == decide.Regressed {
			return i, suspected, told, v.Reasons[0]
		}
		if v.Suspected != nil && suspected == never {
			suspected = i
		}
		told = told || v.Suspected != nil
	}
	return never, suspected, told, decide.Reason{}
}

// outcome is what one guard did in one run.
type outcome struct {
	rolledBack bool
	early      bool // before there was a fault
	delay      float64
	failed     float64
	why        string // the judge's reason, where it was wrong

	suspected bool    // the judge had a suspicion before it rolled back, if it did
	lead      float64 // by how many seconds sooner
	told      bool    // people who ask were told of one
}

// wrong reports whether what was rolled back was not worse.
func (o outcome) wrong(healthy bool) bool { return o.rolledBack && (healthy || o.early) }

// tell says what rolling back in that tick, or never, amounts to.
func (d *draw) tell(in int) outcome {
	last := len(d.ticks) - 1
	if in == never {
		return outcome{delay: edge(last) - d.onset, failed: d.failed[last]}
	}
	if edge(in) <= d.onset { // the fault was not found: nobody saw it
		return outcome{rolledBack: true, early: true, delay: edge(last) - d.onset, failed: d.failed[in]}
	}
	return outcome{rolledBack: true, delay: edge(in) - d.onset, failed: d.failed[in]}
}

// runAll runs every scenario, on as many cores as there are. The answer does not depend on how many.
func runAll(all []scenario, j judge, seed uint64, progress func(done int)) [][][]outcome {
	out := make([][][]outcome, len(all))
	type job struct{ scenario, from, to int }
	var jobs []job
	const batch = 20
	for i, s := range all {
		out[i] = make([][]outcome, s.runs)
		for from := 0; from < s.runs; from += batch {
			jobs = append(jobs, job{i, from, min(from+batch, s.runs)})
		}
	}
	var next, done atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(jobs) {
					return
				}
				jb := jobs[n]
				for run := jb.from; run < jb.to; run++ {
					out[jb.scenario][run] = runOne(all[jb.scenario], j, seed, run)
				}
				progress(int(done.Add(int64(jb.to - jb.from))))
			}
		})
	}
	wait.Wait()
	return out
}

// runOne draws one run and shows it to the judge and then to each rival.
func runOne(s scenario, j judge, seed uint64, run int) []outcome {
	d := simulate(s, seed, run)
	out := make([]outcome, 0, 1+len(rivals))
	in, suspected, told, why := j.decide(d)
	own := d.tell(in)
	own.told = told
	if own.suspected = suspected != never; own.suspected && in != never {
		own.lead = edge(in) - edge(suspected)
	}
	if own.wrong(s.healthy(j.margin)) {
		own.why = fmt.Sprintf("%s, run %d, after %gs of %gs: %s (log E %.3g)", s.name, run, edge(in), d.end(), why.Sentence, why.Numbers.LogE)
	}
	out = append(out, own)
	for _, r := range rivals {
		out = append(out, d.tell(r.rule(d)))
	}
	return out
}

// summary is what the runs of one guard amount to.
type summary struct {
	detected, falseRollback, meanDelay, medianDelay, failed float64
}

// summarize adds up what guard number who did.
func summarize(runs [][]outcome, who int, healthy bool) summary {
	var s summary
	delays := make([]float64, len(runs))
	for i, r := range runs {
		o := r[who]
		switch {
		case o.wrong(healthy):
			s.falseRollback++
		case o.rolledBack:
			s.detected++
		}
		s.meanDelay += o.delay
		s.failed += o.failed
		delays[i] = o.delay
	}
	n := float64(len(runs))
	slices.Sort(delays)
	return summary{s.detected / n, s.falseRollback / n, s.meanDelay / n, median(delays), s.failed / n}
}
