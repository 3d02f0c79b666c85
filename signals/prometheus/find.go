package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/presets"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

const (
	// searchBack is how far back a subject's series are looked for.
	searchBack = 15 * time.Minute
	// searchGrain is to what time a search is cut off, so that those of bakes that begin together share their requests. What
	// was first scraped after that is found by the next search.
	searchGrain = 5 * time.Second
	// fast is the share of the baseline's requests that is to be well below the limit of what is slow.
	fast = 0.95
	// slower is how many times as long as those a request takes that is slow.
	slower = 2
	// fewestForLimit is the fewest requests from which it is told how long they take.
	fewestForLimit = 20
)

// Find looks for the presets that measure a subject. The first of a signal that has requests is chosen, or else the first
// that has series. An error says that the source cannot tell now.
func (s *Source) Find(ctx context.Context, subject signals.Subject) ([]signals.Found, []signals.Absent, error) {
	there, err := s.metricsOf(ctx, subject)
	if err != nil {
		return nil, nil, fmt.Errorf("prometheus: look for the metrics of %s %s/%s: %w", strings.ToLower(subject.Kind), subject.Namespace, subject.Name, err)
	}
	var found []signals.Found
	var absent []signals.Absent
	for _, signal := range subject.Signals {
		chosen, others, err := s.choose(ctx, subject, signal, there)
		if err != nil {
			return nil, nil, fmt.Errorf("prometheus: look for what measures %s of %s %s/%s: %w", signal, strings.ToLower(subject.Kind), subject.Namespace, subject.Name, err)
		}
		if chosen != nil {
			found = append(found, *chosen)
		}
		absent = append(absent, others...)
	}
	return found, absent, nil
}

// choose chooses the preset for one signal.
func (s *Source) choose(ctx context.Context, subject signals.Subject, signal string, there map[string]bool) (*signals.Found, []signals.Absent, error) {
	var idle *signals.Found // has series, and no requests
	var missing []string    // metrics that are not there
	var absent []signals.Absent
	no := func(p presets.Preset, why string) {
		absent = append(absent, signals.Absent{Signal: signal, Preset: p.Name, Why: why})
	}
	for _, p := range presets.For(signal) {
		if !there[p.Metric] {
			if !slices.Contains(missing, p.Metric) {
				missing = append(missing, p.Metric)
			}
			continue
		}
		q, leads := p.Query(subject)
		if !leads {
			no(p, "no Service or Ingress is known that leads to the workload")
			continue
		}
		if q.Histogram != "" {
			limit, why, err := s.limit(ctx, subject, q)
			switch {
			case err != nil:
				return nil, nil, err
			case why != "":
				no(p, why)
				continue
			}
			q.Over = limit
		}
		side, err := s.lately(ctx, subject, signal, q)
		switch {
		case err != nil:
			return nil, nil, err
		case side.Missing == signals.NoSeries || side.Missing == signals.NotNumber:
			no(p, side.Detail)
		case q.Value == "" && q.Events == "" && side.Missing == signals.Present && side.Requests == 0:
			if idle == nil {
				idle = &signals.Found{Signal: signal, Query: q}
			}
			no(p, "no requests in the last "+strconv.Itoa(int(searchBack.Minutes()))+" minutes")
		default:
			return &signals.Found{Signal: signal, Query: q}, append(absent, gone(signal, subject, missing)...), nil
		}
	}
	if idle != nil {
		absent = slices.DeleteFunc(absent, func(a signals.Absent) bool { return a.Preset == idle.Preset })
	}
	return idle, append(absent, gone(signal, subject, missing)...), nil
}

// gone says in one line which metrics are not there.
func gone(signal string, subject signals.Subject, missing []string) []signals.Absent {
	if len(missing) == 0 {
		return nil
	}
	return []signals.Absent{{Signal: signal, Preset: strings.Join(missing, ", "), Why: "no such metric in namespace " + subject.Namespace + ", or of an ingress"}}
}

// metricsOf are those metrics of the presets that there are in the subject's namespace, or of an ingress.
func (s *Source) metricsOf(ctx context.Context, subject signals.Subject) (map[string]bool, error) {
	var inNamespace, anywhere []string
	for _, p := range presets.All {
		if !slices.Contains(subject.Signals, p.Signal) {
			continue
		}
		if p.By == signals.ByPod {
			inNamespace = append(inNamespace, p.Metric)
		} else {
			anywhere = append(anywhere, p.Metric)
		}
	}
	var matches []string
	for _, label := range []string{"namespace", "exported_namespace"} {
		if len(inNamespace) > 0 {
			matches = append(matches, promql.Selector{Matchers: []*promql.Matcher{promql.OneOf("__name__", inNamespace...), promql.Equal(label, subject.Namespace)}}.String())
		}
	}
	if len(anywhere) > 0 {
		matches = append(matches, promql.Selector{Matchers: []*promql.Matcher{promql.OneOf("__name__", anywhere...)}}.String())
	}
	if len(matches) == 0 {
		return nil, nil
	}
	names, failure := s.names(ctx, matches, subject.At)
	if failure != nil {
		return nil, failure
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[string(name)] = true
	}
	return there, nil
}

// names are the metrics that have series which match, around a time. All who ask for the same at a time share one request.
func (s *Source) names(ctx context.Context, matches []string, at time.Time) (model.LabelValues, *upstream.Failure) {
	at = at.Truncate(searchGrain)
	v, err, _ := s.searches.Do(at.String()+strings.Join(matches, "\n"), func() (any, error) {
		var names model.LabelValues
		_, failure := s.send(ctx, at, func(ctx context.Context) (model.Value, v1.Warnings, error) {
			got, warnings, _, err := s.api.LabelValues(ctx, model.MetricNameLabel, matches, at.Add(-searchBack), at.Add(time.Minute))
			names = got
			return &model.Scalar{}, warnings, err
		})
		if failure != nil {
			return nil, failure
		}
		return names, nil
	})
	if err != nil {
		return nil, err.(*upstream.Failure) //nolint:errorlint,forcetypeassert // it is what was returned above
	}
	return v.(model.LabelValues), nil
}

// lately is what a query says of the whole subject, over the time before it is looked for.
func (s *Source) lately(ctx context.Context, subject signals.Subject, signal string, q signals.Query) (signals.Side, error) {
	at := subject.At.Truncate(searchGrain)
	ask := signals.Question{Signal: signal, Query: q, Kind: subject.Kind, Workload: subject.Name, Whole: true,
		Vars: varsOf(subject)}
	for t := at.Add(-searchBack); !t.After(at); t = t.Add(time.Minute) {
		ask.Bounds = append(ask.Bounds, t)
	}
	rs, err := s.Read(ctx, ask)
	if err != nil {
		return signals.Side{}, err
	}
	best := rs[len(rs)-1].Candidate
	var total signals.Counts
	for _, r := range rs {
		switch side := r.Candidate; side.Missing {
		case signals.Failed:
			return side, errors.New(strings.TrimPrefix(side.Detail, "prometheus: "))
		case signals.Present:
			total = total.Add(side.Counts)
			best = side
		case signals.Late, signals.NotNumber, signals.NoSeries:
			if best.Missing == signals.NoSeries {
				best = side
			}
		}
	}
	if best.Missing == signals.Present {
		best.Counts = total
	}
	return best, nil
}

func varsOf(s signals.Subject) map[string]string {
	return map[string]string{"namespace": s.Namespace, "workload": s.Name, "kind": s.Kind}
}

// limit is the duration above which a request is slow: twice as long as 95 of 100 of the baseline's requests took, up to the
// next bound of the buckets. why says why there is none.
func (s *Source) limit(ctx context.Context, subject signals.Subject, q signals.Query) (limit float64, why string, err error) {
	text, err := promql.Render(q.Histogram, varsOf(subject))
	if err != nil {
		return 0, "", err
	}
	selector, err := promql.ParseSelector(text)
	if err != nil {
		return 0, "", err
	}
	if q.By == signals.ByPod {
		selector = selector.With(promql.Begins("pod", signals.PodPrefix(subject.Name)))
	}
	back := min(max(subject.At.Sub(subject.Past), 5*time.Minute), time.Hour).Round(time.Second)
	increase := "increase(" + selector.String() + "[" + strconv.Itoa(int(back.Seconds())) + "s])"
	if _, _, classic, _ := promql.Bucket(text, 1); !classic {
		quantile, failure := s.vector(ctx, "histogram_quantile("+strconv.FormatFloat(fast, 'f', -1, 64)+", sum("+increase+")) and on () (histogram_count(sum("+increase+")) >= "+strconv.Itoa(fewestForLimit)+")", subject.At)
		switch {
		case failure != nil:
			return 0, "", failure
		case len(quantile) == 0 || !(quantile[0].Value > 0) || math.IsInf(float64(quantile[0].Value), 0):
			return 0, tooFew, nil
		}
		return slower * float64(quantile[0].Value), "", nil
	}
	buckets, failure := s.vector(ctx, "sum by (le) ("+increase+")", subject.At)
	if failure != nil {
		return 0, "", failure
	}
	limit, why = limitOf(buckets)
	return limit, why, nil
}

const tooFew = "too few requests in the past to tell how long they take"

// limitOf is the limit by how much each bucket of a classic histogram grew.
func limitOf(buckets model.Vector) (limit float64, why string) {
	type bucket struct{ le, n float64 }
	var all []bucket
	for _, b := range buckets {
		if le, err := strconv.ParseFloat(string(b.Metric["le"]), 64); err == nil && !math.IsNaN(float64(b.Value)) {
			all = append(all, bucket{le, float64(b.Value)})
		}
	}
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.le, b.le) })
	if len(all) < 2 || !math.IsInf(all[len(all)-1].le, 1) || all[len(all)-1].n < fewestForLimit {
		return 0, tooFew
	}
	wanted := fast * all[len(all)-1].n
	i := slices.IndexFunc(all, func(b bucket) bool { return b.n >= wanted })
	quantile := all[i].le
	if i < len(all)-1 { // as histogram_quantile does, its place in the bucket
		below := bucket{}
		if i > 0 {
			below = all[i-1]
		}
		quantile = below.le + (all[i].le-below.le)*(wanted-below.n)/(all[i].n-below.n)
	}
	for _, b := range all[:len(all)-1] {
		if b.le >= slower*quantile {
			return b.le, ""
		}
	}
	return 0, "its requests take about as long as its largest bucket tells"
}

// vector is the answer to an instant query.
func (s *Source) vector(ctx context.Context, text string, at time.Time) (model.Vector, *upstream.Failure) {
	value, failure := s.query(ctx, text, at)
	if failure != nil {
		return nil, failure
	}
	v, ok := value.(model.Vector)
	if !ok {
		return nil, upstream.Failed(upstream.Unavailable, nil, "unreadable answer: it is not a vector")
	}
	return v, nil
}
