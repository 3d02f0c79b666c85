package standins

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// alertTypes are how an event may be shown.
var alertTypes = []string{"", "error", "warning", "info", "success", "user_update", "recommendation", "snapshot"}

// event takes an event as Datadog's API v1 does. Those of one aggregation key are told apart in /_sent only.
func (d *Datadog) event(w http.ResponseWriter, r *http.Request) {
	body, whole := readBody(r)
	s := entry(r, body)
	d.mu.Lock()
	known := same(r.Header.Get("DD-API-KEY"), d.api)
	d.mu.Unlock()
	var e struct {
		Title, Text string
		Key         string `json:"aggregation_key"`
		Type        string `json:"alert_type"`
		Happened    int64  `json:"date_happened"`
		Tags        []string
	}
	text := ""
	switch {
	case !known:
		s.Status, text = http.StatusForbidden, "Forbidden"
	case !whole || json.Unmarshal(body, &e) != nil:
		s.Status, text = http.StatusBadRequest, "Payload is not in the expected format"
	case e.Title == "" || e.Text == "" || utf8.RuneCountInString(e.Text) > 4000 || utf8.RuneCountInString(e.Key) > 100 || !slices.Contains(alertTypes, e.Type):
		s.Status, text = http.StatusBadRequest, "Invalid event"
	case e.Happened != 0 && time.Since(time.Unix(e.Happened, 0)) > 18*time.Hour:
		s.Status, text = http.StatusBadRequest, "Event too far in the past"
	default:
		s.Status = http.StatusAccepted
	}
	d.journal.add(s)
	if s.Status != http.StatusAccepted {
		refuse(w, s.Status, text)
		return
	}
	id := time.Now().UnixNano()
	reply(w, s.Status, map[string]any{"status": "ok", "event": map[string]any{
		"id": id, "id_str": strconv.FormatInt(id, 10), "title": e.Title, "text": e.Text, "tags": e.Tags, "date_happened": e.Happened, "alert_type": e.Type,
	}})
}
