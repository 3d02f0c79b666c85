package prometheus

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bakewatch/bakewatch/signals"
)

// process is one "pod": a scraped page with the requests counter of a client library.
type process struct {
	server   *httptest.Server
	requests *prometheus.CounterVec
}

func newProcess(t *testing.T) *process {
	p := &process{requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests."}, []string{"code"})}
	reg := prometheus.NewRegistry()
	reg.MustRegister(p.requests)
	p.server = httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	t.Cleanup(p.server.Close)
	return p
}

func (p *process) serve(code string, n int) { p.requests.WithLabelValues(code).Add(float64(n)) }

// startPrometheus runs the server at BAKEWATCH_PROMETHEUS on a free port with one scrape configuration that reads its
// targets, and their labels, from a file which can be rewritten. It returns the base address and the file's path.
func startPrometheus(t *testing.T) (address, targets string) {
	t.Helper()
	binary := os.Getenv("BAKEWATCH_PROMETHEUS")
	if binary == "" {
		t.Skip("BAKEWATCH_PROMETHEUS names no prometheus binary: not tested against the real server")
	}
	dir := t.TempDir()
	targets = filepath.Join(dir, "targets.json")
	write(t, targets, "[]")
	write(t, filepath.Join(dir, "prometheus.yml"), `
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: pods
  file_sd_configs: [{files: [`+targets+`], refresh_interval: 1s}]
`)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // ended by the signal
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + listen, targets
}

func write(t *testing.T, path, text string) {
	t.Helper()
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
}

func discover(t *testing.T, path string, pods map[string]*process) {
	t.Helper()
	var entries []string
	for pod, p := range pods {
		entries = append(entries, fmt.Sprintf(`{"targets":[%q],"labels":{"pod":%q,"namespace":"shop"}}`,
			strings.TrimPrefix(p.server.URL, "http://"), pod))
	}
	write(t, path, "["+strings.Join(entries, ",")+"]")
}

// TestRealPrometheus compares what is counted from a real server's samples with what the pods really served: an old pod
// and a new one, the first failures of a pod that had none, and a new pod's requests from before it was scraped.
func TestRealPrometheus(t *testing.T) {
	address, targets := startPrometheus(t)
	source := sourceOf(t, Options{URL: address})
	eventually(t, "prometheus answers", func() bool { return source.Check(t.Context()) == nil })

	old := newProcess(t)
	old.serve("200", 1000) // long before anybody looked
	pods := map[string]*process{"app-old-1": old}
	discover(t, targets, pods)
	q := signals.Question{
		Signal: "http-errors", Candidate: "app-new-", Baseline: "app-old-", FromZero: true,
		Query: signals.Query{By: signals.ByPod,
			Errors: `http_requests_total{namespace="$namespace",code=~"5.."} # failures`, Requests: `http_requests_total{namespace=~"$namespace"}`},
		Vars: map[string]string{"namespace": "shop"},
	}
	// A little behind, so that the scrapes that belong to a window are stored.
	now := func() time.Time { return time.Now().Add(-3 * time.Second).Truncate(time.Millisecond) }
	read := func(bounds ...time.Time) []signals.Reading {
		t.Helper()
		question := q
		question.Bounds = bounds
		readings, err := source.Read(t.Context(), question)
		if err != nil {
			t.Fatal(err)
		}
		return readings
	}
	var start time.Time
	eventually(t, "the old pod is scraped", func() bool {
		start = now()
		return read(start.Add(-time.Second), start)[0].Baseline.Spoke()
	})

	fresh := newProcess(t)
	fresh.serve("200", 40)
	fresh.serve("500", 4)
	pods["app-new-1"] = fresh
	discover(t, targets, pods)
	eventually(t, "the new pod is scraped", func() bool {
		at := now()
		return read(at.Add(-time.Second), at)[0].Candidate.Spoke()
	})
	var wg sync.WaitGroup
	for _, p := range pods {
		wg.Go(func() {
			for range 30 {
				p.serve("200", 7)
				time.Sleep(100 * time.Millisecond)
			}
			p.serve("503", 2) // a code that was never seen before
		})
	}
	wg.Wait()

	wantNew := signals.Counts{Requests: 44 + 210 + 2, Errors: 4 + 2}
	wantOld := signals.Counts{Requests: 210 + 2, Errors: 2}
	var end time.Time
	var candidate, baseline signals.Counts
	eventually(t, "all is counted", func() bool {
		end = now()
		r := read(start, end)[0]
		candidate, baseline = r.Candidate.Counts, r.Baseline.Counts
		return candidate == wantNew && baseline == wantOld
	}, func() {
		t.Logf("candidate %+v, want %+v; baseline %+v, want %+v", candidate, wantNew, baseline, wantOld)
	})

	// The same time in many windows comes to the same sums.
	var bounds []time.Time
	for at := start; at.Before(end); at = at.Add(time.Second) {
		bounds = append(bounds, at)
	}
	bounds = append(bounds, end)
	candidate, baseline = signals.Counts{}, signals.Counts{}
	for _, r := range read(bounds...) {
		candidate, baseline = candidate.Add(r.Candidate.Counts), baseline.Add(r.Baseline.Counts)
	}
	if candidate != wantNew || baseline != wantOld {
		t.Errorf("in %d windows: candidate %+v, want %+v; baseline %+v, want %+v", len(bounds)-1, candidate, wantNew, baseline, wantOld)
	}

	// What is not a plain selector, the server itself refuses.
	for _, query := range []string{`sum(http_requests_total)`, `http_requests_total[5m]`, `http_requests_total{`} {
		bad := q
		bad.Errors = query
		bad.Bounds = []time.Time{start, end}
		readings, err := source.Read(t.Context(), bad)
		if err != nil || !strings.Contains(readings[0].Candidate.Detail, "prometheus: errors: query rejected: ") {
			t.Errorf("%s: %+v, %v", query, readings, err)
		}
	}
}

// eventually waits for what another process does: it takes as long as it takes, within a minute and a half.
func eventually(t *testing.T, what string, done func() bool, otherwise ...func()) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if done() {
			return
		}
	}
	for _, say := range otherwise {
		say()
	}
	t.Fatalf("not within 90s: %s", what)
}
