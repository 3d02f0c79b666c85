package integration

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// TestReplicasAreLowered: a first version whose pods are killed for want of memory has nothing to go back to. Fewer are left of it,
// as policy asks, and none less of one that an autoscaler scales. The next version has its replicas back, also where whoever
// applies it says nothing of replicas, and meets no conflict.
func TestReplicasAreLowered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.daemon(rules{window: "3m", more: "scaleDown: {oom: 1}\n"})
	s.apply("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: scaled}\nspec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: scaled}\n" +
		"  minReplicas: 3\n  maxReplicas: 5\n  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]\n")
	for _, name := range []string{"web", "scaled"} {
		a := app{name: name, version: "a", replicas: -1, mode: "oom", memory: "64Mi", serverSide: true}
		if name == "scaled" {
			a.replicas, a.serverSide = 3, false
		}
		s.deploy(a)
	}
	s.kubectl("scale", "deployment/web", "--replicas=3")

	got := s.ended("web", 1, v1alpha1.OutcomeHeld, "oom-killed", "no-good-revision")
	if d := got.Status.ScaleDown; d == nil || d.From != 3 || d.To != 1 || d.DoneAt == nil || d.NotDone != "" {
		t.Fatalf("on record: %+v", d)
	}
	s.stands("web", "a", 1, 1)
	s.ownsNothing("web")
	if mark := s.workload("web").meta.Annotations[bake.AnnotationScaledDown]; !strings.HasPrefix(mark, "1 from 3 to 1 at ") {
		t.Errorf("it is marked %q", mark)
	}

	other := s.ended("scaled", 1, v1alpha1.OutcomeHeld, "oom-killed", "no-good-revision")
	if d := other.Status.ScaleDown; d == nil || d.DoneAt != nil || d.NotDone != "HorizontalPodAutoscaler scaled sets the replicas" {
		t.Errorf("on record of what an autoscaler scales: %+v", d)
	}
	s.stands("scaled", "a", 3, 1)

	s.deploy(app{name: "web", version: "b", replicas: -1, serverSide: true})
	s.stands("web", "b", 3, 2)
	s.waitFor("it to be on record", func() (bool, string) {
		b, state := s.bake("web", 1)
		return b != nil && b.Status.ScaleDown.OverAt != nil && b.Status.ScaleDown.Restored, state
	})
	s.ownsNothing("web")
	if mark, marked := s.workload("web").meta.Annotations[bake.AnnotationScaledDown]; marked {
		t.Errorf("it is still marked %q", mark)
	}
}
