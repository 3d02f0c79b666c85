package upstream

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// How a server is treated that does not answer.
const (
	// TripAfter is after how many queries in a row without an answer a server is left alone, and RestFor for how long: hundreds
	// of bakes that each wait for a server that is down delay each other, and keep it from coming back.
	TripAfter = 5
	RestFor   = 5 * time.Second
)

// Breaker leaves a server alone that does not answer. Use it from any number of goroutines.
type Breaker struct {
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	words   atomic.Pointer[string] // what it said last when it did not answer
}

// NewBreaker makes a Breaker that rests for a time; 0 means RestFor.
func NewBreaker(rest time.Duration) *Breaker {
	if rest <= 0 {
		rest = RestFor
	}
	return &Breaker{breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{Timeout: rest,
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) }, // who asked gave up
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= TripAfter }})}
}

// Allow asks whether a query may be sent. If so, tell must be called with how it went: nil says that the server answered,
// whatever it said. Else the Failure says why not.
func (b *Breaker) Allow() (tell func(*Failure), refused *Failure) {
	done, err := b.breaker.Allow()
	if err != nil {
		last := "no answer"
		if w := b.words.Load(); w != nil {
			last = *w
		}
		return nil, Failed(Unavailable, nil, "not asked: the last %d queries were not answered, the last one with %s", TripAfter, last)
	}
	return func(f *Failure) {
		if f == nil {
			done(nil)
			return
		}
		if !errors.Is(f, context.Canceled) {
			b.words.Store(&f.Text)
		}
		done(f)
	}, nil
}
