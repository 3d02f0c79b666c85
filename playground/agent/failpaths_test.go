package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

func TestProcessFailsOnItsPaths(t *testing.T) {
	var served tally
	p := newProcess(behavior.Behavior{FailPaths: []string{"/checkout"}}, "seed", &served, newLogBuffer())
	if code, body := get(p, "/checkout"); code != 500 || !strings.Contains(body, "this path fails") {
		t.Fatalf("answered %d %q", code, body)
	}
	if code, _ := get(p, "/"); code != 200 {
		t.Fatalf("another path was answered %d", code)
	}
	if _, metrics := get(p, "/metrics"); served.errors.Load() != 0 || strings.Contains(metrics, `code="500"`) {
		t.Errorf("it was counted: %s", metrics)
	}
	p.behavior.Load().After = time.Hour
	if code, _ := get(p, "/checkout"); code != 200 {
		t.Errorf("misbehaves too early: %d", code)
	}
}
