package datadog

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

var byPod = signals.Query{Source: signals.Datadog, By: signals.ByPod,
	Errors:   "sum:errors{kube_namespace:$namespace} by {pod_name}.as_count()",
	Requests: "sum:hits{kube_namespace:$namespace} by {pod_name}.as_count()"}

var byVersion = signals.Query{Source: signals.Datadog, By: signals.ByVersion,
	Errors:   "sum:errors{service:$workload} by {version}.as_count()",
	Requests: "sum:hits{service:$workload} by {version}.as_count()"}

const interval = 15

// asking is a question for the ticks that end so many seconds after noon.
func asking(q signals.Query, ends ...int64) signals.Question {
	out := signals.Question{Signal: "http-errors", Query: q, Kind: "Deployment", Workload: "web", Vars: map[string]string{"namespace": "shop", "workload": "web"},
		Candidate: "web-b-", Baseline: "web-a-", CandidateVersion: "V2", BaselineVersion: "v1"}
	for _, end := range append([]int64{ends[0] - interval}, ends...) {
		out.Bounds = append(out.Bounds, noon.Add(time.Duration(end)*time.Second))
	}
	return out
}

func at(d time.Duration) { time.Sleep(time.Until(noon.Add(d))) }

func read(t testing.TB, s *Source, q signals.Question) []signals.Reading {
	t.Helper()
	rs, err := s.Read(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// short is a side in short.
func short(s signals.Side) string {
	if s.Missing != signals.Present {
		return string(s.Missing) + ": " + s.Detail
	}
	if s.Value != 0 {
		return fmt.Sprint("value ", s.Value)
	}
	return fmt.Sprintf("%g of %g", s.Errors, s.Requests)
}

func want(t testing.TB, what string, got signals.Side, want string) {
	t.Helper()
	begin, open := strings.CutSuffix(want, "…")
	if s := short(got); s != want && (!open || !strings.HasPrefix(s, begin)) {
		t.Errorf("%s: %s; want %s", what, s, want)
	}
}

func TestCountsByPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, nulls := range []bool{false, true} {
			a := &api{nulls: nulls}
			n := noon.Unix()
			a.serves("kube_namespace:shop,pod_name:web-a-1", n-300, n+60, 10, 0)
			a.serves("kube_namespace:shop,pod_name:web-b-1", n, n+60, 4, 1)
			a.serves("kube_namespace:shop,pod_name:web-b-2", n, n+60, 6, 0)
			a.serves("kube_namespace:shop,pod_name:api-c-1", n, n+60, 100, 50)
			a.serves("kube_namespace:other,pod_name:web-b-3", n, n+60, 100, 100)
			s := newSource(t, a)
			time.Sleep(time.Until(noon.Add(75 * time.Second))) // the second time it is past
			r := read(t, s, asking(byPod, 60))[0]
			want(t, "the candidate", r.Candidate, "15 of 150")
			want(t, "the baseline", r.Baseline, "0 of 150")
			if diff := cmp.Diff(map[string]signals.Counts{"web-b-1": {Requests: 60, Errors: 15}, "web-b-2": {Requests: 90}}, r.Candidate.Pods); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestCountsByVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		a.serves("service:web,version:v1", n-300, n+60, 10, 1)
		a.serves("service:web,version:v2", n, n+60, 4, 2)
		a.serves("service:web", n, n+60, 1000, 0)
		s := newSource(t, a)
		at(75 * time.Second)
		r := read(t, s, asking(byVersion, 60))[0]
		want(t, "the candidate", r.Candidate, "30 of 60")
		want(t, "the baseline", r.Baseline, "15 of 150")

		q := asking(byVersion, 60)
		q.BaselineVersion = "v2"
		want(t, "versions alike", read(t, s, q)[0].Candidate, "no-series: old and new pods call themselves version v2 alike; change the label tags.datadoghq.com/version with each release")
		q.BaselineVersion, q.CandidateVersion = "", ""
		want(t, "no version", read(t, s, q)[0].Candidate, "no-series: the new pods do not say their version…")
		q = asking(byVersion, 60)
		q.CandidateVersion = "v3"
		want(t, "a version that says nothing", read(t, s, q)[0].Candidate, "no-series: no points for version v3")
	})
}

// What is null, and what is not there, is no zero: a pod that spoke shortly before served nothing, one that has not for long
// is missing, and so is what never spoke.
func TestSilenceIsNotZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, nulls := range []bool{false, true} {
			a := &api{nulls: nulls}
			n := noon.Unix()
			a.serves("kube_namespace:shop,pod_name:web-a-1", n-300, n+200, 10, 0)
			a.serves("kube_namespace:shop,pod_name:web-b-1", n-30, n+1, 1, 1)
			s := newSource(t, a)
			time.Sleep(time.Until(noon.Add(10 * time.Minute)))
			r := read(t, s, asking(byPod, 60))[0]
			want(t, "spoke a minute ago", r.Candidate, "0 of 0")
			r = read(t, s, asking(byPod, 240))[0]
			want(t, "silent for long", r.Candidate, "no-series: no points for pods web-b-*")
			q := asking(byPod, 60)
			q.Candidate = "web-x-"
			want(t, "never spoke", read(t, s, q)[0].Candidate, "no-series: no points for pods web-x-*")
			q.Vars["namespace"] = "empty"
			want(t, "no series", read(t, s, q)[0].Candidate, "no-series: no series for sum:hits{kube_namespace:empty} by {pod_name}.as_count()")
		}
	})
}

// The bucket that is not over, or may not have arrived in full, is not looked at.
func TestTheUnfinishedBucketIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		a.serves("kube_namespace:shop,pod_name:web-b-1", n-60, n+100, 1, 0)
		s := newSource(t, a)
		at(59 * time.Second)
		rs := read(t, s, asking(byPod, 15, 30, 45, 60))
		want(t, "is over for 15 s", rs[1].Candidate, "0 of 15")
		want(t, "is over", rs[2].Candidate, "unavailable: datadog: what was measured may not have arrived before 12:01:00 UTC")
		want(t, "is not over", rs[3].Candidate, "unavailable: …")
		for _, text := range a.requests() {
			if !strings.Contains(text, "rollup(sum, 15)") {
				t.Errorf("asked for %s", text)
			}
		}
	})
}

func TestTagsThatAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		a.serves("kube_namespace:shop,service:web", n-60, n+100, 1, 0)
		s := newSource(t, a)
		at(2 * time.Minute)
		want(t, "by pod", read(t, s, asking(byPod, 60))[0].Candidate, "no-series: the series carry no tag pod_name: …")
		want(t, "by version", read(t, s, asking(byVersion, 60))[0].Candidate, "no-series: the series carry no tag version: …")
		whole := byVersion
		whole.By = signals.ByService
		whole.Errors, whole.Requests = strings.ReplaceAll(whole.Errors, " by {version}", ""), strings.ReplaceAll(whole.Requests, " by {version}", "")
		want(t, "by service", read(t, s, asking(whole, 60))[0].Candidate, "0 of 15")
	})
}

func TestGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		a.serves("kube_namespace:shop,pod_name:web-b-1", n-60, n+100, 4, 1)
		q := byPod
		q.Good, q.Errors = q.Errors, ""
		s := newSource(t, a)
		at(2 * time.Minute)
		want(t, "of 60 requests 15 were good", read(t, s, asking(q, 60))[0].Candidate, "45 of 60")
		q.Good = strings.ReplaceAll(q.Good, "errors", "good")
		want(t, "nothing says what was good", read(t, s, asking(q, 60))[0].Candidate, "no-series: no points for sum:good…")
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		for at := n - 60; at < n+100; at += 5 {
			restarts := 0.0
			if at > n+50 {
				restarts = 2
			}
			a.add("restarts", "kube_namespace:shop,pod_name:web-b-1", at, restarts)
			a.add("restarts", "kube_namespace:shop,pod_name:web-b-2", at, 0)
			a.add("restarts", "kube_namespace:shop,pod_name:web-a-1", at, 7)
			if at >= n+45 {
				a.add("restarts", "kube_namespace:shop,pod_name:web-b-3", at, 1) // it began with one
			}
		}
		q := signals.Query{Source: signals.Datadog, By: signals.ByPod, Events: "max:restarts{kube_namespace:$namespace} by {pod_name}"}
		s := newSource(t, a)
		at(2 * time.Minute)
		want(t, "none of two", read(t, s, asking(q, 45))[0].Candidate, "0 of 2")
		ask := asking(q, 60)
		want(t, "it may have begun before", read(t, s, ask)[0].Candidate, "1 of 3")
		ask.FromZero, ask.Born = true, noon
		r := read(t, s, ask)[0]
		want(t, "one restarted, and one began so", r.Candidate, "2 of 3")
		want(t, "the old one restarted long ago", r.Baseline, "0 of 1")
	})
}

func TestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		for at := n - 60; at < n+60; at += 15 {
			a.add("heap", "kube_namespace:shop,pod_name:web-b-1", at, 5)
			a.add("heap", "kube_namespace:shop,pod_name:web-b-2", at, 9)
			a.add("heap", "kube_namespace:shop,pod_name:web-a-1", at, 3)
		}
		q := signals.Query{Source: signals.Datadog, By: signals.ByPod, Value: "avg:heap{kube_namespace:$namespace} by {pod_name}"}
		s := newSource(t, a)
		at(3 * time.Minute)
		r := read(t, s, asking(q, 60))[0]
		want(t, "the worst of two", r.Candidate, "value 9")
		want(t, "the old one", r.Baseline, "value 3")
		want(t, "old", read(t, s, asking(q, 90))[0].Candidate, "late: newest point is 30s old")
		q.Value, q.BaselineValue = "max:heap{pod_name:$pods_candidate}", "max:heap{pod_name:$pods_baseline}"
		r = read(t, s, asking(q, 60))[0]
		want(t, "of the candidate's own query", r.Candidate, "value 9")
		want(t, "of the baseline's own query", r.Baseline, "value 3")
	})
}

// Pods whose names stay are the candidate's once they are born anew.
func TestLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		a.serves("kube_namespace:shop,pod_name:db-0", n-300, n+20, 10, 0)
		a.serves("kube_namespace:shop,pod_name:db-0", n+20, n+100, 10, 5)
		a.serves("kube_namespace:shop,pod_name:db-1", n-300, n+100, 10, 0)
		s := newSource(t, a)
		at(2 * time.Minute)
		q := asking(byPod, 15, 30, 45)
		q.Kind, q.Workload, q.Vars["workload"] = "StatefulSet", "db", "db"
		q.Candidate, q.Baseline = "", "db-"
		q.Lives = map[string]time.Time{"db-0": noon.Add(20 * time.Second)}
		rs := read(t, s, q)
		want(t, "before", rs[0].Baseline, "0 of 300")
		want(t, "before", rs[0].Candidate, "no-series: no points for pods of db")
		want(t, "the bucket in which it was born is the old one's", rs[1].Baseline, "50 of 300")
		want(t, "after", rs[2].Candidate, "75 of 150")
		want(t, "after", rs[2].Baseline, "0 of 150")
	})
}

func TestOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		a.serves("kube_namespace:shop,pod_name:web-5d4f8c7b9-abcde", n-60, n+100, 10, 0)
		a.serves("kube_namespace:shop,pod_name:api-5d4f8c7b9-abcde", n-60, n+100, 20, 2)
		a.serves("kube_namespace:shop,pod_name:cart-5d4f8c7b9-abcde", n-60, n+100, 1, 0)
		s := newSource(t, a)
		at(2 * time.Minute)
		q := asking(byPod, 60)
		q.Candidate, q.Baseline, q.Others = "web-5d4f8c7b9-", "", 1
		if diff := cmp.Diff(map[string]signals.Counts{"api": {Requests: 300, Errors: 30}}, read(t, s, q)[0].Others); diff != "" {
			t.Error(diff)
		}
		q.Others, q.OtherNames = 0, []string{"cart"}
		if diff := cmp.Diff(map[string]signals.Counts{"cart": {Requests: 15}}, read(t, s, q)[0].Others); diff != "" {
			t.Error(diff)
		}
	})
}

func TestQuestionsThatCannotBeAsked(t *testing.T) {
	s := newSource(t, &api{})
	for name, change := range map[string]func(*signals.Question){
		"two bounds or more":                          func(q *signals.Question) { q.Bounds = q.Bounds[:1] },
		"not ascending":                               func(q *signals.Question) { slices.Reverse(q.Bounds) },
		"a question by pod needs":                     func(q *signals.Question) { q.Candidate = "" },
		"have the same pods":                          func(q *signals.Question) { q.Baseline = q.Candidate },
		"variable $namespace has no value":            func(q *signals.Question) { delete(q.Vars, "namespace") },
		"requests must be one plain query":            func(q *signals.Question) { q.Requests = "up" },
		"needs a query for errors":                    func(q *signals.Question) { q.Errors = "" },
		"needs the name of their workload":            func(q *signals.Question) { q.Lives, q.Workload = map[string]time.Time{}, "" },
		"a question about events of pods must tell":   func(q *signals.Question) { q.Events, q.By = "max:x{*}", "" },
		"a question about a whole workload needs its": func(q *signals.Question) { q.Whole, q.Workload = true, "" },
	} {
		q := asking(byPod, 15)
		change(&q)
		if _, err := s.Read(context.Background(), q); err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "datadog: signal http-errors: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever happened, and however pods come and go: ticks asked one by one as time goes by are those asked all at once after a
// restart, and all that was counted in them is what happened.
func TestTicksOneByOneAreThoseAtOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := &api{nulls: rapid.Bool().Draw(rt, "nulls")}
		n := noon.Unix()
		const ticks = 8
		total := 0.0
		for i := range rapid.IntRange(1, 30).Draw(rt, "events") {
			pod := rapid.SampledFrom([]string{"web-b-1", "web-b-2", "web-a-1"}).Draw(rt, "pod")
			when := rapid.Int64Range(-100, ticks*interval-1).Draw(rt, "when")
			requests := float64(rapid.IntRange(1, 9).Draw(rt, "requests"))
			tags := "kube_namespace:shop,pod_name:" + pod
			a.add("hits", tags, n+when, requests)
			if i%3 == 0 {
				a.add("errors", tags, n+when, 1)
			}
			if when >= 0 && strings.HasPrefix(pod, "web-b-") {
				total += requests
			}
		}
		var one, all []signals.Reading
		synctest.Test(t, func(t *testing.T) {
			s := newSource(t, a)
			q := asking(byPod, 15, 30, 45, 60, 75, 90, 105, 120)
			for i := range ticks {
				at(time.Duration(i+2) * interval * time.Second)
				tick := q
				tick.Bounds = q.Bounds[i : i+2]
				one = append(one, read(t, s, tick)...)
			}
			at(time.Hour)
			all = read(t, s, q)
		})
		if diff := cmp.Diff(all, one); diff != "" {
			rt.Fatalf("(-at once +one by one):\n%s", diff)
		}
		sum := 0.0
		for _, r := range all {
			sum += r.Candidate.Requests
		}
		if math.Abs(sum-total) > 1e-9 {
			rt.Fatalf("counted %g requests of %g", sum, total)
		}
	})
}
