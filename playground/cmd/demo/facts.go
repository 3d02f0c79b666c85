package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fact is something that has to hold, by itself or before long.
type fact struct {
	who    string // who is asked
	name   string
	within time.Duration
	// hold says what was found, or why the fact does not hold (yet).
	hold func(context.Context) (string, error)
}

const (
	soon = 15 * time.Second // for what is a matter of delivering it
	poll = 250 * time.Millisecond
	// oneLook bounds a single attempt.
	oneLook = 30 * time.Second
)

// verify waits for each fact and says what came of it. One that does not hold is remembered, and the others are still
// looked at.
func (d *demo) verify(ctx context.Context, facts ...fact) {
	for _, f := range facts {
		if ctx.Err() != nil {
			return
		}
		found, err := f.eventually(ctx)
		switch {
		case err == nil:
			d.held++
			d.say(f.who, "%s %s: %s", d.paint("32", "✓"), f.name, found)
		case ctx.Err() == nil:
			d.failed = append(d.failed, f.name)
			d.say(f.who, "%s %s: %v", d.paint("1;31", "✗"), f.name, err)
		}
	}
}

// need verifies a fact without which the story cannot go on.
func (d *demo) need(ctx context.Context, f fact) error {
	before := len(d.failed)
	d.verify(ctx, f)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(d.failed) > before {
		return errors.New("the story ends here")
	}
	return nil
}

func (f fact) eventually(ctx context.Context) (found string, err error) {
	deadline := time.Now().Add(f.within)
	for {
		callCtx, cancel := context.WithTimeout(ctx, oneLook)
		found, err = f.hold(callCtx)
		cancel()
		if err == nil || errors.As(err, new(never)) || time.Now().After(deadline) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

// wrong words what was found instead of what was expected.
func wrong(format string, args ...any) (string, error) { return "", fmt.Errorf(format, args...) }

// never is why a fact does not hold and will not, however long one waits.
type never struct{ error }
