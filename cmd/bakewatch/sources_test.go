package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metrics "github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog"
	"github.com/bakewatch/bakewatch/signals/probe"
	"github.com/bakewatch/bakewatch/signals/upstream"
	"github.com/bakewatch/bakewatch/web"
)

// The policy alone says which sources there are: Datadog comes and goes with it, shares its metrics with Prometheus, and its
// budget outlives each of them.
func TestSourcesOfAPolicy(t *testing.T) {
	var asked atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("DD-API-KEY") != "api" || r.Header.Get("DD-APPLICATION-KEY") != "app" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("X-RateLimit-Limit", "100")
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", "60")
		_ = json.NewEncoder(w).Encode(map[string]any{"valid": true, "status": "ok", "series": []any{}})
	}))
	defer api.Close()
	dir := t.TempDir()
	for _, key := range []string{"api", "app"} {
		if err := os.WriteFile(filepath.Join(dir, key), []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reg := metrics.NewRegistry()
	measured, err := upstream.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	troubles := &web.Troubles{}
	flows := probe.New(probe.Options{Log: zap.NewNop()})
	s := &sources{metrics: measured, budget: &datadog.Budget{}, flows: flows, troubles: troubles, log: zap.NewNop()}
	use := func(text string) {
		t.Helper()
		c, err := policy.Parse("bakewatch.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.use(c)
	}
	ask := func() string {
		edge := time.Now().Truncate(15 * time.Second).Add(-time.Minute)
		rs, err := s.Read(context.Background(), signals.Question{Signal: "http-errors", Bounds: []time.Time{edge.Add(-15 * time.Second), edge},
			Query: signals.Query{Source: signals.Datadog, Errors: "sum:errors{*}.as_count()", Requests: "sum:hits{*}.as_count()"}})
		if err != nil {
			return err.Error()
		}
		return rs[0].Candidate.Detail
	}
	alone := "sources: {datadog: {url: '" + api.URL + "', apiKeyFile: " + dir + "/api, appKeyFile: " + dir + "/app, lag: "

	use("sources: {prometheus: {url: http://prometheus}}")
	if got := ask(); got != "datadog is not configured; set sources.datadog in the ConfigMap" {
		t.Error(got)
	}
	if lag := s.lag(signals.Datadog); lag != 0 {
		t.Error(lag)
	}
	use(alone + "20s}}")
	if got := ask(); !strings.HasPrefix(got, "no series for sum:hits{*}") {
		t.Error(got)
	}
	if lag := s.lag(signals.Datadog); lag != 20*time.Second || s.lag(signals.Prometheus) != 0 {
		t.Error(lag)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric(); f.GetName() == "bakewatch_source_up" && (len(m) != 1 || m[0].GetGauge().GetValue() != 1 || m[0].GetLabel()[0].GetValue() != "datadog") {
			t.Errorf("bakewatch_source_up is %v", m)
		}
	}
	sent := asked.Load()
	use(alone + "25s}}") // built anew, and still nothing is left to send
	if got := ask(); !strings.Contains(got, "the organisation's rate limit of 100 requests is used up for") || asked.Load() != sent {
		t.Errorf("%s; %d requests, want %d", got, asked.Load(), sent)
	}
	use("sources: {prometheus: {url: http://prometheus}}")
	if got := ask(); !strings.Contains(got, "is not configured") {
		t.Error(got)
	}
}
