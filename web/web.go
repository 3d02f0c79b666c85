// Package web is what the daemon shows over HTTP: health, readiness with what is wrong, and metrics.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Troubles are what is wrong right now, by subject. Each is logged once when it comes, and once when it is over.
type Troubles struct {
	Log   *zap.Logger
	mu    sync.Mutex
	open  map[string]string
	block map[string]bool
}

// passing is what differs each time in the same error of the network: the port a connection came from.
var passing = regexp.MustCompile(`:\d+->`)

// Set says what is wrong with a subject; nil says that nothing is. A blocking trouble makes the daemon not ready: without
// the subject it cannot guard anything.
func (t *Troubles) Set(subject string, err error, blocking bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open, t.block = map[string]string{}, map[string]bool{}
	}
	was, known := t.open[subject]
	switch {
	case err == nil && known:
		delete(t.open, subject)
		delete(t.block, subject)
		t.Log.Info("works again", zap.String("subject", subject))
	case err != nil:
		t.block[subject] = blocking
		text := err.Error()
		t.open[subject] = text
		if passing.ReplaceAllString(text, "") != passing.ReplaceAllString(was, "") {
			t.Log.Error("trouble; will keep trying", zap.String("subject", subject), zap.Error(err))
		}
	}
}

// report is every trouble on a line, and whether any of them is blocking.
func (t *Troubles) report() (text string, blocked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for subject, what := range t.open {
		lines = append(lines, subject+": "+what+"\n")
		blocked = blocked || t.block[subject]
	}
	sort.Strings(lines)
	return strings.Join(lines, ""), blocked
}

// Server serves /healthz, /readyz and /metrics.
type Server struct {
	Address  string
	Registry *prometheus.Registry
	Troubles *Troubles
	Log      *zap.Logger
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listen on %s for health and metrics; --listen chooses another address: %w", s.Address, err)
	}
	s.Log.Info("serving health and metrics", zap.String("address", l.Addr().String()))
	srv := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16}
	stopped := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			_ = srv.Close() // a client that will not go is cut off
		}
	})
	defer stopped()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve health and metrics: %w", err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		text, blocked := s.Troubles.report()
		if blocked {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			_, _ = fmt.Fprintln(w, "ok")
		}
		_, _ = fmt.Fprint(w, text)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{Registry: s.Registry}))
	return mux
}
