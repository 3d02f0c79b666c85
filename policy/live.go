package policy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Live holds the current configuration while it is edited. A bad edit changes nothing but the Status: the last good
// Config stays. The zero Live is ready for use, by many goroutines at once.
type Live struct {
	offers sync.Mutex // held through a whole Offer, so that subscribers see changes in order and one at a time

	mu      sync.Mutex
	current *Config
	status  Status
	subs    []func(*Config)
}

// Status says how the last attempt to load the configuration went, and which one applies.
type Status struct {
	Attempt time.Time // when a configuration was last offered, or found missing; zero: never
	Name    string    // what was offered, as errors call it
	Content string    // hash of the bytes that were offered; empty when there were none
	Err     error     // why it was refused; nil: it applies

	Hash  string    // Config.Hash of the one that applies; empty: none yet
	Since time.Time // when that one came into force
}

// Current is the last good configuration, nil until there was one.
func (l *Live) Current() *Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// Status tells of the last attempt.
func (l *Live) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Offer parses data and puts it in force if it is good; err is then nil, and changed says whether it differs from what
// applied before. Subscribers have been called when it returns.
func (l *Live) Offer(name string, data []byte) (changed bool, err error) {
	l.offers.Lock()
	defer l.offers.Unlock()

	c, err := Parse(name, data)
	now := time.Now()
	sum := sha256.Sum256(data)

	l.mu.Lock()
	l.status.Attempt, l.status.Name, l.status.Err = now, name, err
	l.status.Content = hex.EncodeToString(sum[:8])
	if err == nil {
		if hash := c.Hash(); hash != l.status.Hash {
			changed = true
			l.current, l.status.Hash, l.status.Since = c, hash, now
		}
	}
	subs := l.subs
	l.mu.Unlock()

	if changed {
		for _, f := range subs {
			f(c)
		}
	}
	return changed, err
}

// Missing records that there was nothing to offer, and why. The last good configuration stays.
func (l *Live) Missing(name string, err error) {
	l.offers.Lock()
	defer l.offers.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Attempt, l.status.Name, l.status.Content, l.status.Err = time.Now(), name, "", err
}

// OnChange calls f with the current configuration, if there is one, and from then on with each new one, in order and
// one at a time. f must not call Offer, Missing or OnChange.
func (l *Live) OnChange(f func(*Config)) {
	l.offers.Lock()
	defer l.offers.Unlock()
	l.mu.Lock()
	l.subs = append(l.subs, f)
	c := l.current
	l.mu.Unlock()
	if c != nil {
		f(c)
	}
}

// WatchFile offers the content of the file at path to live, now and whenever it differs, looking once every so often,
// until ctx ends; it returns why ctx ended. Comparing content, not inotify, is what also sees the renamed symlinks of a
// mounted ConfigMap and files on network mounts. A file that is missing or bad is passed to report, once for each
// distinct error, and looked at again.
func WatchFile(ctx context.Context, path string, every time.Duration, live *Live, report func(error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var offered []byte // what live knows; nil: nothing, or that the file is missing
	var reported string
	for {
		data, err := readFile(path)
		switch {
		case err != nil:
			offered = nil
			live.Missing(path, err)
		case offered == nil || !bytes.Equal(data, offered):
			offered = append([]byte{}, data...)
			_, err = live.Offer(path, data)
		default:
			err = live.Status().Err
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != "" && now != reported {
			report(err)
		}
		reported = now

		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// readFile reads no more than it takes to see that a file is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration cannot be read; create the file or correct --config: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("configuration cannot be read: %w", err)
	}
	return data, nil
}
