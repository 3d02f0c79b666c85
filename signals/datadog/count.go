package datadog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// How a window is counted. Everything that is said about a window (from, to] follows from the buckets that ended in
// (since, to] alone, so that it makes no difference whether it is counted by itself at its tick or among many after a restart.

// counters are the two queries of a question, and how their buckets count together.
type counters struct {
	requests, bad string // as they are sent
	counted       string // the query of the requests, as it was written, for messages
	good          bool   // bad is what did not fail
	each          bool   // each pod is one request, which failed if there was an event
	gauge         bool   // of events: bad goes up with each of them
}

// countersOf takes the queries of a question apart, with answers in buckets of so many seconds.
func countersOf(q signals.Query, step int64) (counters, error) {
	count := func(name, text string) (string, error) {
		p, err := query.ParseCount(text)
		if err != nil {
			return "", fmt.Errorf("%s %w", name, err)
		}
		return p.Every("sum", step), nil
	}
	var c counters
	var err error
	switch {
	case q.Events != "":
		c.each = true
		var events, looks query.Plain
		if events, err = query.ParseEvents(q.Events); err != nil {
			return c, fmt.Errorf("events %w", err)
		}
		if c.gauge = len(events.Functions) == 0; c.gauge {
			c.bad = events.Every("max", step)
		} else {
			c.bad = events.Every("sum", step)
		}
		c.requests, c.counted = c.bad, q.Events
		if q.Requests != "" {
			if looks, err = query.ParseEvents(q.Requests); err != nil {
				return c, fmt.Errorf("requests %w", err)
			}
			c.requests, c.counted = looks.Every("max", step), q.Requests
		}
		return c, nil
	case q.Requests == "" || q.Errors == "" && q.Good == "":
		return c, errors.New("a question needs a query for errors and one for requests, or events, or a value")
	case q.Good != "":
		c.good = true
		c.bad, err = count("good", q.Good)
	default:
		c.bad, err = count("errors", q.Errors)
	}
	if err == nil {
		c.counted = q.Requests
		c.requests, err = count("requests", q.Requests)
	}
	return c, err
}

// readCounts answers a question for counts.
func (s *Source) readCounts(ctx context.Context, q signals.Question, windows []window, into []signals.Reading) error {
	over := spanOf(windows)
	c, err := countersOf(q.Query, over.step)
	if err != nil {
		return err
	}
	urgent := s.urgent(windows)
	first, second := s.ask(key{c.requests, over}, urgent), s.ask(key{c.bad, over}, urgent)
	requests, err := first.await(ctx)
	name := "requests"
	var bad *answer
	if err == nil {
		name = "errors"
		bad, err = second.await(ctx)
	}
	if err != nil {
		var failure *upstream.Failure
		text := err.Error()
		if errors.As(err, &failure) && failure.Class != upstream.Unavailable {
			text = name + ": " + text
		}
		err = errors.New(text)
	} else {
		err = fine(windows, requests, bad)
	}
	if err != nil {
		for i := range into {
			into[i].Candidate, into[i].Baseline = blind(err.Error()), blind(err.Error())
		}
		return nil
	}
	names := q.OtherNames
	if q.By == signals.ByPod && len(names) == 0 && q.Others > 0 {
		names = largest(requests, windows, q.Workload, q.Others)
	}
	candidate, baseline := sidesOf(q)
	others := make([]side, len(names))
	for i, name := range names {
		others[i] = ofPods(func(pod string) bool { return signals.WorkloadOf(pod) == name })
	}
	seen := make(map[string]bool, len(q.Seen))
	for pod, was := range q.Seen {
		seen[pod] = was
	}
	for i, w := range windows {
		fresh := func(pod string, first int64) bool {
			return q.FromZero && !seen[pod] && (q.Born.IsZero() || first >= q.Born.Unix())
		}
		into[i].Candidate = c.side(q, w, candidate, requests, bad, fresh)
		into[i].Baseline = c.side(q, w, baseline, requests, bad, nil)
		for pod := range into[i].Candidate.Pods {
			seen[pod] = true
		}
		for n, name := range names {
			if other := c.side(q, w, others[n], requests, bad, nil); other.Missing == signals.Present {
				if into[i].Others == nil {
					into[i].Others = make(map[string]signals.Counts, len(names))
				}
				into[i].Others[name] = other.Counts
			}
		}
	}
	return nil
}

// fine says whether answers are in buckets as fine as the windows.
func fine(windows []window, answers ...*answer) error {
	for _, a := range answers {
		if long := a.coarse(); long > windows[0].to-windows[0].from {
			return fmt.Errorf("answered in buckets of %ds, which are longer than a tick of %ds; set bake.interval to as much", long, windows[0].to-windows[0].from)
		}
	}
	return nil
}

// maxPods is how many pods of a side are told one by one. A side with more has only its total.
const maxPods = 1000

// pod is what was counted of one, or of all where pods are not told apart.
type pod struct {
	signals.Counts
	heard bool
}

// side counts one side in one window, or says why it cannot be counted.
func (c counters) side(q signals.Question, w window, who side, requests, bad *answer, fresh func(pod string, first int64) bool) signals.Side {
	if who.nothing != "" {
		return signals.Side{Missing: signals.NoSeries, Detail: who.nothing}
	}
	pods := map[string]*pod{}
	of := func(s *series) *pod {
		name := ""
		if who.byPod {
			name = s.pod
		}
		if pods[name] == nil {
			pods[name] = &pod{}
		}
		return pods[name]
	}
	good, badRequests, badErrors := false, false, false
	for i := range requests.series {
		s := &requests.series[i]
		from, to, ok := who.of(s)
		if !ok {
			continue
		}
		badRequests = badRequests || s.badWithin(max(w.since, from), min(w.to, to))
		if lo, hi := s.within(max(w.since, from), min(w.to, to)); lo < hi {
			p := of(s)
			p.heard, good = true, true
			lo, hi = s.within(max(w.from, from), min(w.to, to))
			for _, v := range s.value[lo:max(lo, hi)] {
				p.Requests += v
			}
		}
	}
	speaks := !c.good // whether something speaks of what did not fail
	for i := range bad.series {
		s := &bad.series[i]
		if lo, hi := s.within(w.since, w.to); lo < hi {
			speaks = true
		}
		from, to, ok := who.of(s)
		if !ok {
			continue
		}
		badErrors = badErrors || s.badWithin(max(w.from, from), min(w.to, to))
		of(s).Errors += c.grown(s, w, from, to, fresh)
	}
	switch {
	case badRequests && !good:
		return signals.Side{Missing: signals.NotNumber, Detail: "the requests are negative, or beyond counting"}
	case badErrors:
		return signals.Side{Missing: signals.NotNumber, Detail: "the errors are negative, or beyond counting"}
	case !good:
		return signals.Side{Missing: signals.NoSeries, Detail: c.silent(w, who, requests)}
	case !speaks:
		return signals.Side{Missing: signals.NoSeries, Detail: "no points for " + upstream.Bounded(q.Good)}
	}
	return c.total(pods, who.byPod)
}

// grown is what a series of errors counted in a window.
func (c counters) grown(s *series, w window, from, to int64, fresh func(pod string, first int64) bool) float64 {
	lo, hi := s.within(max(w.from, from), min(w.to, to))
	if lo >= hi {
		return 0
	}
	if !c.gauge {
		var sum float64
		for _, v := range s.value[lo:hi] {
			sum += v
		}
		return sum
	}
	before, _ := s.within(max(w.since, from), min(w.to, to))
	values := s.value[before:hi]
	switch {
	case before < lo:
		values = s.value[lo-1 : hi]
	case fresh != nil && fresh(s.pod, s.at[lo]): // all that happened to it happened in this bake
		values = append([]float64{0}, s.value[lo:hi]...)
	}
	var sum float64
	for i := 1; i < len(values); i++ {
		sum += max(0, values[i]-values[i-1])
	}
	return sum
}

// total adds pods up.
func (c counters) total(pods map[string]*pod, byPod bool) signals.Side {
	var out signals.Side
	heard := 0
	for _, p := range pods {
		if p.heard {
			heard++
		}
	}
	if byPod && heard <= maxPods {
		out.Pods = make(map[string]signals.Counts, heard)
	}
	names := make([]string, 0, len(pods))
	for name := range pods {
		names = append(names, name)
	}
	slices.Sort(names) // floats are added up in the same order each time
	for _, name := range names {
		p := pods[name]
		if !p.heard {
			continue // errors without requests are of something else
		}
		switch {
		case c.each:
			p.Counts = signals.Counts{Requests: 1, Errors: min(1, math.Ceil(p.Errors))}
		case c.good:
			p.Errors = max(0, p.Requests-p.Errors)
		}
		p.Errors = min(p.Errors, p.Requests)
		out.Counts = out.Add(p.Counts)
		if out.Pods != nil {
			out.Pods[name] = p.Counts
		}
	}
	return out
}

// silent says why nothing is heard of a side in a window.
func (c counters) silent(w window, who side, requests *answer) string {
	query := upstream.Bounded(c.counted)
	spoke, pods, versions := false, false, false
	for i := range requests.series {
		s := &requests.series[i]
		if lo, hi := s.within(w.since, w.to); lo < hi {
			spoke, pods, versions = true, pods || s.pod != "", versions || s.version != ""
		}
	}
	switch {
	case !spoke:
		return "no series for " + query
	case who.byPod && !pods:
		return "the series carry no tag pod_name: " + query
	case !who.byPod && who.what != "" && !versions:
		return "the series carry no tag version: " + query
	case who.what == "":
		return "no points for " + query
	}
	return "no points for " + who.what
}

// largest are the names of the other workloads that served most requests in the windows; at most as many as that, sorted.
func largest(requests *answer, windows []window, own string, most int) []string {
	served := map[string]float64{}
	for i := range requests.series {
		s := &requests.series[i]
		name := signals.WorkloadOf(s.pod)
		if name == "" || name == own {
			continue
		}
		lo, hi := s.within(windows[0].from, windows[len(windows)-1].to)
		for _, v := range s.value[lo:max(lo, hi)] {
			served[name] += v
		}
	}
	names := make([]string, 0, len(served))
	for name := range served {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		switch {
		case served[a] != served[b] && served[a] > served[b]:
			return -1
		case served[a] != served[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
	names = names[:min(len(names), most)]
	slices.Sort(names)
	return names
}
