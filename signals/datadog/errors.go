package datadog

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// classify turns what the client returned into a queryError.
func classify(err error, resp *http.Response, timeout time.Duration) *upstream.Failure {
	var known *upstream.Failure
	switch {
	case errors.As(err, &known): // a too large answer, said by the transport
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return upstream.Failed(upstream.Unavailable, err, "no answer within %s", timeout)
	case errors.Is(err, context.Canceled):
		return upstream.Failed(upstream.Unavailable, err, "the query was given up")
	case resp == nil:
		return upstream.Failed(upstream.Unavailable, err, "%s", said(err))
	}
	e := byStatus(err, resp.StatusCode)
	e.Status = resp.StatusCode
	return e
}

func byStatus(err error, status int) *upstream.Failure {
	text := said(err)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return upstream.Failed(upstream.Unavailable, err, "access denied (HTTP %d: %s)", status, text)
	case status == http.StatusTooManyRequests:
		return upstream.Failed(upstream.Unavailable, err, "asked to slow down (HTTP 429)")
	case status == http.StatusRequestEntityTooLarge || status == http.StatusRequestURITooLong:
		return upstream.Failed(upstream.TooExpensive, err, "query too expensive (HTTP %d: %s)", status, text)
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return refused(err, text)
	case status == http.StatusNotFound:
		return upstream.Failed(upstream.Unavailable, err, "no query API at this address (HTTP 404)")
	case status >= 300 && status < 400:
		return upstream.Failed(upstream.Unavailable, err, "redirected elsewhere (HTTP %d), where the keys are not sent", status)
	case status < 300:
		return upstream.Failed(upstream.Unavailable, err, "unreadable answer: %s", text)
	}
	return upstream.Failed(upstream.Unavailable, err, "HTTP %d: %s", status, text)
}

// refused is a query that Datadog will not run, by its words.
func refused(err error, text string) *upstream.Failure {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(text), word) })
	}
	switch {
	case says("rate limit", "timeout", "timed out", "try again", "unavailable", "internal error", "server error"): // not the query's fault
		return upstream.Failed(upstream.Unavailable, err, "no answer: %s", text)
	case says("too many", "limit", "exceed", "too large", "maximum"):
		return upstream.Failed(upstream.TooExpensive, err, "query too expensive: %s", text)
	}
	return upstream.Failed(upstream.Rejected, err, "query rejected: %s", text)
}

// said are the server's words, or those of whoever failed on the way to it.
func said(err error) string {
	var answer datadog.GenericOpenAPIError
	var onTheWay *url.Error
	switch {
	case errors.As(err, &answer):
		var body datadogV1.APIErrorResponse // the client reads it for some statuses only
		if json.Unmarshal(answer.ErrorBody, &body) == nil && len(body.Errors) > 0 {
			return upstream.Bounded(strings.Join(body.Errors, "; "))
		}
		if len(answer.ErrorBody) > 0 && !strings.HasPrefix(strings.TrimSpace(string(answer.ErrorBody)), "<") {
			return upstream.Bounded(string(answer.ErrorBody))
		}
		return upstream.Bounded(answer.ErrorMessage)
	case errors.As(err, &onTheWay): // its own text repeats the address, queries and all
		return upstream.Bounded(onTheWay.Err.Error())
	case err == nil:
		return "nothing was said"
	}
	return upstream.Bounded(err.Error())
}
