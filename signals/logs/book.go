package logs

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bakewatch/bakewatch/signals"
)

// book is what was read of workloads' pods, whoever keeps their lines.
type book struct {
	now  func() time.Time
	once *singleflight.Group // by workload

	mu        sync.Mutex
	pods      map[string]*tally // by UID, or what stands for it
	looked    map[Workload]look
	preparing int
}

// look is when a workload's pods were read last, and how that went.
type look struct {
	at    time.Time
	err   error
	since time.Time // when it failed first of those in a row that did
}

func newBook() book {
	return book{now: time.Now, once: &singleflight.Group{}, pods: map[string]*tally{}, looked: map[Workload]look{}}
}

// prepare has something read while nobody waits for it. It does not block.
func (s *book) prepare(read func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.preparing >= maxPrepare {
		return
	}
	s.preparing++
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), readFor)
		defer cancel()
		read(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.preparing--
	}()
}

// answer answers a question after a look at its workload.
func (s *book) answer(ctx context.Context, q signals.Question, look func(context.Context, Workload) error) ([]signals.Reading, error) {
	if len(q.Bounds) < 2 {
		return nil, fmt.Errorf("a question about %s has no window", q.Signal)
	}
	w := Workload{Kind: q.Kind, Namespace: q.Vars["namespace"], Name: q.Workload}
	if err := look(ctx, w); err != nil {
		return nil, fmt.Errorf("read %s: %w", q.Signal, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readings(w, q), nil
}

// lookOnce has a workload's pods read, unless they were a moment ago or just are.
func (s *book) lookOnce(ctx context.Context, w Workload, read func(context.Context) error) error {
	now := s.now()
	s.mu.Lock()
	was := s.looked[w]
	s.mu.Unlock()
	if now.Sub(was.at) < fresh {
		return was.err
	}
	done := s.once.DoChan(w.String(), func() (any, error) { // a line is read once, however many ask
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readFor) // whoever asked first may give up before the others
		defer cancel()
		err := read(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		l := look{at: now, err: err, since: now}
		if before := s.looked[w]; before.err != nil {
			l.since = before.since
		}
		s.looked[w] = l
		s.forget(now)
		return nil, err
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("read the logs of %s: %w", w, ctx.Err())
	}
}

// failsFor is for how long all looks at a workload have failed.
func (s *book) failsFor(w Workload) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.looked[w]
	if l.err == nil {
		return 0
	}
	return l.at.Sub(l.since)
}

// meet is what is kept of a pod. The lock is held.
func (s *book) meet(uid string, w Workload, p Pod) *tally {
	t := s.pods[uid]
	if t == nil {
		if len(s.pods) >= maxPods {
			s.forgetOne()
		}
		t = newTally(w, p)
		t.used = s.now()
		s.pods[uid] = t
	}
	return t
}

// forget drops pods and workloads that nobody has asked about for long. The lock is held.
func (s *book) forget(now time.Time) {
	maps.DeleteFunc(s.pods, func(_ string, t *tally) bool { return !t.used.IsZero() && now.Sub(t.used) > keptFor })
	maps.DeleteFunc(s.looked, func(_ Workload, l look) bool { return now.Sub(l.at) > keptFor })
}

// forgetOne drops the pod that has not been read for the longest time, so that a new one is never refused for want of room: it is of
// a bake that is over, as a rule. The lock is held.
func (s *book) forgetOne() {
	oldest := ""
	for uid, t := range s.pods {
		if oldest == "" || t.used.Before(s.pods[oldest].used) {
			oldest = uid
		}
	}
	delete(s.pods, oldest)
}

// readings answer a question from what was read. The lock is held.
func (s *book) readings(w Workload, q signals.Question) []signals.Reading {
	var candidate, baseline []*tally
	for _, t := range s.pods {
		if t.of != w {
			continue
		}
		switch sideOf(q, t) {
		case isCandidate:
			candidate = append(candidate, t)
		case isBaseline:
			baseline = append(baseline, t)
		}
	}
	known := map[string]bool{}
	for _, t := range baseline {
		for name := range t.signatures {
			known[name] = true
		}
	}
	talk := talkative(baseline)
	out := make([]signals.Reading, len(q.Bounds)-1)
	for i := range out {
		win := signals.Window{From: q.Bounds[i], To: q.Bounds[i+1]}
		out[i] = signals.Reading{Window: win, Candidate: sideIn(win, candidate, talk, func(name string) bool { return known[name] || len(baseline) == 0 }),
			Baseline: sideIn(win, baseline, false, func(string) bool { return true })}
	}
	return out
}

// The sides of a pod.
const (
	neither = iota
	isCandidate
	isBaseline
)

func sideOf(q signals.Question, t *tally) int {
	begins := func(prefix string) bool { return prefix != "" && strings.HasPrefix(t.name, prefix) }
	switch {
	case q.Whole:
		return isCandidate
	case q.Lives != nil:
		if born, ok := q.Lives[t.name]; ok && !t.born.Before(born.Truncate(time.Second)) {
			return isCandidate
		}
		if q.Baseline == "" {
			return neither
		}
		return isBaseline
	case begins(q.Candidate):
		return isCandidate
	case begins(q.Baseline):
		return isBaseline
	}
	return neither
}

// sideIn is what some pods did in a window; others says that those they are compared with write all the time.
func sideIn(w signals.Window, of []*tally, others bool, known func(string) bool) signals.Side {
	out := signals.Side{Pods: map[string]signals.Counts{}}
	kinds := map[string]int{}
	silent := false
	for _, t := range of {
		seconds, bad := t.count(w.From, w.To, others)
		if seconds == 0 && others {
			all, _ := t.count(w.From, w.To, false)
			silent = silent || all > 0
		}
		if seconds == 0 {
			continue
		}
		c := signals.Counts{Requests: float64(seconds), Errors: float64(bad)}
		out.Counts, out.Pods[t.name] = out.Add(c), out.Pods[t.name].Add(c)
		t.kinds(w.From, w.To, kinds)
	}
	switch {
	case out.Requests == 0 && silent:
		return signals.Side{Missing: signals.NoSeries, Detail: "they wrote nothing, while the pods of the old version write all the time"}
	case out.Requests == 0:
		return signals.Side{Missing: signals.NoSeries, Detail: "no log of such a pod was read"}
	}
	if len(kinds) > 0 {
		out.Detail = most(kinds, known)
	}
	return out
}
