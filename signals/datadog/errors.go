package datadog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

// class sorts a query's failure by who can do something about it. It is the value of the metric label "result".
type class string

const (
	unavailable  class = "unavailable"   // the source did not answer, or not in full: look at the source, or the way to it
	rejected     class = "rejected"      // the source will not run this query: look at the query
	tooExpensive class = "too_expensive" // the query asks for more than the source or we can carry: narrow it
)

// queryError is why a query gave no answer that may be believed. Its text is one clause for people.
type queryError struct {
	class  class
	status int // of HTTP; 0: none was received
	text   string
	cause  error
}

func (e *queryError) Error() string { return e.text }
func (e *queryError) Unwrap() error { return e.cause }

func failed(c class, cause error, format string, args ...any) *queryError {
	return &queryError{class: c, text: fmt.Sprintf(format, args...), cause: cause}
}

// classify turns what the client returned into a queryError.
func classify(err error, resp *http.Response, timeout time.Duration) *queryError {
	var known *queryError
	switch {
	case errors.As(err, &known): // a too large answer, said by the transport
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return failed(unavailable, err, "no answer within %s", timeout)
	case errors.Is(err, context.Canceled):
		return failed(unavailable, err, "the query was given up")
	case resp == nil:
		return failed(unavailable, err, "%s", said(err))
	}
	e := byStatus(err, resp.StatusCode)
	e.status = resp.StatusCode
	return e
}

func byStatus(err error, status int) *queryError {
	text := said(err)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return failed(unavailable, err, "access denied (HTTP %d: %s)", status, text)
	case status == http.StatusTooManyRequests:
		return failed(unavailable, err, "asked to slow down (HTTP 429)")
	case status == http.StatusRequestEntityTooLarge || status == http.StatusRequestURITooLong:
		return failed(tooExpensive, err, "query too expensive (HTTP %d: %s)", status, text)
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return refused(err, text)
	case status == http.StatusNotFound:
		return failed(unavailable, err, "no query API at this address (HTTP 404)")
	case status >= 300 && status < 400:
		return failed(unavailable, err, "redirected elsewhere (HTTP %d), where the keys are not sent", status)
	case status < 300:
		return failed(unavailable, err, "unreadable answer: %s", text)
	}
	return failed(unavailable, err, "HTTP %d: %s", status, text)
}

// refused is a query that Datadog will not run, by its words.
func refused(err error, text string) *queryError {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(text), word) })
	}
	switch {
	case says("rate limit", "timeout", "timed out", "try again", "unavailable", "internal error", "server error"): // not the query's fault
		return failed(unavailable, err, "no answer: %s", text)
	case says("too many", "limit", "exceed", "too large", "maximum"):
		return failed(tooExpensive, err, "query too expensive: %s", text)
	}
	return failed(rejected, err, "query rejected: %s", text)
}

// said are the server's words, or those of whoever failed on the way to it.
func said(err error) string {
	var answer datadog.GenericOpenAPIError
	var onTheWay *url.Error
	switch {
	case errors.As(err, &answer):
		var body datadogV1.APIErrorResponse // the client reads it for some statuses only
		if json.Unmarshal(answer.ErrorBody, &body) == nil && len(body.Errors) > 0 {
			return bounded(strings.Join(body.Errors, "; "))
		}
		if len(answer.ErrorBody) > 0 && !strings.HasPrefix(strings.TrimSpace(string(answer.ErrorBody)), "<") {
			return bounded(string(answer.ErrorBody))
		}
		return bounded(answer.ErrorMessage)
	case errors.As(err, &onTheWay): // its own text repeats the address, queries and all
		return bounded(onTheWay.Err.Error())
	case err == nil:
		return "nothing was said"
	}
	return bounded(err.Error())
}

// boundedRunes is how much of foreign text is quoted.
const boundedRunes = 200

// bounded makes foreign text fit to quote: one line, printable, not long.
func bounded(text string) string {
	const enough = 4 * boundedRunes // bytes that are looked at
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), enough)], "?")), " ")
	out := make([]rune, 0, boundedRunes)
	for _, r := range text {
		if len(out) == boundedRunes {
			return string(out) + "…"
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}
