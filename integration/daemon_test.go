package integration

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rules are what differs between the policies of tests.
type rules struct {
	mode         string // guard if not set
	prometheus   string // the cluster's if not set
	sources      string // all of sources, instead of Prometheus alone
	perNamespace int    // budget; 10 if not set
	window       string // 16s if not set
	deadline     string // of a rollback; 60s if not set
	max          string // ceiling of the error rate; 5% if not set
	signals      string // all of signals, instead of the preset with short times
	more         string // added at the end
}

// yaml is the policy, with times short enough for a test.
func (r rules) yaml(c *cluster) string {
	signals := r.signals
	if signals == "" {
		signals = fmt.Sprintf("signals:\n  http-errors: {threshold: {max: %s, increase: 2x, floor: 0.5%%, minRequests: 20, ticks: 2}}", cmp.Or(r.max, "5%"))
	}
	if !strings.Contains(signals, "log-errors") {
		signals += "\n  log-errors: {enabled: false}" // the playground's pods write of each error: the metrics would not be needed
	}
	if !strings.Contains(signals, "http-latency") {
		// Stories run beside each other on few cores: requests are slow indeed when all of them start pods at once.
		signals += "\n  http-latency: {enabled: false}"
	}
	return fmt.Sprintf(`mode: %s
sources: {%s}
bake: {window: %s, interval: 2s, verify: 12s, deadline: %s}
budget: {perNamespace: %d, perCluster: 50, within: 10m}
guards: {cooldown: off}
history: 20
%s
announce:
  grafana: {url: %s}
  alertmanager: {url: %s}
  webhook: {url: %s/bakewatch}
%s
`, cmp.Or(r.mode, "guard"), cmp.Or(r.sources, "prometheus: {url: "+cmp.Or(r.prometheus, c.Prometheus)+", timeout: 5s}"), cmp.Or(r.window, "16s"), cmp.Or(r.deadline, "60s"), cmp.Or(r.perNamespace, 10),
		signals, c.Grafana, c.Alertmanager, c.Webhook, r.more)
}

// set puts a policy into the stage's ConfigMap.
func (s *stage) set(policy string) {
	s.t.Helper()
	s.apply(fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bakewatch\n  namespace: %s\ndata:\n  bakewatch.yaml: |\n    %s\n",
		s.home, strings.ReplaceAll(strings.TrimSpace(policy), "\n", "\n    ")))
}

// enforce puts another policy into the ConfigMap, and waits until it is in force.
func (s *stage) enforce(d *daemon, r rules) {
	s.t.Helper()
	count := func() int { return strings.Count(tail(d.log, 1<<20), `"policy in force"`) }
	before := count()
	s.set(r.yaml(s.cluster))
	s.waitFor("the policy to be in force", func() (bool, string) { return count() > before, tail(d.log, 5) })
}

// daemon is the bakewatch binary on one stage. It may be stopped or killed, and started again.
type daemon struct {
	s          *stage
	t          *testing.T
	kubeconfig string
	env        []string
	args       []string
	readings   string // directory with what the judge was given, one file a bake

	process *exec.Cmd
	ended   chan error // closed once the process has ended, with its error
	runs    int
	log     string // file with what it said in this run
	address string // of /readyz and /metrics, once known
}

// daemon sets the policy and starts the daemon with the rights of deploy/ in this stage. It waits until it guards, so
// that what was deployed before is adopted as known good.
func (s *stage) daemon(r rules, options ...func(*daemon)) *daemon {
	s.t.Helper()
	s.set(r.yaml(s.cluster))
	d := s.newDaemon(options...)
	d.start()
	d.guards()
	// Whole seconds tell what was rolled out before guarding began: what comes in that very second is taken for the way
	// things were.
	time.Sleep(1100 * time.Millisecond)
	return d
}

// newDaemon makes a daemon that is not started yet.
func (s *stage) newDaemon(options ...func(*daemon)) *daemon {
	s.t.Helper()
	d := &daemon{s: s, t: s.t, kubeconfig: s.guardKubeconfig, readings: s.t.TempDir()}
	for _, o := range options {
		o(d)
	}
	s.t.Cleanup(func() {
		if d.process != nil {
			d.stop()
		}
		if s.t.Failed() {
			files, _ := filepath.Glob(filepath.Join(d.readings, "*.jsonl"))
			for _, file := range files {
				s.t.Logf("for `bakewatch judge`, %s:\n%s", filepath.Base(file), tail(file, 60))
			}
		}
	})
	return d
}

// start runs the binary.
func (d *daemon) start() {
	d.t.Helper()
	d.runs++
	d.address = ""
	d.log = filepath.Join(d.t.TempDir(), fmt.Sprintf("bakewatch-%d.log", d.runs))
	out, err := os.Create(d.log)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	args := []string{
		"run", "--kubeconfig", d.kubeconfig, "--configmap", d.s.home + "/bakewatch", "--namespaces", d.s.namespace,
		"--listen", "127.0.0.1:0", "--log-format", "json", "--record", d.readings,
	}
	d.process = exec.Command(bakewatchBinary, append(args, d.args...)...)
	d.process.Env = append(os.Environ(), d.env...)
	d.process.Stdout, d.process.Stderr = out, out
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.process.Start(); err != nil {
		d.t.Fatalf("start bakewatch: %v", err)
	}
	process, ended, log, run := d.process, make(chan error, 1), d.log, d.runs
	d.ended = ended
	go func() {
		ended <- process.Wait()
		close(ended)
	}()
	d.t.Cleanup(func() {
		if d.t.Failed() {
			d.t.Logf("bakewatch, run %d, said at last:\n%s", run, tail(log, 120))
		}
	})
}

// stop ends the daemon as the kubelet does, and waits for its end. Ending takes it a moment, and must not fail.
func (d *daemon) stop() {
	d.t.Helper()
	if d.process == nil {
		return
	}
	_ = d.process.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("bakewatch ended with %v after SIGTERM", err)
		}
	case <-time.After(20 * time.Second):
		d.t.Error("bakewatch does not end within 20s of SIGTERM")
		_ = d.process.Process.Kill()
		<-d.ended
	}
	d.process = nil
}

// kill ends the daemon at once, so that it can finish nothing.
func (d *daemon) kill() {
	d.t.Helper()
	_ = d.process.Process.Kill()
	<-d.ended
	d.process = nil
}

// said reports whether the log of this run holds the text.
func (d *daemon) said(text string) bool {
	raw, _ := os.ReadFile(d.log)
	return strings.Contains(string(raw), text)
}

// says waits until the log of this run holds the text.
func (d *daemon) says(text string) {
	d.t.Helper()
	waitFor(d.t, fmt.Sprintf("the log to say %q", text), patience, func() (bool, string) { return d.said(text), tail(d.log, 5) })
}

// guards waits until the daemon leads, and its watch has the workloads.
func (d *daemon) guards() {
	d.t.Helper()
	d.says(`"msg":"guarding"`)
}

var serving = regexp.MustCompile(`"serving health and metrics","address":"([^"]+)"`)

// get asks the daemon over HTTP. Trouble is told as status 0.
func (d *daemon) get(path string) (status int, body string) {
	if d.address == "" {
		raw, _ := os.ReadFile(d.log)
		m := serving.FindSubmatch(raw)
		if m == nil {
			return 0, "it does not serve yet"
		}
		d.address = string(m[1])
	}
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get("http://" + d.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(raw)
}

// ready waits until /readyz answers with the status, and names all the texts.
func (d *daemon) ready(status int, texts ...string) {
	d.t.Helper()
	waitFor(d.t, fmt.Sprintf("/readyz to answer %d and name %q", status, texts), patience, func() (bool, string) {
		got, body := d.get("/readyz")
		ok := got == status
		for _, text := range texts {
			ok = ok && strings.Contains(body, text)
		}
		return ok, fmt.Sprintf("%d %s", got, body)
	})
}

// metric waits until a line of /metrics is there, such as `bakewatch_leader 1`.
func (d *daemon) metric(line string) {
	d.t.Helper()
	waitFor(d.t, "the metric "+line, patience, func() (bool, string) {
		_, body := d.get("/metrics")
		var near []string
		for _, l := range strings.Split(body, "\n") {
			if l == line {
				return true, ""
			}
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(l, name) {
				near = append(near, l)
			}
		}
		return false, strings.Join(near, "\n")
	})
}
