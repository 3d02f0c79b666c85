package watcher

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// churnChanges within churnWithin are more than people make: a program keeps its state in it.
	churnChanges = 10
	churnWithin  = 10 * time.Minute
	// churnQuiet is for how long it has to stay as it is to be followed again.
	churnQuiet = time.Hour
	// maxChurning bounds how many ConfigMaps are counted. Those that were counted longest ago are forgotten first.
	maxChurning = 10_000
)

// churn knows the ConfigMaps that programs write: no label tells them, but how often they change does.
type churn struct {
	mu sync.Mutex
	by map[string]*changes // by namespace/name
}

type changes struct {
	last  time.Time
	times []time.Time // the newest few
	busy  bool
}

// note counts a change, and reports whether it made a ConfigMap one that a program writes.
func (c *churn) note(key string, now time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]*changes{}
	}
	is := c.by[key]
	if is == nil {
		if len(c.by) >= maxChurning {
			c.forget(now)
		}
		is = &changes{}
		c.by[key] = is
	}
	if now.Sub(is.last) >= churnQuiet {
		is.busy = false
	}
	is.last = now
	is.times = append(is.times, now)
	if len(is.times) > churnChanges {
		is.times = is.times[1:]
	}
	if is.busy || len(is.times) < churnChanges || now.Sub(is.times[0]) > churnWithin {
		return false
	}
	is.busy = true
	return true
}

// forget makes room: of what is quiet, or else of all.
func (c *churn) forget(now time.Time) {
	for key, is := range c.by {
		if now.Sub(is.last) >= churnWithin && !is.busy || now.Sub(is.last) >= churnQuiet {
			delete(c.by, key)
		}
	}
	if len(c.by) >= maxChurning {
		clear(c.by)
	}
}

// left says, as a clause, why changes of a ConfigMap are no rollouts; empty when they are.
func (c *churn) left(key string, now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	is := c.by[key]
	if is == nil || !is.busy || now.Sub(is.last) >= churnQuiet {
		return ""
	}
	return fmt.Sprintf("it changed %d times within %s, as only a program writes", churnChanges, churnWithin)
}

// counted tells of a ConfigMap that changed too often.
func (w *Watcher) counted(key string) {
	if w.churn.note(key, time.Now()) {
		w.log.Warn("a configmap changes so often that a program writes it; its changes are no rollouts until it has been quiet", zap.String("configMap", key), zap.Duration("for", churnQuiet))
	}
}
