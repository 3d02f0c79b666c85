package bake

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals"
)

const (
	// usedFor bounds how long a verdict waits to name how much memory was used. It does without, if need be.
	usedFor = 3 * time.Second
	// maxUsed is for how many pods of a bake it is asked.
	maxUsed = 3
)

// tellUsed has the new pods that were killed for want of memory say how much they were seen to use, as far as that is known. It
// reports whether any does.
func (l *Loop) tellUsed(ctx context.Context, k Key, w *work, pods []signals.PodState) (any bool) {
	if l.MemoryUsed == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, usedFor)
	defer cancel()
	if w.used == nil {
		w.used = map[string]string{}
	}
	for i := range pods {
		t := pods[i].Trouble
		if t == nil || t.Cause != signals.OOMKilled {
			continue
		}
		used, asked := w.used[pods[i].Name]
		if !asked && len(w.used) < maxUsed {
			var err error
			if used, err = l.MemoryUsed(ctx, k.Namespace, pods[i].Name, t.Container); err != nil {
				l.Log.Debug("how much memory a pod used is not known", zap.String("workload", k.String()), zap.Error(err))
			}
			w.used[pods[i].Name] = used
		}
		t.Used, any = used, any || used != ""
	}
	return any
}
