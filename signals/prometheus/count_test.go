package prometheus

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

// epoch is second 0 of the tests' samples.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func second(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }

func seconds(s ...float64) []time.Time {
	times := make([]time.Time, len(s))
	for i := range s {
		times[i] = second(s[i])
	}
	return times
}

// counter writes one series: labels as "pod=new-1,code=200", samples as "0:10 15:12" (second:value).
func counter(labels, samples string) *model.SampleStream {
	stream := &model.SampleStream{Metric: model.Metric{}}
	for pair := range strings.SplitSeq(labels, ",") {
		name, value, _ := strings.Cut(pair, "=")
		stream.Metric[model.LabelName(name)] = model.LabelValue(value)
	}
	for _, sample := range strings.Fields(samples) {
		at, value, _ := strings.Cut(sample, ":")
		var s, v float64
		if _, err := fmt.Sscan(at, &s); err != nil {
			panic(err)
		}
		if _, err := fmt.Sscan(value, &v); err != nil {
			panic(err)
		}
		stream.Values = append(stream.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(second(s).UnixNano()), Value: model.SampleValue(v)})
	}
	return stream
}

func every(from, to, step float64, value func(at float64) float64) string {
	var b strings.Builder
	for at := from; at <= to; at += step {
		fmt.Fprintf(&b, "%g:%g ", at, value(at))
	}
	return b.String()
}

// tell answers a question from two matrices.
func tell(q signals.Question, requests, errs model.Matrix) []signals.Reading {
	seen := maps.Clone(q.Seen)
	if seen == nil {
		seen = map[string]bool{}
	}
	f := form{}
	if q.Histogram != "" {
		f, _ = formOf(q.Query)
	}
	c, b := tellSides(q, spans(q.Bounds), decode(requests, f.requests.part), decode(errs, f.errors.part), seen)
	readings := make([]signals.Reading, len(c))
	for i := range c {
		readings[i] = signals.Reading{Window: signals.Window{From: q.Bounds[i], To: q.Bounds[i+1]}, Candidate: c[i], Baseline: b[i]}
	}
	return readings
}

func TestGrowth(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"nothing", nil, 0},
		{"one value is only a beginning", []float64{7}, 0},
		{"steps", []float64{7, 9, 9, 12}, 5},
		{"a reset counts the new value", []float64{7, 9, 2, 3}, 5},
		{"a reset to zero", []float64{7, 0}, 0},
		{"two resets", []float64{5, 1, 4, 2}, 6},
	} {
		if got := growth(c.values); got != c.want {
			t.Errorf("%s: growth(%v) = %v, want %v", c.name, c.values, got, c.want)
		}
	}
}

func TestSides(t *testing.T) {
	byPod := signals.Question{Query: signals.Query{By: signals.ByPod, Requests: `r{}`, Errors: `e{}`}, Candidate: "new-", Baseline: "old-", Bounds: seconds(120, 135)}
	steady := func(at float64) float64 { return 100 + 2*at }
	old := counter("pod=old-1,code=200", every(5, 135, 15, steady))
	oldCounts := signals.Counts{Requests: 30}

	with := func(change func(*signals.Question)) signals.Question {
		q := byPod
		change(&q)
		return q
	}
	fromZero := with(func(q *signals.Question) { q.FromZero = true })

	type side struct {
		missing signals.Missing
		detail  string
		pods    map[string]signals.Counts
	}
	present := func(pods map[string]signals.Counts) side { return side{pods: pods} }
	zero := signals.Counts{}
	for _, c := range []struct {
		name     string
		q        signals.Question
		requests model.Matrix
		errors   model.Matrix
		want     []side // the candidate, window by window
		baseline *side  // nil: the steady old pod
	}{
		{
			name: "growth between the last samples at the bounds", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "110:10 119:20 125:25 134:40 136:99")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 20}})},
		},
		{
			name: "a pod of an earlier life of the revision does not count from zero",
			q:    with(func(q *signals.Question) { q.FromZero, q.Born = true, second(110) }),
			requests: model.Matrix{
				counter("pod=new-gone,code=200", "60:900 75:1000"),
				counter("pod=new-on,code=200", "100:500 125:507"),
				counter("pod=new-1,code=200", "118:20 134:40"),
			},
			want: []side{present(map[string]signals.Counts{"new-gone": {}, "new-on": {Requests: 7}, "new-1": {Requests: 40}})},
		},
		{
			name: "a sample on a bound belongs to the window it closes", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "105:10 120:20 135:50")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 30}})},
		},
		{
			name: "all label combinations of a pod, and all pods", q: byPod,
			requests: model.Matrix{
				counter("pod=new-1,code=200", "119:20 134:40"), counter("pod=new-1,code=500", "119:1 134:4"),
				counter("pod=new-2,code=200", "118:5 133:6"),
			},
			errors: model.Matrix{counter("pod=new-1,code=500", "119:1 134:4")},
			want:   []side{present(map[string]signals.Counts{"new-1": {Requests: 23, Errors: 3}, "new-2": {Requests: 1}})},
		},
		{
			name: "a restarted container", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "119:20 124:30 129:4 134:6")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 16}})},
		},
		{
			name: "no errors series yet is true zero", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "119:20 134:40")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 20}})},
		},
		{
			name: "the first code=500 of a pod that was there counts from zero", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "119:20 134:40"), counter("pod=new-1,code=500", "134:3")},
			errors:   model.Matrix{counter("pod=new-1,code=500", "134:3")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 23, Errors: 3}})},
		},
		{
			name: "so does one that comes later in the pod's first window", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "122:20 132:40"), counter("pod=new-1,code=500", "132:3")},
			errors:   model.Matrix{counter("pod=new-1,code=500", "132:3")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 23, Errors: 3}})},
		},
		{
			name: "a second target of the pod is not new because it is scraped later", q: byPod,
			requests: model.Matrix{
				counter("pod=new-1,instance=10.0.0.1:80,code=200", "119:20 134:40"),
				counter("pod=new-1,instance=10.0.0.1:81,code=200", "125:9000 130:9001"),
			},
			want: []side{present(map[string]signals.Counts{"new-1": {Requests: 21}})},
		},
		{
			name: "a pod of unknown age counts from its first sample", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "122:900 134:910")},
			errors:   model.Matrix{counter("pod=new-1,code=500", "122:90 134:91")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 10, Errors: 1}})},
		},
		{
			name: "a fresh pod counts from zero", q: fromZero,
			requests: model.Matrix{counter("pod=new-1,code=200", "122:9 134:19")},
			errors:   model.Matrix{counter("pod=new-1,code=500", "122:5 134:6")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 19, Errors: 6}})},
		},
		{
			name:     "what a fresh pod counted before the first bound is in its first window, once",
			q:        with(func(q *signals.Question) { q.FromZero, q.Bounds = true, seconds(105, 120, 135) }),
			requests: model.Matrix{counter("pod=new-1,code=200", "90:4 104:9 119:19 134:20")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 19}}), present(map[string]signals.Counts{"new-1": {Requests: 1}})},
		},
		{
			name:     "a fresh pod that was counted before does not count twice",
			q:        with(func(q *signals.Question) { q.FromZero, q.Seen = true, map[string]bool{"new-1": true} }),
			requests: model.Matrix{counter("pod=new-1,code=200", "122:9 134:19"), counter("pod=new-2,code=200", "122:9 134:19")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 10}, "new-2": {Requests: 19}})},
		},
		{
			name: "an old pod never counts from zero", q: fromZero,
			requests: model.Matrix{counter("pod=new-1,code=200", "122:9 134:19"), counter("pod=old-2,code=200", "122:9000 134:9001")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 19}})},
			baseline: &side{pods: map[string]signals.Counts{"old-1": oldCounts, "old-2": {Requests: 1}}},
		},
		{
			name:     "where both prefixes match, the longer has the pod",
			q:        with(func(q *signals.Question) { q.Candidate = "old-2-" }),
			requests: model.Matrix{counter("pod=old-2-a,code=200", "119:1 134:3"), counter("pod=older-1,code=200", "119:1 134:9")},
			want:     []side{present(map[string]signals.Counts{"old-2-a": {Requests: 2}})},
		},
		{
			name: "no series for the side", q: byPod,
			requests: model.Matrix{counter("pod=other-1,code=200", "119:1 134:3")},
			errors:   model.Matrix{counter("pod=new-1,code=500", "119:1 134:3")},
			want:     []side{{missing: signals.NoSeries, detail: "no series for pods new-*"}},
		},
		{
			name: "samples only before the lookback are no series", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "-30:1 0:3")},
			want:     []side{{missing: signals.NoSeries, detail: "no series for pods new-*"}},
		},
		{
			name: "errors beyond requests are cut", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "119:1 134:3")},
			errors:   model.Matrix{counter("pod=new-1,code=500", "119:1 134:30")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 2, Errors: 2}})},
		},
		{
			name: "samples that are no count are skipped", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "119:1 124:NaN 126:+Inf 128:-3 130:1e300 134:3")},
			want:     []side{present(map[string]signals.Counts{"new-1": {Requests: 2}})},
		},
		{
			name: "only NaN requests", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "119:NaN 134:NaN")},
			want:     []side{{missing: signals.NotNumber, detail: "the requests counter is NaN, infinite, negative or a histogram"}},
		},
		{
			name: "only NaN errors", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "119:1 134:2")},
			errors:   model.Matrix{counter("pod=new-1,code=500", "119:NaN 134:NaN")},
			want:     []side{{missing: signals.NotNumber, detail: "the errors counter is NaN, infinite, negative or a histogram"}},
		},
		{
			name: "late: older than two and a half scrapes", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "26:1 41:3")},
			want:     []side{{missing: signals.Late, detail: "newest sample is 94s old"}},
		},
		{
			name: "not late within one window, however often it is scraped", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "118:1 119:3 120:4")},
			want:     []side{present(map[string]signals.Counts{"new-1": zero})},
		},
		{
			name: "late after one sample only: the other side tells the spacing", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "97:3")},
			want:     []side{{missing: signals.Late, detail: "newest sample is 38s old"}},
		},
		{
			name: "not yet late after one sample", q: byPod,
			requests: model.Matrix{counter("pod=new-1,code=200", "98:3")},
			want:     []side{present(map[string]signals.Counts{"new-1": zero})},
		},
		{
			name: "a fresh pod that was late is counted when it speaks", q: with(func(q *signals.Question) { q.FromZero, q.Bounds = true, seconds(120, 135, 150) }),
			requests: model.Matrix{counter("pod=new-1,code=200", "60:5 75:7 149:9")},
			want: []side{
				{missing: signals.Late, detail: "newest sample is 60s old"},
				present(map[string]signals.Counts{"new-1": {Requests: 9}}),
			},
			baseline: &side{missing: signals.Present, pods: map[string]signals.Counts{"old-1": oldCounts}},
		},
		{
			name:     "scrapes of a minute, ticks of a quarter: three empty windows and a lump",
			q:        with(func(q *signals.Question) { q.Bounds = seconds(120, 135, 150, 165, 180) }),
			requests: model.Matrix{counter("pod=new-1,code=200", "55:0 115:10 175:70")},
			want: []side{
				present(map[string]signals.Counts{"new-1": zero}), present(map[string]signals.Counts{"new-1": zero}),
				present(map[string]signals.Counts{"new-1": zero}), present(map[string]signals.Counts{"new-1": {Requests: 60}}),
			},
		},
		{
			name: "nothing at all", q: byPod,
			want:     []side{{missing: signals.NoSeries, detail: "no series for pods new-*"}},
			baseline: nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			readings := tell(c.q, append(c.requests, old), c.errors)
			if len(readings) != len(c.want) {
				t.Fatalf("%d readings, want %d", len(readings), len(c.want))
			}
			check := func(what string, got signals.Side, want side) {
				t.Helper()
				full := signals.Side{Missing: want.missing, Detail: want.detail, Pods: want.pods}
				for _, n := range want.pods {
					full.Counts = full.Add(n)
				}
				if diff := cmp.Diff(full, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			for i, r := range readings {
				check(fmt.Sprintf("candidate, window %d", i), r.Candidate, c.want[i])
			}
			baseline := side{pods: map[string]signals.Counts{"old-1": oldCounts}}
			if c.baseline != nil {
				baseline = *c.baseline
			}
			check("baseline", readings[0].Baseline, baseline)
		})
	}
}

func TestAnswersWithoutPods(t *testing.T) {
	bounds := seconds(120, 135)
	byPod := signals.Question{Query: signals.Query{By: signals.ByPod, Requests: `r{}`}, Candidate: "new-", Bounds: bounds}
	got := tell(byPod, nil, nil)[0]
	if want := (signals.Side{Missing: signals.NoSeries, Detail: "no series for r{}"}); !cmp.Equal(want, got.Candidate) {
		t.Errorf("empty answer: %+v, want %+v", got.Candidate, want)
	}
	if want := (signals.Side{Missing: signals.NoSeries, Detail: "there are no old pods"}); !cmp.Equal(want, got.Baseline) {
		t.Errorf("no baseline: %+v, want %+v", got.Baseline, want)
	}
	got = tell(byPod, model.Matrix{counter("code=200", "119:1 134:2")}, nil)[0]
	if want := (signals.Side{Missing: signals.NoSeries, Detail: "the series carry no pod label: r{}"}); !cmp.Equal(want, got.Candidate) {
		t.Errorf("no pod label: %+v, want %+v", got.Candidate, want)
	}
}

func TestWholeService(t *testing.T) {
	q := signals.Question{Query: signals.Query{Requests: `r{}`}, Bounds: seconds(120, 135)}
	requests := model.Matrix{
		counter("instance=ingress-1,code=200", "119:10 134:30"),
		counter("instance=ingress-1,code=500", "134:4"),
		counter("instance=ingress-2,pod=x,code=200", "125:1000 134:1001"), // discovered, not new
	}
	got := tell(q, requests, model.Matrix{counter("instance=ingress-1,code=500", "134:4")})[0]
	want := signals.Reading{
		Window:    signals.Window{From: q.Bounds[0], To: q.Bounds[1]},
		Candidate: signals.Side{Counts: signals.Counts{Requests: 25, Errors: 4}},
		Baseline:  signals.Side{Missing: signals.NoSeries, Detail: "counted for the whole service; compared with its past"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestManyPodsHaveOnlyATotal(t *testing.T) {
	var requests model.Matrix
	for i := range maxPods + 1 {
		requests = append(requests, counter(fmt.Sprintf("pod=new-%d", i), "119:10 134:12"))
	}
	q := signals.Question{Query: signals.Query{By: signals.ByPod, Requests: `r{}`}, Candidate: "new-", FromZero: true, Bounds: seconds(120, 135)}
	got := tell(q, requests, nil)[0].Candidate
	if got.Pods != nil || got.Requests != 2*(maxPods+1) {
		t.Errorf("%d pods named, %v requests, want none named and %d", len(got.Pods), got.Requests, 2*(maxPods+1))
	}
	got = tell(q, requests[:maxPods], nil)[0].Candidate
	if len(got.Pods) != maxPods || got.Requests != 12*maxPods {
		t.Errorf("%d pods named, %v requests, want %d and %d", len(got.Pods), got.Requests, maxPods, 12*maxPods)
	}
}

// fleet is a random set of scraped processes: with resets, gaps, series that appear late, odd samples, and scrapes at
// any phase. Gaps may be longer than the lookback.
func fleet(t *rapid.T, until float64) (requests, errs model.Matrix) {
	scrape := rapid.SampledFrom([]float64{1, 5, 7.5, 15, 30, 60}).Draw(t, "scrape")
	names := []string{"new-1", "new-2", "old-1", "old-2", "new-2-x", ""}
	for p := range rapid.IntRange(0, 5).Draw(t, "targets") {
		pod := rapid.SampledFrom(names).Draw(t, "pod")
		began := rapid.Float64Range(-300, until).Draw(t, "began")
		phase := rapid.Float64Range(0, 1).Draw(t, "phase") * scrape
		ended := rapid.Float64Range(began, until+100).Draw(t, "ended")
		resets := rapid.SliceOfN(rapid.Float64Range(began, until), 0, 2).Draw(t, "resets")
		gapFrom := rapid.Float64Range(-300, until).Draw(t, "gap")
		gapLen := rapid.SampledFrom([]float64{0, 20, 100, 400}).Draw(t, "gap length")
		for _, code := range []string{"200", "500"} {
			appears := began
			if code == "500" {
				appears = rapid.Float64Range(began, until+50).Draw(t, "first 500")
			}
			step := rapid.IntRange(0, 9).Draw(t, "step")
			var samples strings.Builder
			value, last := 0, began
			for at := began + phase; at <= ended; at += scrape {
				if slices.ContainsFunc(resets, func(r float64) bool { return r > last && r <= at }) {
					value = 0
				}
				last = at
				value += step + int(at)%3
				if at < appears || at > gapFrom && at < gapFrom+gapLen {
					continue
				}
				if rapid.IntRange(0, 40).Draw(t, "odd") == 0 {
					fmt.Fprintf(&samples, "%.3f:NaN ", at)
					continue
				}
				fmt.Fprintf(&samples, "%.3f:%d ", at, value)
			}
			s := counter(fmt.Sprintf("pod=%s,instance=i%d,code=%s", pod, p, code), samples.String())
			requests = append(requests, s)
			if code == "500" {
				errs = append(errs, s)
			}
		}
	}
	return requests, errs
}

// cut gives the samples that a query evaluated at a time with a reach returns, left open as in Prometheus 3.
func cut(m model.Matrix, from, to time.Time) model.Matrix {
	var out model.Matrix
	for _, s := range m {
		c := &model.SampleStream{Metric: s.Metric}
		for _, v := range s.Values {
			if v.Timestamp.Time().After(from) && !v.Timestamp.Time().After(to) {
				c.Values = append(c.Values, v)
			}
		}
		for _, v := range s.Histograms {
			if v.Timestamp.Time().After(from) && !v.Timestamp.Time().After(to) {
				c.Histograms = append(c.Histograms, v)
			}
		}
		if len(c.Values)+len(c.Histograms) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// TestSplitIsWhole: reading tick by tick, each tick with its own answer, and reading all ticks from one answer say the
// same, word for word.
func TestSplitIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tick := rapid.SampledFrom([]float64{5, 15, 45}).Draw(t, "tick")
		ticks := rapid.IntRange(1, 14).Draw(t, "ticks")
		until := tick * float64(ticks)
		requests, errs := fleet(t, until)
		q := signals.Question{
			Query:     signals.Query{By: rapid.SampledFrom([]signals.By{signals.ByPod, signals.ByService}).Draw(t, "by"), Requests: `r{}`},
			Candidate: "new-", Baseline: "old-", FromZero: rapid.Bool().Draw(t, "from zero"),
		}
		switch rapid.IntRange(0, 5).Draw(t, "form") {
		case 1:
			q.Good = `g{}`
		case 2:
			q.Query = signals.Query{By: signals.ByPod, Events: `r{}`}
			errs = requests
		case 3:
			q.Query = signals.Query{By: signals.ByPod, Events: `e{}`, Requests: `r{}`}
		case 4:
			q.Query = signals.Query{By: q.By, Histogram: `h_bucket`, Over: 1}
		case 5:
			q.Query = signals.Query{By: q.By, Histogram: `h`, Over: 0.3}
			requests = histograms(t, requests)
			errs = requests
		}
		if rapid.Bool().Draw(t, "overlap") {
			q.Baseline = "new-2-"
		}
		if rapid.Bool().Draw(t, "by lives") {
			q.Kind, q.Workload, q.Lives = "StatefulSet", "new", map[string]time.Time{}
			for range rapid.IntRange(0, 3).Draw(t, "lives") {
				q.Lives[rapid.SampledFrom([]string{"new-1", "new-2", "old-1"}).Draw(t, "alive")] = second(math.Floor(rapid.Float64Range(-200, until).Draw(t, "born")))
			}
		}
		for i := range ticks + 1 {
			q.Bounds = append(q.Bounds, second(tick*float64(i)))
		}
		whole := tell(q, requests, errs)

		seen := map[string]bool{}
		for i := range ticks {
			one := q
			one.Bounds = q.Bounds[i : i+2]
			one.Seen = seen
			extra := time.Duration(rapid.IntRange(0, 200).Draw(t, "extra reach")) * time.Second
			from := one.Bounds[0].Add(-Lookback(one.Bounds[1].Sub(one.Bounds[0])) - extra)
			got := tell(one, cut(requests, from, one.Bounds[1]), cut(errs, from, one.Bounds[1]))
			want := whole[i]
			forgetWhy(&want)
			forgetWhy(&got[0])
			if diff := cmp.Diff(want, got[0]); diff != "" {
				t.Fatalf("window %d (-whole +split):\n%s", i, diff)
			}
			for pod := range got[0].Candidate.Pods {
				seen[pod] = true
			}
		}
		for i, r := range whole {
			sound(t, fmt.Sprintf("window %d", i), r)
		}
	})
}

// forgetWhy drops the words on a side without series: they tell what else the answer holds, which depends on its reach.
func forgetWhy(r *signals.Reading) {
	for _, s := range []*signals.Side{&r.Candidate, &r.Baseline} {
		if s.Missing == signals.NoSeries {
			s.Detail = ""
		}
	}
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// sound fails unless the reading's counts are possible ones.
func sound(t failer, what string, r signals.Reading) {
	t.Helper()
	possible := func(c signals.Counts) bool {
		return c.Requests >= 0 && c.Errors >= 0 && c.Errors <= c.Requests && !math.IsInf(c.Requests, 0)
	}
	for _, s := range []signals.Side{r.Candidate, r.Baseline} {
		if !possible(s.Counts) || s.Missing != "" && (s.Counts != signals.Counts{} || s.Pods != nil || s.Detail == "") {
			t.Fatalf("%s: impossible side %+v", what, s)
		}
		for pod, c := range s.Pods {
			if !possible(c) {
				t.Fatalf("%s: impossible counts %+v of pod %s", what, c, pod)
			}
		}
	}
}

// TestCountsAreTheSteps compares with a second way to count, which goes through each series sample by sample: it holds
// as long as no gap is longer than the lookback.
func TestCountsAreTheSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tick, ticks = 15.0, 12
		scrape := rapid.SampledFrom([]float64{1, 5, 15, 30, 60}).Draw(t, "scrape")
		q := signals.Question{Query: signals.Query{By: signals.ByPod, Requests: `r{}`}, Candidate: "new-", FromZero: rapid.Bool().Draw(t, "from zero")}
		for i := range ticks + 1 {
			q.Bounds = append(q.Bounds, second(tick*float64(i)))
		}
		var requests model.Matrix
		var want float64
		for p := range rapid.IntRange(1, 4).Draw(t, "pods") {
			began := rapid.Float64Range(-100, tick*ticks).Draw(t, "began")
			at := math.Round(1000*(began+rapid.Float64Range(0, 1).Draw(t, "phase")*scrape)) / 1000
			var samples strings.Builder
			value, first := 0, true
			for ; at <= tick*ticks; at += scrape {
				inc := rapid.IntRange(0, 20).Draw(t, "inc")
				if rapid.IntRange(0, 9).Draw(t, "reset") == 0 {
					inc = min(inc, max(value-1, 0)) // what stands there after it: less than before, or it is not seen
					value = 0
				}
				value += inc
				fmt.Fprintf(&samples, "%.3f:%d ", at, value)
				switch {
				case q.FromZero && first:
					want += float64(value)
				case q.FromZero, at > 0 && !first:
					want += float64(inc)
				}
				first = false
			}
			requests = append(requests, counter(fmt.Sprintf("pod=new-%d", p), samples.String()))
		}
		var got float64
		for _, r := range tell(q, requests, nil) {
			if r.Candidate.Missing == signals.NotNumber || r.Candidate.Missing == signals.Failed {
				t.Fatalf("%+v", r.Candidate)
			}
			got += r.Candidate.Requests
		}
		if got != want {
			t.Fatalf("counted %v, want %v", got, want)
		}
	})
}

// BenchmarkCount counts one tick, and the rebuild of a quarter of an hour, of 1,000 series (500 pods of two codes)
// that are scraped every 15 s.
func BenchmarkCount(b *testing.B) {
	var requests, errs model.Matrix
	samples := every(-120, 900, 15, func(at float64) float64 { return 1000 + at })
	for p := range 500 {
		side := []string{"new", "old"}[p%2]
		for _, code := range []string{"200", "500"} {
			s := counter(fmt.Sprintf("pod=%s-%d,job=app,instance=10.0.0.%d:80,code=%s", side, p, p, code), samples)
			requests = append(requests, s)
			if code == "500" {
				errs = append(errs, s)
			}
		}
	}
	for _, windows := range []int{1, 60} {
		b.Run(fmt.Sprintf("windows=%d", windows), func(b *testing.B) {
			q := signals.Question{Query: signals.Query{By: signals.ByPod}, Candidate: "new-", Baseline: "old-", FromZero: true}
			for i := range windows + 1 {
				q.Bounds = append(q.Bounds, second(15*float64(i)))
			}
			from := q.Bounds[0].Add(-2 * time.Minute)
			r, e := decode(cut(requests, from, q.Bounds[windows]), part{}), decode(cut(errs, from, q.Bounds[windows]), part{})
			b.ReportAllocs()
			for b.Loop() {
				tellSides(q, spans(q.Bounds), r, e, map[string]bool{})
			}
		})
	}
}
