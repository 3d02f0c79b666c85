package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Each receiver is sent what it usually hears, and what it answered is said; what one answers does not matter to the others.
func TestAnnounceTest(t *testing.T) {
	var mu sync.Mutex
	bodies := map[string][]string{}
	broken := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies[r.URL.Path] = append(bodies[r.URL.Path], string(body))
		if broken[r.URL.Path] {
			http.Error(w, "Invalid routing key", http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case "/services/hunter2":
			_, _ = io.WriteString(w, "ok")
		case "/v2/enqueue":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"status": "success"}`)
		}
	}))
	defer server.Close()
	folder := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	config := write("bakewatch.yaml", `
sources: {prometheus: {url: http://prometheus}}
announce:
  slack: {webhookFile: `+write("slack", server.URL+"/services/hunter2")+`}
  alertmanager: {url: "`+server.URL+`"}
  pagerduty: {routingKeyFile: `+write("key", "hunter2")+`, url: "`+server.URL+`"}
  links: [{title: Runbook, url: "https://wiki/{{.Namespace}}"}]
  githubDeployments: {tokenFile: /none, url: "`+server.URL+`", repositories: [{repository: acme/shop}]}
  receivers: {audit: {webhook: {url: "`+server.URL+`/audit"}}}
  routes: [{match: {namespace: shop}, to: [slack]}]
`)
	announceTest := func(args ...string) (string, error) {
		var out, errs bytes.Buffer
		err := run(t.Context(), append([]string{"announce-test"}, args...), strings.NewReader(""), &out, &errs)
		if strings.Contains(out.String()+errs.String(), "hunter2") {
			t.Errorf("it shows a secret: %s%s", &out, &errs)
		}
		return out.String() + errs.String(), err
	}
	fields := func(out string) (lines []string) {
		for line := range strings.Lines(out) {
			words := strings.Fields(line)
			lines = append(lines, strings.Join(words[:min(len(words), 4)], " "))
		}
		return lines
	}

	out, err := announceTest(config)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log("\n" + out)
	got := strings.Join(fields(out), "\n")
	for _, want := range []string{"slack deciding ok", "slack ended RolledBack ok", "pagerduty deciding ok bakewatch/announce-test/deployment-sample", "pagerduty ended RolledBack ok",
		"githubDeployments nothing ok there", "audit started ok", "audit ended Passed ok", "alertmanager alert BakewatchRolledBack ok"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(got, "slack started") || strings.Contains(got, "resolved") || len(bodies["/audit"]) != 5 || len(bodies["/services/hunter2"]) != 2 || len(bodies["/api/v2/alerts"]) != 1 {
		t.Errorf("sent: %v", bodies)
	}
	if !strings.Contains(strings.Join(bodies["/audit"], ""), `{"title":"Runbook","url":"https://wiki/announce-test"}`) {
		t.Errorf("no link: %v", bodies["/audit"])
	}
	var events []string
	for _, body := range bodies["/v2/enqueue"] {
		var event struct {
			Action string `json:"event_action"`
		}
		if err := json.Unmarshal([]byte(body), &event); err != nil {
			t.Error(err)
		}
		events = append(events, event.Action)
	}
	if strings.Join(events, " ") != "trigger resolve" {
		t.Errorf("an alert is left open: %v", events)
	}
	for path, all := range bodies {
		if !strings.Contains(strings.Join(all, ""), "[test]") {
			t.Errorf("%s: nothing says that it is a test: %v", path, all)
		}
	}

	broken["/v2/enqueue"] = true
	out, err = announceTest(config, "--to", "pagerduty,audit")
	if !errors.Is(err, errFound) || strings.Contains(out, "slack") || strings.Count(out, "pagerduty") == 0 || strings.Count(out, "audit ") != 5 ||
		!strings.Contains(out, "FAILED  triggering an alert in pagerduty: answered 400 Bad Request: Invalid routing key; check that the file holds") {
		t.Errorf("%v\n%s", err, out)
	}
}
