package datadog

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"
)

// query asks for all texts over a span in one request. There is an answer for each of them, in their order, or none at all.
func (s *Source) query(ctx context.Context, texts []string, over span, urgent bool) ([]*answer, *queryError) {
	var got datadogV1.MetricsQueryResponse
	failure := s.send(ctx, queries, urgent, time.Unix(over.to, 0), func(ctx context.Context) (*http.Response, error) {
		var resp *http.Response
		var err error
		got, resp, err = s.metricsAPI.QueryMetrics(ctx, over.from, over.to, strings.Join(texts, ","))
		return resp, err
	}, func() *queryError { return whole(got, over) })
	if failure != nil {
		return nil, failure
	}
	return sorted(got, len(texts), over)
}

// sorted are the answers to so many queries, each with its own series.
func sorted(got datadogV1.MetricsQueryResponse, queries int, over span) ([]*answer, *queryError) {
	answers := make([]*answer, queries)
	for i := range answers {
		answers[i] = &answer{}
	}
	for i := range got.Series {
		one := &got.Series[i]
		at := 0
		switch {
		case one.QueryIndex != nil && *one.QueryIndex >= 0 && *one.QueryIndex < int64(queries):
			at = int(*one.QueryIndex)
		case one.QueryIndex != nil || queries > 1:
			return nil, failed(unavailable, nil, "unreadable answer: a series does not say which query it answers")
		}
		if failure := answers[at].add(one, over); failure != nil {
			return nil, failure
		}
	}
	for _, a := range answers {
		a.order()
	}
	return answers, nil
}

// whole says what is wrong with an answer that came with a good status.
func whole(got datadogV1.MetricsQueryResponse, over span) *queryError {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	status := text(got.Status)
	switch {
	case got.UnparsedObject != nil:
		return failed(unavailable, nil, "unreadable answer: it is not what the query API answers")
	case status == "error" && text(got.Error) != "":
		return refused(nil, bounded(text(got.Error)))
	case status != "ok":
		return failed(unavailable, nil, "unreadable answer: its status is %q, not ok", bounded(status))
	case text(got.Error) != "":
		return failed(unavailable, nil, "partial answer: %s", bounded(text(got.Error)))
	case got.FromDate != nil && *got.FromDate/1000 > over.from+over.step || got.ToDate != nil && *got.ToDate/1000 < over.to-over.step:
		return failed(unavailable, nil, "partial answer: it covers less time than was asked for")
	}
	return nil
}

// send sends one request when its turn comes. at is the time it is about. check looks at an answer
// that came with a good status.
func (s *Source) send(ctx context.Context, end endpoint, urgent bool, at time.Time, ask func(context.Context) (*http.Response, error), check func() *queryError) *queryError {
	turn := time.NewTimer(s.timeout)
	defer turn.Stop()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-turn.C:
		return failed(unavailable, nil, "no turn within %s: %d requests are under way", s.timeout, cap(s.slots))
	case <-ctx.Done():
		return classify(ctx.Err(), nil, s.timeout)
	}
	if ctx.Err() != nil {
		return classify(ctx.Err(), nil, s.timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	signed, err := s.keys.read()
	if err != nil {
		failure := failed(unavailable, err, "%s", bounded(err.Error()))
		s.found(failure, at)
		return failure
	}
	failure := s.once(ctx, signed, end, urgent, at, ask, check)
	if failure != nil && (failure.status == http.StatusForbidden || failure.status == http.StatusUnauthorized) {
		// The keys may have been rotated between reading them and now.
		if again, err := s.keys.read(); err == nil && !again.same(signed) {
			failure = s.once(ctx, again, end, urgent, at, ask, check)
		}
	}
	return failure
}

// once sends one request, signed with the keys, if there is one left to send, and measures how it went.
func (s *Source) once(ctx context.Context, signed keys, end endpoint, urgent bool, at time.Time, ask func(context.Context) (*http.Response, error), check func() *queryError) *queryError {
	if failure := s.budget.take(end, urgent, time.Now()); failure != nil {
		if urgent { // what is not may wait, and says nothing of the source
			s.found(failure, at)
		}
		return failure
	}
	tell, err := s.breaker.Allow()
	if err != nil {
		return failed(unavailable, nil, "not asked: the last %d requests were not answered", tripAfter)
	}
	s.requests.Add(1)
	began := time.Now()
	resp, err := ask(context.WithValue(ctx, datadog.ContextAPIKeys, map[string]datadog.APIKey(signed))) //nolint:bodyclose // the client has read the body, and closed it
	// What Datadog refuses it has answered; only what it does not answer, or cannot, counts here.
	if broken := err != nil && (resp == nil || resp.StatusCode >= http.StatusInternalServerError); broken {
		tell(err)
	} else {
		tell(nil)
	}
	if resp != nil {
		s.skewed(resp.Header, time.Now())
		s.budget.note(end, resp.StatusCode, resp.Header, time.Now())
	}
	var failure *queryError
	switch {
	case err != nil:
		failure = classify(err, resp, s.timeout)
	case resp.StatusCode == http.StatusPartialContent:
		failure = failed(unavailable, nil, "partial answer (HTTP 206)")
	default:
		failure = check()
	}
	if s.ctx.Err() == nil {
		var result class
		if failure != nil {
			result = failure.class
		}
		s.metrics.observe(result, time.Since(began).Seconds())
	}
	s.found(failure, at)
	return failure
}

const (
	// tripAfter is after how many requests in a row without an answer Datadog is left alone, and restFor for how long.
	tripAfter = 5
	restFor   = 5 * time.Second
)

func newBreaker() *gobreaker.TwoStepCircuitBreaker[any] {
	return gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{Name: name, Timeout: restFor,
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) }, // who asked gave up
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter }})
}

// skewed notes how far the server's clock is ahead of ours, by the second.
func (s *Source) skewed(header http.Header, now time.Time) {
	if theirs, err := http.ParseTime(header.Get("Date")); err == nil {
		skew := theirs.Sub(now.Truncate(time.Second))
		s.skew.Store(int64(skew))
		s.metrics.skew.WithLabelValues(name).Set(skew.Seconds())
	}
}

// longAgo is when samples are so old that a query for them may fail while the source is well.
const longAgo = 3 * time.Hour

// found notes how the source was found, and logs when it goes away or comes back: the change, not each request. What is
// about a time long ago does not tell.
func (s *Source) found(failure *queryError, at time.Time) {
	if s.ctx.Err() != nil || time.Since(at) > longAgo { // closed: another Source, on the same metrics, may have taken its place
		return
	}
	var result class
	if failure != nil {
		result = failure.class
	}
	s.metrics.found(result)
	s.health.heard(failure, time.Now())
	down := result == unavailable
	if s.down.Swap(down) == down {
		return
	}
	if down {
		s.log.Warn("datadog is unavailable: signals read from it are missing until it answers", zap.String("url", s.address), zap.String("why", failure.text))
	} else {
		s.log.Info("datadog answers again", zap.String("url", s.address))
	}
}
