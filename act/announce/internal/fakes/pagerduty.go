package fakes

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// PagerEvent is an event as it was sent to PagerDuty.
type PagerEvent struct {
	RoutingKey string `json:"routing_key"`
	Action     string `json:"event_action"`
	DedupKey   string `json:"dedup_key"`
	Payload    *struct {
		Summary, Source, Severity, Timestamp string
		Details                              map[string]string `json:"custom_details"`
	}
}

// PagerDuty is a stand-in for PagerDuty's Events API v2.
type PagerDuty struct {
	Key string // the integration key it knows

	mu     sync.Mutex
	events []PagerEvent
}

// Events are those it took, in order.
func (p *PagerDuty) Events() []PagerEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// Open are the keys of the alerts that are not resolved.
func (p *PagerDuty) Open() []string {
	var open []string
	for _, e := range p.Events() {
		open = slices.DeleteFunc(open, func(key string) bool { return key == e.DedupKey })
		if e.Action == "trigger" {
			open = append(open, e.DedupKey)
		}
	}
	return open
}

// ServeHTTP serves …/v2/enqueue.
func (p *PagerDuty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(why string) {
		answer(w, 400, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{why}})
	}
	var e PagerEvent
	switch err := json.NewDecoder(r.Body).Decode(&e); {
	case !strings.HasSuffix(r.URL.Path, "/v2/enqueue"):
		answer(w, 404, nil)
		return
	case err != nil:
		refuse("invalid JSON")
		return
	case e.RoutingKey != p.Key:
		refuse("Invalid routing key")
		return
	case len(e.DedupKey) > 255:
		refuse("'dedup_key' is too long")
		return
	case e.Action == "trigger":
		if e.Payload == nil || e.Payload.Summary == "" || len([]rune(e.Payload.Summary)) > 1024 || e.Payload.Source == "" ||
			!slices.Contains([]string{"critical", "error", "warning", "info"}, e.Payload.Severity) {
			refuse("'payload' is missing or invalid")
			return
		}
	case e.Action != "resolve" || e.DedupKey == "":
		refuse("'event_action' is invalid")
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	answer(w, 202, map[string]any{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey})
}
