package prometheus

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals"
)

// namespace is what a query of all of a namespace's pods answers: each pod serves as many requests a second as its last
// argument says, from second 0 to 300.
func namespace(pods ...any) (m model.Matrix) {
	for i := 0; i < len(pods); i += 2 {
		rate := pods[i+1].(float64)
		m = append(m, counter("code=200,pod="+pods[i].(string), every(0, 300, 15, func(at float64) float64 { return 50 + rate*at })))
	}
	return m
}

// serve answers the query for errors with one matrix and that for requests with the other.
func serve(t *testing.T, requests, errs model.Matrix) *scripted {
	return script(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.FormValue("query"), "5..") {
			answering(200, matrix(errs...))(w, r)
			return
		}
		answering(200, matrix(requests...))(w, r)
	})
}

var shop = namespace(
	"web-6b8f-aaaaa", 1., "web-7c9d-bbbbb", 2., "web-api-7c9d-ccccc", 4., "web-proxy-ddddd", 8., "web-db-0", 16.,
	"cart-5f5f-eeeee", 3., "cart-5f5f-fffff", 3., "idle-5f5f-ggggg", 0., "loose", 100., "web-7c9d-bbbbb-x", 100.,
)

func TestAllPodsOfAWorkload(t *testing.T) {
	source := sourceOf(t, Options{URL: serve(t, shop, namespace("web-6b8f-aaaaa", 0.2, "web-api-7c9d-ccccc", 1.)).URL})
	q := asking()
	q.Candidate, q.Baseline, q.Whole, q.Bounds = "", "", true, seconds(120, 135, 150)
	for _, c := range []struct {
		kind, name string
		want       signals.Counts
	}{
		{"Deployment", "web", signals.Counts{Requests: 45, Errors: 3}},
		{"Deployment", "web-api", signals.Counts{Requests: 60, Errors: 15}},
		{"DaemonSet", "web-proxy", signals.Counts{Requests: 120}},
		{"StatefulSet", "web-db", signals.Counts{Requests: 240}},
	} {
		q.Kind, q.Workload = c.kind, c.name
		rs, err := source.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if got := r.Candidate.Counts; r.Candidate.Missing != signals.Present || got.Requests != c.want.Requests || math.Abs(got.Errors-c.want.Errors) > 1e-9 {
				t.Errorf("%s %s: %+v, want %+v", c.kind, c.name, r.Candidate, c.want)
			}
			if r.Baseline.Missing != signals.NoSeries || r.Others != nil {
				t.Errorf("besides: %+v, %v", r.Baseline, r.Others)
			}
		}
	}
	q.Kind, q.Workload = "Deployment", "we"
	rs, err := source.Read(t.Context(), q)
	if err != nil || rs[0].Candidate.Missing != signals.NoSeries || !strings.Contains(rs[0].Candidate.Detail, "we-*") {
		t.Errorf("%+v, %v", rs, err)
	}
}

func TestOthers(t *testing.T) {
	server := serve(t, shop, namespace("cart-5f5f-eeeee", 1.))
	source := sourceOf(t, Options{URL: server.URL})
	q := asking()
	q.Kind, q.Workload, q.Candidate, q.Baseline, q.Bounds = "Deployment", "web", "web-7c9d-", "web-6b8f-", seconds(120, 135, 150)
	cart, api := signals.Counts{Requests: 90, Errors: 15}, signals.Counts{Requests: 60}
	proxy, db := signals.Counts{Requests: 120}, signals.Counts{Requests: 240}
	for _, c := range []struct {
		name string
		ask  func(*signals.Question)
		want map[string]signals.Counts
	}{
		{"not asked for", func(*signals.Question) {}, nil},
		{"all", func(q *signals.Question) { q.Others = 50 },
			map[string]signals.Counts{"cart": cart, "web-api": api, "web-proxy": proxy, "web-db": db, "idle": {}}},
		{"the largest", func(q *signals.Question) { q.Others = 2 }, map[string]signals.Counts{"web-proxy": proxy, "web-db": db}},
		{"by name", func(q *signals.Question) { q.OtherNames = []string{"cart", "gone", "web"} },
			map[string]signals.Counts{"cart": cart, "web": {Requests: 45}}},
		{"of a service", func(q *signals.Question) { q.By, q.Others = signals.ByService, 5 }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ask := q
			c.ask(&ask)
			rs, err := source.Read(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rs {
				if diff := cmp.Diff(c.want, r.Others); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
	if n := len(server.requests()); n != 2 {
		t.Errorf("%d requests: the others are in the answer that is asked for anyway", n)
	}
}

// TestOthersOfALongQuestion: the newest part says which are the largest; they are counted in all parts.
func TestOthersOfALongQuestion(t *testing.T) {
	grown := func(pod string, from, to, rate float64) *model.SampleStream {
		return counter("code=200,pod="+pod, every(from, to, 60, func(at float64) float64 { return rate * (at - from) }))
	}
	streams := model.Matrix{grown("web-7c9d-bbbbb", 0, 6000, 1), grown("past-5f5f-aaaaa", 0, 2000, 100), grown("cart-5f5f-aaaaa", 0, 6000, 2), grown("idle-5f5f-aaaaa", 0, 6000, 1)}
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		var at, reach float64
		_, span, _ := strings.Cut(r.FormValue("query"), "[")
		if _, err := fmt.Sscan(r.FormValue("time"), &at); err != nil {
			t.Error(err)
		}
		if _, err := fmt.Sscanf(span, "%fs]", &reach); err != nil {
			t.Error(err)
		}
		end := second(at - float64(epoch.Unix()))
		answering(200, matrix(cut(streams, end.Add(-second(reach).Sub(epoch)), end)...))(w, r)
	})
	source := sourceOf(t, Options{URL: server.URL})
	q := asking()
	q.Kind, q.Workload, q.Candidate, q.Baseline, q.Others, q.Bounds = "Deployment", "web", "web-7c9d-", "", 1, nil
	for at := 600.0; at <= 6000; at += 60 {
		q.Bounds = append(q.Bounds, second(at))
	}
	rs, err := source.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if diff := cmp.Diff(map[string]signals.Counts{"cart": {Requests: 120}}, r.Others, cmp.Transformer("requests", func(c signals.Counts) float64 { return c.Requests })); diff != "" {
			t.Fatalf("window %d of %d (-want +got):\n%s", i, len(rs), diff)
		}
	}
	if n := len(server.requests()); n > 8 {
		t.Errorf("%d requests", n)
	}
}
