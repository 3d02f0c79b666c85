package bake

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// Rerun is a rollout of the past, to be baked once more: by the same reading, judging and stepping as live, from what the
// source remembers.
type Rerun struct {
	Key
	To, From      v1alpha1.Revision // their Names begin those of their pods
	First         bool              // there is no From
	CalledTo      string            // what sentences call To and From
	CalledFrom    string
	StartedAt     time.Time
	FirstReadyAt  time.Time // zero: the first tick in which the source has heard of To
	CompletedAt   time.Time // zero: as soon as a pod is ready
	EndedAt       time.Time // when it was over, whatever policy says; zero: at the end of the window
	Enough        bool      // what is healthy by EndedAt passed; else nobody can tell
	BaselineSince time.Time // when From began to serve alone; zero: not known
	BaselineUntil time.Time // zero: StartedAt
	// Lives are the pods of To, and when each was born, where their names do not tell; nil: they do.
	Lives map[string]time.Time
	// Deployed are the workloads of the namespace that are no neighbours because they deployed, too, as was known then.
	// from is where the past of this rollout begins.
	Deployed func(from, now time.Time) map[string]bool
}

// Ending is how a Rerun ended.
type Ending struct {
	Outcome  v1alpha1.Outcome // RolledBack when it would have been
	Verdict  decide.Verdict   // at that tick
	Reasons  []v1alpha1.Reason
	At       time.Time // the tick's end
	Ticks    int
	Served   signals.Counts // by the new version, up to then: of the signal that has most requests
	CutShort bool           // it was over, or is not over yet, before its window was
}

// Play bakes it by each of the policies, which must name the same interval; now is when there is no more to be read. All
// endings are those of a bake that may act: guards that know of today are not asked.
func (r Rerun) Play(ctx context.Context, src Source, now time.Time, policies ...policy.Resolved) ([]Ending, error) {
	runs := make([]*run, len(policies))
	read := policies[0] // what is read, does not depend on thresholds
	for _, p := range policies {
		if p.Interval != read.Interval {
			return nil, fmt.Errorf("play %s again: ticks of %s and of %s", r.Key, read.Interval, p.Interval)
		}
		read.Window = max(read.Window, p.Window)
	}
	q := questionOf(r.Key, r.bakeOf().Spec, read)
	if r.Lives != nil {
		q.among(r.Lives)
	}
	if r.FirstReadyAt.IsZero() {
		r.FirstReadyAt = r.firstHeard(ctx, src, q, now)
	}
	for i, p := range policies {
		runs[i] = r.begin(p)
	}
	v := newEvidence(r.FirstReadyAt, read.Interval)
	for edge := v.anchor.Add(read.Interval); ; edge = edge.Add(read.Interval) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		over := edge.After(now.Add(-settle(read.Interval)))
		if !over {
			v.read(ctx, src, q, edge)
		}
		ended := 0
		for _, one := range runs {
			switch {
			case one.ending.Outcome != "":
			case over:
				one.cut(false)
			default:
				one.tick(r, v, q, edge)
			}
			if one.ending.Outcome != "" {
				ended++
			}
		}
		if ended == len(runs) {
			break
		}
	}
	out := make([]Ending, len(runs))
	for i, one := range runs {
		out[i] = one.ending
	}
	return out, nil
}

// bakeOf is the record such a bake would have.
func (r Rerun) bakeOf() *v1alpha1.Bake {
	b := &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Workload: v1alpha1.WorkloadReference{Kind: r.Kind, Name: r.Name, UID: "rerun"}, Ref: r.Ref(),
		To: r.To, StartedAt: micro(r.StartedAt), BaselineUntil: micro(r.StartedAt)}}
	b.Namespace = r.Namespace
	if !r.First {
		b.Spec.From = &r.From
	}
	if !r.BaselineUntil.IsZero() {
		b.Spec.BaselineUntil = micro(r.BaselineUntil)
	}
	if !r.BaselineSince.IsZero() {
		since := micro(r.BaselineSince)
		b.Spec.BaselineSince = &since
	}
	return b
}

// questionOf is what is asked for a bake until it is rolled back.
func questionOf(k Key, spec v1alpha1.BakeSpec, p policy.Resolved) question {
	q := question{key: k, candidate: podPrefix(&spec.To), baseline: podPrefix(spec.From), historyOf: podPrefix(spec.From),
		version: VersionOf(&spec.To), baselineVersion: VersionOf(spec.From), versionBefore: VersionOf(spec.From),
		fromZero: true, born: spec.StartedAt.Time, past: historySpan(spec), days: daySpans(spec, p.Window), policy: p}
	if spec.InPlace {
		q.fromZero = false // pods that served before go on
	}
	if spec.From != nil && spec.From.Hash == spec.To.Hash {
		q.baseline, q.baselineVersion = "", "" // they are the same pods: their past is the baseline
	}
	return q
}

// firstHeard is the beginning of the first tick in which the source has heard of the new version, by any of the signals
// that tell pods apart. Where there is none it is the start of the rollout.
func (r Rerun) firstHeard(ctx context.Context, src Source, q question, now time.Time) time.Time {
	first := time.Time{}
	last := r.StartedAt.Add(q.policy.Window + usualRollout)
	if last.After(now) {
		last = now
	}
	if !r.EndedAt.IsZero() && last.After(r.EndedAt) {
		last = r.EndedAt
	}
	var edges []time.Time
	for at := r.StartedAt.Truncate(q.policy.Interval); !at.After(last); at = at.Add(q.policy.Interval) {
		edges = append(edges, at)
	}
	for _, s := range q.policy.Signals {
		for part := edges; s.By == signals.ByPod && len(part) > 1; part = part[min(len(part)-1, atOnce):] {
			ask := q.of(s)
			ask.Bounds = part[:min(len(part), atOnce+1)]
			rs, err := src.Read(ctx, ask)
			if err != nil {
				break
			}
			heard := false
			for _, reading := range rs {
				if reading.Candidate.Spoke() {
					if heard = true; first.IsZero() || reading.Window.From.Before(first) {
						first = reading.Window.From
					}
					break
				}
			}
			if heard {
				break
			}
		}
	}
	if first.Before(r.StartedAt) {
		return r.StartedAt
	}
	return first
}

// run is one policy's share of a Rerun.
type run struct {
	policy policy.Resolved
	bake   *v1alpha1.Bake
	ending Ending
}

func (r Rerun) begin(p policy.Resolved) *run {
	p.Mode, p.Watched = policy.Guard, true
	p.Canary = policy.CanaryRules{} // what rolled out then was not paused
	b := r.bakeOf()
	ready := micro(r.FirstReadyAt)
	b.Status.Phase, b.Status.FirstReadyAt = v1alpha1.PhaseBaking, &ready
	return &run{policy: p, bake: b}
}

// tick judges one tick and takes the steps that follow from it.
func (one *run) tick(r Rerun, v *evidence, q question, edge time.Time) {
	var deployed map[string]bool
	if r.Deployed != nil {
		deployed = r.Deployed(q.past.from, edge)
	}
	from := r.CalledFrom
	if r.First {
		from = ""
	}
	verdict := decide.Judge(v.input(r.CalledTo, from, one.policy, deployed))
	e := &one.ending
	e.Verdict, e.At, e.Ticks = verdict, edge, e.Ticks+1
	e.Reasons, e.Served = reasons(verdict.Reasons), v.served(one.policy)

	s := State{Bake: one.bake, Frozen: one.policy, Live: one.policy, Current: one.bake.Spec.To,
		Sight:   Sight{Key: r.Key, Exists: true, UID: one.bake.Spec.Workload.UID, CaughtUp: true, Replicas: 1, Total: 1, Available: 1},
		Verdict: &verdict, JudgedTo: edge, Now: edge.Add(settle(one.policy.Interval))}
	if !edge.Before(r.CompletedAt) {
		s.Sight.Updated = 1
	}
	step := Next(s)
	if step.Do == Complete {
		at := metav1.NewMicroTime(r.CompletedAt)
		if r.CompletedAt.Before(r.FirstReadyAt) {
			at = *one.bake.Status.FirstReadyAt
		}
		one.bake.Status.CompletedAt = &at
		step = Next(s)
	}
	switch {
	case step.Do == Intend:
		e.Outcome = v1alpha1.OutcomeRolledBack
	case step.Do == End:
		e.Outcome, e.Reasons = step.Outcome, step.Reasons
	case !r.EndedAt.IsZero() && !edge.Add(one.policy.Interval).Before(r.EndedAt):
		one.cut(r.Enough)
	}
}

// cut ends a run before its window is over. Live, somebody else ended it then: what it would have come to, nobody knows,
// unless that much was enough.
func (one *run) cut(enough bool) {
	one.ending.CutShort = true
	one.ending.Outcome = v1alpha1.OutcomeInconclusive
	if enough && one.ending.Verdict.Result == decide.Healthy {
		one.ending.Outcome = v1alpha1.OutcomePassed
	}
}

// served is what the new version served so far, by the signal that has most requests.
func (v *evidence) served(p policy.Resolved) signals.Counts {
	var most signals.Counts
	for _, s := range p.Signals {
		var sum signals.Counts
		if t := v.signals[s.Name]; t != nil {
			for _, r := range t.ticks {
				if r.Candidate.Spoke() {
					sum = sum.Add(r.Candidate.Counts)
				}
			}
		}
		if sum.Requests > most.Requests {
			most = sum
		}
	}
	return most
}
