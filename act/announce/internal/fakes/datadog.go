package fakes

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// DatadogEvent is an event as it was sent to Datadog.
type DatadogEvent struct {
	Title          string   `json:"title"`
	Text           string   `json:"text"`
	AggregationKey string   `json:"aggregation_key"`
	AlertType      string   `json:"alert_type"`
	DateHappened   int64    `json:"date_happened"`
	Tags           []string `json:"tags"`
}

// Datadog is a stand-in for the events of Datadog's API v1.
type Datadog struct {
	Key string // the API key it knows

	mu     sync.Mutex
	events []DatadogEvent
}

// Events are those it took, in order.
func (d *Datadog) Events() []DatadogEvent {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

// ServeHTTP serves …/api/v1/events.
func (d *Datadog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, why string) { answer(w, code, map[string]any{"errors": []string{why}}) }
	var e DatadogEvent
	switch err := json.NewDecoder(r.Body).Decode(&e); {
	case r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/api/v1/events"):
		refuse(404, "Not found")
	case r.Header.Get("DD-API-KEY") != d.Key:
		refuse(403, "Forbidden")
	case err != nil || e.Title == "" || e.Text == "" || len([]rune(e.Text)) > 4000 || len([]rune(e.AggregationKey)) > 100 ||
		!slices.Contains([]string{"error", "warning", "info", "success"}, e.AlertType):
		refuse(400, "Invalid event")
	case e.DateHappened != 0 && time.Since(time.Unix(e.DateHappened, 0)) > 18*time.Hour:
		refuse(400, "Event too far in the past")
	default:
		d.mu.Lock()
		defer d.mu.Unlock()
		d.events = append(d.events, e)
		answer(w, 202, map[string]any{"status": "ok", "event": map[string]any{"id": 7_000_000_000 + len(d.events), "title": e.Title, "text": e.Text, "tags": e.Tags}})
	}
}
