package datadog

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

func headers(limit, left, reset int) http.Header {
	return http.Header{"X-Ratelimit-Limit": {strconv.Itoa(limit)}, "X-Ratelimit-Remaining": {strconv.Itoa(left)}, "X-Ratelimit-Reset": {strconv.Itoa(reset)}}
}

func TestBudget(t *testing.T) {
	type step struct {
		at     time.Duration // after noon
		note   http.Header   // what an answer says; nil: a request is to be sent
		status int
		urgent bool
		says   string // why it may not be
	}
	ask := func(at time.Duration, says string) step { return step{at: at, urgent: true, says: says} }
	spare := func(at time.Duration, says string) step { return step{at: at, says: says} }
	heard := func(at time.Duration, h http.Header) step { return step{at: at, note: h, status: 200} }
	refused := func(at time.Duration, h http.Header) step { return step{at: at, note: h, status: 429} }
	used := "rate limit of 100 requests is used up for "
	for name, steps := range map[string][]step{
		"nothing is known":                    {ask(0, ""), spare(0, "")},
		"what is left is counted down":        {heard(0, headers(100, 2, 60)), ask(1, ""), ask(1, ""), ask(1, used+"1m0s")},
		"until the period ends":               {heard(0, headers(100, 0, 60)), ask(59*time.Second, used+"1s"), ask(60*time.Second, "")},
		"a tenth is kept for ticks":           {heard(0, headers(100, 11, 60)), spare(0, ""), spare(0, "10 requests are left of the organisation's rate limit of 100 for 1m0s"), ask(0, "")},
		"the least of a period counts":        {heard(0, headers(100, 1, 60)), heard(time.Second, headers(100, 7, 59)), ask(time.Second, ""), ask(time.Second, used)},
		"a new period is believed":            {heard(0, headers(100, 0, 10)), heard(11*time.Second, headers(100, 99, 60)), ask(11*time.Second, ""), ask(11*time.Second, "")},
		"another limit is believed":           {heard(0, headers(100, 0, 60)), heard(time.Second, headers(200, 50, 59)), ask(time.Second, "")},
		"429 rests until the reset":           {refused(0, headers(100, 0, 20)), ask(19*time.Second, "nothing is sent for 1s"), ask(20*time.Second, "")},
		"429 that does not say for how long":  {refused(0, http.Header{}), ask(29*time.Second, "asked to slow down (HTTP 429); nothing is sent for 1s"), ask(30*time.Second, "")},
		"429 with Retry-After":                {refused(0, http.Header{"Retry-After": {"7"}}), ask(6*time.Second, "nothing is sent for 1s"), ask(7*time.Second, "")},
		"429 with a reset of zero":            {refused(0, headers(100, 0, 0)), ask(time.Second, "nothing is sent for 29s")},
		"a later answer does not end a rest":  {refused(0, headers(100, 0, 20)), heard(time.Second, headers(100, 50, 60)), ask(2*time.Second, "nothing is sent for 18s")},
		"nobody rests for days":               {refused(0, headers(100, 0, 1_000_000)), ask(time.Hour-time.Second, "nothing is sent for 1s"), ask(time.Hour, "")},
		"headers that make no sense":          {heard(0, http.Header{"X-Ratelimit-Limit": {"many"}, "X-Ratelimit-Remaining": {"-1"}, "X-Ratelimit-Reset": {"1e9"}}), ask(0, "")},
		"what is left without a limit is not": {heard(0, headers(0, 0, 60)), ask(0, "")},
	} {
		b := &Budget{}
		for i, s := range steps {
			now := noon.Add(s.at)
			if s.note != nil {
				b.note(queries, s.status, s.note, now)
				continue
			}
			switch err := b.take(queries, s.urgent, now); {
			case s.says == "" && err != nil:
				t.Errorf("%s, step %d: %v", name, i, err)
			case s.says != "" && (err == nil || !strings.Contains(err.Text, s.says) || err.Class != upstream.Unavailable):
				t.Errorf("%s, step %d: %v, want %q", name, i, err, s.says)
			}
			if err := b.take(names, true, now); err != nil {
				t.Errorf("%s: another endpoint has its own limit: %v", name, err)
			}
		}
	}
}

// Two sources, one budget: what one was told the other obeys, and nothing is sent that would be refused.
func TestOneBudgetForTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		a.limit, a.left = 10, 4
		budget := &Budget{}
		one := newSource(t, a, func(o *Options) { o.Budget = budget })
		two := newSource(t, a, func(o *Options) { o.Budget = budget })
		at(2 * time.Minute)
		want(t, "the first of four", read(t, one, asking(byPod, 60))[0].Candidate, well)
		time.Sleep(time.Second) // so that no question is the same
		want(t, "the second", read(t, two, asking(byPod, 75))[0].Candidate, well)
		want(t, "the third", read(t, two, asking(byPod, 90))[0].Candidate, well)
		past := asking(byPod, -60, -45, -30, -15)
		want(t, "the last is kept for ticks", read(t, one, past)[0].Candidate, "unavailable: datadog: 1 requests are left of the organisation's rate limit of 10 for …")
		want(t, "the last", read(t, one, asking(byPod, 90))[0].Candidate, well)
		at(2*time.Minute + 20*time.Second)
		want(t, "nothing is left", read(t, two, asking(byPod, 105))[0].Candidate, "unavailable: datadog: the organisation's rate limit of 10 requests is used up for 40s")
		if n := len(a.requests()); n != 4 {
			t.Errorf("%d requests were sent", n)
		}
		at(3*time.Minute + time.Second)
		a.mu.Lock()
		a.left = 10
		a.mu.Unlock()
		want(t, "the next period", read(t, two, asking(byPod, 105))[0].Candidate, well)
	})
}

// After a 429 nothing is sent until the limit is reset; what could not be read is read then.
func TestTooManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a)
		at(2 * time.Minute)
		a.faulty(func(w http.ResponseWriter, r *http.Request) bool {
			for k, v := range headers(100, 0, 20) {
				w.Header()[k] = v
			}
			return answers(429, `{"errors": ["Rate limit of 100 requests in 60 seconds reached"]}`)(w, r)
		})
		want(t, "refused", read(t, s, asking(byPod, 60))[0].Candidate, "unavailable: datadog: asked to slow down (HTTP 429)")
		a.faulty(nil)
		at(2*time.Minute + 15*time.Second)
		want(t, "rests", read(t, s, asking(byPod, 60, 75))[1].Candidate, "unavailable: datadog: asked to slow down (HTTP 429); nothing is sent for 5s")
		if err := s.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "have Datadog raise the limit") {
			t.Error(err)
		}
		at(2*time.Minute + 30*time.Second)
		for _, r := range read(t, s, asking(byPod, 60, 75, 90)) {
			want(t, "read later", r.Candidate, well)
		}
		if n := len(a.requests()); n != 2 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

// Many bakes, whose queries are few texts, cost a request a tick, and each gets its own numbers.
func TestFiveHundredBakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		n := noon.Unix()
		const bakes, ticks = 500, 4
		name := func(i int) string { return "w" + strconv.Itoa(i) }
		for i := range bakes {
			for tick := int64(-8); tick < 12; tick++ {
				a.add("hits", "kube_namespace:shop,pod_name:"+name(i)+"-b-1", n+tick*interval, float64(i+1))
			}
			a.add("errors", "kube_namespace:shop,pod_name:"+name(i)+"-b-1", n+3*interval, 1)
		}
		s := newSource(t, a)
		for tick := int64(1); tick <= ticks; tick++ {
			at(time.Duration(tick+1) * interval * time.Second)
			done := make(chan struct{})
			for i := range bakes {
				go func() {
					q := asking(byPod, tick*interval)
					q.Workload, q.Candidate, q.Baseline = name(i), name(i)+"-b-", name(i)+"-a-"
					if got := read(t, s, q)[0].Candidate; got.Requests != float64(i+1) || (got.Errors == 1) != (tick == 4) {
						t.Errorf("bake %d, tick %d: %s", i, tick, short(got))
					}
					done <- struct{}{}
				}()
			}
			for range bakes {
				<-done
			}
		}
		if got := len(a.requests()); got != ticks {
			t.Errorf("%d requests for %d bakes over %d ticks:\n%s", got, bakes, ticks, strings.Join(a.requests(), "\n"))
		}
	})
}

// Texts of their own share requests, of at most so many, and those that were asked at the tick before go along with the first.
func TestDistinctTextsShareRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a)
		const bakes = 50
		ask := func(i int, end int64) signals.Side {
			q := asking(byVersion, end)
			q.Vars["workload"] = "web" + strconv.Itoa(i)
			return read(t, s, q)[0].Candidate
		}
		for tick := int64(1); tick <= 3; tick++ {
			at(time.Duration(tick+1) * interval * time.Second)
			done := make(chan struct{})
			for i := range bakes {
				go func() {
					time.Sleep(time.Duration(i*10) * time.Millisecond) // not all at the same moment
					ask(i, tick*interval)
					done <- struct{}{}
				}()
			}
			for range bakes {
				<-done
			}
		}
		asked := a.requests()
		for _, text := range asked {
			if n := len(split(text)); n > maxTexts || len(text) > maxLength+maxTexts {
				t.Errorf("a request of %d queries, %d characters", n, len(text))
			}
		}
		// 100 texts in requests of up to 20. In the first tick it is not known yet who will ask.
		if got := len(asked); got > 20+2*8 {
			t.Errorf("%d requests for 3 ticks of 100 texts", got)
		}
		at(10 * time.Minute)
		if n := len(s.board.flights); n > 500 {
			t.Errorf("%d answers are kept", n)
		}
		ask(1, 9*60)
		if n := len(s.board.flights); n > 4 {
			t.Errorf("after long, %d answers are kept", n)
		}
	})
}
