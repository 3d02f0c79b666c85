package prom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/bakewatch/bakewatch/playground/child"
)

// ErrState is returned when a server is to be started while it runs, or stopped while it does not.
var ErrState = errors.New("is left as it is")

const readyTimeout = time.Minute

// Server is Prometheus or Alertmanager: a program that can be stopped and started again on the same storage.
type Server struct {
	program child.Program
	url     string

	mu   sync.Mutex
	proc *child.Process
}

// NewServer prepares a server that says at URL/-/ready whether it is.
func NewServer(program child.Program, url string) *Server { return &Server{program: program, url: url} }

// PrometheusArgs are the arguments of Prometheus for a configuration file and a storage directory.
func PrometheusArgs(path, config, storage, listen string) []string {
	args := []string{"--config.file=" + config, "--storage.tsdb.path=" + storage, "--storage.tsdb.retention.time=2d",
		"--web.listen-address=" + listen, "--web.enable-lifecycle", "--log.level=info"}
	// Taking over new targets within a second instead of five is worth a flag that is not documented, where it exists.
	const quick = "--scrape.discovery-reload-interval=1s"
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if exec.CommandContext(ctx, path, quick, "--version").Run() == nil {
		args = append(args, quick)
	}
	return args
}

// AlertmanagerArgs are the arguments of Alertmanager.
func AlertmanagerArgs(config, storage, listen string) []string {
	return []string{"--config.file=" + config, "--storage.path=" + storage, "--web.listen-address=" + listen,
		"--cluster.listen-address="} // one is enough: no gossip, no further port
}

// Start runs the server and waits until it is ready.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return fmt.Errorf("%s %w: it runs already", s.program.Name, ErrState)
	}
	proc, err := child.Start(s.program)
	if err != nil {
		return err
	}
	s.proc = proc
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		if ready(ctx, s.url+"/-/ready") {
			return nil
		}
		select {
		case <-proc.Done():
			return proc.Err()
		case <-ctx.Done():
			proc.Stop(syscall.SIGKILL, time.Second)
			return fmt.Errorf("%s was not ready in time; the end of %s:\n%s", s.program.Name, s.program.LogFile(), child.Tail(s.program.LogFile(), 5))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Kill ends the server at once, as a crash would; its storage stays.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL, time.Second) }

// Stop lets the server end in order. It is no error if it has ended already.
func (s *Server) Stop() {
	_ = s.end(syscall.SIGTERM, 8*time.Second)
}

func (s *Server) end(sig syscall.Signal, grace time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return fmt.Errorf("%s %w: it does not run", s.program.Name, ErrState)
	}
	s.proc.Stop(sig, grace)
	return nil
}

func (s *Server) running() bool {
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.Done():
		return false
	default:
		return true
	}
}

// State is "up", "stopped" if that was asked for, or why the server ended by itself.
func (s *Server) State() string {
	if !s.mu.TryLock() {
		return "changing"
	}
	defer s.mu.Unlock()
	switch {
	case s.running():
		return "up"
	case s.proc == nil:
		return "stopped"
	}
	if err := s.proc.Err(); err != nil {
		return err.Error()
	}
	return "stopped"
}
