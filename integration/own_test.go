package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// post asks the playground for something.
func (s *stage) post(path string) {
	s.t.Helper()
	client := http.Client{Timeout: time.Minute}
	res, err := client.Post(s.Control+path, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		s.t.Fatalf("POST %s: %s", path, res.Status)
	}
}

// own starts a cluster that no other test uses, for what would disturb them.
func own(t *testing.T, flags ...string) *cluster {
	t.Helper()
	if why := missing(); why != "" {
		t.Skip(why)
	}
	c, err := startCluster(t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	return c
}

// TestOutages: Prometheus is killed, and then the API server goes away.
func TestOutages(t *testing.T) {
	t.Parallel()
	c := own(t)
	if err := c.install(); err != nil {
		t.Fatal(err)
	}
	t.Run("PrometheusKilled", func(t *testing.T) { prometheusKilled(t, c) })
	t.Run("APIServerAway", func(t *testing.T) { apiServerAway(t, c) })
}

// TestNoBakeResource: the daemon names what is missing and how to install it, and guards once it is there.
func TestNoBakeResource(t *testing.T) {
	t.Parallel()
	c := own(t, "--control-plane-only")
	s := c.stage(t)
	if out, err := c.kubectl(nil, "apply", "-f", "../deploy/namespace.yaml", "-f", "../deploy/rbac.yaml"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var err error
	if c.guardKubeconfig, err = c.kubeconfigOf("bakewatch", "bakewatch"); err != nil {
		t.Fatal(err)
	}
	s.set(rules{}.yaml(shared)) // what it measures and whom it tells does not matter here
	d := s.newDaemon()
	d.start()
	d.ready(503, "records:", "the Bake resource is not installed", "kubectl apply -f deploy/crd/")
	d.says("kubectl apply -f deploy/crd/")
	s.kubectl("apply", "-f", "../deploy/crd/")
	d.guards()
	d.ready(200)
	s.deploy(good("web", "a"))
	s.inPhase("web", 1, v1alpha1.PhaseBaking)
}

// prometheusKilled in the middle of a bake, and started again on the same storage.
func prometheusKilled(t *testing.T, c *cluster) {
	s := c.stage(t)
	s.running(good("web", "a"))
	d := s.daemon(rules{window: "90s"}) // it ends long before, unless the machine is busy
	s.deploy(slowBad("web", "b", "10s"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.post("/prometheus/stop")
	s.stays("nothing is done while blind", 15*time.Second, func() (bool, string) {
		b, state := s.bake("web", 2)
		return b != nil && b.Status.Phase == v1alpha1.PhaseBaking && s.image("web") == "app:b", state
	})
	d.handsOff()
	s.post("/prometheus/start")
	s.rolledBack("web", 1, 2, "a", 2, "threshold")
}

// apiServerAway for longer than a leader may go without renewing its lease: the bake goes on afterwards, whether the
// daemon outlives it or is started again, as the kubelet would.
func apiServerAway(t *testing.T, c *cluster) {
	s := c.stage(t)
	s.running(good("bad", "a"), good("fine", "a"))
	// The controllers may take a minute to find their way back too, and a rollback takes as long as they do.
	d := s.daemon(rules{window: "45s", deadline: "5m"})
	s.deploy(slowBad("bad", "b", "20s"))
	s.deploy(good("fine", "b"))
	s.inPhase("bad", 2, v1alpha1.PhaseBaking)
	s.inPhase("fine", 2, v1alpha1.PhaseBaking)
	s.post("/outage/apiserver?for=20s")
	waitFor(t, "the API server to be back", patience, func() (bool, string) {
		if d.process != nil {
			select {
			case err := <-d.ended:
				t.Logf("the daemon ended: %v; it is started again", err)
				d.start()
			default:
			}
		}
		out, err := s.try("get", "--raw", "/readyz")
		return err == nil, out
	})
	s.rolledBack("bad", 1, 2, "a", 2, "threshold")
	s.passed("fine", 1, 2)
	s.count(2)
	d.ready(200)
	d.metric("bakewatch_leader 1")
}
