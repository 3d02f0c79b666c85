package standins

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// counter is a metric of Datadog's, and the counter in Prometheus that it is made of.
type counter struct {
	selector string
	tags     map[string]string // names of tags by label
	sparse   bool              // sends nothing for a bucket in which it counted nothing, as APM does
	label    string            // a label that all series of it have
}

// counters are what is played. As with the real ones, APM's metrics have service and version but no pod, and those that the
// Agent scrapes from pods have them all.
var counters = map[string]counter{
	"trace.http.request.hits":   {"http_requests_total", apm, true, "pod"},
	"trace.http.request.errors": {`http_requests_total{code=~"5.."}`, apm, true, "pod"},
	"http_requests.count":       {"http_requests_total", scraped, false, "pod"},
	"traefik.traefik_service_requests.count": {"traefik_service_requests_total", map[string]string{
		"service": "service", "code": "code", "method": "method", "protocol": "protocol"}, false, "service"},
}

var (
	apm     = map[string]string{"service": "service", "version": "version", "code": "http.status_code", "env": "env"}
	scraped = map[string]string{"service": "service", "version": "version", "code": "code", "method": "method", "env": "env",
		"pod": "pod_name", "namespace": "kube_namespace", "workload": "kube_deployment", "node": "host"}
)

func metricNames() []string {
	return slices.Concat(slices.Sorted(maps.Keys(counters)), slices.Sorted(maps.Keys(durations)))
}

// request is one query.
type request struct {
	aggregator, metric, scope string
	by                        []string
	count                     bool
	step                      int64 // seconds; 0: as Datadog thinks fit
}

var (
	plain  = regexp.MustCompile(`^(sum|avg|min|max|p95|count\(v: v>=?\d+(?:\.\d+)?\)):([a-zA-Z][\w.]*)\{([^{}]+)\}(?:\s+by\s+\{([^{}]*)\})?((?:\.[a-z_]+\([^()]*\))*)$`)
	rollup = regexp.MustCompile(`^\.rollup\((?:sum|avg|max|min), ?(\d+)\)`)
)

// parse reads a query. Only plain queries are played.
func parse(text string) (request, error) {
	m := plain.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return request{}, errors.New("not a plain query, the only kind that is played")
	}
	q := request{aggregator: m[1], metric: m[2], scope: m[3]}
	for _, tag := range strings.Split(m[4], ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			q.by = append(q.by, tag)
		}
	}
	for rest := m[5]; rest != ""; {
		if after, ok := strings.CutPrefix(rest, ".as_count()"); ok {
			q.count, rest = true, after
			continue
		}
		r := rollup.FindStringSubmatch(rest)
		if r == nil {
			return q, fmt.Errorf("%s is not played", rest)
		}
		q.step, _ = strconv.ParseInt(r[1], 10, 64)
		rest = rest[len(r[0]):]
	}
	_, counts := counters[q.metric]
	_, distribution := durations[q.metric]
	switch above := strings.HasPrefix(q.aggregator, "count("); {
	case counts && q.aggregator != "sum":
		return q, errors.New("it counts, and of counts only sums are played")
	case distribution && !above && q.aggregator != "p95":
		return q, errors.New("it is a distribution, and of distributions only p95 and counts above a limit are played")
	case above && !q.count:
		return q, errors.New("of counts above a limit only those with .as_count() are played")
	}
	return q, nil
}

// split takes apart what commas separate, outside of braces and parentheses.
func split(text string) []string {
	var out []string
	depth, begin := 0, 0
	for i, c := range text {
		switch c {
		case '{', '(':
			depth++
		case '}', ')':
			depth--
		case ',':
			if depth == 0 {
				out, begin = append(out, text[begin:i]), i+1
			}
		}
	}
	return append(out, text[begin:])
}

// matches reports whether tags are in a scope: all of name:value, !name:value, name:begin*, *, or name IN (a,b), with AND between.
func matches(scope string, tags map[string]string) bool {
	if clause, more, ok := strings.Cut(scope, " AND "); ok {
		return matches(clause, tags) && matches(more, tags)
	}
	if name, values, ok := strings.Cut(scope, " IN ("); ok {
		return slices.Contains(strings.Split(strings.TrimSuffix(values, ")"), ","), tags[strings.TrimSpace(name)])
	}
	for _, want := range strings.Split(scope, ",") {
		if want = strings.TrimSpace(want); want == "*" {
			continue
		}
		want, not := strings.CutPrefix(want, "!")
		name, value, _ := strings.Cut(want, ":")
		have, is := tags[name]
		if begin, pattern := strings.CutSuffix(value, "*"); pattern {
			is = is && strings.HasPrefix(have, begin)
		} else {
			is = is && have == value
		}
		if is == not {
			return false
		}
	}
	return true
}

// samples are those of a Prometheus.
type samples struct {
	prometheus string
	client     *http.Client
}

// raw is a series as it was scraped.
type raw struct {
	labels map[string]string
	at     []float64 // seconds
	value  []float64
}

// before is how long before a span the samples are read that say from where counters went on.
const before = 60

// groups answers one query. A bucket holds by how much counters grew in it.
func (s samples) groups(ctx context.Context, q request, from, to int64) ([]group, error) {
	if q.step <= 0 {
		q.step = max(1, (to-from)/300)
	}
	var groups map[string]map[int64]float64
	var err error
	if c, known := counters[q.metric]; known {
		groups, err = s.countGroups(ctx, q, c, from, to)
	} else if d, known := durations[q.metric]; known {
		groups, err = s.durationGroups(ctx, q, d, from, to)
	} // a metric that nobody sends has no series
	if err != nil {
		return nil, err
	}
	out := []group{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if len(groups[name]) == 0 {
			continue
		}
		out = append(out, groupOf(q, name, groups[name], from, to))
	}
	return out, nil
}

// countGroups are by how much a counter grew, by group and bucket.
func (s samples) countGroups(ctx context.Context, q request, c counter, from, to int64) (map[string]map[int64]float64, error) {
	all, err := s.read(ctx, c.selector, from-before, to)
	if err != nil {
		return nil, err
	}
	groups := map[string]map[int64]float64{}
	for _, one := range all {
		tags := c.tagsOf(one.labels)
		if one.labels[c.label] == "" || !matches(q.scope, tags) {
			continue
		}
		name := q.group(tags)
		if groups[name] == nil {
			groups[name] = map[int64]float64{}
		}
		c.fill(groups[name], one, from, to, q.step)
	}
	return groups, nil
}

func groupOf(q request, name string, buckets map[int64]float64, from, to int64) group {
	g := group{Metric: q.metric, DisplayName: q.metric, Expression: q.aggregator + ":" + q.metric + "{" + q.scope + "}", Scope: cmp.Or(name, q.scope),
		TagSet: []string{}, Aggr: q.aggregator, Interval: q.step, Start: from * 1000, End: to*1000 - 1}
	if name != "" {
		g.TagSet = strings.Split(name, ",")
	}
	for at := from - from%q.step; at < to; at += q.step {
		if n, ok := buckets[at]; ok {
			g.Points = append(g.Points, point{at * 1000, n})
		} else {
			g.Points = append(g.Points, point{at * 1000, nil})
		}
	}
	g.Length = len(g.Points)
	return g
}

// fill adds what a series grew by to the buckets in which it did.
func (c counter) fill(buckets map[int64]float64, one raw, from, to, step int64) {
	last, known := 0.0, len(one.at) > 0 && one.at[0] > float64(from-before+5) // it began within what was read: from zero
	for i, v := range one.value {
		grown := v - last
		if grown < 0 {
			grown = v // it began anew
		}
		if at := int64(one.at[i]); known && at >= from && at < to && (grown > 0 || !c.sparse) {
			buckets[at-at%step] += grown
		}
		last, known = v, true
	}
}

// tagsOf are a series' tags, as the Agent writes them.
func (c counter) tagsOf(labels map[string]string) map[string]string {
	workload := labels["pod"]
	if hash := labels["pod_template_hash"]; hash != "" {
		workload, _, _ = strings.Cut(workload, "-"+hash+"-")
	}
	derived := map[string]string{
		"workload": workload,
		"service":  cmp.Or(labels["tags_datadoghq_com_service"], labels["service"], workload),
		"version":  cmp.Or(labels["tags_datadoghq_com_version"], labels["app_kubernetes_io_version"]),
		"env":      cmp.Or(labels["tags_datadoghq_com_env"], "playground"),
	}
	tags := map[string]string{}
	for label, tag := range c.tags {
		if value := cmp.Or(derived[label], labels[label]); value != "" {
			tags[tag] = normal.ReplaceAllString(strings.ToLower(value), "_")
		}
	}
	return tags
}

// normal matches what Datadog writes as an underscore.
var normal = regexp.MustCompile(`[^\p{L}\p{N}_./:-]`)

// read reads the raw samples of a span.
func (s samples) read(ctx context.Context, selector string, from, to int64) ([]raw, error) {
	query := url.Values{"query": {fmt.Sprintf("%s[%ds]", selector, to-from)}, "time": {strconv.FormatInt(to, 10)}}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := s.get(ctx, "/api/v1/query?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	out := make([]raw, 0, len(answer.Data.Result))
	for _, one := range answer.Data.Result {
		r := raw{labels: one.Metric}
		for _, v := range one.Values {
			at, timed := v[0].(float64)
			text, _ := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if !timed || err != nil {
				return nil, fmt.Errorf("the samples cannot be read: %v", v)
			}
			r.at, r.value = append(r.at, at), append(r.value, value)
		}
		out = append(out, r)
	}
	return out, nil
}

// get asks Prometheus.
func (s samples) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.prometheus+path, nil)
	if err != nil {
		return err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("the samples are away: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the samples are away: %s", res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("the samples cannot be read: %w", err)
	}
	return nil
}
