package bake

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// heed begins the rollback that a person asks for of a revision whose bake is over, or that never had one. It has a record of
// its own, whose name is made of the person's words, so that each is heeded once. A bake under way heeds them itself.
func (l *Loop) heed(ctx context.Context, k Key, e *entry, s Sight, live policy.Resolved) error {
	value := s.Annotations[policy.AnnotationUndo]
	mark := value + " " + s.Digest
	asked, ok := parseWord(value)
	switch {
	case !ok || e.heeded == mark || !s.Exists || !s.CaughtUp || e.digest != s.Digest || !e.seen:
		return nil // what is rolled out now is found first
	case e.work != nil && e.work.bake.Status.Outcome == "":
		return nil
	}
	current, named, err := l.Watcher.Revisions(ctx, k, asked.to)
	if err != nil {
		return fmt.Errorf("heed what a person asks of %s: %w", k, err)
	}
	if current.Hash == "" {
		return fmt.Errorf("heed what a person asks of %s: its controller has not made a revision of what runs yet", k)
	}
	if current.Number != asked.number {
		e.heeded = mark // it is about another revision
		return nil
	}
	name := fmt.Sprintf("%s-undo-%x", Name(k, s.UID, current.Number), sha256.Sum256([]byte(value)))
	name = name[:len(name)-56] // 8 digits tell words about one revision apart
	before, err := l.recorded(ctx, k.Namespace, name)
	switch {
	case err != nil:
		return err
	case before != nil && before.Status.Outcome != "":
		e.heeded = mark
		return nil
	}
	own, err := l.recorded(ctx, k.Namespace, Name(k, s.UID, current.Number))
	switch {
	case err != nil:
		return err
	case own != nil && own.Status.ByHand != nil && own.Status.ByHand.Word == clipped(value):
		e.heeded = mark // by the bake itself, and a guard held
		return nil
	}
	b, err := askedFor(k, e, s, live, current, own)
	if err != nil {
		return err
	}
	if asked.to != 0 {
		b.Spec.From = nil
		if named.Hash != "" && named.Hash != current.Hash {
			b.Spec.From = &named
		}
	}
	b.Name, b.Spec.Revisions = name, fmt.Sprintf("- ← %d", current.Number)
	if b.Spec.From != nil {
		b.Spec.Revisions = fmt.Sprintf("%d ← %d", b.Spec.From.Number, current.Number)
	}
	b.Spec.ByHand = &v1alpha1.ByHand{Word: clipped(value), By: asked.by}
	if err := l.finishTelling(ctx, e, true); err != nil {
		l.Log.Warn("an alert is not resolved; it lapses by itself", zap.String("workload", k.String()), zap.Error(err))
	}
	l.letGo(e)
	if b, err = l.Records.Create(ctx, b); err != nil {
		return fmt.Errorf("record what a person asks of %s: %w", k, err)
	}
	e.begin(b)
	e.work, e.heeded = l.workOn(b), mark
	l.Log.Info("a person asks for a rollback", zap.String("bake", id(b)), zap.String("words", b.Spec.ByHand.Word))
	return nil
}

// askedFor is the record of a rollback of the current revision to the one that its own bake, if it had one, would have gone back
// to.
func askedFor(k Key, e *entry, s Sight, live policy.Resolved, current v1alpha1.Revision, own *v1alpha1.Bake) (*v1alpha1.Bake, error) {
	r := Rollout{Key: k, UID: s.UID, To: current, StartedAt: time.Now(), Digest: s.Digest}
	switch {
	case own != nil:
		r.From, r.Changes, r.ChangedBy = own.Spec.From, own.Spec.Changes, own.Spec.ChangedBy
		r.To.ConfigMaps = own.Spec.To.ConfigMaps // so that their content is put back, too
	case e.good.Hash != "" && e.good.Hash != current.Hash:
		good := e.good
		r.From = &good
	}
	since, until := e.baseline(r.StartedAt)
	b, err := record(r, live, since, until)
	if err != nil {
		return nil, err
	}
	b.Spec.Labels = few(s.Labels)
	if own != nil {
		b.Spec.BaselineSince, b.Spec.BaselineUntil = own.Spec.BaselineSince, own.Spec.BaselineUntil
	}
	return b, nil
}

// recorded is a Bake by its name; nil when there is none.
func (l *Loop) recorded(ctx context.Context, namespace, name string) (*v1alpha1.Bake, error) {
	b, err := l.Records.Get(ctx, namespace, name)
	if errors.Is(err, ErrNoRecord) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s/%s: %w", namespace, name, err)
	}
	return b, nil
}
