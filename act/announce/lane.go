package announce

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// lane is the queue of one receiver: for each bake a pile of letters, of which only the first is ever under way.
type lane struct {
	gauge prometheus.Gauge
	wake  chan struct{} // holds one token: something may be due
	ended chan struct{} // closed by drain and abandon

	mu       sync.Mutex
	receiver Receiver
	piles    map[string]*pile // by bake; never empty ones
	count    int              // letters in all piles
	added    uint64           // numbers the letters
	paused   time.Time        // nothing is due before
	closing  bool             // what is due is still delivered, nothing is waited for
	gone     bool             // the receiver was removed
}

// pile is what waits for one bake.
type pile struct {
	letters []*letter
	due     time.Time
	busy    bool // the first letter is under way
}

// letter is one story on its way to one receiver.
type letter struct {
	story  Story
	told   time.Time
	number uint64
	tries  int
	delays backoff.BackOff
}

// delay is how long to wait after one more failure.
func (l *letter) delay() time.Duration {
	if l.delays == nil {
		l.delays = &backoff.ExponentialBackOff{InitialInterval: firstDelay, RandomizationFactor: 0.25, Multiplier: 2, MaxInterval: lastDelay}
		l.delays.Reset()
	}
	return min(l.delays.NextBackOff(), lastDelay)
}

// call is a letter taken for delivery.
type call struct {
	receiver Receiver
	pile     *pile
	letter   *letter
}

// verdict is what becomes of a letter after a call.
type verdict struct {
	done  bool          // delivered or given up
	id    string        // what the receiver calls the message, if it was delivered
	delay time.Duration // otherwise, until the bake's next try
	pause time.Duration // until the receiver's next call, of any bake
}

func newLane(r Receiver, gauge prometheus.Gauge) *lane {
	gauge.Set(0)
	return &lane{receiver: r, gauge: gauge, piles: map[string]*pile{}, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// add puts a story behind those of its bake, and returns the one it had to drop for it, if any.
func (l *lane) add(s Story, now time.Time) (lost Story, dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.piles[s.Bake]
	if p == nil {
		p = &pile{due: now}
		l.piles[s.Bake] = p
	}
	if p.busy && len(p.letters) == 1 && same(p.letters[0].story, s) {
		return Story{}, false // under way as it is
	}
	if i := slices.IndexFunc(p.waiting(), func(o *letter) bool { return o.story.Stage == s.Stage }); i >= 0 {
		p.waiting()[i].story = s // told again before it could be delivered
		return Story{}, false
	}
	l.added++
	l.append(p, &letter{story: s, told: now, number: l.added})
	l.signal()
	if l.count <= maxPending {
		return Story{}, false
	}
	return l.dropOldest()
}

// same reports whether two stories say the same; what is on record of earlier messages does not count.
func same(a, b Story) bool {
	a.Earlier, b.Earlier = nil, nil
	return reflect.DeepEqual(a, b)
}

// append adds a letter; to a convergent receiver it makes those that wait before it pointless.
func (l *lane) append(p *pile, added *letter) {
	p.letters = append(p.letters, added)
	l.count++
	l.converge(p)
}

// converge leaves, for a convergent receiver, only the newest of the letters that wait.
func (l *lane) converge(p *pile) {
	if _, ok := l.receiver.(Convergent); ok && len(p.waiting()) > 1 {
		newest := p.letters[len(p.letters)-1]
		l.count -= len(p.waiting()) - 1
		p.letters = append(p.letters[:len(p.letters)-len(p.waiting())], newest)
	}
	l.gauge.Set(float64(l.count))
}

// waiting are the letters of the pile that are not under way.
func (p *pile) waiting() []*letter {
	if p.busy {
		return p.letters[1:]
	}
	return p.letters
}

func (l *lane) dropOldest() (Story, bool) {
	var oldest *letter
	var from string
	for bake, p := range l.piles {
		if waiting := p.waiting(); len(waiting) > 0 && (oldest == nil || waiting[0].number < oldest.number) {
			oldest, from = waiting[0], bake
		}
	}
	if oldest == nil {
		return Story{}, false
	}
	l.remove(from, oldest)
	return oldest.story, true
}

func (l *lane) remove(bake string, gone *letter) {
	p := l.piles[bake]
	p.letters = slices.DeleteFunc(p.letters, func(o *letter) bool { return o == gone })
	if len(p.letters) == 0 {
		delete(l.piles, bake)
	}
	l.count--
	l.gauge.Set(float64(l.count))
}

// next waits until a letter is due and takes it. It returns false when there is no more to do: ctx ended, or the lane is
// closing and nothing is due.
func (l *lane) next(ctx context.Context) (*call, bool) {
	for {
		l.mu.Lock()
		p, wait := l.due(time.Now())
		if ctx.Err() != nil || l.gone || p == nil && l.closing {
			l.mu.Unlock()
			return nil, false
		}
		if p != nil {
			p.busy = true
			c := &call{receiver: l.receiver, pile: p, letter: p.letters[0]}
			l.signal() // for the next caller, if more is due
			l.mu.Unlock()
			return c, true
		}
		l.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.ended:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// due is the pile to take next, the longest overdue first, or how long until there may be one.
func (l *lane) due(now time.Time) (next *pile, wait time.Duration) {
	for _, p := range l.piles {
		if !p.busy && (next == nil || p.due.Before(next.due) || p.due.Equal(next.due) && p.letters[0].number < next.letters[0].number) {
			next = p
		}
	}
	switch {
	case next == nil:
		return nil, time.Hour
	case next.due.After(now) || l.paused.After(now):
		return nil, max(next.due.Sub(now), l.paused.Sub(now))
	}
	return next, 0
}

// finish puts a letter that was under way back, or takes it off the pile.
func (l *lane) finish(c *call, v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	now := time.Now()
	c.pile.busy = false
	if v.pause > 0 {
		l.paused = now.Add(v.pause)
	}
	if v.done {
		c.pile.due = now
		l.remove(c.letter.story.Bake, c.letter)
		if v.id != "" {
			for _, later := range c.pile.letters { // told before this one was on record
				earlier := maps.Clone(later.story.Earlier)
				if earlier == nil {
					earlier = map[string]string{}
				}
				earlier[c.receiver.Name()] = v.id
				later.story.Earlier = earlier
			}
		}
	} else {
		c.letter.tries++
		c.pile.due = now.Add(v.delay)
		l.converge(c.pile)
	}
	l.signal()
}

// replace gives what waits to another receiver of the same name, at once: the change may be the remedy.
func (l *lane) replace(r Receiver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.receiver = r
	l.paused = time.Time{}
	now := time.Now()
	for _, p := range l.piles {
		p.due = now
		for _, waiting := range p.waiting() {
			waiting.delays = nil
		}
	}
	l.signal()
}

// drain lets the callers end once nothing is due.
func (l *lane) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	close(l.ended)
}

// abandon lets the callers end, and returns how many letters are dropped by it; those under way are not.
func (l *lane) abandon() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped := 0
	for _, p := range l.piles {
		dropped += len(p.waiting())
	}
	l.gone, l.closing = true, true
	l.piles, l.count = map[string]*pile{}, 0
	close(l.ended)
	return dropped
}

func (l *lane) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
