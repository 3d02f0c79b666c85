package child

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, args ...string) *Process {
	t.Helper()
	p, err := Start(Program{Name: "sh", Path: "/bin/sh", Args: args, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(syscall.SIGKILL, time.Second) })
	return p
}

func TestStopAndErr(t *testing.T) {
	p := start(t, "-c", "sleep 60; true")
	p.Stop(syscall.SIGTERM, 5*time.Second)
	select {
	case <-p.Done():
	default:
		t.Fatal("still runs")
	}
	if p.Err() != nil {
		t.Fatalf("its end was asked for, yet: %v", p.Err())
	}
	p = start(t, "-c", "echo no such luck; exit 3")
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("does not end")
	}
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "status 3") {
		t.Fatalf("got %v", err)
	}
}

func TestKillStale(t *testing.T) {
	p := start(t, "-c", "sleep 60; true")
	if err := KillStale(p.Dir); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("a stale process was left")
	}
}

func TestKillStaleSparesStrangers(t *testing.T) {
	dir := t.TempDir()
	raw, err := json.Marshal(record{PID: os.Getpid(), Args: []string{"/usr/bin/prometheus", "--storage=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "prometheus.process.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := KillStale(dir); err != nil { // were it not careful, this would be the end of the test
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the record was left")
	}
}
