package watcher

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bakewatch/bakewatch/bake"
)

// How many new pods a Deployment's controller makes at once, rounded as it rounds them.
func TestAtOnce(t *testing.T) {
	part := func(text string) *intstr.IntOrString {
		if text == "" {
			return nil
		}
		v := intstr.Parse(text)
		return &v
	}
	for _, c := range []struct {
		surge, unavailable string
		replicas, want     int32
	}{
		{"1", "0", 5, 1},
		{"25%", "25%", 5, 3}, // 2 and 1
		{"25%", "25%", 4, 2},
		{"25%", "25%", 1, 1},
		{"0", "1", 5, 1},
		{"0", "25%", 2, 1}, // none and none: the controller takes one all the same
		{"3", "0", 1, 1},   // no more than are wanted
		{"", "", 3, 1},
		{"100%", "0", 0, 0},
	} {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
		d.Spec.Replicas = &c.replicas
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: part(c.surge), MaxUnavailable: part(c.unavailable)}}
		if s := sightOf(bake.Key{Kind: bake.KindDeployment, Name: "web"}, d); s.AtOnce != c.want || s.Recreate {
			t.Errorf("%s and %s of %d: %d at once, want %d", c.surge, c.unavailable, c.replicas, s.AtOnce, c.want)
		}
	}
	d := &appsv1.Deployment{}
	d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	if s := sightOf(bake.Key{Kind: bake.KindDeployment}, d); !s.Recreate || s.AtOnce != 1 {
		t.Errorf("Recreate: %v, %d at once", s.Recreate, s.AtOnce)
	}
}

// The mark of a pause outlives the trimming of what is watched.
func TestTrimKeepsTheMarkOfAPause(t *testing.T) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{bake.AnnotationPaused: "b-2", "other": "x"}}}
	d.Spec.Paused = true
	trimmed, err := trim(d)
	if err != nil {
		t.Fatal(err)
	}
	if s := sightOf(bake.Key{Kind: bake.KindDeployment, Name: "web"}, trimmed); !s.Paused || s.Annotations[bake.AnnotationPaused] != "b-2" {
		t.Errorf("%+v", s)
	}
}
