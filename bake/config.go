package bake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

const (
	// configSettles is how long a new content waits for a template that changes with it: a restart after kubectl apply, or by a
	// controller that restarts what reads it. Both are one rollout then.
	configSettles = 15 * time.Second
	// keepAgain is when it is tried again to keep what could not be kept.
	keepAgain = time.Minute
	// maxConfigs is how many ConfigMaps of a workload are followed, as the resource's schema has it.
	maxConfigs = 64
)

// configs is what the ledger remembers of what a workload is configured with, beside its revisions.
type configs struct {
	kept    string    // the contents that are known to be kept
	keepAt  time.Time // when it may be tried again to keep some
	since   time.Time // when a change was first seen that is no rollout yet
	waiting string    // the contents of which it was told that nothing reads them yet
	asked   time.Time // when it was last asked whether pods were started since
	// restarted is the hash of the revision that our own restart made.
	restarted string
	dropped   bool // it was told that there are more than are followed
}

// follows reports whether a workload's ConfigMaps are followed, and known.
func (l *Loop) follows(s Sight, live policy.Resolved) bool {
	return l.Configs != nil && live.Configuration.ConfigMaps && s.Exists && s.Configs != nil
}

// configure asks whether what the pods of a workload read has changed under an unchanged template, and begins a bake if so.
func (l *Loop) configure(ctx context.Context, k Key, e *entry, s Sight, live policy.Resolved) (time.Duration, error) {
	if !l.follows(s, live) || !e.seen || e.digest != s.Digest || !s.CaughtUp || s.Paused {
		return 0, nil
	}
	if err := l.meetConfigs(ctx, k, e, s, live); err != nil {
		return 0, err
	}
	is := contents(s.Configs)
	changed := differing(e.current.ConfigMaps, is)
	e.current.ConfigMaps = joined(e.current.ConfigMaps, s.Configs) // those that are new came with the template
	if e.good.ConfigMaps != nil && e.good.Number == e.current.Number {
		e.good.ConfigMaps = joined(e.good.ConfigMaps, s.Configs)
	}
	if len(changed) == 0 {
		e.configs.since, e.configs.waiting = time.Time{}, ""
		return l.keep(ctx, k, e, s)
	}
	if e.work != nil && e.work.bake.Status.Outcome == "" && e.work.bake.Status.Rollback != nil {
		if same(e.work.bake.Status.Rollback.Target.ConfigMaps, is) {
			e.current.ConfigMaps = is // our own rollback
		}
		return 0, nil // what else it may be is looked at when that is over
	}
	if by := l.restores.of(k.Namespace, changed); by != nil && (e.work == nil || e.work.bake.Status.Outcome != "") {
		e.current.ConfigMaps = is
		if e.good.Hash == e.current.Hash {
			e.good.ConfigMaps = is
		}
		l.Log.Info("a configmap was put back by another workload's rollback", zap.String("workload", k.String()), zap.String("by", by.ref))
		return 0, nil
	}
	read := slices.DeleteFunc(slices.Clone(s.Configs), func(c Config) bool { return !c.Mounted || !listed(changed, c.Name) })
	if len(read) == 0 {
		wait, err := l.startedWith(ctx, k, e, s, live, changed, is)
		if wait == 0 || err != nil {
			return 0, err // a bake has begun
		}
		if mark := fmt.Sprint(changed); mark != e.configs.waiting { // told once, not at every look
			e.configs.waiting = mark
			l.Log.Info("a configmap changed, and no pod reads it before it starts; it is part of the next rollout", zap.String("workload", k.String()), zap.Strings("configMaps", configNames(changed)))
		}
		return wait, nil
	}
	now := time.Now()
	if !slices.ContainsFunc(read, func(c Config) bool { return !c.old(now, live) }) {
		e.current.ConfigMaps = is // it is the way things are: nobody looked when it changed
		if e.good.Number == e.current.Number {
			e.good.ConfigMaps = is
		}
		return 0, nil
	}
	if e.configs.since.IsZero() {
		e.configs.since = now
	}
	if due := e.configs.since.Add(min(configSettles, time.Duration(live.Configuration.Sync))); now.Before(due) {
		return due.Sub(now), nil
	}
	return 0, l.beginInPlace(ctx, k, e, s, live, read, is)
}

// meetConfigs finds out what the ConfigMaps of a workload were when it was last known to be well, once: they may have changed
// while nobody watched.
func (l *Loop) meetConfigs(ctx context.Context, k Key, e *entry, s Sight, live policy.Resolved) error {
	over := e.work == nil || e.work.bake.Status.Outcome != ""
	is := contents(s.Configs)
	if len(s.Configs) > maxConfigs && !e.configs.dropped {
		e.configs.dropped = true
		l.Log.Warn("a workload reads more configmaps than are followed; changes of the others are no rollouts", zap.String("workload", k.String()), zap.Int("configMaps", len(s.Configs)), zap.Int("followed", maxConfigs))
	}
	if e.current.ConfigMaps == nil && len(is) > 0 {
		was := slices.Clone(is)
		for i, v := range was {
			c := s.Configs[slices.IndexFunc(s.Configs, func(c Config) bool { return c.Name == v.Name })]
			if c.ChangedAt.IsZero() || c.old(time.Now(), live) {
				continue // it is the way things are
			}
			digest, err := l.Configs.Kept(ctx, k.Namespace, v.Name)
			if err != nil {
				return fmt.Errorf("see what is kept of %s of %s: %w", configMap(v.Name), k, err)
			}
			was[i].Digest = cmp.Or(digest, v.Digest)
		}
		e.current.ConfigMaps = was
	}
	if e.good.ConfigMaps == nil && over && e.good.Number != 0 && e.good.Number == e.current.Number {
		e.good.ConfigMaps = slices.Clone(e.current.ConfigMaps)
	}
	return nil
}

// keep has what is known good kept, while it is what is there. That it cannot be kept keeps nothing else from being done.
func (l *Loop) keep(ctx context.Context, k Key, e *entry, s Sight) (time.Duration, error) {
	mark := fmt.Sprint(e.good.ConfigMaps)
	now := time.Now()
	switch {
	case len(e.good.ConfigMaps) == 0 || mark == e.configs.kept || !same(e.good.ConfigMaps, e.current.ConfigMaps):
		return 0, nil
	case now.Before(e.configs.keepAt):
		return e.configs.keepAt.Sub(now), nil
	}
	for _, c := range s.Configs {
		if !c.followed() || !listed(e.good.ConfigMaps, c.Name) {
			continue
		}
		err := l.Configs.Keep(ctx, k.Namespace, c.ConfigVersion)
		switch {
		case errors.Is(err, ErrTooLarge):
			l.Log.Warn("a configmap is too large to be kept: a bad change of it is told, and left to a person", zap.String("workload", k.String()), zap.String("configMap", c.Name), zap.Error(err))
		case errors.Is(err, ErrNewer), errors.Is(err, ErrGone):
			return time.Second, nil // the watch will tell
		case err != nil:
			e.configs.keepAt = now.Add(keepAgain)
			l.Log.Warn("a known good configmap cannot be kept; will try again", zap.String("workload", k.String()), zap.String("configMap", c.Name), zap.Error(err))
			return keepAgain, nil
		}
	}
	e.configs.kept = mark
	return 0, nil
}

// askEvery is how often it is asked, at most, whether pods were started with what is read at start only; askAgain is when it is asked
// again if nothing happens.
const askEvery, askAgain = 10 * time.Second, time.Minute

// startedWith begins the bake of what is read at start only, once some pods were started with it although the template is the same: a
// node was drained, or a container crashed. Until then it returns when to ask again.
func (l *Loop) startedWith(ctx context.Context, k Key, e *entry, s Sight, live policy.Resolved, changed, is []v1alpha1.ConfigVersion) (time.Duration, error) {
	now := time.Now()
	if due := e.configs.asked.Add(askEvery); now.Before(due) {
		return due.Sub(now), nil
	}
	e.configs.asked = now
	read := slices.DeleteFunc(slices.Clone(s.Configs), func(c Config) bool { return !listed(changed, c.Name) || c.ChangedAt.IsZero() })
	if len(read) == 0 {
		return askAgain, nil
	}
	newest := slices.MaxFunc(read, func(a, b Config) int { return a.ChangedAt.Compare(b.ChangedAt) })
	current, _, err := l.Watcher.Revisions(ctx, k, 0)
	if err != nil {
		return 0, fmt.Errorf("see which revision of %s reads another configuration: %w", k, err)
	}
	at, err := l.Watcher.Started(ctx, k, current, newest.ChangedAt.Add(time.Second)) // the field managers have whole seconds
	switch {
	case err != nil:
		return 0, fmt.Errorf("see whether pods of %s were started with another configuration: %w", k, err)
	case at.IsZero():
		return askAgain, nil
	}
	e.configs.since = at
	for i := range read {
		read[i].ChangedAt = time.Time{} // it began when the first pod was started
	}
	return 0, l.beginInPlace(ctx, k, e, s, live, read, is)
}

// beginInPlace begins the bake of another content of ConfigMaps that running pods read.
func (l *Loop) beginInPlace(ctx context.Context, k Key, e *entry, s Sight, live policy.Resolved, read []Config, is []v1alpha1.ConfigVersion) error {
	current, former, err := l.Watcher.Revisions(ctx, k, e.good.Number)
	if err != nil {
		return fmt.Errorf("see which revision of %s reads another configuration: %w", k, err)
	}
	if current.Hash == "" {
		return fmt.Errorf("see which revision of %s reads another configuration: its controller has not made one of what runs yet", k)
	}
	to := current
	to.ConfigMaps = is
	r := Rollout{Key: k, UID: s.UID, To: to, StartedAt: e.configs.since, Digest: s.Digest, InPlace: true}
	for _, c := range read {
		if !c.ChangedAt.IsZero() && !c.old(r.StartedAt, live) && c.ChangedAt.Before(r.StartedAt) {
			r.StartedAt = c.ChangedAt
		}
		r.ChangedBy = c.ChangedBy
		r.Mark += c.Name + "@" + c.Version + "\n"
	}
	if e.good.Number != 0 {
		from := e.good
		switch {
		case from.Hash == current.Hash, from.Hash == "" && from.Number == current.Number:
			from = current
		case from.Hash == "":
			from = former
		}
		from.ConfigMaps = e.good.ConfigMaps
		r.From = &from
	}
	l.explain(ctx, k, &r, live)
	return l.begin(ctx, k, e, Detection{Finding: Found, Current: r.To, Digest: s.Digest, Rollout: r}, s, live)
}

// configured completes a rollout of a template by the contents of the ConfigMaps that its pods read.
func (l *Loop) configured(ctx context.Context, k Key, e *entry, s Sight, live policy.Resolved, r *Rollout) {
	if !l.follows(s, live) || r.InPlace {
		return
	}
	r.To.ConfigMaps = contents(s.Configs)
	if r.From != nil {
		r.From.ConfigMaps, r.From.Configuration = e.good.ConfigMaps, e.good.Configuration
	}
	l.explain(ctx, k, r, live)
}

// explain says which ConfigMaps a rollout changed, and what in them.
func (l *Loop) explain(ctx context.Context, k Key, r *Rollout, live policy.Resolved) {
	if r.From == nil {
		return
	}
	changed := differing(r.From.ConfigMaps, r.To.ConfigMaps)
	if len(changed) == 0 {
		return
	}
	r.RestartOnly = false
	for _, v := range changed {
		was := r.From.ConfigMaps[index(r.From.ConfigMaps, v.Name)]
		keys, err := l.Configs.Compare(ctx, k.Namespace, was, live.Configuration.ShowValues)
		if err != nil || len(keys) == 0 {
			if err != nil {
				l.Log.Warn("which keys of a configmap changed is not known", zap.String("workload", k.String()), zap.String("configMap", v.Name), zap.Error(err))
			}
			keys = []string{"changed"}
		}
		for _, key := range keys[:min(len(keys), maxKeys)] {
			r.Changes = append(r.Changes, configMap(v.Name)+": "+key)
		}
		if more := len(keys) - maxKeys; more > 0 {
			r.Changes = append(r.Changes, fmt.Sprintf("%s: and %d more", configMap(v.Name), more))
		}
	}
	if r.InPlace {
		r.To.Configuration = label(r.To.ConfigMaps, changed)
		if r.From.Hash == r.To.Hash {
			r.From.Configuration = label(r.From.ConfigMaps, changed)
		}
	}
}

// maxKeys is how many keys of a ConfigMap are told of.
const maxKeys = 10

// label is what a revision is called beside its number where the template alone does not tell: app-config@5f3ac1.
func label(vs, changed []v1alpha1.ConfigVersion) string {
	v := vs[index(vs, changed[0].Name)]
	out := fmt.Sprintf("%s@%.6s", v.Name, v.Digest)
	if n := len(changed) - 1; n > 0 {
		out += fmt.Sprintf(" and %d more", n)
	}
	return out
}
