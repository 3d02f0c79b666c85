package prometheus

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

func keyOf(i int) key { return key{text: fmt.Sprint("q", i), time: 1, reach: 2} }

func TestMemoOneFetchForAll(t *testing.T) {
	m := newMemo()
	defer m.close()
	var fetched atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			<-m.ask(keyOf(1), func() result {
				fetched.Add(1)
				return result{answer: &answer{}}
			})
		})
	}
	wg.Wait()
	if fetched.Load() != 1 {
		t.Errorf("fetched %d times", fetched.Load())
	}
}

// holds is what a memo holds once its timers have run, and whether it will look again.
func holds(m *memo) (entries, bytes int, sweeping bool) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byKey), m.held, m.sweep != nil
}

func TestMemoForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemo()
		defer m.close()
		m.put(keyOf(1), result{answer: &answer{size: 1000}})
		m.put(keyOf(2), result{err: upstream.Failed(upstream.Unavailable, nil, "away")})
		time.Sleep(memoFailureAge - time.Second)
		if _, ok := m.get(keyOf(2)); !ok {
			t.Error("a failure does not stand for its tick")
		}
		time.Sleep(2 * time.Second)
		if _, ok := m.get(keyOf(2)); ok {
			t.Error("a failure stands too long")
		}
		m.put(keyOf(3), result{answer: &answer{}})
		time.Sleep(memoAge - memoFailureAge - 2*time.Second)
		if _, ok := m.get(keyOf(1)); !ok {
			t.Error("an answer is forgotten too early")
		}
		time.Sleep(2 * time.Second) // nobody asks; the memo forgets by itself
		if entries, bytes, _ := holds(m); entries != 1 || bytes != 256 {
			t.Errorf("%d entries of %d bytes are held, want the last one", entries, bytes)
		}
		time.Sleep(memoAge)
		if entries, bytes, sweeping := holds(m); entries != 0 || bytes != 0 || sweeping {
			t.Errorf("%d entries of %d bytes are held after their time", entries, bytes)
		}
		m.put(keyOf(4), result{answer: &answer{}})
		if _, _, sweeping := holds(m); !sweeping {
			t.Error("the memo does not forget a second time")
		}
	})
}

func TestMemoIsBounded(t *testing.T) {
	m := newMemo()
	defer m.close()
	m.entries, m.bytes = 3, 10_000
	for i := range 5 {
		m.put(keyOf(i), result{answer: &answer{size: 1000}})
	}
	if m.order.Len() != 3 {
		t.Errorf("%d entries, want 3", m.order.Len())
	}
	if _, ok := m.get(keyOf(1)); ok {
		t.Error("an old entry is held instead of a newer one")
	}
	m.put(keyOf(6), result{answer: &answer{size: 9000}})
	if _, ok := m.get(keyOf(6)); !ok || m.held > 10_000 || m.order.Len() != 1 {
		t.Errorf("%d entries of %d bytes are held", m.order.Len(), m.held)
	}
	m.put(keyOf(7), result{answer: &answer{size: 10_000}})
	if _, ok := m.get(keyOf(7)); ok || m.order.Len() != 1 {
		t.Error("what is larger than the memo is held, or threw out the rest")
	}
	m.put(keyOf(6), result{answer: &answer{size: 8000}})
	if m.order.Len() != 1 || m.held != 8256 {
		t.Errorf("%d entries of %d bytes are held after replacing one", m.order.Len(), m.held)
	}
	m.close()
	m.put(keyOf(8), result{answer: &answer{}})
	if m.order.Len() != 0 || m.held != 0 {
		t.Error("a closed memo holds something")
	}
}
