package bake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/signals"
)

// Where the names of pods do not tell of which revision they are, those that are the candidate's are looked up with each
// tick. What was looked up once is kept for the bake: a pod that is gone has served all the same. So that a restart changes
// nothing, those that are gone are put on record; the others are found again.

const (
	maxPodsOnRecord = 500    // as the resource's schema has it
	maxLives        = 20_000 // more than there can be at a time, and as many again that are gone
)

// among has the candidate's pods told by their lives.
func (q *question) among(lives map[string]time.Time) {
	q.lives = lives
	q.candidate = ""
	if q.baseline != "" {
		q.baseline = signals.PodPrefix(q.key.Name)
	}
}

// meet looks up which pods are the candidate's. What it returns answers the question: nothing by pod, if they are not known.
func (l *Loop) meet(ctx context.Context, w *work, q *question, candidate v1alpha1.Revision) Source {
	v := w.evidence
	crew, err := l.Watcher.Crew(ctx, q.key, candidate)
	if err == nil && len(crew.Lives)+len(v.lives) > maxLives {
		err = errors.New("there are too many")
	}
	v.crew = crew
	for name, born := range crew.Lives {
		v.met(name, born)
	}
	q.among(v.lives)
	if err != nil {
		return podless{l.Source, fmt.Errorf("which pods are of %s is not known: %w", rev(candidate), err)}
	}
	return l.Source
}

// met keeps a pod of the candidate. Born anew under its name, it goes on as the one it was.
func (v *evidence) met(name string, born time.Time) {
	if was, ok := v.lives[name]; !ok || born.Before(was) {
		v.lives[name] = born
	}
}

// recall takes over the pods that are on record.
func (v *evidence) recall(pods []v1alpha1.PodLife) {
	for _, p := range pods {
		v.met(p.Name, p.Born.Time)
	}
}

// gone are the candidate's pods that are not there any more and are not on record, as many as fit.
func (v *evidence) gone(onRecord []v1alpha1.PodLife) []v1alpha1.PodLife {
	var out []v1alpha1.PodLife
	for _, name := range slices.Sorted(maps.Keys(v.lives)) {
		if len(onRecord)+len(out) >= maxPodsOnRecord {
			break
		}
		is, there := v.crew.Lives[name]
		recorded := slices.ContainsFunc(onRecord, func(p v1alpha1.PodLife) bool { return p.Name == name })
		if born := v.lives[name]; !recorded && v.crew.Lives != nil && (!there || born.Before(is)) {
			out = append(out, v1alpha1.PodLife{Name: name, Born: micro(born)})
		}
	}
	return out
}

// pods are all pods of the candidate, for its record; those that are on it, where all are too many.
func (w *work) pods(onRecord []v1alpha1.PodLife) []v1alpha1.PodLife {
	if w.evidence == nil || len(w.evidence.lives) == 0 || len(w.evidence.lives) > maxPodsOnRecord {
		return onRecord
	}
	var out []v1alpha1.PodLife
	for _, name := range slices.Sorted(maps.Keys(w.evidence.lives)) {
		out = append(out, v1alpha1.PodLife{Name: name, Born: micro(w.evidence.lives[name])})
	}
	return out
}

// podless is a Source while it is not known which pods are the candidate's.
type podless struct {
	Source
	why error
}

// Read implements Source.
func (p podless) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	if q.Lives != nil && q.By == signals.ByPod {
		return nil, p.why
	}
	return p.Source.Read(ctx, q)
}
