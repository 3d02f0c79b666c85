package bake

import (
	"fmt"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

const (
	// stuckAfter is how long a pod of the bad revision is not ready, with the old template back, until it stands in the way: its
	// controller replaces what it replaces by itself within a second or two.
	stuckAfter = 10 * time.Second
	// maxFreed is how many pods a rollback deletes at most, as the resource's schema has it.
	maxFreed = 100
)

// comingBack follows an undo that is carried out.
func (s State) comingBack() Step {
	rb := s.Bake.Status.Rollback
	if !s.Progress.Complete && !s.Now.Before(s.lastMoved().Add(s.Frozen.Deadline)) {
		return s.notBack(CodeRollbackStuck, fmt.Sprintf("%s is not available again after %s: %s", rev(rb.Target), short(s.Now.Sub(rb.PatchedAt.Time)), s.Progress.Message))
	}
	mayAct := s.Live.Watched && !s.observed()
	if n := len(rb.Freed); n > 0 && rb.Freed[n-1].DoneAt == nil && mayAct {
		return Step{Do: Free}
	}
	wait := Step{Do: Wait, Until: s.Now.Add(time.Second)}
	switch p := s.Progress; {
	case p.Complete && s.syncing():
		return wait
	case p.Complete:
		return Step{Do: Verify}
	case p.Stuck != nil:
		since := p.Stuck.Since
		if rb.PatchedAt.After(since) {
			since = rb.PatchedAt.Time
		}
		if mayAct && len(rb.Freed) < maxFreed && !s.Now.Before(since.Add(stuckAfter)) {
			return Step{Do: Single}
		}
		return wait
	case p.Left != "":
		return s.notBack(CodePodsLeft, p.Left)
	}
	return wait
}

// lastMoved is when the rollback last came further.
func (s State) lastMoved() time.Time {
	rb := s.Bake.Status.Rollback
	at := rb.PatchedAt.Time
	if s.MovedAt.After(at) {
		at = s.MovedAt
	}
	for _, pod := range rb.Freed {
		if pod.DoneAt != nil && pod.DoneAt.After(at) {
			at = pod.DoneAt.Time
		}
	}
	return at
}

// notBack ends a rollback that did not bring the old revision back in full.
func (s State) notBack(code, why string) Step {
	step := s.rolledBack("No", code+": "+why)
	step.Reasons = append(step.Reasons, v1alpha1.Reason{Code: code, Sentence: step.Recovery})
	return step
}
