package bake

import (
	"context"
	"regexp"
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
	lead     float64   // share of the first tick that was over when the first new pod was ready
	interval time.Duration
	signals  map[string]*track // by the signals' keys
	judgedTo time.Time         // newest edge that was read
	pasts    []v1alpha1.Past   // that are on record

	// lives are the candidate's pods so far, where their names do not tell, crew how those are that are there now.
	lives map[string]time.Time
	crew  Crew
}

// track is one signal's share of it.
type track struct {
	ticks   []signals.Reading // one a tick, without gaps
	history *history          // the baseline's past; nil until it was asked for
	days    days
	others  *neighbours    // nil until the past has said which they are
	seen    map[string]int // candidate pods, and the tick each was counted in first
}

// newEvidence starts reading at the first edge of the interval's grid at or before start. All bakes share one grid, so
// that those with the same query ask for the same instant and share one request.
func newEvidence(start time.Time, interval time.Duration) *evidence {
	anchor := start.Truncate(interval)
	return &evidence{anchor: anchor, lead: float64(start.Sub(anchor)) / float64(interval), interval: interval, signals: map[string]*track{}, lives: map[string]time.Time{}}
}

// settle is how long after a tick's end it is read, so that a scrape that was under way has arrived.
func settle(interval time.Duration) time.Duration { return min(interval/10, time.Second) }

// due is the newest edge that may be read at now, and when the next one may.
func (v *evidence) due(now time.Time) (edge, next time.Time) {
	edge = now.Add(-settle(v.interval)).Truncate(v.interval)
	return edge, edge.Add(v.interval + settle(v.interval))
}

// read brings the evidence up to edge: new ticks, and those the source could not answer before.
func (v *evidence) read(ctx context.Context, src Source, q question, edge time.Time) {
	for _, s := range q.policy.Signals {
		t := v.signals[s.Key()]
		if t == nil {
			t = &track{seen: map[string]int{}}
			v.signals[s.Key()] = t
		}
		if !s.Known() {
			t.fail(v, edge, q.unknown)
			continue
		}
		edge := edge.Add(-q.behind(s))
		if !edge.After(v.anchor) {
			continue // its source knows nothing of the bake yet
		}
		if t.history == nil || t.history.total.Missing == signals.Failed {
			t.history = v.recalled(s.Key(), q.history(ctx, src, s))
		}
		t.extend(ctx, src, q, s, v, edge)
		if t.others == nil && len(t.history.others) > 0 {
			t.others = &neighbours{before: t.history.others}
		}
		if t.others != nil {
			t.others.read(ctx, src, q.of(s), v, edge)
		}
		t.days.read(ctx, src, q, s, int(edge.Sub(v.anchor)/v.interval)) // last: an old range may be slow
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

// atOnce is how many ticks or blocks are asked for at the same time: half an hour of the usual ones. More, after a restart, are asked for one after the
// other, so that the pods of no more than these are in memory at once.
const atOnce = 120

// maxPodsKept bounds how many counts of single pods are kept, of a signal's ticks and as many of its past.
const maxPodsKept = 20_000

// extend reads the ticks that the source has not answered, and the one before them once more: a scrape that was still
// under way when that one was read belongs to it, and would be lost otherwise.
func (t *track) extend(ctx context.Context, src Source, q question, s policy.Signal, v *evidence, upTo time.Time) {
	from := max(0, t.answered()-1)
	for edges := v.edges(from, upTo); len(edges) > 1; edges = v.edges(from, upTo) {
		edges = edges[:min(len(edges), atOnce+1)]
		ask := q.of(s)
		ask.Bounds, ask.Seen = edges, t.seenBefore(from)
		if !q.restored.IsZero() {
			ask.Born = q.restored
		}
		rs, err := src.Read(ctx, ask)
		if err != nil || len(rs) != len(edges)-1 {
			detail := "the source gave no answer"
			if err != nil {
				detail = err.Error()
			}
			t.fail(v, upTo, detail)
			return
		}
		t.ticks = append(t.ticks[:from], rs...)
		for i, r := range rs {
			for pod := range r.Candidate.Pods {
				if first, ok := t.seen[pod]; !ok || first > from+i {
					t.seen[pod] = from + i
				}
			}
		}
		t.forgetPods()
		from += len(rs)
		if newest := t.ticks[from-1]; unanswered(newest) {
			t.fail(v, upTo, newest.Candidate.Detail)
			return
		}
	}
}

// fail notes that the ticks which are not answered were asked for in vain. What was answered once stays.
func (t *track) fail(v *evidence, upTo time.Time, detail string) {
	from := t.answered()
	t.ticks = append(t.ticks[:from], failed(v.edges(from, upTo), detail)...)
}

// forgetPods keeps the pods of the newest ticks only, should there be too many. It goes by the ticks that will not be
// read again, so that the same pods are forgotten whether the ticks were read one by one or all after a restart.
func (t *track) forgetPods() {
	kept := 0
	for i := t.answered() - 2; i >= 0; i-- {
		r := &t.ticks[i]
		if kept += len(r.Candidate.Pods) + len(r.Baseline.Pods); kept > maxPodsKept {
			r.Candidate.Pods, r.Baseline.Pods = nil, nil
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
	lives               map[string]time.Time // the candidate's pods, where names do not tell; nil: they do
	born                time.Time            // when the candidate's pods began life at the earliest
	restored            time.Time            // when the old revision was back; zero: it is not a matter of recovery
	past                past
	days                []past // spans of earlier days; none where they are of no use
	policy              policy.Resolved
	service             string // that leads to the workload
	version             string // what the candidate's pods call their version; empty: they do not say
	baselineVersion     string // likewise the baseline's; empty: it is not read either
	versionBefore       string // likewise of the revision whose past is the history
	lag                 func(source string) time.Duration
	unknown             string // why it is not known what measures the workload
}

func (q question) of(s policy.Signal) signals.Question {
	return signals.Question{
		Signal: s.Name, Query: s.Query,
		Vars: q.vars(),
		Kind: q.key.Kind, Workload: q.key.Name, Candidate: q.candidate, Baseline: q.baseline, CandidateVersion: q.version, BaselineVersion: q.baselineVersion, Lives: q.lives, FromZero: q.fromZero, Born: q.born,
	}
}

// behind is by how much less of a signal is read than of one whose source knows at once what happens, in whole ticks.
func (q question) behind(s policy.Signal) time.Duration {
	if q.lag == nil {
		return 0
	}
	interval := q.policy.Interval
	return (q.lag(s.From()) + interval - 1) / interval * interval
}

// vars are the variables of a query. Those that have no value here are not there.
func (q question) vars() map[string]string {
	vars := map[string]string{"namespace": q.key.Namespace, "workload": q.key.Name, "kind": q.key.Kind, "window": q.policy.Interval.String()}
	candidate, baseline := pattern(q.candidate), pattern(q.baseline)
	if q.lives != nil {
		candidate, baseline = "", "" // no pattern of names tells them apart
	}
	for name, value := range map[string]string{"service": q.service, "pods_candidate": candidate, "pods_baseline": baseline} {
		if value != "" {
			vars[name] = value
		}
	}
	return vars
}

// pattern matches the pods whose names begin with a prefix.
func pattern(prefix string) string {
	if prefix == "" {
		return ""
	}
	return regexp.QuoteMeta(prefix) + ".*"
}

// input is the evidence as the judge takes it; deployed are the workloads that are no neighbours because they deployed, too.
func (v *evidence) input(to, from string, p policy.Resolved, deployed map[string]bool) decide.Input {
	return p.Input(to, from, func(key string) (e decide.Evidence, ok bool) {
		if t := v.signals[key]; t != nil {
			e.Ticks, e.Days, e.Lead = t.ticks, t.days.sides, v.lead
			if t.history != nil {
				e.History, e.Blocks, e.Learnt = t.history.total, t.history.blocks, t.history.learnt()
			}
			if t.others != nil {
				e.Neighbours = t.others.list(deployed)
			}
		}
		return e, true
	})
}
