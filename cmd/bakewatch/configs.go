package main

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/act/rollback"
	"github.com/bakewatch/bakewatch/watcher"
)

// configRights are needed where policy has ConfigMaps followed.
var configRights = []right{
	{"list", "", "configmaps", "", "see changes of ConfigMaps"},
	{"watch", "", "configmaps", "", "see changes of ConfigMaps"},
	{"create", "", "configmaps", "", "keep what is known good of ConfigMaps"},
	{"patch", "", "configmaps", "", "put ConfigMaps back"},
	{"delete", "", "configmaps", "", "forget what was kept of ConfigMaps"},
}

// followsConfigs reports whether policy has any ConfigMaps followed.
func (g *guard) followsConfigs() bool {
	c := g.live.Current()
	return c != nil && c.FollowsConfigMaps()
}

// keptFor is how long the content of a ConfigMap is kept after the last workload that read it.
const keptFor = 7 * 24 * time.Hour

// sweepKept forgets, once an hour, what is kept of ConfigMaps that nobody reads any more.
func (g *guard) sweepKept(ctx context.Context, watch *watcher.Watcher) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !g.followsConfigs() || !watch.WaitSynced(ctx) {
			continue
		}
		callCtx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		n, err := (&rollback.ConfigMaps{Client: g.client}).Sweep(callCtx, g.namespaces, watch.Reads, time.Now().Add(-keptFor))
		cancel()
		if err != nil && ctx.Err() == nil {
			g.log.Warn("what is kept of configmaps is not swept; will try again in an hour", zap.Int("swept", n), zap.Error(err))
		}
	}
}

// rights are those that are needed by the policy of now.
func (g *guard) rights() []right {
	if g.followsConfigs() {
		return append(slices.Clone(rights), configRights...)
	}
	return rights
}
