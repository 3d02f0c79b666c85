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

// goesOn checks that nothing of a pause is left, and that the record says how it ended.
func (s *stage) goesOn(name string, b v1alpha1.Bake, byHand bool) {
	s.t.Helper()
	if paused, mark := s.pausedBy(name); paused || mark != "" {
		s.t.Errorf("%s is paused: %v, by %q", name, paused, mark)
	}
	if n := len(b.Status.Pauses); n != 1 {
		s.t.Fatalf("%d pauses of %s are on record: %+v", n, name, b.Status.Pauses)
	}
	if p := b.Status.Pauses[0]; p.Why != "canary" || p.PausedAt == nil || p.ReleasedAt == nil || p.ByHand != byHand {
		s.t.Errorf("on record of %s: %+v", name, p)
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
		a.replicas, a.spec, a.startup, a.serverSide = replicas, oneByOne, "3s", name == "resumed"
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
			a.errorRate, a.startup = 0.4, "6s" // time enough to be paused, on a busy machine
		}
		s.deploy(a)
		apps[name] = a
	}
	for _, name := range []string{"resumed", "freed"} {
		s.paused(name, 2)
	}

	worse := s.rolledBack("worse", 1, 2, "a", 5, "threshold")
	if n := most["worse"](); n != 1 {
		t.Errorf("%d pods of the bad version were wanted, of 5", n)
	}
	s.goesOn("worse", worse, false)
	well := s.passed("well", 1, 2)
	s.goesOn("well", well, false)
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
		s.goesOn(name, s.passed(name, 1, 2), true)
	}
	s.stands("resumed", "b", 4, 2)
	d.metric("bakewatch_paused_rollouts 0")
}
