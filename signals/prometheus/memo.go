package prometheus

import (
	"container/list"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// Bounds of the memo. Only questions of the same tick share an answer, and a tick's questions are asked within
// seconds, so that an answer is of no use after a minute.
const (
	memoAge        = time.Minute
	memoFailureAge = 10 * time.Second // a failure stands for the rest of its tick: the next tick is the retry
	memoEntries    = 1024
	memoBytes      = 256 << 20
)

// key is one query as it is sent: the text, when it is evaluated, and how far back its samples reach. With a step, it is
// evaluated at each step of that time.
type key struct {
	text  string
	part  part
	time  int64 // milliseconds, as are those below
	reach int64
	step  int64
}

func (k key) String() string {
	return fmt.Sprintf("%d %d %d %v %s", k.time, k.reach, k.step, k.part, k.text)
}

// result is what came of a query; one of both is set.
type result struct {
	answer *answer
	err    *upstream.Failure
}

func (r result) size() int {
	if r.answer == nil {
		return 256
	}
	return 256 + r.answer.size
}

// memo makes one request of all the requests for the same key, at the same time or shortly after each other. It is
// bounded in entries, bytes and age; the oldest goes first, and what is too old goes even if nobody asks again.
type memo struct {
	entries, bytes     int // what it may hold
	age, ageOfFailures time.Duration

	flights singleflight.Group

	mu     sync.Mutex
	byKey  map[key]*list.Element
	order  list.List // of *kept, oldest first
	held   int       // bytes
	sweep  *time.Timer
	closed bool
}

type kept struct {
	key    key
	result result
	since  time.Time
}

func newMemo() *memo {
	return &memo{entries: memoEntries, bytes: memoBytes, age: memoAge, ageOfFailures: memoFailureAge, byKey: map[key]*list.Element{}}
}

// ask gives the result for a key: the one remembered, the one on its way, or a new one by fetch. It arrives in the
// channel, so that one who gives up waiting does not take the answer from the others.
func (m *memo) ask(k key, fetch func() result) <-chan singleflight.Result {
	if r, ok := m.get(k); ok {
		c := make(chan singleflight.Result, 1)
		c <- singleflight.Result{Val: r, Shared: true}
		return c
	}
	return m.flights.DoChan(k.String(), func() (any, error) {
		if r, ok := m.get(k); ok { // another flight landed between looking and starting
			return r, nil
		}
		r := fetch()
		m.put(k, r)
		return r, nil
	})
}

func (m *memo) get(k key) (result, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropOld()
	e, ok := m.byKey[k]
	if !ok {
		return result{}, false
	}
	held := e.Value.(*kept)
	if held.result.err != nil && time.Since(held.since) >= m.ageOfFailures {
		m.drop(e)
		return result{}, false
	}
	return held.result, true
}

func (m *memo) put(k key, r result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || r.size() > m.bytes {
		return
	}
	if e, ok := m.byKey[k]; ok {
		m.drop(e)
	}
	m.byKey[k] = m.order.PushBack(&kept{key: k, result: r, since: time.Now()})
	m.held += r.size()
	m.dropOld()
	for m.order.Len() > m.entries || m.held > m.bytes {
		m.drop(m.order.Front())
	}
	if m.sweep == nil {
		m.sweepLater()
	}
}

// sweepLater sets the timer for the oldest entry, so that memory is given back when the last bake has ended.
func (m *memo) sweepLater() {
	m.sweep = nil
	if front := m.order.Front(); front != nil && !m.closed {
		m.sweep = time.AfterFunc(m.age-time.Since(front.Value.(*kept).since), func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.dropOld()
			m.sweepLater()
		})
	}
}

func (m *memo) dropOld() {
	for e := m.order.Front(); e != nil && time.Since(e.Value.(*kept).since) >= m.age; e = m.order.Front() {
		m.drop(e)
	}
}

func (m *memo) drop(e *list.Element) {
	held := m.order.Remove(e).(*kept)
	delete(m.byKey, held.key)
	m.held -= held.result.size()
}

// close forgets everything and keeps nothing more.
func (m *memo) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.sweep != nil {
		m.sweep.Stop()
	}
	m.order.Init()
	clear(m.byKey)
	m.held = 0
}
