package datadog

import (
	"context"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

const (
	// shelvedFor is how long an answer to anything but a query is kept: bakes that begin or tick together share it.
	shelvedFor = 5 * time.Second
	maxShelved = 500
)

// shelf keeps answers for a moment, by what was asked. Whoever asks for the same meanwhile waits for the same answer.
type shelf[T any] struct {
	mu  sync.Mutex
	all map[string]*shelved[T]
}

type shelved[T any] struct {
	at      time.Time // when it was asked for
	done    chan struct{}
	answer  T // once done is closed
	failure *upstream.Failure
}

// get is what was asked for, by ask where nobody else did.
func (s *shelf[T]) get(ctx context.Context, key string, ask func() (T, *upstream.Failure)) (T, *upstream.Failure) {
	one, mine := s.of(key)
	if mine {
		one.answer, one.failure = ask()
		close(one.done)
	}
	select {
	case <-ctx.Done():
		var none T
		return none, upstream.Failed(upstream.Unavailable, ctx.Err(), "the query was given up")
	case <-one.done:
		return one.answer, one.failure
	}
}

// of is what is kept of a key. It is mine where whoever asked must fill it in.
func (s *shelf[T]) of(key string) (one *shelved[T], mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for k, old := range s.all {
		if now.Sub(old.at) >= shelvedFor || len(s.all) >= maxShelved {
			delete(s.all, k)
		}
	}
	if old := s.all[key]; old != nil {
		return old, false
	}
	if s.all == nil {
		s.all = map[string]*shelved[T]{}
	}
	one = &shelved[T]{at: now, done: make(chan struct{})}
	s.all[key] = one
	return one, true
}
