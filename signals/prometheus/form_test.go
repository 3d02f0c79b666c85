package prometheus

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

func TestForms(t *testing.T) {
	for _, c := range []struct {
		name             string
		query            signals.Query
		requests, errors string
		err              string
	}{
		{"errors", signals.Query{Errors: "e{}", Requests: "r{}"}, "r{}", "e{}", ""},
		{"good", signals.Query{Good: "g{}", Requests: "r{}"}, "r{}", "g{}", ""},
		{"buckets", signals.Query{Histogram: `h_seconds_bucket{namespace="shop"}`, Over: 0.25}, `h_seconds_count{namespace="shop"}`, `h_seconds_bucket{namespace="shop",le=~"0\\.250*"}`, ""},
		{"a whole bound", signals.Query{Histogram: `h_bucket{}`, Over: 1}, `h_count`, `h_bucket{le=~"1(\\.0*)?"}`, ""},
		{"a large bound", signals.Query{Histogram: `h_bucket`, Over: 1e6}, `h_count`, `h_bucket{le=~"1000000(\\.0*)?|1(\\.0*)?[eE]\\+?0*6"}`, ""},
		{"native", signals.Query{Histogram: `h_seconds{a="b"}`, Over: 0.3}, `h_seconds{a="b"}`, `h_seconds{a="b"}`, ""},
		{"events", signals.Query{Events: "e{}"}, "e{}", "e{}", ""},
		{"events of what is there", signals.Query{Events: "e{}", Requests: "r{}"}, "r{}", "e{}", ""},
		{"a histogram without a limit", signals.Query{Histogram: "h_bucket"}, "", "", "needs a query"},
		{"an expression for a histogram", signals.Query{Histogram: "rate(h_bucket[5m])", Over: 1}, "", "", "not a plain selector"},
		{"errors of nothing", signals.Query{Errors: "e{}"}, "", "", "needs a query"},
		{"nothing", signals.Query{}, "", "", "needs a query"},
	} {
		f, err := formOf(c.query)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		case c.err == "" && (err != nil || f.requests.text != c.requests || f.errors.text != c.errors):
			t.Errorf("%s: %+v %v", c.name, f, err)
		}
	}
}

func TestGoodAndEvents(t *testing.T) {
	steady := func(per, from float64) string {
		return every(5, 135, 10, func(at float64) float64 { return from + per*at })
	}
	byPod := signals.Question{Candidate: "new-", Baseline: "old-", Bounds: seconds(120, 140)}
	byPod.Query = signals.Query{By: signals.ByPod, Good: "g{}", Requests: "r{}"}
	requests := model.Matrix{counter("pod=new-1", steady(2, 0)), counter("pod=old-1", steady(2, 50))}
	good := model.Matrix{counter("pod=new-1", steady(1.5, 0)), counter("pod=old-1", steady(2, 50))}
	got := tell(byPod, requests, good)[0]
	if got.Candidate.Counts != (signals.Counts{Requests: 40, Errors: 10}) || got.Baseline.Counts != (signals.Counts{Requests: 40}) {
		t.Errorf("good: %+v", got)
	}
	if got := tell(byPod, requests, good[1:])[0]; got.Candidate.Errors != 40 {
		t.Errorf("nothing good of a pod is all bad: %+v", got.Candidate)
	}
	if got := tell(byPod, requests, nil)[0]; got.Candidate.Missing != signals.NoSeries || got.Baseline.Missing != signals.NoSeries {
		t.Errorf("nothing good at all is missing, never all bad: %+v", got)
	}

	byPod.Query = signals.Query{By: signals.ByPod, Events: "restarts{}"}
	events := model.Matrix{
		counter("pod=new-1", every(5, 135, 10, func(at float64) float64 { return math.Floor(at / 6) })), counter("pod=new-2", steady(0, 3)),
		counter("pod=old-1", steady(0, 7)), counter("pod=old-1,container=b", steady(0, 1)),
	}
	got = tell(byPod, events, events)[0]
	if got.Candidate.Counts != (signals.Counts{Requests: 2, Errors: 1}) || got.Baseline.Counts != (signals.Counts{Requests: 1}) {
		t.Errorf("events: %+v", got)
	}
}

// A native histogram is what its buckets say: whatever the bound, never more than all, never less than none, and more with
// a larger bound.
func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &model.SampleHistogram{}
		lower := 0.001
		for range rapid.IntRange(0, 8).Draw(t, "buckets") {
			upper := lower * rapid.Float64Range(1.01, 3).Draw(t, "base")
			n := rapid.IntRange(0, 100).Draw(t, "count")
			h.Buckets = append(h.Buckets, &model.HistogramBucket{Lower: model.FloatString(lower), Upper: model.FloatString(upper), Count: model.FloatString(n)})
			h.Count += model.FloatString(n)
			lower = upper
		}
		before := 0.0
		for _, most := range []float64{0, 0.0005, 0.002, 0.01, 0.5, 10, math.Inf(1)} {
			got := withinOf(h, most)
			if !(got >= before-1e-9 && got <= float64(h.Count)+1e-9) {
				t.Fatalf("%g within %g, after %g; %g in all", got, most, before, float64(h.Count))
			}
			before = got
		}
		if before != float64(h.Count) {
			t.Fatalf("%g within everything, of %g", before, float64(h.Count))
		}
	})
}

// histograms makes native histograms of counters: of all observations a share is in each bucket, and now and then the buckets
// change their widths, as they do when there are too many.
func histograms(t *rapid.T, counters model.Matrix) model.Matrix {
	var out model.Matrix
	for _, c := range counters {
		s := &model.SampleStream{Metric: c.Metric}
		wide := rapid.IntRange(0, len(c.Values)).Draw(t, "wide from")
		fast := rapid.Float64Range(0, 1).Draw(t, "fast")
		for i, v := range c.Values {
			n := float64(v.Value)
			h := &model.SampleHistogram{Count: model.FloatString(v.Value), Buckets: model.HistogramBuckets{
				{Lower: 0.125, Upper: 0.25, Count: model.FloatString(fast * n)}, {Lower: 0.25, Upper: 0.5, Count: model.FloatString((1 - fast) * n)}}}
			if i >= wide {
				h.Buckets = model.HistogramBuckets{{Lower: 0.125, Upper: 0.5, Count: model.FloatString(n)}}
			}
			s.Histograms = append(s.Histograms, model.SampleHistogramPair{Timestamp: v.Timestamp, Histogram: h})
		}
		out = append(out, s)
	}
	return out
}

// A histogram whose buckets change their widths has not begun anew: nothing is counted that was not observed.
func TestBucketsThatChange(t *testing.T) {
	at := func(s float64, count float64, buckets ...*model.HistogramBucket) model.SampleHistogramPair {
		return model.SampleHistogramPair{Timestamp: model.TimeFromUnixNano(second(s).UnixNano()), Histogram: &model.SampleHistogram{Count: model.FloatString(count), Buckets: buckets}}
	}
	bucket := func(lower, upper, n float64) *model.HistogramBucket {
		return &model.HistogramBucket{Lower: model.FloatString(lower), Upper: model.FloatString(upper), Count: model.FloatString(n)}
	}
	m := model.Matrix{{Metric: model.Metric{"pod": "new-1"}, Histograms: []model.SampleHistogramPair{
		at(110, 1000, bucket(0.125, 0.25, 1000)),
		at(119, 1000, bucket(0.125, 0.25, 1000)),
		at(124, 1010, bucket(0.125, 0.5, 1010)), // half of them may now be above 0.25
		at(129, 1020, bucket(0.125, 0.5, 1020)),
		at(134, 10, bucket(0.125, 0.25, 10)), // begun anew
	}}}
	q := signals.Question{Query: signals.Query{By: signals.ByPod, Histogram: "h", Over: 0.25}, Candidate: "new-", Bounds: seconds(120, 135)}
	got := tell(q, m, m)[0].Candidate
	if want := (signals.Counts{Requests: 30, Errors: 15}); got.Requests != want.Requests || math.Abs(got.Errors-want.Errors) > 1e-9 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// native writes a series of native histograms: a bucket of (0.1, 0.2] and one of (0.4, 0.8] that grow.
func native(pod string, fast, slow float64) *model.SampleStream {
	s := &model.SampleStream{Metric: model.Metric{"pod": model.LabelValue(pod)}}
	for at := 5.0; at <= 135; at += 10 {
		h := &model.SampleHistogram{Count: model.FloatString((fast + slow) * at), Buckets: model.HistogramBuckets{
			{Lower: 0.1, Upper: 0.2, Count: model.FloatString(fast * at)}, {Lower: 0.4, Upper: 0.8, Count: model.FloatString(slow * at)}}}
		s.Histograms = append(s.Histograms, model.SampleHistogramPair{Timestamp: model.TimeFromUnixNano(second(at).UnixNano()), Histogram: h})
	}
	return s
}

func TestNativeHistograms(t *testing.T) {
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		answering(200, matrix(native("new-1", 1, 1), native("old-1", 2, 0)))(w, r)
	})
	q := asking()
	q.Query = signals.Query{By: signals.ByPod, Histogram: `h_seconds{namespace="$namespace"}`, Over: 0.3}
	q.Bounds = seconds(120, 140)
	got, err := sourceOf(t, Options{URL: server.URL}).Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Candidate.Counts != (signals.Counts{Requests: 40, Errors: 20}) || got[0].Baseline.Counts != (signals.Counts{Requests: 40}) {
		t.Errorf("%+v", got[0])
	}
}

// values answers range queries: for the age of samples with the newest time given, for all else with series.
func values(t *testing.T, newest float64, series ...*model.SampleStream) *scripted {
	return script(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.FormValue("query"), "timestamp(") {
			age := counter("", every(15, 150, 15, func(at float64) float64 { return float64(epoch.Unix()) + math.Min(at, newest) }))
			age.Metric = model.Metric{}
			answering(200, matrix(age))(w, r)
			return
		}
		answering(200, matrix(series...))(w, r)
	})
}

func TestValues(t *testing.T) {
	q := asking()
	q.Query = signals.Query{By: signals.ByPod, Value: `max by (pod) (mem{namespace="$namespace"})`}
	q.Bounds = seconds(105, 120, 135)
	side := func(v float64) signals.Side { return signals.Side{Value: v} }
	at := func(labels, samples string) *model.SampleStream { return counter(labels, samples) }
	for _, c := range []struct {
		name   string
		newest float64
		series []*model.SampleStream
		want   [2]signals.Side
		base   [2]signals.Side
	}{
		{"the worst pod's", 200, []*model.SampleStream{at("pod=new-1", "120:3 135:4"), at("pod=new-2", "120:5 135:1"), at("pod=old-1", "120:1 135:0")},
			[2]signals.Side{side(5), side(4)}, [2]signals.Side{side(1), side(0)}},
		{"none is not zero", 200, []*model.SampleStream{at("pod=new-1", "135:4"), at("pod=older-1", "120:1 135:0")},
			[2]signals.Side{{Missing: signals.NoSeries}, side(4)}, [2]signals.Side{{Missing: signals.NoSeries}, {Missing: signals.NoSeries}}},
		{"not a number", 200, []*model.SampleStream{at("pod=new-1", "120:NaN 135:-1")},
			[2]signals.Side{{Missing: signals.NotNumber}, {Missing: signals.NotNumber}}, [2]signals.Side{{Missing: signals.NoSeries}, {Missing: signals.NoSeries}}},
		{"a value made from old samples is late", -60, []*model.SampleStream{at("pod=new-1", "120:3 135:4")},
			[2]signals.Side{{Missing: signals.Late}, {Missing: signals.Late}}, [2]signals.Side{{Missing: signals.NoSeries}, {Missing: signals.NoSeries}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := sourceOf(t, Options{URL: values(t, c.newest, c.series...).URL}).Read(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].Candidate.Detail, got[i].Baseline.Detail = "", ""
				if diff := cmp.Diff([]signals.Side{c.want[i], c.base[i]}, []signals.Side{got[i].Candidate, got[i].Baseline}); diff != "" {
					t.Errorf("window %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestValuesThatCannotBeRead(t *testing.T) {
	q := asking()
	q.Query = signals.Query{By: signals.ByPod, Value: `mem{namespace="$namespace"}`}
	down := script(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	got, err := sourceOf(t, Options{URL: down.URL}).Read(t.Context(), q)
	if err != nil || got[0].Candidate.Missing != signals.Failed || got[0].Baseline.Missing != signals.Failed {
		t.Errorf("%+v %v", got, err)
	}
	q.Value = "mem{"
	if _, err := sourceOf(t, Options{URL: down.URL}).Read(t.Context(), q); err == nil || !strings.Contains(err.Error(), "not PromQL") {
		t.Errorf("%v", err)
	}
}

func TestRanges(t *testing.T) {
	at := func(s ...float64) []time.Time { return seconds(s...) }
	steps := func(times []time.Time) []float64 {
		var out []float64
		for _, r := range ranges(times) {
			out = append(out, r.Start.Sub(epoch).Seconds(), r.End.Sub(epoch).Seconds(), r.Step.Seconds())
		}
		return out
	}
	for _, c := range []struct {
		times []time.Time
		want  []float64
	}{
		{nil, nil},
		{at(15), []float64{15, 15, 1}},
		{at(15, 30, 45), []float64{15, 45, 15}},
		{at(15, 30, 45, 50, 55), []float64{15, 45, 15, 50, 55, 5}},
	} {
		if diff := cmp.Diff(c.want, steps(c.times)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.times, diff)
		}
	}
}

// FuzzHistogram: whatever a server calls a histogram, counting it does not panic and never gives a negative count.
func FuzzHistogram(f *testing.F) {
	f.Add([]byte(`{"count":"4","sum":"1","buckets":[[0,"0.1","0.2","3"],[1,"-1","1","1"]]}`), 0.15)
	f.Fuzz(func(t *testing.T, raw []byte, over float64) {
		var h model.SampleHistogram
		if json.Unmarshal(raw, &h) != nil || !(over > 0) {
			return
		}
		m := model.Matrix{&model.SampleStream{Metric: model.Metric{"pod": "new-1"}, Histograms: []model.SampleHistogramPair{
			{Timestamp: model.TimeFromUnixNano(second(125).UnixNano()), Histogram: &h}}}}
		q := signals.Question{Query: signals.Query{By: signals.ByPod, Histogram: "h", Over: over}, Candidate: "new-", FromZero: true, Bounds: seconds(120, 135)}
		all, fast := decode(m, part{true, math.Inf(1)}), decode(m, part{true, over})
		c, _ := tellSides(q, spans(q.Bounds), all, fast, map[string]bool{})
		if s := c[0]; s.Missing == signals.Present && (!s.Spoke() || s.Errors > s.Requests) {
			t.Errorf("%+v", s)
		}
	})
}
