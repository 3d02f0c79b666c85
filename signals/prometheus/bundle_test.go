package prometheus

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// namespaces serves the counters of many workloads, a few in each namespace, and answers selectors as Prometheus does.
type namespaces struct {
	*scripted
	streams []*model.SampleStream
}

// serveFleet has one sample before and one after each edge; in each window, workload i has i+1 requests more by its new
// pod, i of which fail, and as many by its old pod, of which none does. refuse says which queries are too much.
func serveFleet(t *testing.T, spaces, each int, edges []time.Time, refuse func(query string) bool) *namespaces {
	f := &namespaces{}
	for i := range spaces * each {
		for _, pod := range []string{"new", "old"} {
			for _, code := range []string{"200", "500"} {
				grows := map[string]int{"new200": 1, "new500": i, "old200": i + 1}[pod+code]
				s := &model.SampleStream{Metric: model.Metric{"__name__": "r", "namespace": model.LabelValue(fmt.Sprint("ns-", i/each)),
					"service": model.LabelValue(fmt.Sprint("app-", i)), "pod": model.LabelValue(fmt.Sprintf("app-%d-%s-1", i, pod)), "code": model.LabelValue(code)}}
				for n, edge := range edges {
					s.Values = append(s.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(edge.Add(-time.Second).UnixNano()), Value: model.SampleValue(1000 + n*grows)})
				}
				f.streams = append(f.streams, s)
			}
		}
	}
	f.scripted = script(t, func(w http.ResponseWriter, r *http.Request) {
		query := r.FormValue("query")
		if refuse != nil && refuse(query) {
			answering(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`)(w, r)
			return
		}
		text, _, ok := strings.Cut(query, "\n[")
		s, err := promql.ParseSelector(text)
		if !ok || err != nil {
			t.Errorf("%q: %v", query, err)
		}
		found := []*model.SampleStream{}
		for _, stream := range f.streams {
			if matches(s, stream.Metric) {
				found = append(found, stream)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, matrix(found...))
	})
	return f
}

func matches(s promql.Selector, metric model.Metric) bool {
	return (s.Name == "" || string(metric["__name__"]) == s.Name) && !slices.ContainsFunc(s.Matchers, func(m *promql.Matcher) bool {
		return !m.Matches(string(metric[model.LabelName(m.Name)]))
	})
}

// ofFleet is what the bake of workload i asks in the window between two edges.
func ofFleet(i, each int, errors, requests string, by signals.By, bounds []time.Time) signals.Question {
	return signals.Question{
		Signal: "http-errors", Candidate: fmt.Sprintf("app-%d-new-", i), Baseline: fmt.Sprintf("app-%d-old-", i), Bounds: bounds,
		Query: signals.Query{By: by, Errors: errors, Requests: requests},
		Vars:  map[string]string{"namespace": fmt.Sprint("ns-", i/each), "service": fmt.Sprint("app-", i)},
	}
}

// TestQueriesOfAFleet: 500 bakes in 100 namespaces cost a few queries a tick, and each gets the numbers of its own.
func TestQueriesOfAFleet(t *testing.T) {
	const spaces, each, ticks = 100, 5, 4
	now := time.Now().Truncate(15 * time.Second)
	var edges []time.Time
	for i := range ticks + 1 {
		edges = append(edges, now.Add(time.Duration(i-ticks)*15*time.Second))
	}
	for _, tc := range []struct {
		name, errors, requests string
		by                     signals.By
		most                   int64 // queries a tick
		candidate              func(i int) signals.Counts
	}{
		{"by pod", `r{namespace="$namespace",code="500"}`, `r{namespace="$namespace"}`, signals.ByPod, 2 * 2,
			func(i int) signals.Counts { return signals.Counts{Requests: float64(i + 1), Errors: float64(i)} }},
		{"by service", `r{namespace="$namespace",service="$service",code="500"}`, `r{service="$service",namespace="$namespace"}`, signals.ByService, 2 * 4,
			func(i int) signals.Counts { return signals.Counts{Requests: float64(2*i + 2), Errors: float64(i)} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := serveFleet(t, spaces, each, edges, nil)
			source := sourceOf(t, Options{URL: server.URL})
			for tick := range ticks {
				before := source.Queries()
				var wg sync.WaitGroup
				for i := range spaces * each {
					wg.Go(func() {
						readings, err := source.Read(t.Context(), ofFleet(i, each, tc.errors, tc.requests, tc.by, edges[tick:tick+2]))
						if err != nil {
							t.Error(err)
							return
						}
						if got := readings[0].Candidate; got.Missing != "" || got.Counts != tc.candidate(i) {
							t.Errorf("tick %d, workload %d: %+v, want %+v", tick, i, got, tc.candidate(i))
						}
					})
				}
				wg.Wait()
				if sent := source.Queries() - before; tick > 0 && sent > tc.most {
					t.Errorf("tick %d cost %d queries for %d bakes, want at most %d", tick, sent, spaces*each, tc.most)
				}
			}
		})
	}
}

// TestTooMuchForOneQuery: what the server refuses to answer for many is asked for fewer, until it answers.
func TestTooMuchForOneQuery(t *testing.T) {
	const spaces, ticks = 40, 8
	now := time.Now().Truncate(15 * time.Second)
	var edges []time.Time
	for i := range ticks + 1 {
		edges = append(edges, now.Add(time.Duration(i-ticks)*15*time.Second))
	}
	server := serveFleet(t, spaces, 1, edges, func(query string) bool { return strings.Count(query, "|") >= 10 })
	source := sourceOf(t, Options{URL: server.URL})
	var blind [ticks]int
	for tick := range ticks {
		for i := range spaces {
			readings, err := source.Read(t.Context(), ofFleet(i, 1, `r{namespace="$namespace",code="500"}`, `r{namespace="$namespace"}`, signals.ByPod, edges[tick:tick+2]))
			if err != nil {
				t.Fatal(err)
			}
			if readings[0].Candidate.Missing != "" {
				blind[tick]++
			}
		}
	}
	if blind[1] == 0 || blind[ticks-1] != 0 {
		t.Errorf("blind in each tick: %v; want some at first and none at last", blind)
	}
}

// TestBundlesEndWithTheirBakes: who no longer asks is forgotten, and what is long past is asked alone.
func TestBundlesEndWithTheirBakes(t *testing.T) {
	var b bundles
	now := time.Now()
	at := func(text string, when time.Time) (string, bool) {
		got, _, bundled := b.text(key{text: text, time: when.UnixMilli(), reach: 150_000}, 15*time.Second, when)
		return got, bundled
	}
	for _, text := range []string{`r{namespace="a"}`, `r{namespace="b"}`} {
		at(text, now)
	}
	if got, bundled := at(`r{namespace="a"}`, now.Add(15*time.Second)); got != `r{namespace=~"a|b"}` || !bundled {
		t.Errorf("with both: %q", got)
	}
	if got, bundled := at(`r{namespace="c"}`, now.Add(15*time.Second)); got != `r{namespace="c"}` || bundled {
		t.Errorf("one that comes late: %q", got)
	}
	if got, _ := at(`r{namespace="a"}`, now.Add(5*time.Minute)); got != `r{namespace="a"}` {
		t.Errorf("with the others gone: %q", got)
	}
	if got, _, bundled := b.text(key{text: `r{namespace="a"}`, time: now.Add(-time.Hour).UnixMilli()}, 15*time.Second, now); got != `r{namespace="a"}` || bundled {
		t.Errorf("long past: %q", got)
	}
	if got, bundled := at(`r{code="500"}`, now); got != `r{code="500"}` || bundled {
		t.Errorf("of nobody: %q", got)
	}
}

// TestBundledAnswers: what is taken out of a bundled answer is what the asker's own query brings, whatever the labels.
func TestBundledAnswers(t *testing.T) {
	word := rapid.StringMatching(`[a-c.+|$ü"\\-]{1,3}`)
	rapid.Check(t, func(t *rapid.T) {
		var metrics []model.Metric
		for range rapid.IntRange(0, 30).Draw(t, "series") {
			m := model.Metric{"__name__": "r", "pod": model.LabelValue(word.Draw(t, "pod")), "code": model.LabelValue(rapid.SampledFrom([]string{"200", "500"}).Draw(t, "code"))}
			for _, label := range []model.LabelName{"namespace", "service"} {
				if rapid.Bool().Draw(t, "has") {
					m[label] = model.LabelValue(word.Draw(t, "value"))
				}
			}
			metrics = append(metrics, m)
		}
		query := func(s promql.Selector) *answer {
			out := &answer{}
			for _, m := range metrics {
				if matches(s, m) {
					out.series = append(out.series, series{pod: string(m["pod"]), target: m.String(), ids: idsOf(m)})
				}
			}
			slices.SortStableFunc(out.series, func(x, y series) int { return strings.Compare(x.pod, y.pod) })
			return out
		}
		two := rapid.Bool().Draw(t, "by two labels")
		var b bundles
		now := time.Now()
		ask := func(text string, at time.Time) (string, request, bool) {
			return b.text(key{text: text, time: at.UnixMilli(), reach: 1}, time.Second, at)
		}
		var texts []string
		for range rapid.IntRange(1, 6).Draw(t, "askers") {
			s := promql.Selector{Name: "r"}.With(promql.OneOf("namespace", rapid.SliceOfN(word, 1, 2).Draw(t, "namespaces")...))
			if two {
				s = s.With(promql.OneOf("service", word.Draw(t, "service")))
			}
			texts = append(texts, s.With(promql.Equal("code", "500")).String())
			ask(texts[len(texts)-1], now)
		}
		later := now.Add(time.Second)
		for _, text := range texts {
			asked, own, bundled := ask(text, later)
			if !bundled {
				t.Fatalf("%s was asked alone", text)
			}
			alone, errAlone := promql.ParseSelector(text)
			together, errTogether := promql.ParseSelector(asked)
			if errAlone != nil || errTogether != nil {
				t.Fatalf("%s: %v; %s: %v", text, errAlone, asked, errTogether)
			}
			got, want := query(together).share(own).series, query(alone).series
			if !slices.EqualFunc(got, want, func(x, y series) bool { return x.target == y.target }) {
				t.Fatalf("%s by way of %s: %v, want %v", text, asked, got, want)
			}
		}
	})
}
