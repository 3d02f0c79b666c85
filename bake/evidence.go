package bake

import (
	"context"
	"strconv"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// evidence is what was read for one bake so far, in memory only: after a restart the same ticks are read again, over the
// same edges, and give the same counts.
type evidence struct {
	anchor   time.Time // first edge; ticks are counted from here
	interval time.Duration
	signals  map[string]*track
	judgedTo time.Time // newest edge that was read
}

// track is one signal's share of it.
type track struct {
	ticks   []signals.Reading // one a tick, without gaps
	history *signals.Side     // the baseline's past; nil until the source has answered
	seen    map[string]int    // candidate pods, and the tick each was counted in first
}

// newEvidence starts reading at the first edge of the interval's grid at or before start. All bakes share one grid, so
// that those with the same query ask for the same instant and share one request.
func newEvidence(start time.Time, interval time.Duration) *evidence {
	return &evidence{anchor: start.Truncate(interval), interval: interval, signals: map[string]*track{}}
}

// settle is how long after a tick's end it is read, so that a scrape that was under way has arrived.
func settle(interval time.Duration) time.Duration { return min(interval/10, time.Second) }

// due is the newest edge that may be read at now, and when the next one may.
func (v *evidence) due(now time.Time) (edge, next time.Time) {
	edge = now.Add(-settle(v.interval)).Truncate(v.interval)
	return edge, edge.Add(v.interval + settle(v.interval))
}

// past is a span in which the baseline served alone; a zero from means that its beginning is not known.
type past struct{ from, to time.Time }

func (p past) length() time.Duration { return p.to.Sub(p.from) } // at its largest when from is zero

// shortPast is how long a past is long enough for not looking at an earlier one.
const shortPast = 10 * time.Minute

// historySpan is the span before the rollout in which the baseline served: as long as the bake's window, at least ten
// minutes and at most an hour, and not longer than it served.
func historySpan(spec v1alpha1.BakeSpec, window time.Duration) past {
	to := spec.BaselineUntil.Time
	from := to.Add(-min(max(window, shortPast), time.Hour))
	if since := spec.BaselineSince; since != nil && since.After(from) {
		from = since.Time
	}
	return past{from, to}
}

// read brings the evidence up to edge: new ticks, and those the source could not answer before.
func (v *evidence) read(ctx context.Context, src Source, q question, edge time.Time) {
	for _, s := range q.policy.Signals {
		t := v.signals[s.Name]
		if t == nil {
			t = &track{seen: map[string]int{}}
			v.signals[s.Name] = t
		}
		if t.history == nil || t.history.Missing == signals.Failed {
			h := q.history(ctx, src, s)
			t.history = &h
		}
		t.extend(ctx, src, q, s, v, edge)
	}
	v.judgedTo = edge
}

// edges are the edges of the ticks from the given one on.
func (v *evidence) edges(tick int, upTo time.Time) []time.Time {
	var out []time.Time
	for at := v.anchor.Add(time.Duration(tick) * v.interval); !at.After(upTo); at = at.Add(v.interval) {
		out = append(out, at)
	}
	return out
}

// answered is how many ticks there are before those the source has not answered.
func (t *track) answered() int {
	n := len(t.ticks)
	for n > 0 && unanswered(t.ticks[n-1]) {
		n--
	}
	return n
}

// seenBefore are the candidate pods that were counted in an earlier tick.
func (t *track) seenBefore(tick int) map[string]bool {
	out := map[string]bool{}
	for pod, first := range t.seen {
		if first < tick {
			out[pod] = true
		}
	}
	return out
}

func unanswered(r signals.Reading) bool {
	return r.Candidate.Missing == signals.Failed
}

// extend reads the ticks that the source has not answered, and the one before them once more: a scrape that was still
// under way when that one was read belongs to it, and would be lost otherwise.
func (t *track) extend(ctx context.Context, src Source, q question, s policy.Signal, v *evidence, upTo time.Time) {
	from := max(0, t.answered()-1)
	edges := v.edges(from, upTo)
	if len(edges) < 2 {
		return
	}
	ask := q.of(s)
	ask.Bounds, ask.Seen = edges, t.seenBefore(from)
	rs, err := src.Read(ctx, ask)
	if err != nil || len(rs) != len(edges)-1 {
		detail := "the source gave no answer"
		if err != nil {
			detail = err.Error()
		}
		from = t.answered() // what was answered once stays
		rs = failed(v.edges(from, upTo), detail)
	}
	// The pods of older ticks are not needed again; how many there are and which were seen is.
	for i := range max(0, from-1) {
		t.ticks[i].Candidate.Pods, t.ticks[i].Baseline.Pods = nil, nil
	}
	t.ticks = append(t.ticks[:from], rs...)
	for i, r := range rs {
		for pod := range r.Candidate.Pods {
			if first, ok := t.seen[pod]; !ok || first > from+i {
				t.seen[pod] = from + i
			}
		}
	}
}

func failed(edges []time.Time, detail string) []signals.Reading {
	out := make([]signals.Reading, len(edges)-1)
	side := signals.Side{Missing: signals.Failed, Detail: detail}
	for i := range out {
		out[i] = signals.Reading{Window: signals.Window{From: edges[i], To: edges[i+1]}, Candidate: side, Baseline: side}
	}
	return out
}

// question is what is asked for every signal of a bake.
type question struct {
	key                 Key
	candidate, baseline string // pod name prefixes of both sides; an empty baseline is not read
	historyOf           string // pod name prefix of the revision whose past is the history; empty: there is none
	fromZero            bool
	born                time.Time // when the candidate's pods began life at the earliest
	past                past
	policy              policy.Resolved
}

func (q question) of(s policy.Signal) signals.Question {
	return signals.Question{
		Signal: s.Name, Errors: s.Errors, Requests: s.Requests, ByPod: s.ByPod,
		Vars:      map[string]string{"namespace": q.key.Namespace, "workload": q.key.Name, "kind": q.key.Kind},
		Candidate: q.candidate, Baseline: q.baseline, FromZero: q.fromZero, Born: q.born,
	}
}

// history reads the baseline's past: in it, the baseline's pods are the only side there is. For a service-level signal all
// that was counted then is the baseline's.
func (q question) history(ctx context.Context, src Source, s policy.Signal) signals.Side {
	if q.historyOf == "" {
		return signals.Side{Missing: signals.NoSeries, Detail: "there is no earlier revision"}
	}
	if !q.past.from.Before(q.past.to) {
		return signals.Side{Missing: signals.NoSeries, Detail: "it had not served alone before"}
	}
	ask := q.of(s)
	ask.Candidate, ask.Baseline, ask.FromZero = q.historyOf, "", false
	ask.Bounds = []time.Time{q.past.from, q.past.to}
	rs, err := src.Read(ctx, ask)
	switch {
	case err != nil:
		return signals.Side{Missing: signals.Failed, Detail: err.Error()}
	case len(rs) != 1:
		return signals.Side{Missing: signals.Failed, Detail: "the source gave no answer"}
	}
	return rs[0].Candidate
}

// input is the evidence as the judge takes it.
func (v *evidence) input(to, from string, p policy.Resolved) decide.Input {
	in := decide.Input{To: to, From: from}
	for _, s := range p.Signals {
		e := decide.Evidence{Signal: s.Name, Threshold: s.Threshold}
		if t := v.signals[s.Name]; t != nil {
			e.Ticks = t.ticks
			if t.history != nil {
				e.History = *t.history
			}
		}
		in.Signals = append(in.Signals, e)
	}
	return in
}

// summaries are the counts over the whole bake, for its record.
func (v *evidence) summaries(p policy.Resolved) []v1alpha1.SignalSummary {
	var out []v1alpha1.SignalSummary
	for _, s := range p.Signals {
		t := v.signals[s.Name]
		if t == nil {
			continue
		}
		var candidate, baseline signals.Counts
		for _, r := range t.ticks {
			if r.Candidate.Spoke() {
				candidate = candidate.Add(r.Candidate.Counts)
			}
			if r.Baseline.Spoke() {
				baseline = baseline.Add(r.Baseline.Counts)
			}
		}
		sum := v1alpha1.SignalSummary{Name: s.Name, Candidate: ratio(candidate), Baseline: ratio(baseline)}
		if t.history != nil {
			sum.History = string(t.history.Missing)
			if t.history.Spoke() {
				sum.History = ratio(t.history.Counts)
			}
		}
		out = append(out, sum)
	}
	return out
}

func ratio(c signals.Counts) string {
	return strconv.FormatFloat(c.Errors, 'f', 0, 64) + " / " + strconv.FormatFloat(c.Requests, 'f', 0, 64)
}
