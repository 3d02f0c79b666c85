package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/playground/agent"
	"github.com/bakewatch/bakewatch/playground/cluster"
	"github.com/bakewatch/bakewatch/playground/prom"
	"github.com/bakewatch/bakewatch/playground/traffic"
)

const (
	discoveryPath = "/discovery/pods"
	longestOutage = 10 * time.Minute
)

// outage is the API server's absence that was asked for.
type outage struct {
	mu    sync.Mutex
	until time.Time // zero while there is none
	err   error     // why it could not be ended
}

// State is what GET /state answers. Times are in Unix nanoseconds.
type State struct {
	Time         int64                 `json:"time"`
	APIServer    string                `json:"apiserver"` // up or down
	OutageEnds   int64                 `json:"outageEnds,omitempty"`
	OutageError  string                `json:"outageError,omitempty"`
	Prometheus   string                `json:"prometheus"` // up, stopped, off, or why it ended
	Alertmanager string                `json:"alertmanager"`
	Traffic      []traffic.State       `json:"traffic"`
	Skipped      int64                 `json:"trafficSkipped"`
	Revisions    []agent.RevisionState `json:"revisions"`
	Pods         []agent.PodState      `json:"pods"`
}

func (p *playground) control(bg context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.Handle("GET /metrics", p.generator.Metrics())
	mux.Handle("GET "+discoveryPath, prom.Discovery(p.agent.Pods(), agent.PodPort))
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, p.state()) })
	mux.HandleFunc("POST /outage/apiserver", func(w http.ResponseWriter, r *http.Request) { p.apiOutage(bg, w, r) })
	mux.HandleFunc("POST /prometheus/stop", func(w http.ResponseWriter, _ *http.Request) {
		p.serverAnswer(w, "stopped", func() error { return p.prometheus.Kill() })
	})
	mux.HandleFunc("POST /prometheus/start", func(w http.ResponseWriter, _ *http.Request) {
		p.serverAnswer(w, "up", func() error { return p.prometheus.Start(bg) })
	})
	return mux
}

func (p *playground) state() State {
	s := State{Time: time.Now().UnixNano(), APIServer: "up", Prometheus: "off", Alertmanager: "off"}
	p.outage.mu.Lock()
	if !p.outage.until.IsZero() {
		s.APIServer, s.OutageEnds = "down", p.outage.until.UnixNano()
	}
	if p.outage.err != nil {
		s.OutageError = p.outage.err.Error()
	}
	p.outage.mu.Unlock()
	if p.prometheus != nil {
		s.Prometheus, s.Alertmanager = p.prometheus.State(), p.alertmanager.State()
	}
	s.Pods, s.Revisions = p.agent.State()
	s.Traffic, s.Skipped = p.generator.State()
	return s
}

// apiOutage stops the API server, answers once it is away, and brings it back when the time is over.
func (p *playground) apiOutage(bg context.Context, w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || d <= 0 || d > longestOutage {
		answer(w, http.StatusBadRequest, failure(fmt.Sprintf("say for how long, up to %s: /outage/apiserver?for=60s", longestOutage)))
		return
	}
	p.outage.mu.Lock()
	defer p.outage.mu.Unlock()
	if !p.outage.until.IsZero() {
		answer(w, http.StatusConflict, failure("the API server is away already"))
		return
	}
	if err := p.cluster.StopAPI(); err != nil {
		answer(w, http.StatusInternalServerError, failure(err.Error()))
		return
	}
	p.outage.until, p.outage.err = time.Now().Add(d), nil
	p.say("kube-apiserver is away for %s", d)
	go p.endOutage(bg, d)
	answer(w, http.StatusAccepted, map[string]any{"apiserver": "down", "until": p.outage.until})
}

func (p *playground) endOutage(bg context.Context, after time.Duration) {
	select {
	case <-bg.Done():
		return
	case <-time.After(after):
	}
	err := p.cluster.StartAPI(bg)
	if errors.Is(err, cluster.ErrAPIState) {
		err = nil
	}
	if err != nil && bg.Err() == nil {
		p.say("kube-apiserver does not come back: %v", err)
	} else if err == nil {
		p.say("kube-apiserver is back")
	}
	p.outage.mu.Lock()
	defer p.outage.mu.Unlock()
	p.outage.err = err
	if err == nil {
		p.outage.until = time.Time{}
	}
}

func (p *playground) serverAnswer(w http.ResponseWriter, state string, do func() error) {
	if p.prometheus == nil {
		answer(w, http.StatusNotFound, failure("this playground was started without Prometheus"))
		return
	}
	err := do()
	switch {
	case errors.Is(err, prom.ErrState):
		answer(w, http.StatusConflict, failure(err.Error()))
	case err != nil:
		answer(w, http.StatusInternalServerError, failure(err.Error()))
	default:
		p.say("Prometheus is %s", state)
		answer(w, http.StatusOK, map[string]string{"prometheus": state})
	}
}

func failure(text string) map[string]string { return map[string]string{"error": text} }

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(value)
}
