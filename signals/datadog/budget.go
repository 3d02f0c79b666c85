package datadog

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// endpoint is a part of Datadog's API: each has a rate limit of its own.
type endpoint string

const (
	queries  endpoint = "queries"
	names    endpoint = "names of metrics"
	monitors endpoint = "monitors"
	validity endpoint = "validity of keys"
)

// Budget is how many requests the organisation has left, as Datadog says with each answer. One serves the whole process, and
// outlives the Sources, which are built anew on every change of configuration.
type Budget struct {
	mu   sync.Mutex
	ends map[endpoint]*allowance
}

// allowance is what is left of one endpoint's limit.
type allowance struct {
	limit int       // requests in a period; 0: not known
	left  int       // of it, as last heard, less those sent since
	until time.Time // when the period ends; once it is over nothing is known
	rest  time.Time // asked to send nothing until then
}

const (
	// forUrgent is the share of a period's requests, one in so many, that is kept for the ticks of bakes.
	forUrgent = 10
	// restUnsaid is how long nothing is sent when asked to slow down without being told for how long.
	restUnsaid = 30 * time.Second
	// longestPeriod bounds what is believed.
	longestPeriod = time.Hour
)

func (b *Budget) of(e endpoint) *allowance {
	if b.ends == nil {
		b.ends = map[endpoint]*allowance{}
	}
	if b.ends[e] == nil {
		b.ends[e] = &allowance{}
	}
	return b.ends[e]
}

// take takes one request from the budget, or says why there is none. Those that are not urgent leave some to those that are.
func (b *Budget) take(e endpoint, urgent bool, now time.Time) *upstream.Failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.of(e)
	if now.Before(a.rest) {
		return upstream.Failed(upstream.Unavailable, nil, "asked to slow down (HTTP 429); nothing is sent for %s", seconds(a.rest.Sub(now)))
	}
	if a.limit <= 0 || !now.Before(a.until) {
		return nil
	}
	switch {
	case a.left <= 0:
		return upstream.Failed(upstream.Unavailable, nil, "the organisation's rate limit of %d requests is used up for %s", a.limit, seconds(a.until.Sub(now)))
	case !urgent && a.left <= a.limit/forUrgent:
		return upstream.Failed(upstream.Unavailable, nil, "%d requests are left of the organisation's rate limit of %d for %s; they are kept for the ticks of bakes", a.left, a.limit, seconds(a.until.Sub(now)))
	}
	a.left--
	return nil
}

// note takes note of what an answer says about the budget. Answers may arrive in another order than their requests were sent:
// of the same period, the least that is left counts.
func (b *Budget) note(e endpoint, status int, h http.Header, now time.Time) {
	number := func(name string) (int, bool) {
		n, err := strconv.Atoi(h.Get(name))
		return n, err == nil && n >= 0 && n <= math.MaxInt32
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.of(e)
	limit, haveLimit := number("X-RateLimit-Limit")
	left, haveLeft := number("X-RateLimit-Remaining")
	reset, haveReset := number("X-RateLimit-Reset")
	in := min(time.Duration(reset)*time.Second, longestPeriod)
	if haveLimit && haveLeft && haveReset {
		until := now.Add(in)
		if same := a.limit == limit && now.Before(a.until) && until.Sub(a.until).Abs() < 2*time.Second; same {
			left = min(left, a.left)
		}
		a.limit, a.left, a.until = limit, left, until
	}
	if status != http.StatusTooManyRequests {
		return
	}
	if after, ok := number("Retry-After"); ok && !haveReset {
		in, haveReset = min(time.Duration(after)*time.Second, longestPeriod), true
	}
	if !haveReset || in <= 0 {
		in = restUnsaid
	}
	if rest := now.Add(in); rest.After(a.rest) {
		a.rest = rest
	}
}

func seconds(d time.Duration) time.Duration { return max(time.Second, d.Round(time.Second)) }
