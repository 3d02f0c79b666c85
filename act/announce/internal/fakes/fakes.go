// Package fakes has stand-ins for receivers whose vendors cannot run in a test. They speak the documented shapes, keep what
// they were sent, and fail when told to.
package fakes

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Fault is a way in which a receiver fails.
type Fault struct {
	Name  string
	Final bool // trying again cannot mend it
	Serve http.HandlerFunc
}

// Faults are the ways in which every adapter is tried.
func Faults() []Fault {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	return []Fault{
		{"down", false, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"slow", false, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client has left
			<-r.Context().Done()
		}},
		{"302 to a login page", true, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }},
		{"400", true, status(400, `{"message":"Failed to save annotation"}`)},
		{"400 with garbage", true, status(400, "<html>\x00\xff bad")},
		{"401", true, status(401, `{"message":"Invalid API key"}`)},
		{"403", true, status(403, `{"message":"You'll need additional permissions to perform this action."}`)},
		{"404", true, status(404, "404 page not found")},
		{"408", false, status(408, "")},
		{"422", true, status(422, `{"code":602,"message":"body is required"}`)},
		{"429", false, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		}},
		{"500", false, status(500, `"internal"`)},
		{"503 from a proxy", false, status(503, "<html><body>no healthy upstream</body></html>")},
	}
}

// Server serves a handler, or a fault while there is one, and keeps the requests.
type Server struct {
	*httptest.Server
	mu       sync.Mutex
	fault    http.HandlerFunc
	requests []*http.Request
}

// Serve starts a Server until the test ends.
func Serve(t testing.TB, h http.Handler) *Server {
	s := &Server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		fault := s.fault
		s.requests = append(s.requests, r.Clone(r.Context()))
		s.mu.Unlock()
		if fault != nil {
			fault(w, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// Fail makes every request meet the fault; nil ends that.
func (s *Server) Fail(fault http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Requests are those served so far.
func (s *Server) Requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.requests...)
}
