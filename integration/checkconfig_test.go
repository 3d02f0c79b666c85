package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckConfigAgainstPrometheus: which of the queries written have series, and which metrics are not there at all.
func TestCheckConfigAgainstPrometheus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(good("web", "a"))
	file := filepath.Join(t.TempDir(), "bakewatch.yaml")
	check := func(signals string) (out string, code int) {
		t.Helper()
		if err := os.WriteFile(file, []byte("sources: {prometheus: {url: http://unused}}\nsignals:\n"+signals), 0o600); err != nil {
			t.Fatal(err)
		}
		raw, err := exec.CommandContext(s.context(), bakewatchBinary, "check-config", file, "--prometheus", s.Prometheus).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return string(raw), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(raw), 0
	}
	good := `  mine: {prometheus: {errors: 'http_requests_total{namespace="$namespace",code="599"}', requests: 'http_requests_total{namespace="$namespace",pod=~"$pods_candidate"}', by: pod}}
  queue: {prometheus: {value: 'max(up{namespace="$namespace"}) / avg(rate(http_requests_total[$window]))'}}
`
	s.waitFor("the metric to have been scraped", func() (bool, string) {
		out, code := check(good)
		return code == 0 && !strings.Contains(out, "http_requests_total: ERROR"), out
	})
	out, code := check(good)
	for _, want := range []string{
		`signals.mine.prometheus.errors: http_requests_total{code="599"}: no series now, though the metric has some`,
		`signals.mine.prometheus.requests: http_requests_total: `, `signals.queue.prometheus.value: up: `, " series now", "ok (mode observe",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q (exit %d):\n%s", want, code, out)
		}
	}
	if out, code := check(`  mine: {prometheus: {errors: 'http_request_total{code="500"}', requests: http_requests_total, by: pod}}` + "\n"); code != 1 || !strings.Contains(out, `http_request_total{code="500"}: ERROR: there is no such metric`) {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
