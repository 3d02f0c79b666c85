package main

import (
	"slices"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
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

// readAhead has the old pods' logs read while they are there.
func (g *guard) readAhead(k bake.Key, by []string) {
	if slices.Contains(by, policy.Logs) {
		g.source.logs.Prepare(k.Kind, k.Namespace, k.Name)
	}
}
