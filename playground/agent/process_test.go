package agent

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

func get(p *process, path string) (int, string) {
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec.Code, rec.Body.String()
}

func TestProcessFailsAtItsRate(t *testing.T) {
	const n, rate = 20_000, 0.08
	var served tally
	p := newProcess(behavior.Behavior{ErrorRate: rate}, "seed", &served, newLogBuffer())
	for range n {
		get(p, "/")
	}
	got, sigma := float64(served.errors.Load())/n, math.Sqrt(rate*(1-rate)/n)
	if served.requests.Load() != n || math.Abs(got-rate) > 5*sigma {
		t.Fatalf("%d requests, error rate %.4f, want about %.4f", served.requests.Load(), got, rate)
	}
	if served.firstError.Load() == 0 || served.firstOK.Load() == 0 {
		t.Fatal("the first bad and the first good response have no time")
	}
	_, metrics := get(p, "/metrics")
	for _, series := range []string{`http_requests_total{code="500",method="GET"}`, `http_request_duration_seconds_bucket{code="200"`} {
		if !strings.Contains(metrics, series) {
			t.Errorf("no %s in:\n%s", series, metrics)
		}
	}
}

func TestProcessCountsNoScrapesAndHealthChecks(t *testing.T) {
	var served tally
	p := newProcess(behavior.Behavior{ErrorRate: 1}, "seed", &served, newLogBuffer())
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if code, _ := get(p, path); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if _, metrics := get(p, "/metrics"); served.requests.Load() != 0 || strings.Contains(metrics, "http_requests_total{") {
		t.Fatalf("counted: %s", metrics)
	}
}

func TestProcessBehavesUntil(t *testing.T) {
	var served tally
	p := newProcess(behavior.Behavior{ErrorRate: 1, After: time.Hour}, "seed", &served, newLogBuffer())
	if code, _ := get(p, "/"); code != 200 {
		t.Fatalf("misbehaves too early: %d", code)
	}
	p.started = time.Now().Add(-2 * time.Hour)
	if code, _ := get(p, "/"); code != 500 {
		t.Fatalf("behaves too long: %d", code)
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "127", "10.1", "127.0", "127.256", "127.x"} {
		if _, err := newAddresses(bad); err == nil {
			t.Errorf("prefix %q was taken", bad)
		}
	}
	a, err := newAddresses("127.77")
	if err != nil {
		t.Fatal(err)
	}
	first, _ := a.take("")
	a.give(first)
	second, _ := a.take("")
	if first == second {
		t.Errorf("%s was given out again at once", first)
	}
	if ip, _ := a.take("127.77.3.4"); ip != "127.77.3.4" {
		t.Errorf("the wanted address was free, got %s", ip)
	}
	if ip, _ := a.take("127.77.3.4"); ip == "127.77.3.4" {
		t.Error("an address was given out twice")
	}
	if ip, _ := a.take("127.99.0.1"); !strings.HasPrefix(ip, "127.77.") {
		t.Errorf("an address of another prefix was given out: %s", ip)
	}
}

func TestLogs(t *testing.T) {
	l := newLogBuffer()
	for range keepLines + 50 {
		l.print("old")
	}
	l.print("last but one")
	l.print("last")
	show := func(query string) string {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		writeLogs(context.Background(), rec, l, q, nil)
		raw, _ := io.ReadAll(rec.Body)
		return string(raw)
	}
	if got := show("tailLines=2"); got != "last but one\nlast\n" {
		t.Errorf("tail: %q", got)
	}
	if got := show("tailLines=2&limitBytes=6"); got != "last b" {
		t.Errorf("limit: %q", got)
	}
	if n := strings.Count(show(""), "\n"); n > keepLines || n < keepLines/2 {
		t.Errorf("%d lines kept", n)
	}
	if got := show("sinceTime=2999-01-01T00:00:00Z"); got != "" {
		t.Errorf("since: %q", got)
	}
	ended := make(chan struct{})
	var out bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		rec := httptest.NewRecorder()
		writeLogs(context.Background(), rec, l, url.Values{"follow": {"true"}, "tailLines": {"0"}}, ended)
		_, _ = out.Write(rec.Body.Bytes())
	}()
	for l.print("more"); ; l.print("more") { // the follower may not follow yet at the first
		select {
		case <-done:
			if !strings.Contains(out.String(), "more\n") {
				t.Errorf("follow: %q", out.String())
			}
			return
		case <-time.After(20 * time.Millisecond):
			select {
			case <-ended:
			default:
				if _, n, _ := l.since(0); n > keepLines+60 {
					close(ended)
				}
			}
		}
	}
}
