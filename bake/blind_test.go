package bake

import (
	"strings"
	"testing"
	"time"
)

// TestBlindIsOnRecord: while a source does not answer the record says since when and why, and not any more once it does.
func TestBlindIsOnRecord(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.pass(70 * time.Second)
		if got := w.bake(t, 2).Status.Blind; len(got) != 0 {
			t.Fatalf("it sees, and is blind: %+v", got)
		}
		away := time.Now()
		w.cluster.mu.Lock()
		w.down = true
		w.cluster.mu.Unlock()
		w.pass(50 * time.Second)
		got := w.bake(t, 2).Status.Blind
		if len(got) != 1 || got[0].Source != "prometheus" || !strings.Contains(got[0].Why, "connection refused") {
			t.Fatalf("blind: %+v", got)
		}
		if since := got[0].Since.Time; since.Before(away.Add(-20*time.Second)) || since.After(away) {
			t.Errorf("blind since %s, and it went away at %s", since, away)
		}
		w.cluster.mu.Lock()
		w.down = false
		w.cluster.mu.Unlock()
		w.pass(40 * time.Second)
		if got := w.bake(t, 2).Status.Blind; len(got) != 0 {
			t.Errorf("it sees again, and is blind: %+v", got)
		}
	})
}
