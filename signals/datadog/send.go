package datadog

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// query asks for all texts over a span in one request. There is an answer for each of them, in their order, or none at all.
func (s *Source) query(ctx context.Context, texts []string, over span, urgent bool) ([]*answer, *upstream.Failure) {
	var got datadogV1.MetricsQueryResponse
	failure := s.send(ctx, queries, urgent, time.Unix(over.to, 0), func(ctx context.Context) (*http.Response, error) {
		var resp *http.Response
		var err error
		got, resp, err = s.metricsAPI.QueryMetrics(ctx, over.from, over.to, strings.Join(texts, ","))
		return resp, err
	}, func() *upstream.Failure { return whole(got, over) })
	if failure != nil {
		return nil, failure
	}
	return sorted(got, len(texts), over)
}

// sorted are the answers to so many queries, each with its own series.
func sorted(got datadogV1.MetricsQueryResponse, queries int, over span) ([]*answer, *upstream.Failure) {
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
			return nil, upstream.Failed(upstream.Unavailable, nil, "unreadable answer: a series does not say which query it answers")
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
func whole(got datadogV1.MetricsQueryResponse, over span) *upstream.Failure {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	status := text(got.Status)
	switch {
	case got.UnparsedObject != nil:
		return upstream.Failed(upstream.Unavailable, nil, "unreadable answer: it is not what the query API answers")
	case status == "error" && text(got.Error) != "":
		return refused(nil, upstream.Bounded(text(got.Error)))
	case status != "ok":
		return upstream.Failed(upstream.Unavailable, nil, "unreadable answer: its status is %q, not ok", upstream.Bounded(status))
	case text(got.Error) != "":
		return upstream.Failed(upstream.Unavailable, nil, "partial answer: %s", upstream.Bounded(text(got.Error)))
	case got.FromDate != nil && *got.FromDate/1000 > over.from+over.step || got.ToDate != nil && *got.ToDate/1000 < over.to-over.step:
		return upstream.Failed(upstream.Unavailable, nil, "partial answer: it covers less time than was asked for")
	}
	return nil
}

// send sends one request when its turn comes. at is the time it is about. check looks at an answer
// that came with a good status.
func (s *Source) send(ctx context.Context, end endpoint, urgent bool, at time.Time, ask func(context.Context) (*http.Response, error), check func() *upstream.Failure) *upstream.Failure {
	turn := time.NewTimer(s.timeout)
	defer turn.Stop()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-turn.C:
		return upstream.Failed(upstream.Unavailable, nil, "no turn within %s: %d requests are under way", s.timeout, cap(s.slots))
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
		failure := upstream.Failed(upstream.Unavailable, err, "%s", upstream.Bounded(err.Error()))
		s.found(failure, at)
		return failure
	}
	failure := s.once(ctx, signed, end, urgent, at, ask, check)
	if failure != nil && (failure.Status == http.StatusForbidden || failure.Status == http.StatusUnauthorized) {
		// The keys may have been rotated between reading them and now.
		if again, err := s.keys.read(); err == nil && !again.same(signed) {
			failure = s.once(ctx, again, end, urgent, at, ask, check)
		}
	}
	return failure
}

// once sends one request, signed with the keys, if there is one left to send, and measures how it went.
func (s *Source) once(ctx context.Context, signed keys, end endpoint, urgent bool, at time.Time, ask func(context.Context) (*http.Response, error), check func() *upstream.Failure) *upstream.Failure {
	if failure := s.budget.take(end, urgent, time.Now()); failure != nil {
		if urgent { // what is not may wait, and says nothing of the source
			s.found(failure, at)
		}
		return failure
	}
	tell, refused := s.breaker.Allow()
	if refused != nil {
		return refused
	}
	s.requests.Add(1)
	began := time.Now()
	resp, err := ask(context.WithValue(ctx, datadog.ContextAPIKeys, map[string]datadog.APIKey(signed))) //nolint:bodyclose // the client has read the body, and closed it
	if resp != nil {
		s.skewed(resp.Header, time.Now())
		s.budget.note(end, resp.StatusCode, resp.Header, time.Now())
	}
	var failure *upstream.Failure
	switch {
	case err != nil:
		failure = classify(err, resp, s.timeout)
	case resp.StatusCode == http.StatusPartialContent:
		failure = upstream.Failed(upstream.Unavailable, nil, "partial answer (HTTP 206)")
	default:
		failure = check()
	}
	// What Datadog refuses it has answered; only what it does not answer, or cannot, counts here.
	if err != nil && (resp == nil || resp.StatusCode >= http.StatusInternalServerError) {
		tell(failure)
	} else {
		tell(nil)
	}
	if s.ctx.Err() == nil {
		s.meter.Asked(failure, time.Since(began))
	}
	s.found(failure, at)
	return failure
}

// skewed notes how far the server's clock is ahead of ours, by the second.
func (s *Source) skewed(header http.Header, now time.Time) {
	if theirs, err := http.ParseTime(header.Get("Date")); err == nil {
		skew := theirs.Sub(now.Truncate(time.Second))
		s.skew.Store(int64(skew))
		s.meter.Skewed(skew)
	}
}

// longAgo is when samples are so old that a query for them may fail while the source is well.
const longAgo = 3 * time.Hour

// found notes how the source was found, and logs when it goes away or comes back: the change, not each request. What is
// about a time long ago does not tell.
func (s *Source) found(failure *upstream.Failure, at time.Time) {
	if s.ctx.Err() != nil || time.Since(at) > longAgo { // closed: another Source, on the same metrics, may have taken its place
		return
	}
	s.meter.Found(failure)
	s.health.heard(failure, time.Now())
	down := failure != nil && failure.Class == upstream.Unavailable
	if s.down.Swap(down) == down {
		return
	}
	if down {
		s.log.Warn("datadog is unavailable: signals read from it are missing until it answers", zap.String("url", s.address), zap.String("why", failure.Text))
	} else {
		s.log.Info("datadog answers again", zap.String("url", s.address))
	}
}
