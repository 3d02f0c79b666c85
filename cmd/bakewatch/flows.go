package main

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals/logs"
	"github.com/bakewatch/bakewatch/signals/probe"
	"github.com/bakewatch/bakewatch/watcher"
)

// standing are the user flows of all workloads that are watched.
func standing(c *policy.Config, watch *watcher.Watcher) []probe.Standing {
	if c == nil || len(c.Flows) == 0 {
		return nil
	}
	var out []probe.Standing
	for _, k := range watch.Keys() {
		s := watch.Sight(k)
		for signal, text := range c.FlowsFor(policy.Target{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, Labels: s.Labels, Annotations: s.Annotations}) {
			out = append(out, probe.Standing{Workload: probe.Workload{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}, Signal: signal, Flow: text})
		}
	}
	return out
}

// changed has a workload that changed looked at. While it is rolled out, its old pods are there for a short time only.
func (g *guard) changed(k bake.Key, loop *bake.Loop, watch *watcher.Watcher) {
	loop.Notice(k)
	if s := watch.Sight(k); s.Exists && !s.Complete() {
		g.source.flows.Stir(probe.Workload{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name})
	}
}

// migrations are the database migrations that a rollout's containers wrote of.
func (g *guard) migrations(ctx context.Context, k bake.Key, to v1alpha1.Revision, since time.Time) ([]v1alpha1.Migration, error) {
	key, value := watcher.RevisionLabel(k.Kind, to)
	all, err := g.source.logs.Migrations(ctx, logs.Workload{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}, key, value, since)
	out := make([]v1alpha1.Migration, 0, len(all))
	for _, m := range all {
		out = append(out, v1alpha1.Migration{Tool: m.Tool, Name: m.Name, Pod: m.Pod, Container: m.Container, At: metav1.MicroTime{Time: m.At},
			Schema: m.Schema, Data: m.Data, Removes: m.Removes, ToldBy: m.ToldBy})
	}
	return out, err
}
