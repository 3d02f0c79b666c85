package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// rolledOut reports whether all pods are new: have replaced the old ones, or have had the time to read what is new.
func (s State) rolledOut() bool {
	spec := s.Bake.Spec
	synced := !spec.InPlace || !s.Now.Before(spec.StartedAt.Add(time.Duration(s.Frozen.Configuration.Sync)))
	return synced && s.Sight.Complete()
}

// readFrom is from when on what pods do tells of another configuration that they read in place; long ago for other rollouts. Where
// they read an unproven one before, it is that one which they go by until they have surely read the new one.
func (s State) readFrom() time.Time {
	spec := s.Bake.Spec
	switch {
	case !spec.InPlace:
		return time.Time{}
	case spec.BaselineUntil.Before(&spec.StartedAt):
		return spec.StartedAt.Add(time.Duration(s.Frozen.Configuration.Sync))
	}
	return spec.StartedAt.Time
}

// syncing reports whether running pods may still read the content that was replaced.
func (s State) syncing() bool {
	rb := s.Bake.Status.Rollback
	return s.Bake.Spec.InPlace && s.Now.Before(rb.PatchedAt.Add(time.Duration(s.Frozen.Configuration.Sync)))
}

// nextUndo is the next write of an undo: a ConfigMap that is not back yet, or else the template. So pods that are made anew read
// what they are to read.
func (s State) nextUndo() Step {
	rb := s.Bake.Status.Rollback
	if slices.ContainsFunc(rb.ConfigMaps, pending) {
		return Step{Do: Restore}
	}
	switch judged := s.Bake.Spec.To.Hash; {
	case rb.Restart == nil || rb.Target.Hash != judged: // the restart's own revision is the target
		return Step{Do: Undo}
	case rb.Restart.DoneAt == nil:
		return Step{Do: Restart}
	case s.Restarted != "" && s.Current.Hash == s.Restarted:
		return Step{Do: Retarget}
	case s.Current.Hash != judged:
		return end(v1alpha1.OutcomeSuperseded, CodeNewer, fmt.Sprintf("%s came before the restart of %s was seen", rev(s.Current), s.Bake.Spec.Ref))
	}
	return Step{Do: Wait, Until: s.Now.Add(time.Second)}
}

// restart is the restart that a rollback in place needs; nil when it needs none.
func (s State) restart() *v1alpha1.Restart {
	if !s.Started {
		return nil
	}
	return &v1alpha1.Restart{At: s.Now.UTC().Format(time.RFC3339)}
}

// restartedAs is the target of a rollback once its own restart has given it another revision.
func restartedAs(s State) v1alpha1.Revision {
	was, is := s.Bake.Status.Rollback.Target, s.Current
	is.ConfigMaps, is.Configuration = was.ConfigMaps, was.Configuration
	return is
}

// started reports whether pods were started, since a rollout in place began, with ConfigMaps that are read at start: what is put back
// does not reach them.
func (l *Loop) started(ctx context.Context, k Key, s *State) (bool, error) {
	spec := s.Bake.Spec
	if !spec.InPlace || spec.From == nil || spec.From.Hash != spec.To.Hash {
		return false, nil
	}
	for _, r := range toRestore(spec) {
		for _, c := range s.Sight.Configs {
			if c.Name != r.Name || !c.AtStart {
				continue
			}
			at, err := l.Watcher.Started(ctx, k, spec.To, spec.StartedAt.Time)
			return !at.IsZero(), err
		}
	}
	return false, nil
}

// restart replaces the pods; its intent is on record, and the ConfigMaps are back. Then it records the receipt.
func (l *Loop) restart(ctx context.Context, k Key, e *entry, s State) error {
	b := e.work.bake.DeepCopy()
	rb := b.Status.Rollback
	err := l.Undoer.Restart(ctx, k, b.Spec.Workload.UID, rb.Target, rb.Restart.At)
	var step Step
	switch {
	case err == nil:
		rb.Restart.DoneAt = &metav1.MicroTime{Time: time.Now()}
		l.Log.Info("pods are restarted, because some were started with what was put back", zap.String("workload", k.String()))
		return l.save(ctx, e, b)
	case errors.Is(err, ErrGone):
		step = end(v1alpha1.OutcomeAbandoned, CodeDeleted, b.Spec.Ref+" was deleted")
	case errors.Is(err, ErrNewer):
		step = end(v1alpha1.OutcomeSuperseded, CodeNewer, b.Spec.Ref+" was changed before its pods were restarted: "+err.Error())
	case errors.Is(err, ErrPaused):
		step = end(v1alpha1.OutcomeHeld, CodePaused, "held: "+b.Spec.Ref+" was paused: a person has taken over; its ConfigMaps are back, and some pods were started before")
	case time.Since(rb.IntendedAt.Time) > s.Frozen.Deadline, errors.Is(err, ErrNotPermitted) && time.Since(rb.IntendedAt.Time) > forbiddenFor:
		step = end(v1alpha1.OutcomeHeld, CodeRollbackFailed, fmt.Sprintf("held: the ConfigMaps of %s are back, and its pods could not be restarted: %v", b.Spec.Ref, err))
	default:
		return fmt.Errorf("restart the pods of %s: %w", k, err)
	}
	if step.Outcome == v1alpha1.OutcomeHeld {
		step.Reasons = append(b.Status.Reasons, step.Reasons...)
	}
	return l.end(ctx, k, e, step)
}

func pending(c v1alpha1.ConfigRestore) bool { return c.DoneAt == nil }

// putBack: another workload's rollback took back what this bake judges. Pods that were started with it are rolled back, too.
func (s State) putBack() Step {
	spec := s.Bake.Spec
	why := v1alpha1.Reason{Code: CodeConfigRestored, Sentence: fmt.Sprintf("%s: %s was put back by the rollback of %s", CodeConfigRestored, configMap(s.PutBack.name), s.PutBack.ref)}
	if spec.From.Hash == spec.To.Hash {
		return Step{Do: End, Outcome: v1alpha1.OutcomeAbandoned, Reasons: []v1alpha1.Reason{why}, Observed: s.observed()}
	}
	why.Sentence += fmt.Sprintf(", and pods of %s were started with what it was before", rev(spec.To))
	return s.regressed([]v1alpha1.Reason{why})
}

// putBackBy is another bake's rollback that put ConfigMaps of this one back.
func (l *Loop) putBackBy(b *v1alpha1.Bake, s Sight) *restored {
	if b.Spec.From == nil || b.Status.Rollback != nil {
		return nil
	}
	changed := differing(b.Spec.To.ConfigMaps, contents(s.Configs))
	if len(changed) == 0 || !same(b.Spec.From.ConfigMaps, changed) {
		return nil
	}
	by := l.restores.of(b.Namespace, changed)
	if by == nil || by.bake == id(b) || by.at.Before(b.Spec.StartedAt.Time) {
		return nil
	}
	return by
}

// contentBack is that the content that a bake in place judged was written once more after it was put back; nil when it was not. The
// watch may be behind, so it goes by when it was written.
func contentBack(b *v1alpha1.Bake, s Sight) *writing {
	rb := b.Status.Rollback
	if !b.Spec.InPlace || rb == nil || rb.PatchedAt == nil {
		return nil
	}
	for _, r := range rb.ConfigMaps {
		for _, c := range s.Configs {
			if c.Name == r.Name && c.Digest == r.Judged && c.ChangedAt.After(rb.IntendedAt.Time) {
				return &writing{c.ChangedBy, c.ChangedAt}
			}
		}
	}
	return nil
}

// keptConfig: a ConfigMap that is kept as Git has it comes back, whatever is written to it.
func (s State) keptConfig(rules policy.GuardRules) *v1alpha1.Reason {
	if !rules.GitOps {
		return nil
	}
	spec := s.Bake.Spec
	for _, r := range toRestore(spec) {
		i := slices.IndexFunc(s.Sight.Configs, func(c Config) bool { return c.Name == r.Name })
		if i < 0 || s.Sight.Configs[i].Owner.Name == "" {
			continue
		}
		o := s.Sight.Configs[i].Owner
		return held(CodeGitOps, "%s of %s is kept by %s, which would put its new content back; revert it %s: %s", configMap(r.Name), spec.Ref, o.Name, o.Where, s.changes())
	}
	return nil
}

// unkept: without its content a ConfigMap cannot be put back.
func (s State) unkept(policy.GuardRules) *v1alpha1.Reason {
	if len(s.Unkept) == 0 {
		return nil
	}
	return held(CodeConfigNotKept, "what was in %s when %s was good is not kept; put it back from where it is applied from", configMap(s.Unkept[0]), rev(*s.Bake.Spec.From))
}

// configOff: a switch that makes Bakewatch do less acts at once.
func (s State) configOff(policy.GuardRules) *v1alpha1.Reason {
	if len(toRestore(s.Bake.Spec)) == 0 || s.Live.Configuration.ConfigMaps {
		return nil
	}
	return held(CodeConfigOff, "policy no longer has the ConfigMaps of %s followed; would have put back: %s", s.Bake.Spec.Ref, s.changes())
}

// unkept are the ConfigMaps whose content to go back to is not kept.
func (l *Loop) unkept(ctx context.Context, b *v1alpha1.Bake, s Sight) ([]string, error) {
	var out []string
	for _, r := range toRestore(b.Spec) {
		if i := index(contents(s.Configs), r.Name); i >= 0 && contents(s.Configs)[i].Digest == r.Target {
			continue // it is back already
		}
		if l.Configs == nil {
			return nil, errors.New("this process follows no ConfigMaps")
		}
		has, err := l.Configs.Has(ctx, b.Namespace, v1alpha1.ConfigVersion{Name: r.Name, Digest: r.Target})
		if err != nil {
			return nil, err
		}
		if !has {
			out = append(out, r.Name)
		}
	}
	return out, nil
}

// restoreConfig puts a ConfigMap back; its intent is on record. Then it records the receipt, or ends the bake by what forbade it.
func (l *Loop) restoreConfig(ctx context.Context, k Key, e *entry, s State) error {
	b := e.work.bake.DeepCopy()
	rb := b.Status.Rollback
	c := &rb.ConfigMaps[slices.IndexFunc(rb.ConfigMaps, pending)]
	err := l.Configs.Restore(ctx, b.Namespace, *c)
	late := time.Since(rb.IntendedAt.Time) > s.Frozen.Deadline
	var step Step
	switch {
	case err == nil:
		c.DoneAt = &metav1.MicroTime{Time: time.Now()}
		if err := l.save(ctx, e, b); err != nil {
			return err
		}
		l.restores.note(b)
		l.Log.Info("a configmap is put back", zap.String("workload", k.String()), zap.String("configMap", c.Name), zap.String("because", rb.Because))
		return nil
	case errors.Is(err, ErrNewer):
		step = end(v1alpha1.OutcomeSuperseded, CodeNewer, fmt.Sprintf("%s was changed before it was put back: %v", configMap(c.Name), err))
	case errors.Is(err, ErrGone):
		step = end(v1alpha1.OutcomeHeld, CodeRollbackFailed, fmt.Sprintf("held: %s is gone, and is not made anew", configMap(c.Name)))
	case errors.Is(err, ErrNoRevision):
		step = end(v1alpha1.OutcomeHeld, CodeConfigNotKept, fmt.Sprintf("held: what was in %s when %s was good is not kept any more", configMap(c.Name), rev(rb.Target)))
	case errors.Is(err, ErrNotPermitted) && time.Since(rb.IntendedAt.Time) > forbiddenFor, late:
		step = end(v1alpha1.OutcomeHeld, CodeRollbackFailed, fmt.Sprintf("held: %s could not be put back: %v", configMap(c.Name), err))
	default:
		return fmt.Errorf("put %s of %s back: %w", configMap(c.Name), k, err)
	}
	if step.Outcome == v1alpha1.OutcomeHeld {
		step.Reasons = append(b.Status.Reasons, step.Reasons...)
	}
	return l.end(ctx, k, e, step)
}
