package datadog

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// Bounds of what is kept, and of what is sent at once.
const (
	// keptFor is how long an answer is kept: only questions of the same tick share one.
	keptFor = time.Minute
	// failureKeptFor is how long a failure is: for the rest of its tick. The next tick is the retry.
	failureKeptFor = 5 * time.Second
	// refusedFor is how long a query that was rejected is not asked again.
	refusedFor  = time.Minute
	maxKept     = 4096
	maxKeptSize = 128 << 20 // bytes, about
	maxStanding = 2000

	// gather is how long it is waited for more to ask in the same request.
	gather = 25 * time.Millisecond
	// maxTexts and maxLength bound the queries of one request, which is an address.
	maxTexts  = 20
	maxLength = 4000
)

// span is a stretch of time that is asked for, in seconds, in buckets of step.
type span struct{ from, to, step int64 }

// key is one query over a span.
type key struct {
	text string
	span
}

// flight is a key that is asked for, and what came of it.
type flight struct {
	key
	urgent bool
	done   chan struct{}
	// Set when done is closed:
	answer  *answer
	failure *upstream.Failure
	since   time.Time

	kept *list.Element
}

// failed reports whether the flight is over, and brought nothing. The board's lock is held.
func (f *flight) failed() bool { return f.failure != nil && !f.since.IsZero() }

func (f *flight) size() int {
	if f.answer == nil {
		return 512
	}
	return 512 + f.answer.size
}

// board is what is asked for: what is on its way, what has come, and what is about to be sent. Whoever asks for the same
// shares one answer, and what is asked for over the same span within a moment goes in one request.
type board struct {
	mu       sync.Mutex
	flights  map[key]*flight
	order    list.List // of *flight that are done, oldest first
	held     int       // bytes of them
	gathered map[span][]*flight
	standing map[stands]int64 // what ticks ask for, and the end of the newest span each was asked for
	refused  map[string]*flight
	closed   bool
}

// stands is a query that is asked at every tick. When the first one of a new tick is asked, the others go with it.
type stands struct {
	text       string
	step, long int64
}

func newBoard() *board {
	return &board{flights: map[key]*flight{}, gathered: map[span][]*flight{}, standing: map[stands]int64{}, refused: map[string]*flight{}}
}

// ask asks for a query over a span; what it comes to is waited for with await.
func (s *Source) ask(k key, urgent bool) *flight {
	b := s.board
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.sweep(now)
	if urgent && (len(b.standing) < maxStanding) {
		at := stands{k.text, k.step, k.to - k.from}
		b.standing[at] = max(b.standing[at], k.to)
	}
	if f := b.flights[k]; f != nil && (!f.failed() || now.Sub(f.since) < failureKeptFor) {
		return f
	}
	if old := b.refused[k.text]; old != nil && now.Sub(old.since) < refusedFor {
		return old
	}
	return s.add(k, urgent)
}

// add puts a key among those that are about to be sent. The lock is held.
func (s *Source) add(k key, urgent bool) *flight {
	b := s.board
	f := &flight{key: k, urgent: urgent, done: make(chan struct{})}
	if b.closed {
		f.failure = upstream.Failed(upstream.Unavailable, nil, "the source was replaced")
		close(f.done)
		return f
	}
	b.flights[k] = f
	first := len(b.gathered[k.span]) == 0
	b.gathered[k.span] = append(b.gathered[k.span], f)
	if first {
		time.AfterFunc(gather, func() { s.depart(k.span) })
	}
	return f
}

// await waits for an answer.
func (f *flight) await(ctx context.Context) (*answer, error) {
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("gave up waiting: %w", ctx.Err())
	case <-f.done:
		if f.failure != nil {
			return nil, f.failure
		}
		return f.answer, nil
	}
}

// depart sends what was gathered for a span, and what else was asked for at the tick before.
func (s *Source) depart(over span) {
	b := s.board
	b.mu.Lock()
	flights := b.gathered[over]
	urgent := false
	for _, f := range flights {
		urgent = urgent || f.urgent
	}
	if urgent {
		s.together(over)
		flights = b.gathered[over]
	}
	delete(b.gathered, over)
	b.mu.Unlock()
	for _, some := range portions(flights) {
		go s.fly(some)
	}
}

// together adds what stands, and is not asked for over this span yet. The lock is held.
func (s *Source) together(over span) {
	b := s.board
	for at, newest := range b.standing {
		if at.step != over.step || at.long != over.to-over.from || newest < over.to-2*at.step {
			continue
		}
		k := key{at.text, over}
		if b.flights[k] == nil && b.refused[k.text] == nil {
			s.add(k, true)
		}
	}
}

// portions are the flights in the portions that go in one request each.
func portions(flights []*flight) [][]*flight {
	var out [][]*flight
	length := 0
	for i, begin := 0, 0; i <= len(flights); i++ {
		if i == len(flights) || i > begin && (i-begin == maxTexts || length+len(flights[i].text) > maxLength) {
			if i > begin {
				out = append(out, flights[begin:i])
			}
			begin, length = i, 0
		}
		if i < len(flights) {
			length += len(flights[i].text) + 1
		}
	}
	return out
}

// fly asks for all flights in one request. One bad query fails all that go with it: then they go in halves, which is safe
// since nothing but reading is asked for.
func (s *Source) fly(flights []*flight) {
	texts := make([]string, len(flights))
	urgent := false
	for i, f := range flights {
		texts[i] = f.text
		urgent = urgent || f.urgent
	}
	answers, failure := s.query(s.ctx, texts, flights[0].span, urgent)
	if failure != nil && failure.Class != upstream.Unavailable && len(flights) > 1 {
		half := len(flights) / 2
		s.fly(flights[:half])
		s.fly(flights[half:])
		return
	}
	b := s.board
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for i, f := range flights {
		f.failure, f.since = failure, now
		if failure == nil {
			f.answer = answers[i]
		} else if failure.Class == upstream.Rejected && len(b.refused) < maxKept {
			b.refused[f.text] = f
		}
		close(f.done)
		f.kept = b.order.PushBack(f)
		b.held += f.size()
	}
	b.sweep(now)
}

// sweep forgets what is too old, and the oldest of what is too much. The lock is held.
func (b *board) sweep(now time.Time) {
	for e := b.order.Front(); e != nil; {
		f := e.Value.(*flight)
		next := e.Next()
		age := now.Sub(f.since)
		if age >= keptFor || f.failure != nil && age >= failureKeptFor || b.order.Len() > maxKept || b.held > maxKeptSize || b.closed {
			b.order.Remove(e)
			b.held -= f.size()
			if b.flights[f.key] == f {
				delete(b.flights, f.key)
			}
		} else if f.failure == nil {
			break // all that follow are younger, but for failures, which are small
		}
		e = next
	}
	for text, f := range b.refused {
		if now.Sub(f.since) >= refusedFor {
			delete(b.refused, text)
		}
	}
	for at, newest := range b.standing {
		if newest < now.Unix()-forgotten {
			delete(b.standing, at)
		}
	}
}

// forgotten is how long, in seconds, a query that is not asked any more stands at most.
const forgotten = 20 * 60

func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.sweep(time.Now())
}
