package backtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

// tool finds a program of Prometheus: beside the one that BAKEWATCH_PROMETHEUS names, or on the PATH.
func tool(t *testing.T, name string) string {
	t.Helper()
	binary := os.Getenv("BAKEWATCH_PROMETHEUS")
	if binary == "" {
		t.Skip("BAKEWATCH_PROMETHEUS names no prometheus binary: not tested against the real server")
	}
	if name == "prometheus" {
		return binary
	}
	if real, err := filepath.EvalSymlinks(binary); err == nil {
		binary = real
	}
	if beside := filepath.Join(filepath.Dir(binary), name); exists(beside) {
		return beside
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is neither beside %s nor on the PATH", name, binary)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// serve makes a Prometheus of samples in the OpenMetrics format, and returns its address.
func serve(t *testing.T, openMetrics string) string {
	t.Helper()
	promtool, server := tool(t, "promtool"), tool(t, "prometheus")
	dir := t.TempDir()
	file, data := filepath.Join(dir, "samples.om"), filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte(openMetrics), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "tsdb", "create-blocks-from", "openmetrics", file, data).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("scrape_configs: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, server, "--config.file="+config, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=10y", "--web.listen-address="+listen)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var log bytes.Buffer
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
	return "http://" + listen
}

// history writes samples of pods that are scraped every so often.
type history struct {
	requests, errors, rest strings.Builder
	random                 *rand.Rand
}

// pod is scraped in [from, to): it serves rps requests a second, of which a share fails.
func (h *history) pod(name string, scrape time.Duration, from, to time.Time, rps float64, rate func(time.Time) float64) {
	var ok, failed float64
	offset := time.Duration(h.random.Int64N(scrape.Milliseconds())) * time.Millisecond
	for at := from.Add(offset); at.Before(to); at = at.Add(scrape) {
		n := rps * scrape.Seconds()
		bad := 0.0
		for range int(n) {
			if h.random.Float64() < rate(at) {
				bad++
			}
		}
		ok, failed = ok+n-bad, failed+bad
		stamp := float64(at.UnixMilli()) / 1000
		fmt.Fprintf(&h.requests, "http_requests_total{namespace=\"shop\",pod=%q,code=\"200\"} %g %.3f\n", name, ok, stamp)
		if failed > 0 {
			fmt.Fprintf(&h.errors, "http_requests_total{namespace=\"shop\",pod=%q,code=\"500\"} %g %.3f\n", name, failed, stamp)
		}
	}
}

func (h *history) gauge(line string, value float64, from, to time.Time) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		fmt.Fprintf(&h.rest, "%s %.0f %.3f\n", line, value, float64(at.UnixMilli())/1000)
	}
}

// text is the file: samples of one family are together.
func (h *history) text() string {
	return "# TYPE http_requests counter\n" + h.requests.String() + h.errors.String() + h.rest.String() + "# EOF\n"
}

func steady(rate float64) func(time.Time) float64 { return func(time.Time) float64 { return rate } }

const realConfig = `
mode: guard
sources: {prometheus: {url: http://prometheus}}
bake: {window: 10m, interval: 15s}
`

func source(t *testing.T, address string) *prometheus.Source {
	t.Helper()
	s, err := prometheus.New(prometheus.Options{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for deadline := time.Now().Add(time.Minute); s.Check(t.Context()) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(s.Check(t.Context()))
		}
	}
	return s
}

// TestBackfilledHistory bakes rollouts again that promtool put into a real Prometheus: by ReplicaSets as kube-state-metrics
// tells of them, and by patterns, scraped every 5, 15 and 60 seconds.
func TestBackfilledHistory(t *testing.T) {
	config, err := policy.Parse("bakewatch.yaml", []byte(realConfig))
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Now().Add(-26 * time.Hour).Truncate(time.Hour)
	for _, scrape := range []time.Duration{5 * time.Second, 15 * time.Second, time.Minute} {
		t.Run(scrape.String(), func(t *testing.T) {
			h := &history{random: rand.New(rand.NewPCG(1, 2))}
			begin, good, bad, end := noon.Add(-2*time.Hour), noon.Add(7*time.Second), noon.Add(time.Hour), noon.Add(90*time.Minute)
			h.pod("web-5b6c7d8f9b-bcdfg", scrape, begin, good.Add(time.Minute), 20, steady(0.002))
			h.pod("web-6c7d8f9b5b-hjklm", scrape, good, bad.Add(time.Minute), 20, steady(0.002))
			h.pod("web-7d8f9b5b6c-npqrs", scrape, bad, end, 20, steady(0.2))
			for _, metric := range []string{"created", "owner", "spec_replicas"} {
				h.rest.WriteString("# TYPE kube_replicaset_" + metric + " gauge\n")
				for _, rs := range []struct {
					name     string
					from, to time.Time
				}{{"web-5b6c7d8f9b", begin, good}, {"web-6c7d8f9b5b", good, bad}, {"web-7d8f9b5b6c", bad, end}} {
					of := fmt.Sprintf(`namespace="shop",replicaset=%q`, rs.name)
					switch metric {
					case "created":
						h.gauge("kube_replicaset_created{"+of+"}", float64(rs.from.Unix()), rs.from, end)
					case "owner":
						h.gauge("kube_replicaset_owner{"+of+`,owner_kind="Deployment",owner_name="web",owner_is_controller="true"}`, 1, rs.from, end)
					case "spec_replicas":
						h.gauge("kube_replicaset_spec_replicas{"+of+"}", 1, rs.from, rs.to)
						h.gauge("kube_replicaset_spec_replicas{"+of+"}", 0, rs.to.Add(time.Minute), end)
					}
				}
			}
			s := source(t, serve(t, h.text()))
			sets, known, err := s.ReplicaSets(t.Context(), noon.Add(-time.Hour), noon.Add(2*time.Hour))
			if err != nil || !known {
				t.Fatalf("known %v, %v", known, err)
			}
			rollouts := FromMetrics(sets)
			if len(rollouts) != 2 || rollouts[0].From != "web-5b6c7d8f9b" || rollouts[1].To != "web-7d8f9b5b6c" || !rollouts[0].Started.Equal(good) && rollouts[0].Started.Unix() != good.Unix() {
				t.Fatalf("rollouts %+v", rollouts)
			}
			rows, err := Run(t.Context(), Options{Config: config, Source: s, Now: time.Now()}, rollouts)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "metrics", rows)
			if tick := rows[0].TickSeconds; tick != max(15, scrape.Seconds()) {
				t.Errorf("ticks of %gs", tick)
			}

			yaml := fmt.Sprintf(`rollouts:
- {namespace: shop, name: web, started: %d, candidate: {pods: 'web-6c7d8f9b5b-.*'}, baseline: {pods: 'web-5b.*'}}
- {namespace: shop, kind: Deployment, name: web, started: %s, candidate: {pods: 'web-7d8f9b5b6c-.....'}}
`, good.Unix(), bad.UTC().Format(time.RFC3339))
			rollouts, err = ReadFile("rollouts.yaml", []byte(yaml))
			if err != nil {
				t.Fatal(err)
			}
			named, err := Run(t.Context(), Options{Config: config, Source: s, Now: time.Now()}, rollouts)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "patterns", named)

			// The archive gives what the server gives, tick by tick as live.
			order(rollouts)
			for i, r := range FromMetrics(sets) {
				p, _ := config.For(policy.Target{Kind: "Deployment", Namespace: "shop", Name: "web"})
				again, _ := rerun(r)
				var endings [2][]bake.Ending
				view := prometheus.NewArchive(s).View(nil)
				for j, from := range []bake.Source{s, view} {
					if endings[j], err = again.Play(t.Context(), from, time.Now(), p); err != nil {
						t.Fatal(err)
					}
				}
				view.Close()
				if diff := cmp.Diff(endings[0], endings[1]); diff != "" {
					t.Errorf("rollout %d (-live +archive):\n%s", i, diff)
				}
			}
		})
	}
}

func check(t *testing.T, what string, rows []Row) {
	t.Helper()
	if len(rows) != 2 || rows[0].Outcome != "Passed" || rows[1].Outcome != "RolledBack" || rows[1].Seconds > 200 || rows[1].Failed == 0 {
		raw, _ := json.MarshalIndent(rows, "", " ")
		t.Errorf("%s: %s", what, raw)
	}
}
