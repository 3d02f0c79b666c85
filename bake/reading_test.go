package bake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

// pod is a pod that serves ten requests a second from its first second to its last, after noon, and fails some.
type pod struct {
	name        string
	born, gone  time.Duration
	failsOf1000 int
}

// scraped is the API of a Prometheus that has scraped the pods every 15 seconds, each at its own moment. While it is
// away it does not answer questions about the time after noon.
type scraped struct {
	pods []pod
	away atomic.Bool
}

func (s *scraped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const between = 15 * time.Second
	seconds, _ := strconv.ParseFloat(r.FormValue("time"), 64)
	at := time.UnixMilli(int64(seconds * 1000))
	if s.away.Load() && at.After(noon) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	query := r.FormValue("query")
	_, span, _ := strings.Cut(query, "\n[")
	reach, _ := time.ParseDuration(strings.TrimSuffix(span, "]"))
	type stream struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
	result := []stream{}
	for i, p := range s.pods {
		for _, code := range []string{"200", "500"} {
			if code == "200" && strings.Contains(query, "5..") {
				continue
			}
			out := stream{Metric: map[string]string{"pod": p.name, "code": code}}
			first := at.Add(-reach).Truncate(between).Add(time.Duration(i) * time.Second)
			for t := first; !t.After(at); t = t.Add(between) {
				served := t.Sub(noon) - p.born
				if !t.After(at.Add(-reach)) || served < 0 || t.Sub(noon) > p.gone {
					continue
				}
				requests := int64(served.Seconds() * 10)
				value := requests * int64(p.failsOf1000) / 1000
				if code == "200" {
					value = requests - value
				}
				out.Values = append(out.Values, [2]any{float64(t.UnixMilli()) / 1000, fmt.Sprint(value)})
			}
			if len(out.Values) > 0 {
				result = append(result, out)
			}
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": result}})
}

// TestAllThatIsRead reads a rolling update as live, with outages, and once more as after a restart, through the real
// source: what the judge is given is the same, and is what the pods did.
func TestAllThatIsRead(t *testing.T) {
	const day, long = 24 * time.Hour, 30 * 24 * time.Hour
	store := &scraped{pods: []pod{
		{"web-7d9f-aaaaa", -2 * day, 45 * time.Second, 10},
		{"web-7d9f-bbbbb", -2 * day, 90 * time.Second, 10},
		{"web-6c8d-ccccc", -long, -2 * day, 40}, // an older revision
		{"web-5b4f-ddddd", 4 * time.Second, long, 100},
		{"web-5b4f-fffff", 50 * time.Second, long, 100},
		{"web-api-7d9f-aaaaa", -long, long, 500},
		{"cart-7d9f-aaaaa", -long, long, 20},
		{"cart-7d9f-bbbbb", -long, long, 20},
		{"pay-7d9f-aaaaa", -long, long, 5},
	}}
	server := httptest.NewServer(store)
	defer server.Close()
	source := func() Source {
		s, err := prometheus.New(prometheus.Options{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	p := policy.Resolved{Interval: 15 * time.Second, Window: 10 * time.Minute, Layers: policy.Layers{Threshold: true, Evidence: true, Blame: true},
		Signals: []policy.Signal{{Name: "http-errors", Query: signals.Query{By: signals.ByPod, Errors: `r{namespace="$namespace",code=~"5.."}`, Requests: `r{namespace="$namespace"}`}}}}
	spec := v1alpha1.BakeSpec{StartedAt: *after(0), BaselineUntil: *after(0)}
	q := question{key: web, candidate: "web-5b4f-", baseline: "web-7d9f-", historyOf: "web-7d9f-", fromZero: true, born: noon,
		past: historySpan(spec), days: daySpans(spec, p.Window), policy: p}

	live, src := newEvidence(noon.Add(4*time.Second), p.Interval), source()
	const n = 12
	for i := 1; i < n; i++ {
		store.away.Store(i%4 == 0)
		if i%5 != 0 { // else it was not looked at in time
			live.read(context.Background(), src, q, noon.Add(time.Duration(i)*p.Interval))
		}
	}
	store.away.Store(false)
	end := noon.Add(n * p.Interval)
	live.read(context.Background(), source(), q, end)
	again := newEvidence(noon.Add(4*time.Second), p.Interval)
	again.read(context.Background(), source(), q, end)
	deployed := map[string]bool{"web": true, "pay": true}
	in := again.input("rev 7", "rev 6", p, deployed)
	if diff := cmp.Diff(in, live.input("rev 7", "rev 6", p, deployed)); diff != "" {
		t.Fatalf("(-after a restart +live):\n%s", diff)
	}

	e := in.Signals[0]
	near := func(what string, c signals.Counts, requests, share float64) {
		t.Helper()
		if c.Requests < requests*0.97 || c.Requests > requests*1.03 || c.Rate() < share*0.9 || c.Rate() > share*1.1 {
			t.Errorf("%s: %v of %v failed, want about %v of %v", what, c.Errors, c.Requests, share*requests, requests)
		}
	}
	near("the past", e.History.Counts, 2*36000, 0.01)
	if len(e.Blocks) != 240 || len(e.Blocks[0].Pods) != 2 {
		t.Errorf("%d blocks, the first %+v", len(e.Blocks), e.Blocks[0])
	}
	if len(e.Days) != 2 {
		t.Fatalf("days: %+v", e.Days)
	}
	near("yesterday", e.Days[0].Counts, 2*9000, 0.01)
	near("a week ago", e.Days[1].Counts, 9000, 0.04)
	if len(e.Neighbours) != 2 || e.Neighbours[0].Name != "cart" || e.Neighbours[1].Name != "web-api" {
		t.Fatalf("neighbours: %+v", e.Neighbours)
	}
	near("cart before", e.Neighbours[0].Before, 2*36000, 0.02)
	near("cart since", e.Neighbours[0].After, 2*1800, 0.02)
	near("web-api since", e.Neighbours[1].After, 1800, 0.5)
	var candidate, baseline signals.Counts
	for _, r := range e.Ticks {
		candidate, baseline = candidate.Add(r.Candidate.Counts), baseline.Add(r.Baseline.Counts)
		if len(r.Candidate.Pods) == 0 && r.Candidate.Requests > 0 {
			t.Errorf("the pods of %s are forgotten", r.Window.To)
		}
	}
	near("the new pods", candidate, 1640+1190, 0.1) // up to their newest scrapes
	near("the old pods", baseline, 450+900, 0.01)
	if v := decide.Judge(in); len(v.Reasons) == 0 {
		t.Errorf("%+v", v)
	}
}
