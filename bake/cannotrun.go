package bake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

const (
	// lookEvery is how often the pods of a bake are looked at, at most: the watch tells of a rollout's every pod.
	lookEvery = 2 * time.Second
	// lookShare is how many times as long as a look took the next one waits: thousands of pods are listed less often.
	lookShare = 20
)

// lookAtPods says why none of the new pods can run, while some of the workload's are not available. That they cannot be looked at
// ends nothing: the controller's own deadline still does. Once that is over they are looked at anew, however short ago they
// were: what ends the bake is not decided by what was seen a while before.
func (l *Loop) lookAtPods(ctx context.Context, k Key, w *work, s State) *decide.PodFinding {
	phase := s.Bake.Status.Phase
	_, givenUp := s.givenUp()
	switch {
	case !s.Sight.Exists || s.Sight.UID != s.Bake.Spec.Workload.UID:
		return nil
	case phase != v1alpha1.PhaseRolling && phase != v1alpha1.PhaseBaking:
		return nil
	case s.Sight.CaughtUp && s.Sight.Available >= s.Sight.Replicas && s.Sight.Updated >= s.Sight.Replicas:
		w.stuck = nil
		return nil
	case (!givenUp || s.Bake.Status.Approval != nil) && s.Now.Before(w.looked.Add(max(lookEvery, lookShare*w.lookTook))):
		return w.stuck
	}
	w.looked, w.stuck = s.Now, nil
	began := time.Now()
	look, err := l.Watcher.Look(ctx, k, s.Bake.Spec.To)
	w.lookTook = time.Since(began)
	if err != nil {
		if w.unseen != err.Error() {
			w.unseen = err.Error()
			l.Log.Warn("the new pods cannot be looked at: a rollout whose pods cannot run is known by its progress deadline only", zap.String("bake", id(s.Bake)), zap.Error(err))
		}
		return nil
	}
	if len(look.Baseline) > 0 {
		w.old = look.Baseline
	}
	look.Baseline = w.old // what crashed before it was replaced did crash
	from := "what ran before"
	if s.Bake.Spec.From != nil {
		from = rev(*s.Bake.Spec.From)
	}
	w.unprobed = len(look.Candidate) > 0 && !slices.ContainsFunc(look.Candidate, func(p signals.PodState) bool { return p.Probed })
	w.unseen, w.stuck = "", decide.JudgePods(look, rev(s.Bake.Spec.To), from, givenUp)
	if w.stuck != nil && w.stuck.Code == decide.CodeOOMKilled && l.tellUsed(ctx, k, w, look.Candidate) {
		w.stuck = decide.JudgePods(look, rev(s.Bake.Spec.To), from, givenUp)
	}
	return w.stuck
}

// Codes of warnings.
const (
	CodeNoProbe   = "no-readiness-probe" // pods count as ready, and get traffic, before they serve
	CodeNoHistory = "no-history"         // there is no earlier revision to go back to
	CodeNotGentle = "not-gentle"         // the rollout is not paused part-way as policy says, or with more new pods
)

// warnings are what keeps a workload from being guarded well.
func (w *work) warnings() []v1alpha1.Reason {
	spec := w.bake.Spec
	out := slices.Clone(w.bake.Status.Warnings)
	warn := func(code, text string) {
		if !slices.ContainsFunc(out, func(r v1alpha1.Reason) bool { return r.Code == code }) {
			out = append(out, v1alpha1.Reason{Code: code, Sentence: code + ": " + text})
		}
	}
	if w.unprobed {
		warn(CodeNoProbe, fmt.Sprintf("no container of %s has a readiness probe: its pods count as ready before they serve, and a rollout is complete before it is known to work", spec.Ref))
	}
	if writtenBack(spec) {
		warn(CodeWrittenBack, strings.TrimPrefix(writtenBackReason(spec).Sentence, CodeWrittenBack+": "))
	}
	if w.notGentle != "" {
		warn(CodeNotGentle, w.notGentle)
	}
	if spec.From == nil {
		warn(CodeNoHistory, fmt.Sprintf("%s has no earlier revision to go back to; it is its first, or revisionHistoryLimit is too low", spec.Ref))
	}
	return out
}

// collectFor bounds how long an action waits for the evidence.
const collectFor = 5 * time.Second

// collect keeps what will be gone with the new pods. Nothing that goes wrong with it keeps from acting.
func (l *Loop) collect(ctx context.Context, k Key, b *v1alpha1.Bake) []v1alpha1.PodEvidence {
	ctx, cancel := context.WithTimeout(ctx, collectFor)
	defer cancel()
	out, err := l.Watcher.Collect(ctx, k, b.Spec.To)
	if err != nil {
		l.Log.Warn("how the new pods were could not be recorded in full", zap.String("bake", id(b)), zap.Error(err))
	}
	return out
}
