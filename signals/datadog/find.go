package datadog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/presets"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// searchBack is how far back a subject's series are looked for.
const searchBack = 15 * time.Minute

// searchGrain is to how many seconds a search's end is cut off, so that those of bakes that begin together share their requests.
const searchGrain = 5

// Find looks for the presets that measure a subject. The first of a signal that has requests is chosen, or else the first that has
// series. An error says that the source cannot tell now.
func (s *Source) Find(ctx context.Context, subject signals.Subject) ([]signals.Found, []signals.Absent, error) {
	var found []signals.Found
	var absent []signals.Absent
	for _, signal := range subject.Signals {
		chosen, others, err := s.choose(ctx, subject, signal)
		if err != nil {
			return nil, nil, fmt.Errorf("datadog: look for what measures %s of %s %s/%s: %w", signal, strings.ToLower(subject.Kind), subject.Namespace, subject.Name, err)
		}
		if chosen != nil {
			found = append(found, *chosen)
		}
		absent = append(absent, others...)
	}
	return found, absent, nil
}

// choose chooses the preset for one signal.
func (s *Source) choose(ctx context.Context, subject signals.Subject, signal string) (*signals.Found, []signals.Absent, error) {
	var idle *signals.Found // has series, and no requests
	var absent []signals.Absent
	for _, p := range presets.For(signal) {
		no := func(why string) {
			absent = append(absent, signals.Absent{Signal: signal, Preset: p.Name, Why: why})
		}
		candidates, why, err := s.candidates(ctx, subject, p)
		if err != nil {
			return nil, nil, err
		}
		if why != "" {
			no(why)
			continue
		}
		for _, q := range candidates {
			side, err := s.lately(ctx, subject, signal, q)
			switch {
			case err != nil:
				return nil, nil, err
			case side.Missing != signals.Present:
				why = side.Detail
			case q.Value == "" && q.Events == "" && side.Requests == 0:
				if why = "no requests in the last " + strconv.Itoa(int(searchBack.Minutes())) + " minutes"; idle == nil {
					idle = &signals.Found{Signal: signal, Query: q}
				}
			default:
				return &signals.Found{Signal: signal, Query: q}, absent, nil
			}
		}
		no(why)
	}
	if idle != nil {
		absent = slices.DeleteFunc(absent, func(a signals.Absent) bool { return a.Preset == idle.Preset })
	}
	return idle, absent, nil
}

// mostMetrics is how many metrics of one preset are tried, the best first.
const mostMetrics = 3

// candidates are a preset's queries for a subject, by the metrics there are. why says why there are none.
func (s *Source) candidates(ctx context.Context, subject signals.Subject, p presets.Preset) (out []signals.Query, why string, err error) {
	if p.Names == nil {
		return []signals.Query{p.Query("", "", 0)}, "", nil
	}
	services := p.Services(subject)
	if len(services) == 0 {
		return nil, "no Service is known that leads to the workload", nil
	}
	filters := []string{presets.Filter(services)}
	if !p.All {
		filters = filters[:0]
		for _, one := range services {
			filters = append(filters, presets.Filter([]string{one}))
		}
	}
	for _, of := range filters {
		there, failure := s.names(ctx, of, subject.At)
		if failure != nil {
			return nil, "", failure
		}
		for i, metric := range p.Metric(there) {
			if i == mostMetrics {
				break
			}
			limit := 0.0
			if p.Limit != "" {
				var none string
				if limit, none, err = s.limit(ctx, subject, p.LimitQuery(metric, of)); err != nil {
					return nil, "", err
				}
				if none != "" {
					why = none
					continue
				}
			}
			out = append(out, p.Query(metric, of, limit))
		}
		if len(out) > 0 {
			return out, "", nil
		}
		if why != "" {
			return nil, why, nil
		}
	}
	return nil, "no such metric with " + upstream.Bounded(presets.Filter(services)), nil
}

// refusal reports whether Datadog answered that it will not run a query, which another search would not change. The texts are
// our own.
func refusal(detail string) bool {
	return strings.Contains(detail, "query rejected") || strings.Contains(detail, "query too expensive")
}

// lately is what a query says of the whole subject, over the time before it is looked for. Of versions it says something only
// where the series tell them apart.
func (s *Source) lately(ctx context.Context, subject signals.Subject, signal string, q signals.Query) (signals.Side, error) {
	at := min(subject.At.Unix(), time.Now().Add(-s.lag).Unix()) / searchGrain * searchGrain
	ask := signals.Question{Signal: signal, Query: q, Kind: subject.Kind, Workload: subject.Name, Whole: q.By != signals.ByVersion,
		Vars:             map[string]string{"namespace": subject.Namespace, "workload": subject.Name, "kind": subject.Kind},
		CandidateVersion: subject.Candidate.Version, BaselineVersion: subject.Baseline.Version}
	for t := at - int64(searchBack.Seconds()); t <= at; t += 60 {
		ask.Bounds = append(ask.Bounds, time.Unix(t, 0))
	}
	rs, err := s.Read(ctx, ask)
	if err != nil {
		return signals.Side{}, err
	}
	best := signals.Side{Missing: signals.NoSeries, Detail: rs[len(rs)-1].Candidate.Detail}
	var total signals.Counts
	for _, r := range rs {
		for _, side := range []signals.Side{r.Candidate, r.Baseline} {
			switch side.Missing {
			case signals.Failed:
				if refusal(side.Detail) {
					return side, nil
				}
				return side, errors.New(strings.TrimPrefix(side.Detail, "datadog: "))
			case signals.Present:
				total, best = total.Add(side.Counts), side
			case signals.NoSeries, signals.Late, signals.NotNumber:
			}
			if q.By != signals.ByVersion {
				break // the whole is one side
			}
		}
	}
	if best.Missing == signals.Present {
		best.Counts = total
	}
	return best, nil
}
