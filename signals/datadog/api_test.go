package datadog

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/signals/datadog/query"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// noon is when the stories below begin. Tests under synctest sleep until then.
var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// happened is so many of something at a time, or a value that something had.
type happened struct {
	metric string
	tags   string // pod_name:web-a-1,version:1
	at     int64  // Unix seconds
	n      float64
}

// api plays Datadog's HTTP API under the official client, without a network, so that time may stand still. Like Datadog it
// says nothing, or null, about a bucket in which nothing happened.
type api struct {
	mu       sync.Mutex
	happened []happened
	nulls    bool                                              // says null where there is nothing
	fault    func(w http.ResponseWriter, r *http.Request) bool // answers in place of it
	asked    []string                                          // each request's queries
	keys     []string                                          // of each request
	others   int                                               // requests that are no queries
	limit    int                                               // of requests in a minute; 0: none
	left     int
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	a.serve(w, r)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return w.Result(), nil
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	fault := a.fault
	a.keys = append(a.keys, r.Header.Get("DD-API-KEY")+" "+r.Header.Get("DD-APPLICATION-KEY"))
	if text := r.URL.Query().Get("query"); text != "" {
		a.asked = append(a.asked, text)
	} else {
		a.others++
	}
	if a.limit > 0 {
		a.left = max(0, a.left-1)
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(a.limit))
		w.Header().Set("X-RateLimit-Period", "60")
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(a.left))
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(60-time.Now().Unix()%60, 10))
	}
	a.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.URL.Path {
	case "/api/v1/validate":
		say(w, http.StatusOK, map[string]any{"valid": true})
	case "/api/v1/query":
		a.query(w, r)
	case "/api/v1/metrics":
		a.metrics(w, r)
	default:
		say(w, http.StatusNotFound, map[string]any{"errors": []string{"not found"}})
	}
}

func say(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (a *api) query(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, _ := strconv.ParseInt(q.Get("from"), 10, 64)
	to, _ := strconv.ParseInt(q.Get("to"), 10, 64)
	series := []any{}
	for i, text := range split(q.Get("query")) {
		above, below, share := strings.Cut(text, " / ")
		p, err := query.ParsePlain(above)
		if err != nil {
			say(w, http.StatusBadRequest, map[string]any{"errors": []string{"Error parsing query: " + text}})
			return
		}
		all := a.series(p, from, to, i)
		if share {
			q, err := query.ParsePlain(below)
			if err != nil {
				panic(err)
			}
			all = divided(all, a.series(q, from, to, i))
		}
		series = append(series, all...)
	}
	say(w, http.StatusOK, map[string]any{"status": "ok", "res_type": "time_series", "from_date": from * 1000, "to_date": to * 1000, "query": q.Get("query"), "series": series})
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

// divided are series, each divided by the other of the same scope.
func divided(above, below []any) []any {
	for _, one := range above {
		a := one.(map[string]any)
		for _, other := range below {
			if b := other.(map[string]any); a["scope"] == b["scope"] {
				for i, point := range a["pointlist"].([][]any) {
					point[1] = point[1].(float64) / b["pointlist"].([][]any)[i][1].(float64)
				}
			}
		}
	}
	return above
}

func tagsOf(text string) map[string]string {
	out := map[string]string{}
	for _, tag := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(tag), ":")
		out[name] = value
	}
	return out
}

// series are the groups of a query.
func (a *api) series(p query.Plain, from, to int64, index int) []any {
	step := int64(60)
	how := "avg"
	for _, f := range p.Functions {
		if args, ok := strings.CutPrefix(f, ".rollup("); ok {
			by, seconds, _ := strings.Cut(strings.TrimSuffix(args, ")"), ", ")
			how, step = by, atoi(seconds)
		}
	}
	groups := map[string]map[int64]float64{}
	for _, h := range a.happened {
		if h.metric != p.Metric || h.at < from || h.at >= to || !within(p.Scope, tagsOf(h.tags)) {
			continue
		}
		var names []string
		for _, tag := range p.By {
			value := tagsOf(h.tags)[tag]
			if value == "" {
				value = "N/A"
			}
			names = append(names, tag+":"+value)
		}
		group := strings.Join(names, ",")
		if groups[group] == nil {
			groups[group] = map[int64]float64{}
		}
		at := h.at - h.at%step
		switch over, counted := strings.CutPrefix(p.Aggregator, "count(v: v"); {
		case counted: // each is one of a distribution
			limit, err := strconv.ParseFloat(strings.Trim(over, ">=)"), 64)
			if err != nil {
				panic(err)
			}
			if h.n > limit {
				groups[group][at]++
			}
		case how == "max" || p.Aggregator == "p95":
			groups[group][at] = max(groups[group][at], h.n)
		default:
			groups[group][at] += h.n
		}
	}
	var out []any
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		points := [][]any{}
		for at := from - from%step; at < to; at += step {
			if n, ok := groups[group][at]; ok {
				points = append(points, []any{at * 1000, n})
			} else if a.nulls {
				points = append(points, []any{at * 1000, nil})
			}
		}
		tags := slices.DeleteFunc(strings.Split(group, ","), func(tag string) bool { return tag == "" })
		out = append(out, map[string]any{"metric": p.Metric, "scope": group, "tag_set": tags, "interval": step, "length": len(points), "pointlist": points, "query_index": index})
	}
	return out
}

func atoi(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// within reports whether tags are in a scope. A pattern ends in a star.
func within(scope string, tags map[string]string) bool {
	if scope == "*" {
		return true
	}
	if clause, more, ok := strings.Cut(scope, " AND "); ok {
		return within(clause, tags) && within(more, tags)
	}
	if name, values, ok := strings.Cut(scope, " IN ("); ok {
		return slices.Contains(strings.Split(strings.TrimSuffix(values, ")"), ","), tags[name])
	}
	for _, want := range strings.Split(scope, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(want), ":")
		name, not := strings.CutPrefix(name, "!")
		is := tags[name] == value
		if prefix, ok := strings.CutSuffix(value, "*"); ok {
			is = strings.HasPrefix(tags[name], prefix)
		}
		if is == not {
			return false
		}
	}
	return true
}

// metrics lists those that have a tag.
func (a *api) metrics(w http.ResponseWriter, r *http.Request) {
	names := map[string]bool{}
	for _, h := range a.happened {
		if filter := r.URL.Query().Get("tag_filter"); filter == "" || within(filter, tagsOf(h.tags)) {
			names[h.metric] = true
		}
	}
	say(w, http.StatusOK, map[string]any{"from": r.URL.Query().Get("from"), "metrics": append([]string{}, slices.Sorted(maps.Keys(names))...)})
}

// add notes that something happened.
func (a *api) add(metric, tags string, at int64, n float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.happened = append(a.happened, happened{metric, tags, at, n})
}

// serves adds requests, and those of them that failed, in each second of a span.
func (a *api) serves(tags string, from, to int64, requests, errors float64) {
	for at := from; at < to; at++ {
		a.add("hits", tags, at, requests)
		if errors > 0 {
			a.add("errors", tags, at, errors)
		}
	}
}

func (a *api) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

func (a *api) faulty(fault func(w http.ResponseWriter, r *http.Request) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = fault
}

// answers is a fault: it answers with a status and a body.
func answers(status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
		return true
	}
}

// newSource is a source that asks a played API.
func newSource(t testing.TB, a *api, set ...func(*Options)) *Source {
	t.Helper()
	dir := t.TempDir()
	o := Options{Site: "datadoghq.eu", APIKeyFile: filepath.Join(dir, "api"), AppKeyFile: filepath.Join(dir, "app"), Lag: 15 * time.Second}
	writeKeys(t, o, "api-key-1", "app-key-1")
	for _, f := range set {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.client.Transport.(*upstream.Limiter).Next = a
	t.Cleanup(s.Close)
	return s
}

func writeKeys(t testing.TB, o Options, api, app string) {
	t.Helper()
	for path, key := range map[string]string{o.APIKeyFile: api, o.AppKeyFile: app} {
		if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
