package standins

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Each stand-in of a receiver fails as it is told to, for as many requests as it is told to, and is well afterwards.
func TestFaultsOnRequest(t *testing.T) {
	for name, handler := range map[string]http.Handler{"grafana": NewGrafana(""), "webhook": NewWebhook()} {
		s := httptest.NewServer(handler)
		defer s.Close()
		do := func(method, path, body string, within time.Duration) (int, http.Header, string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return 0, nil, "", err
			}
			defer func() { _ = res.Body.Close() }()
			text, err := io.ReadAll(res.Body)
			return res.StatusCode, res.Header, string(text), err
		}
		send := func(within time.Duration) (int, http.Header, string, error) {
			return do("POST", "/api/annotations", `{"text": "x", "time": 1}`, within)
		}
		for kind, want := range map[string]int{"down": 0, "slow": 0, "4xx": 400, "5xx": 503, "429": 429, "garbage": 200} {
			if code, _, text, _ := do("PUT", "/_fault", `{"kind": "`+kind+`", "times": 1, "seconds": 7}`, time.Minute); code != 200 {
				t.Fatalf("%s %s: %d %s", name, kind, code, text)
			}
			within := time.Minute
			if kind == "slow" {
				within = 100 * time.Millisecond
			}
			code, header, text, err := send(within)
			if code != want || (err != nil) != (want == 0) || kind == "429" && header.Get("Retry-After") != "7" || kind == "garbage" && !strings.Contains(text, "<html>") {
				t.Errorf("%s %s: %d %v %q, %v", name, kind, code, header, text, err)
			}
			if code, _, text, err := send(time.Minute); code != 200 || err != nil {
				t.Errorf("%s after %s: %d %s %v", name, kind, code, text, err)
			}
		}
		if code, _, text, _ := do("PUT", "/_fault", `{"kind": "gremlins"}`, time.Minute); code != 400 || !strings.Contains(text, "garbage") {
			t.Errorf("%s: %d %s", name, code, text)
		}
		_, _, _, _ = do("PUT", "/_fault", `{"kind": "5xx"}`, time.Minute)
		for range 3 {
			if code, _, _, _ := send(time.Minute); code != 503 {
				t.Errorf("%s: %d, want 503 until it is taken back", name, code)
			}
		}
		_, _, _, _ = do("DELETE", "/_fault", "", time.Minute)
		if code, _, _, _ := send(time.Minute); code != 200 {
			t.Errorf("%s: %d after it is taken back", name, code)
		}
	}
}
