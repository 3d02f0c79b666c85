package standins

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
)

// durations are the distributions that are played, and the histograms in Prometheus that they are made of: APM has one of how long
// requests take beside their counts.
var durations = map[string]counter{
	"trace.http.request": {"http_request_duration_seconds_bucket", apm, true, "pod"},
}

// anyDuration is the aggregator that counts all there is of a distribution.
const anyDuration = "count(v: v>=0)"

// grown are by how much the buckets of a histogram grew, by their upper bounds, in one bucket of time.
type grown map[float64]float64

// durationGroups answers one query for a distribution: how many values were above a limit, which is taken up to the next bound of the
// histogram, or the 95th of a hundred.
func (s samples) durationGroups(ctx context.Context, q request, of counter, from, to int64) (map[string]map[int64]float64, error) {
	all, err := s.read(ctx, of.selector, from-before, to)
	if err != nil {
		return nil, err
	}
	histograms := map[string]map[int64]grown{}
	for _, one := range all {
		bound, err := strconv.ParseFloat(one.labels["le"], 64)
		tags := of.tagsOf(one.labels)
		if err != nil || one.labels[of.label] == "" || !matches(q.scope, tags) {
			continue
		}
		name := q.group(tags)
		if histograms[name] == nil {
			histograms[name] = map[int64]grown{}
		}
		buckets := map[int64]float64{}
		of.fill(buckets, one, from, to, q.step)
		for at, n := range buckets {
			if histograms[name][at] == nil {
				histograms[name][at] = grown{}
			}
			histograms[name][at][bound] += n
		}
	}
	out := map[string]map[int64]float64{}
	for name, spans := range histograms {
		out[name] = map[int64]float64{}
		for at, g := range spans {
			if q.aggregator == "p95" {
				out[name][at] = g.quantile(0.95)
			} else {
				out[name][at] = g.above(q.limit())
			}
		}
	}
	return out, nil
}

// limit is the one in count(v: v>0.25).
func (q request) limit() float64 {
	x, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimLeft(strings.TrimPrefix(q.aggregator, "count(v: v"), ">="), ")"), 64)
	if err != nil {
		return 0
	}
	return x
}

// group is what the series with some tags are called together.
func (q request) group(tags map[string]string) string {
	names := make([]string, len(q.by))
	for i, tag := range q.by {
		names[i] = tag + ":" + cmp.Or(tags[tag], "N/A")
	}
	return strings.Join(names, ",")
}

func (g grown) bounds() []float64 {
	out := make([]float64, 0, len(g))
	for b := range g {
		out = append(out, b)
	}
	slices.Sort(out)
	return out
}

// above is how many were above a limit.
func (g grown) above(limit float64) float64 {
	all := g[math.Inf(1)]
	if limit <= 0 {
		return all
	}
	for _, b := range g.bounds() {
		if b >= limit {
			return max(0, all-g[b])
		}
	}
	return 0
}

// quantile is the upper bound of the bucket that it is in.
func (g grown) quantile(q float64) float64 {
	bounds := g.bounds()
	for i, b := range bounds {
		if g[b] >= q*g[math.Inf(1)] {
			if math.IsInf(b, 1) && i > 0 {
				return bounds[i-1]
			}
			return b
		}
	}
	return 0
}
