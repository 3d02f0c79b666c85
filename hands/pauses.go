package hands

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// pausedNow is the pause that keeps a rollout part-way now; nil when none does.
func pausedNow(b *v1alpha1.Bake) *v1alpha1.Pause {
	n := len(b.Status.Pauses)
	if n == 0 || b.Status.Pauses[n-1].PausedAt == nil || b.Status.Pauses[n-1].ReleasedAt != nil {
		return nil
	}
	return &b.Status.Pauses[n-1]
}

// pauses adds to a timeline when the rollout was paused, and when it went on.
func pauses(b *v1alpha1.Bake, add func(at *metav1.MicroTime, mark bool, what string, args ...any)) {
	for _, p := range b.Status.Pauses {
		if p.PausedAt == nil {
			add(p.ReleasedAt, false, "the rollout was NOT paused part-way: %s", strings.TrimPrefix(p.Ended, "not paused: "))
			continue
		}
		add(p.PausedAt, true, "the rollout was paused part-way: %s", p.Sentence)
		add(p.ReleasedAt, true, "the pause was over: %s", p.Ended)
	}
}
