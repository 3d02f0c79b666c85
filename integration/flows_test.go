package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// flowRules have a user flow run against everything, beside http-errors.
const flowRules = `flows:
  - name: checkout
    match: {namespace: '*'}
    every: 1s
    timeout: 2s
    steps:
      - {name: home, http: {port: 8080}, expect: {body: OK}, capture: {said: {pattern: '(OK)'}}}
      - {name: pay, http: {path: '/checkout?${said}', port: 8080}}`

func failing(a app) app {
	a.failPaths = "/checkout"
	return a
}

// ran waits until the flow was run so many times with that result, so that it has a past.
func (s *stage) ran(d *daemon, result string, times int) {
	s.t.Helper()
	s.waitFor(fmt.Sprintf("%d runs of the flow that %s", times, result), func() (bool, string) {
		_, body := d.get("/metrics")
		_, rest, _ := strings.Cut(body, fmt.Sprintf("bakewatch_flow_runs_total{result=%q} ", result))
		count, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(count)
		return err == nil && n >= times, count
	})
}

// onlyTheFlow checks that a bake was rolled back because of the user flow, and for nothing else.
func onlyTheFlow(t *testing.T, b v1alpha1.Bake) {
	t.Helper()
	first := b.Status.Reasons[0]
	if first.Signal != "flow-checkout" || first.Code != "threshold" ||
		!strings.Contains(b.Status.Why, `runs failed (step "pay": expected status 2xx, got status 500, body "this path fails") on rev 2`) {
		t.Errorf("%s of %s: %s", first.Code, first.Signal, b.Status.Why)
	}
	for _, r := range b.Status.Reasons {
		if r.Signal == "http-errors" && r.Code == "threshold" {
			t.Errorf("the metrics are not perfect: %s", r.Sentence)
		}
	}
	for _, s := range b.Status.Signals {
		if s.Name == "http-errors" && !strings.HasPrefix(s.Candidate, "0 / ") {
			t.Errorf("the metrics are not perfect: %+v", s)
		}
	}
}

// Nothing that anybody measures says that the new version is bad: only the page that people need does not load.
func TestAUserFlowThatFailsIsRolledBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	gradual := func(version string) app { // so that old pods serve beside new ones for a while
		return app{name: "web", version: version, replicas: 4, spec: map[string]any{"minReadySeconds": 4,
			"strategy": map[string]any{"rollingUpdate": map[string]any{"maxSurge": 1, "maxUnavailable": 0}}}}
	}
	s.running(gradual("a"))
	d := s.daemon(rules{more: flowRules, signals: byPod})
	s.deploy(failing(gradual("b")))
	onlyTheFlow(t, s.rolledBack("web", 1, 2, "a", 4, "threshold"))
	if status, body := d.get("/metrics"); status != 200 || strings.Contains(body, `bakewatch_flow_runs_total{result="failed"} 0`) {
		t.Error("no failed run is in the daemon's metrics")
	}
}

// With one replica no old pod serves beside the new one: it is compared with the runs before the rollout, also when the daemon is
// killed and started anew meanwhile.
func TestAUserFlowOfASingleReplica(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	one := func(version string) app { return app{name: "web", version: version, replicas: 1} }
	s.running(one("a"))
	d := s.daemon(rules{more: flowRules, signals: byPod})
	s.ran(d, "passed", 40)
	s.deploy(failing(one("b")))
	s.inPhase("web", 2, v1alpha1.PhaseRolling, v1alpha1.PhaseBaking)
	d.kill()
	d.start()
	b := s.rolledBack("web", 1, 2, "a", 1, "threshold")
	onlyTheFlow(t, b)
	if len(b.Status.Pasts) == 0 {
		t.Error("the runs before the rollout are not on record")
	}
}

// What was broken before is not the new version's fault.
func TestAUserFlowThatFailsOnOldPodsIsNotBlamed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.running(failing(good("web", "a")))
	d := s.daemon(rules{more: flowRules, signals: byPod})
	s.ran(d, "failed", 8)
	s.deploy(failing(good("web", "b")))
	b := s.ended("web", 2, v1alpha1.OutcomePassed)
	said := false
	for _, r := range b.Status.Reasons {
		said = said || r.Signal == "flow-checkout" && strings.Contains(r.Sentence, "100% of")
	}
	if !said || s.image("web") != "app:b" {
		t.Errorf("%s; %s runs", tell(b), s.image("web"))
	}
}
