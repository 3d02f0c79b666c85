package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metrics "github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/logs"
	"github.com/bakewatch/bakewatch/signals/probe"
	"github.com/bakewatch/bakewatch/signals/upstream"
	"github.com/bakewatch/bakewatch/web"
)

// noPods is a cluster without pods.
type noPods struct{ logs.Cluster }

func (noPods) Pods(context.Context, logs.Workload) ([]logs.Pod, error) { return nil, nil }

// Loki is asked as policy says, and lines are looked for there first while it is configured.
func TestLokiOfAPolicy(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	loki := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "bakewatch" || password != "hunter2" || r.Header.Get("X-Scope-OrgID") != "team-a" || !strings.HasPrefix(r.URL.Path, "/prefix/loki/api/v1/") {
			http.Error(w, "no org id", http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"status":"success","data":[]}`))
	}))
	defer loki.Close()
	measured, err := upstream.NewMetrics(metrics.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s := &sources{metrics: measured, pods: noPods{}, flows: probe.New(probe.Options{Log: zap.NewNop()}), logs: logs.New(noPods{}, measured, zap.NewNop()), troubles: &web.Troubles{}, log: zap.NewNop()}
	use := func(text string) {
		t.Helper()
		c, err := policy.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.use(c)
	}
	of := func(password string) string {
		return "sources: {loki: {url: " + loki.URL + "/prefix, tenant: team-a, lag: 7s, basicAuth: {username: bakewatch, passwordFile: " + password + "}}}"
	}
	use(of(secret))
	if err := s.lokiNow().Check(t.Context()); err != nil {
		t.Error(err)
	}
	if lag := s.lag(signals.Loki); lag != 7*time.Second {
		t.Errorf("it is read %s late", lag)
	}
	finders := s.finders()
	if _, either := finders[signals.Loki].(logs.Either); !either || finders[signals.Logs] != nil {
		t.Errorf("lines are looked for in %v", finders)
	}
	use(of(filepath.Join(dir, "absent")))
	if err := s.lokiNow().Check(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("without a password: %v", err)
	}
	use("sources: {prometheus: {url: http://127.0.0.1:1}}")
	if finders := s.finders(); s.lokiNow() != nil || finders[signals.Loki] != nil || finders[signals.Logs] == nil {
		t.Errorf("without Loki, lines are looked for in %v", finders)
	}
}
