package backtest

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

// Options say what to bake again, and by what.
type Options struct {
	Config   *policy.Config
	Source   *prometheus.Source
	Now      time.Time // there is no more to be read after it
	Sweep    Sweep     // the zero Sweep has no values
	Progress func(done, of int)
}

// atOnce is how many rollouts are baked at the same time.
const atOnce = 4

// Signal is a signal's share of the last verdict.
type Signal struct {
	Name    string          `json:"name"`
	Reasons []decide.Reason `json:"reasons"`
}

// Row is how one rollout would have ended.
type Row struct {
	Namespace string     `json:"namespace"`
	Kind      string     `json:"kind"`
	Name      string     `json:"name"`
	To        string     `json:"to,omitempty"`
	Started   time.Time  `json:"started"`
	Outcome   string     `json:"outcome"`   // Passed, RolledBack, Inconclusive, Held; NotWatched when there would have been no bake
	DecidedAt *time.Time `json:"decidedAt"` // nil when there was nothing to decide
	Seconds   float64    `json:"seconds"`   // from the start of the rollout until then
	Evidence  float64    `json:"evidence"`  // natural logarithm of the largest e-value at the end; 0 where nothing was weighed
	Signals   []Signal   `json:"signals"`
	Why       string     `json:"why"`

	Requests float64 `json:"requests"` // served by the new version until then
	Failed   float64 `json:"failed"`   // how many of them failed

	Now         string `json:"now"` // how it ended: as recorded, or else by the default policy
	NowRecorded bool   `json:"nowRecorded"`

	TickSeconds float64  `json:"tickSeconds"`
	Notes       []string `json:"notes,omitempty"`

	swept []bake.Ending // one for each value of the sweep
}

// Run bakes all rollouts again.
func Run(ctx context.Context, o Options, rollouts []Rollout) ([]Row, error) {
	config := *o.Config
	config.Flows = nil // nobody ran them then
	o.Config = &config
	rollouts = slices.Clone(rollouts)
	order(rollouts)
	archive := prometheus.NewArchive(o.Source)
	rows, errs := make([]Row, len(rollouts)), make([]error, len(rollouts))
	next, done := make(chan int), make(chan struct{})
	var wg sync.WaitGroup
	for range min(atOnce, len(rollouts)) {
		wg.Go(func() {
			for i := range next {
				rows[i], errs[i] = one(ctx, o, archive, rollouts, i)
				done <- struct{}{}
			}
		})
	}
	go func() {
		for i := range rollouts {
			next <- i
		}
		close(next)
	}()
	for n := range rollouts {
		<-done
		if o.Progress != nil {
			o.Progress(n+1, len(rollouts))
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// one bakes one of the rollouts again.
func one(ctx context.Context, o Options, archive *prometheus.Archive, rollouts []Rollout, i int) (Row, error) {
	r := rollouts[i]
	row := Row{Namespace: r.Namespace, Kind: r.Kind, Name: r.Name, To: r.To, Started: r.Started, Signals: []Signal{}, Now: r.Now, NowRecorded: r.Now != ""}
	if r.ByPattern {
		row.To = ""
	}
	target := policy.Target{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Labels: r.Labels, Annotations: r.Annotations}
	p, problems := o.Config.For(target)
	for _, problem := range problems {
		row.Notes = append(row.Notes, problem.String())
	}
	if !p.Watched {
		row.Outcome, row.Why = "NotWatched", p.NotWatched
		return row, nil
	}
	if r.ByPattern && r.Candidate == nil && slices.ContainsFunc(p.Signals, func(s policy.Signal) bool { return s.By == signals.ByPod }) {
		row.Outcome, row.Why = string(v1alpha1.OutcomeInconclusive), "a signal is by pod, and the rollout has no candidate.pods to tell its pods by"
		return row, nil
	}
	again, rename := rerun(r)
	again.Deployed = deployed(rollouts, i, p.Window)
	source := archive.View(rename)
	defer source.Close()

	found, err := find(ctx, o.Source, r, p)
	if err != nil {
		return row, err
	}
	p = p.Measured(found)
	var left []string
	p.Signals, left = answered(p.Signals)
	row.Notes = append(row.Notes, left...)
	tick, note := tickFor(ctx, source, r, p, o.Now)
	p.Interval, row.TickSeconds = tick, tick.Seconds()
	p.Window = max(p.Window, 2*tick)
	if note != "" {
		row.Notes = append(row.Notes, note)
	}
	policies := []policy.Resolved{p, usual(p)}
	for _, value := range o.Sweep.Values {
		swept, err := o.Sweep.with(o.Config, target, value)
		if err != nil {
			return row, err
		}
		swept = swept.Measured(found)
		swept.Interval, swept.Window = p.Interval, max(swept.Window, 2*tick)
		policies = append(policies, swept)
	}
	endings, err := again.Play(ctx, source, o.Now, policies...)
	if err != nil {
		return row, fmt.Errorf("bake the rollout of %s/%s at %s again: %w", r.Namespace, r.Name, r.Started.Format(time.RFC3339), err)
	}
	short := "over before its window was"
	if r.Ended.IsZero() || r.Ended.After(o.Now) {
		short = "not over yet"
	}
	row.end(endings[0], short)
	if r.ByPattern {
		row.unname(strings.NewReplacer("pods "+again.To.Name+"-*", "pods that match "+shown(r.Candidate), "pods "+again.From.Name+"-*", "other pods of "+r.Name))
	}
	if !row.NowRecorded {
		row.Now = string(endings[1].Outcome)
	}
	row.swept = endings[2:]
	return row, nil
}

// end takes over how it ended; short is why, where that was before the end of the window.
func (row *Row) end(e bake.Ending, short string) {
	row.Outcome = string(e.Outcome)
	if e.CutShort {
		row.Notes = append(row.Notes, short)
	}
	if e.Ticks == 0 {
		row.Why = "there is nothing to read yet"
		return
	}
	row.DecidedAt, row.Seconds = &e.At, math.Max(0, e.At.Sub(row.Started).Seconds())
	row.Requests, row.Failed = e.Served.Requests, e.Served.Errors
	if len(e.Reasons) > 0 {
		row.Why = e.Reasons[0].Sentence
	}
	for _, reason := range e.Verdict.Reasons {
		if x := reason.Numbers.LogE; x != 0 && (row.Evidence == 0 || x > row.Evidence) { // 0: nothing was weighed
			row.Evidence = x
		}
		i := slices.IndexFunc(row.Signals, func(s Signal) bool { return s.Name == reason.Signal })
		if i < 0 {
			i = len(row.Signals)
			row.Signals = append(row.Signals, Signal{Name: reason.Signal})
		}
		row.Signals[i].Reasons = append(row.Signals[i].Reasons, reason)
	}
}

// unname takes names out of sentences that only the reading knows.
func (row *Row) unname(names *strings.Replacer) {
	row.Why = names.Replace(row.Why)
	for _, s := range row.Signals {
		for i := range s.Reasons {
			s.Reasons[i].Sentence = names.Replace(s.Reasons[i].Sentence)
		}
	}
}

// shown is a pattern as it was written.
func shown(re *regexp.Regexp) string {
	if re == nil {
		return "nothing"
	}
	return strings.TrimSuffix(strings.TrimPrefix(re.String(), "^(?:"), ")$")
}

// rerun is a rollout as bake takes it; rename gives its pods the names it expects where a pattern tells them apart.
func rerun(r Rollout) (again bake.Rerun, rename func(pod string) string) {
	again = bake.Rerun{
		Key: bake.Key{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}, To: v1alpha1.Revision{Hash: "to", Name: r.To}, From: v1alpha1.Revision{Hash: "from", Name: r.From},
		First: r.From == "" && !r.ByPattern, CalledTo: r.CalledTo, CalledFrom: r.CalledFrom,
		StartedAt: r.Started, FirstReadyAt: r.FirstReady, CompletedAt: r.Completed, EndedAt: r.Ended, Enough: r.EndGiven, BaselineSince: r.Since, BaselineUntil: r.Until,
	}
	if !r.ByPattern {
		return again, nil
	}
	// Hashes have no vowels; these are of no template. A long name is cut so that pods' names are not.
	base := r.Name[:min(len(r.Name), 40)]
	again.To.Name, again.From.Name = base+"-cnd", base+"-bsln"
	var mu sync.Mutex
	given := map[string]string{}
	return again, func(pod string) string {
		prefix := ""
		switch {
		case r.Candidate != nil && r.Candidate.MatchString(pod):
			prefix = again.To.Name
		case r.Baseline != nil && r.Baseline.MatchString(pod), r.Baseline == nil && signals.PodOf(pod, r.Kind, r.Name):
			prefix = again.From.Name
		default:
			return pod
		}
		mu.Lock()
		defer mu.Unlock()
		name, ok := given[pod]
		if !ok {
			name = fmt.Sprintf("%s-%05d", prefix, len(given))
			given[pod] = name
		}
		return name
	}
}

// deployed are the workloads of a rollout's namespace whose own rollouts overlap with its bake, as far as was known then.
func deployed(rollouts []Rollout, i int, window time.Duration) func(from, now time.Time) map[string]bool {
	r := rollouts[i]
	return func(from, now time.Time) map[string]bool {
		out := map[string]bool{}
		for _, other := range rollouts {
			end := other.Started.Add(window)
			if !other.Ended.IsZero() && other.Ended.Before(end) {
				end = other.Ended
			}
			if other.Namespace == r.Namespace && !other.Started.After(now) && end.After(from) {
				out[other.Name] = true
			}
		}
		return out
	}
}

// tickFor is how long a tick is: as policy says, or as many of those as it takes for each to hold a scrape.
func tickFor(ctx context.Context, source *prometheus.Source, r Rollout, p policy.Resolved, now time.Time) (tick time.Duration, note string) {
	var spacing time.Duration
	to := r.Started.Add(p.Window)
	if to.After(now) {
		to = now
	}
	for _, s := range p.Signals {
		for _, at := range []time.Time{to, r.Started} { // the past tells where the new version does not
			q := signals.Question{Signal: s.Name, Query: s.Query,
				Vars: map[string]string{"namespace": r.Namespace, "workload": r.Name, "kind": r.Kind}}
			for m := 15; m >= 0; m-- {
				q.Bounds = append(q.Bounds, at.Add(-time.Duration(m)*time.Minute))
			}
			if found, err := source.Spacing(ctx, q); err == nil && found > 0 {
				spacing = max(spacing, found)
				break
			}
		}
	}
	n := max(1, math.Ceil(0.9*spacing.Seconds()/p.Interval.Seconds())) // scrapes are never quite regular
	tick = time.Duration(n) * p.Interval
	if n > 1 {
		note = fmt.Sprintf("scraped every %s: ticks of %s", spacing.Round(time.Second), tick)
	}
	return tick, note
}

// usual is the default policy for the same signals.
func usual(p policy.Resolved) policy.Resolved {
	d, _ := policy.Default().For(policy.Target{})
	p.FalseAlarm, p.Margin, p.Layers, p.PassEarly = d.FalseAlarm, d.Margin, d.Layers, d.PassEarly
	p.Window = max(d.Window, 2*p.Interval)
	p.Signals = slices.Clone(p.Signals)
	for i, s := range p.Signals {
		at := slices.IndexFunc(d.Signals, func(o policy.Signal) bool { return o.Name == s.Name })
		if at < 0 {
			at = slices.IndexFunc(d.Signals, func(o policy.Signal) bool { return o.Name == policy.DefaultSignal })
		}
		p.Signals[i].Threshold, p.Signals[i].Level = d.Signals[at].Threshold, d.Signals[at].Level
	}
	return p
}

// find finds what measured the workload when the rollout began. Which Services led to it then, nobody knows: only what tells
// pods apart is found.
func find(ctx context.Context, source *prometheus.Source, r Rollout, p policy.Resolved) ([]signals.Found, error) {
	names := p.Unfound()
	if len(names) == 0 {
		return nil, nil
	}
	found, _, err := source.Find(ctx, signals.Subject{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Signals: names,
		Past: r.Started.Add(-time.Hour), At: r.Started})
	return found, err
}

// answered are the signals that Prometheus answers, and notes about the others.
func answered(all []policy.Signal) (out []policy.Signal, notes []string) {
	for _, s := range all {
		if s.From() == signals.Prometheus {
			out = append(out, s)
		} else {
			notes = append(notes, "signal "+s.Name+" is left out: of the past only Prometheus is asked, not "+s.From())
		}
	}
	return out, notes
}
