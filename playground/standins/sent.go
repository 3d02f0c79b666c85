package standins

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	keep    = 1000     // requests and annotations kept; older ones are dropped
	maxBody = 64 << 10 // bytes of a body kept
)

// Sent is one request a stand-in was sent.
type Sent struct {
	Time   time.Time       `json:"time"`
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query,omitempty"`
	Header http.Header     `json:"header"`
	Body   string          `json:"body"`
	JSON   json.RawMessage `json:"json,omitempty"` // the body once more, where it is JSON
	Status int             `json:"status"`         // what was answered
}

// journal keeps the last requests.
type journal struct {
	mu   sync.Mutex
	sent []Sent
}

func (j *journal) add(s Sent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.sent) >= keep {
		j.sent = slices.Delete(j.sent, 0, len(j.sent)-keep+1)
	}
	j.sent = append(j.sent, s)
}

// show answers with what was sent, oldest first; DELETE forgets it.
func (j *journal) show(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	sent := slices.Clone(j.sent)
	if r.Method == http.MethodDelete {
		j.sent = nil
	}
	j.mu.Unlock()
	if sent == nil {
		sent = []Sent{}
	}
	reply(w, http.StatusOK, sent)
}

// entry begins the record of a request. Secrets do not belong in it.
func entry(r *http.Request, body []byte) Sent {
	header := r.Header.Clone()
	for _, secret := range []string{"Authorization", "DD-API-KEY", "DD-APPLICATION-KEY"} {
		if header.Get(secret) != "" {
			header.Set(secret, "(not shown)")
		}
	}
	s := Sent{Time: time.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: header, Body: string(body)}
	if json.Valid(body) {
		s.JSON = body
	}
	return s
}

// readBody reads a body, and says whether all of it was read.
func readBody(r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if len(body) > maxBody {
		return body[:maxBody], false
	}
	return body, err == nil
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
