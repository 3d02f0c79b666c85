package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// people are those who are told through the internet: Slack, GitHub, Datadog and PagerDuty, the last of which may be down.
type people struct {
	*httptest.Server
	mu     sync.Mutex
	slack  []string // what it was asked to do, and on which message
	issues []map[string]any
	pages  []string // what was done to which alert
	events []map[string]any
	shown  []map[string]any // deployments
	states []string         // of the first of them
	down   bool
	turned int // pages turned away
}

func newPeople(t *testing.T) *people {
	p := &people{down: true}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP serves what the daemon uses of the three.
func (p *people) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body := map[string]any{}
	if r.Method == http.MethodPost && !strings.HasPrefix(r.URL.Path, "/slack") {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/slack/chat.postMessage", "/slack/chat.update":
		at := r.FormValue("ts")
		if at == "" {
			at = fmt.Sprint(len(p.slack) + 1)
		}
		did := strings.TrimPrefix(r.URL.Path, "/slack/chat.") + " " + at
		if thread := r.FormValue("thread_ts"); thread != "" {
			did = "answer " + thread
		}
		p.slack = append(p.slack, did)
		answer(200, map[string]any{"ok": true, "channel": "C1", "ts": at})
	case "/repos/acme/shop/issues":
		if r.Method == http.MethodGet {
			answer(200, p.issues)
			return
		}
		body["number"], body["labels"] = len(p.issues)+1, []any{map[string]any{"name": "bakewatch"}}
		p.issues = append(p.issues, body)
		answer(201, body)
	case "/repos/acme/shop/deployments":
		if r.Method == http.MethodGet {
			answer(200, p.shown)
			return
		}
		body["id"] = len(p.shown) + 1
		p.shown = append(p.shown, body)
		answer(201, body)
	case "/repos/acme/shop/deployments/1/statuses":
		if r.Method == http.MethodGet {
			var all []map[string]any
			for i, state := range p.states {
				all = append(all, map[string]any{"id": i + 1, "state": state})
			}
			answer(200, all)
			return
		}
		p.states = append(p.states, fmt.Sprint(body["state"]))
		body["id"] = len(p.states)
		answer(201, body)
	case "/api/v1/events":
		p.events = append(p.events, body)
		answer(202, map[string]any{"status": "ok", "event": map[string]any{"id": len(p.events)}})
	case "/v2/enqueue":
		if p.down {
			p.turned++
			http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
			return
		}
		p.pages = append(p.pages, fmt.Sprint(body["event_action"], " ", body["dedup_key"]))
		answer(202, map[string]any{"status": "success"})
	default:
		http.NotFound(w, r)
	}
}

// TestPeopleAreTold: one is down, and neither the rollback nor the others wait for it. The daemon is killed meanwhile; the
// next one tells who was not told, and nobody twice.
func TestPeopleAreTold(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	p := newPeople(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2-hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := s.daemon(rules{more: fmt.Sprintf(`  slack: {tokenFile: %[1]s, channel: deploys, url: %[2]s/slack}
  github: {repository: acme/shop, tokenFile: %[1]s, url: %[2]s}
  githubDeployments: {tokenFile: %[1]s, url: %[2]s, repositories: [{match: {name: web}, repository: acme/shop}]}
  datadog: {apiKeyFile: %[1]s, url: %[2]s}
  receivers: {on-call: {pagerduty: {routingKeyFile: %[1]s, url: %[2]s, title: "[{{.Severity}}] {{.Headline}}"}}}
  routes: [{match: {namespace: %[3]s, severity: critical}, to: [on-call]}]`, secret, p.URL, s.namespace)})

	s.deploy(bad("web", "b"))
	b := s.rolledBack("web", 1, 2, "a", 2, "threshold")
	told := func(receiver string) {
		t.Helper()
		s.waitFor(receiver+" to be told of the end, on record", func() (bool, string) {
			b, state := s.bake("web", 2)
			if b == nil {
				return false, state
			}
			for _, r := range b.Status.Announced {
				if r.Receiver == receiver && r.Stage == "ended" && r.Error == "" {
					return true, ""
				}
			}
			return false, fmt.Sprintf("%+v", b.Status.Announced)
		})
	}
	told("slack")
	told("github")
	told("githubDeployments")
	told("datadog")
	p.mu.Lock()
	if len(p.pages) != 0 || p.turned == 0 {
		t.Errorf("on call: %v, turned away %d", p.pages, p.turned)
	}
	p.down = false
	p.mu.Unlock()
	d.kill()
	if d.said("hunter2") {
		t.Error("the log shows a secret")
	}
	d.start()
	told("on-call")

	p.mu.Lock()
	defer p.mu.Unlock()
	key := "bakewatch/" + b.Namespace + "/" + b.Name
	if got := strings.Join(p.pages, ", "); got != "trigger "+key+", resolve "+key {
		t.Errorf("on call: %s", got)
	}
	if got := strings.Join(p.slack, ", "); got != "postMessage 1, update 1, answer 1" {
		t.Errorf("slack: %s", got)
	}
	if len(p.issues) != 1 || !strings.Contains(fmt.Sprint(p.issues[0]["body"]), "bake "+b.Namespace+"/"+b.Name+" of ") || !strings.Contains(fmt.Sprint(p.issues[0]["title"]), "rolled back") {
		t.Errorf("issues: %v", p.issues)
	}
	if len(p.shown) != 1 || p.shown[0]["ref"] != "b" || len(p.states) < 2 || p.states[0] != "in_progress" || p.states[len(p.states)-1] != "failure" {
		t.Errorf("deployments: %v, %v", p.shown, p.states)
	}
	stages := map[string]int{}
	for _, e := range p.events {
		if e["aggregation_key"] != key {
			t.Errorf("an event of another story: %v", e)
		}
		for _, tag := range e["tags"].([]any) {
			if stage, ok := strings.CutPrefix(tag.(string), "stage:"); ok {
				stages[stage]++
			}
		}
	}
	if stages["started"] != 1 || stages["deciding"] != 1 || stages["ended"] != 1 || stages["suspicion"] > 1 {
		t.Errorf("events: %v", stages)
	}
}
