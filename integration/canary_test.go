package integration

import (
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// oneByOne is a strategy by which a new pod is made only when the one before is ready.
var oneByOne = map[string]any{"strategy": map[string]any{"rollingUpdate": map[string]any{"maxSurge": 1, "maxUnavailable": 0}}}

// most watches how many pods the controller ever wanted of a version of a workload.
func (s *stage) most(name, version string) func() int32 {
	s.t.Helper()
	watch, err := s.client.AppsV1().ReplicaSets(s.namespace).Watch(s.t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(watch.Stop)
	var mu sync.Mutex
	var most int32
	go func() {
		for e := range watch.ResultChan() {
			if rs, ok := e.Object.(*appsv1.ReplicaSet); ok && rs.Spec.Template.Spec.Containers[0].Image == "app:"+version {
				mu.Lock()
				most = max(most, *rs.Spec.Replicas)
				mu.Unlock()
			}
		}
	}()
	return func() int32 { mu.Lock(); defer mu.Unlock(); return most }
}

// pausedBy is whether a Deployment is paused, and the mark it carries.
func (s *stage) pausedBy(name string) (paused bool, mark string) {
	s.t.Helper()
	d, err := s.client.AppsV1().Deployments(s.namespace).Get(s.context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Spec.Paused, d.Annotations[bake.AnnotationPaused]
}

// paused waits until the rollout is paused, and on record as such.
func (s *stage) paused(name string, to int64) {
	s.t.Helper()
	s.waitFor(name+" to be paused part-way", func() (bool, string) {
		b, state := s.bake(name, to)
		paused, mark := s.pausedBy(name)
		ok := b != nil && len(b.Status.Pauses) == 1 && b.Status.Pauses[0].PausedAt != nil && b.Status.Phase == v1alpha1.PhaseBaking
		return ok && paused && mark == b.Name, fmt.Sprintf("paused %v by %q; %s", paused, mark, state)
	})
}

// wasPaused waits until the record of a rollout says that its one pause is over, and how.
func (s *stage) wasPaused(name string, to int64, byHand bool) {
	s.t.Helper()
	s.waitFor(fmt.Sprintf("the pause of %s rev %d to be over", name, to), func() (bool, string) {
		b, state := s.bake(name, to)
		if b == nil || len(b.Status.Pauses) != 1 {
			return false, state
		}
		p := b.Status.Pauses[0]
		return p.Why == "canary" && p.PausedAt != nil && p.ReleasedAt != nil && p.ByHand == byHand, fmt.Sprintf("%+v", p)
	})
}

// goesOn is wasPaused, and nothing of the pause is left.
func (s *stage) goesOn(name string, to int64, byHand bool) {
	s.t.Helper()
	s.wasPaused(name, to, byHand)
	if paused, mark := s.pausedBy(name); paused || mark != "" {
		s.t.Errorf("%s is paused: %v, by %q", name, paused, mark)
	}
	s.ownsNothing(name)
}

// TestCanary: a bad version is paused with one of five pods new, and undone while never more than that one was; a good one goes on by
// itself; of two more that are paused for long, a person lets one go on by kubectl and one by bakewatch, after the daemon was started anew.
func TestCanary(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	apps := map[string]app{}
	for name, replicas := range map[string]int{"worse": 5, "well": 3, "resumed": 2, "freed": 2} {
		a := good(name, "a")
		a.replicas, a.spec, a.startup, a.serverSide = replicas, oneByOne, "8s", name == "resumed"
		if name == "resumed" || name == "freed" {
			a.meta = map[string]string{"bakewatch.dev/canary.for": "1h"}
		}
		apps[name] = a
	}
	s.running(apps["worse"], apps["well"], apps["resumed"], apps["freed"])
	d := s.daemon(rules{more: "canary: {pause: 20%, for: 10s}"})

	most := map[string]func() int32{}
	for name, a := range apps {
		most[name] = s.most(name, "b")
		a.version = "b"
		if name == "worse" {
			a.errorRate, a.startup = 0.4, "10s" // time enough to be paused, on a busy machine
		}
		s.deploy(a)
		apps[name] = a
	}
	for _, name := range []string{"resumed", "freed"} {
		s.paused(name, 2)
	}

	s.rolledBack("worse", 1, 2, "a", 5, "threshold")
	if n := most["worse"](); n != 1 {
		t.Errorf("%d pods of the bad version were wanted, of 5", n)
	}
	s.goesOn("worse", 2, false)
	well := s.passed("well", 1, 2)
	s.goesOn("well", 2, false)
	if p := well.Status.Pauses[0]; p.EndsAt.Sub(p.PausedAt.Time) < 9*time.Second {
		t.Errorf("it went on after %s: %+v", p.EndsAt.Sub(p.PausedAt.Time), p)
	}
	s.stands("well", "b", 3, 2)

	// The others wait, whatever becomes of the daemon, and whoever applies the same once more.
	d.stop()
	d.start()
	d.guards()
	s.deploy(apps["resumed"])
	for _, name := range []string{"resumed", "freed"} {
		s.paused(name, 2)
		if n := most[name](); n != 1 {
			t.Errorf("%d pods of the new version of %s were wanted", n, name)
		}
	}
	s.kubectl("scale", "deployment/resumed", "--replicas=4") // as an autoscaler does
	s.waitFor("resumed to be scaled, still paused", func() (bool, string) {
		paused, _ := s.pausedBy("resumed")
		ready := s.workload("resumed").ready
		return paused && ready >= 4, fmt.Sprintf("paused %v, %d ready", paused, ready)
	})
	s.kubectl("rollout", "resume", "deployment/resumed")
	if out := s.must("y\n", "release", "freed"); out == "" {
		t.Error("release says nothing")
	}
	for _, name := range []string{"resumed", "freed"} {
		s.passed(name, 1, 2)
		s.goesOn(name, 2, true)
	}
	s.stands("resumed", "b", 4, 2)
	d.metric("bakewatch_paused_rollouts 0")
}

// TestCanaryOvertaken: what is paused is changed, put back, or held. A newer version is paused in its turn; what was held stays paused
// until Bakewatch is to observe only.
func TestCanaryOvertaken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	apps := map[string]app{}
	for _, name := range []string{"changed", "back", "held"} {
		a := good(name, "a")
		a.replicas, a.spec, a.startup = 3, oneByOne, "8s"
		apps[name] = a
	}
	s.running(apps["changed"], apps["back"], apps["held"])
	r := rules{more: "canary: {pause: 34%, for: 1h}\nworkloads: [{match: {name: held}, guards: {approval: {required: true}}}]"}
	d := s.daemon(r)
	for name, a := range apps {
		a.version = "b"
		if name == "held" {
			a.errorRate = 0.4
		}
		s.deploy(a)
	}
	for name := range apps {
		s.paused(name, 2)
	}

	most := s.most("changed", "c")
	c := apps["changed"]
	c.version, c.errorRate, c.startup = "c", 0.4, "10s"
	s.deploy(c)
	s.deploy(apps["back"])
	s.ended("changed", 2, v1alpha1.OutcomeSuperseded, "newer-rollout")
	s.wasPaused("changed", 2, false)
	s.ended("back", 2, v1alpha1.OutcomeAbandoned, "undone-by-hand")
	s.goesOn("back", 2, false)
	s.rolledOut("back")
	s.stands("back", "a", 3, 3)
	s.rolledBack("changed", 1, 3, "a", 3, "threshold")
	s.goesOn("changed", 3, false)
	if n := most(); n != 1 {
		t.Errorf("%d pods of the bad version were wanted, of 3", n)
	}

	s.waitFor("somebody to be asked", func() (bool, string) {
		b, state := s.bake("held", 2)
		return b != nil && b.Status.Approval != nil, state
	})
	s.must("y\n", "reject", "held")
	b := s.ended("held", 2, v1alpha1.OutcomeHeld, "rejected")
	if paused, mark := s.pausedBy("held"); !paused || mark != b.Name {
		t.Errorf("a version that is known to be bad goes on: paused %v, by %q", paused, mark)
	}
	r.mode = "observe"
	s.enforce(d, r)
	s.waitFor("what was held to go on", func() (bool, string) {
		paused, mark := s.pausedBy("held")
		return !paused && mark == "", fmt.Sprintf("paused %v by %q", paused, mark)
	})
	s.rolledOut("held")
	s.ownsNothing("held")
}
