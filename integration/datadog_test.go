package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// datadog asks the cluster's Datadog stand-in to change: a fault, other keys, or, by DELETE, nothing wrong any more.
func (s *stage) datadog(method, path, body string) {
	s.t.Helper()
	s.standIn(method, s.Datadog+path, body)
}

// standIn asks one of the cluster's stand-ins to change.
func (s *stage) standIn(method, url, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s", method, url, res.Status)
	}
}

// TestDatadogAlone: workloads are guarded with Datadog alone. One is seen by its monitor only, and one has a monitor that alerted
// already before its rollout, which is not held against it. While the organisation's rate limit is used up nothing is done, and
// once it is not, by keys that were rotated meanwhile, the bad version is found by all that happened since. It is the one story
// that may spoil the stand-in, which all stories share.
func TestDatadogAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sickly := func(version string) app { a := good("sickly", version); a.errorRate = 0.03; return a }
	s.running(good("web", "a"), good("ailing", "a"), sickly("a"))
	keys := t.TempDir()
	write := func(api, app string) {
		for name, key := range map[string]string{"api": api, "app": app} {
			if err := os.WriteFile(filepath.Join(keys, name), []byte(key+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("playground-api-key", "playground-app-key")
	query := func(more string) string {
		return "'sum:http_requests.count{kube_namespace:$namespace" + more + "} by {pod_name}.as_count()'"
	}
	d := s.daemon(rules{window: "60s",
		sources: fmt.Sprintf("datadog: {url: %s, apiKeyFile: %s/api, appKeyFile: %s/app, lag: 3s}", s.Datadog, keys, keys),
		signals: "signals:\n  http-errors:\n    datadog: {errors: " + query(",code:5*") + ", requests: " + query("") + ", by: pod}\n" +
			"    threshold: {minRequests: 20}\n" +
			"  alerts:\n    datadog: {monitors: 'service:$workload'}\n    threshold: {max: 50%, increase: 3x, floor: 5%, minRequests: 2, ticks: 2}",
		more: "workloads: [{match: {name: ailing}, bake: {window: 30s}, signals: {http-errors: {enabled: false}}}, {match: {name: sickly}, bake: {window: 30s}}]",
	})
	d.ready(200)
	s.waitFor("the monitor of sickly to alert", func() (bool, string) {
		n, err := s.query(`count(ALERTS{alertstate="firing",alertname="Sickly",namespace="` + s.namespace + `"})`)
		return err == nil && n > 0, "no alert fires"
	})

	s.datadog(http.MethodPut, "/_fault", `{"kind": "limit", "limit": 0, "period": 3}`)
	s.deploy(bad("web", "b"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	d.ready(200, "datadog at http://", "HTTP 429")
	s.stays("nothing is done while blind", 6*time.Second, func() (bool, string) {
		b, state := s.bake("web", 2)
		return b != nil && b.Status.Phase == v1alpha1.PhaseBaking && s.image("web") == "app:b", state
	})
	s.datadog(http.MethodPut, "/_keys", `{"api": "rotated-api-key", "app": "rotated-app-key"}`)
	write("rotated-api-key", "rotated-app-key")
	s.datadog(http.MethodDelete, "/_fault", "")
	s.deploy(bad("ailing", "b"))
	s.deploy(sickly("b"))

	b := s.rolledBack("web", 1, 2, "a", 2, "threshold")
	if !strings.HasPrefix(b.Status.Why, "http-errors: ") {
		t.Error(b.Status.Why)
	}
	for _, m := range b.Status.Measured {
		if m.Source != "datadog" {
			t.Errorf("it was measured by %+v", m)
		}
	}
	d.metric(`bakewatch_source_up{source="datadog"} 1`)
	if strings.Contains(tail(d.log, 1<<20), "rotated-") {
		t.Error("the log shows a key")
	}

	// Prometheus sees errors, and Datadog is asked for others, of which there are none: both are named, and nothing is done. So many
	// ticks in a row are wanted that Datadog, which is late, has seen most of them.
	s.enforce(d, rules{window: "24s",
		sources: fmt.Sprintf("prometheus: {url: %s, timeout: 5s}, datadog: {url: %s, apiKeyFile: %s/api, appKeyFile: %s/app, lag: 3s}", s.Prometheus, s.Datadog, keys, keys),
		signals: strings.Replace(byPod, "ticks: 2", "ticks: 8", 1) + "\n    datadog: {errors: " + query(",code:599") + ", requests: " + query("") + ", by: pod}",
	})
	s.deploy(bad("web", "c"))
	c := s.ended("web", 4, v1alpha1.OutcomeInconclusive, "disagree")
	if !strings.Contains(c.Status.Why, "prometheus") || !strings.Contains(c.Status.Why, "datadog") {
		t.Errorf("both sources should be named: %s", c.Status.Why)
	}
	if image := s.image("web"); image != "app:c" {
		t.Errorf("it was rolled back to %s", image)
	}

	ailing := s.ended("ailing", 2, v1alpha1.OutcomeRolledBack, "threshold")
	if rb := ailing.Status.Rollback; rb.Recovered == "No" || s.image("ailing") != "app:a" { // the alert goes on for a while
		t.Errorf("recovered %s: %s", rb.Recovered, rb.Recovery)
	}
	if !strings.HasPrefix(ailing.Status.Why, "alerts: ") || !strings.Contains(ailing.Status.Why, `found an alert (monitor "Ailing")`) {
		t.Errorf("its monitor is not what it was rolled back for: %s", ailing.Status.Why)
	}
	s.passed("sickly", 1, 2)
}
