package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
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
	class class
	text  string
	cause error
}

func (e *queryError) Error() string { return e.text }
func (e *queryError) Unwrap() error { return e.cause }

func failed(c class, cause error, format string, args ...any) *queryError {
	return &queryError{class: c, text: fmt.Sprintf(format, args...), cause: cause}
}

// classify turns what the client returned into a queryError. status is the HTTP status last received, 0 for none; the
// client's own error does not always tell it.
func classify(err error, status int, timeout time.Duration) *queryError {
	var known *queryError
	if errors.As(err, &known) { // a too large answer, said by the transport
		return known
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return failed(unavailable, err, "no answer within %s", timeout)
	case errors.Is(err, context.Canceled):
		return failed(unavailable, err, "the query was given up")
	}
	kind, text := said(err)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return failed(unavailable, err, "access denied (HTTP %d)", status)
	case status == http.StatusTooManyRequests:
		return failed(unavailable, err, "asked to slow down (HTTP 429)")
	case status == http.StatusRequestEntityTooLarge || kind == v1.ErrTimeout:
		return failed(tooExpensive, err, "query too expensive: %s", text)
	case status == http.StatusUnprocessableEntity || kind == v1.ErrExec:
		if overLimit(text) {
			return failed(tooExpensive, err, "query too expensive: %s", text)
		}
		return failed(rejected, err, "query rejected: %s", text)
	case status == http.StatusBadRequest || kind == v1.ErrBadData:
		return failed(rejected, err, "query rejected: %s", text)
	case status == http.StatusNotFound:
		return failed(unavailable, err, "no query API at this address (HTTP 404)")
	case status >= 200 && status < 300:
		return failed(unavailable, err, "unreadable answer: %s", text)
	case status != 0:
		return failed(unavailable, err, "HTTP %d: %s", status, text)
	}
	return failed(unavailable, err, "%s", text)
}

// said is the server's kind of error, where it named one, and its words, bounded to one line.
func said(err error) (v1.ErrorType, string) {
	var answer *v1.Error
	if errors.As(err, &answer) {
		if answer.Detail != "" { // a body the client did not look into
			var own struct {
				Type v1.ErrorType `json:"errorType"`
				Text string       `json:"error"`
			}
			if json.Unmarshal([]byte(answer.Detail), &own) == nil && own.Text != "" {
				return own.Type, bounded(own.Text)
			}
			return answer.Type, bounded(answer.Detail)
		}
		return answer.Type, bounded(answer.Msg)
	}
	var onTheWay *url.Error
	if errors.As(err, &onTheWay) { // drop the address: it may hold a password, and people know which source is meant
		return "", bounded(onTheWay.Err.Error())
	}
	return "", bounded(err.Error())
}

// overLimit recognises the words with which Prometheus, Thanos, Mimir and VictoriaMetrics refuse a query for its size.
// They share no code for it: all answer 422 with a sentence.
func overLimit(text string) bool {
	text = strings.ToLower(text)
	for _, word := range []string{"too many", "limit", "exceed", "too large", "maximum"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// boundedRunes is how much of foreign text is quoted.
const boundedRunes = 200

// bounded makes foreign text fit to quote: one line, printable, not long.
func bounded(text string) string {
	var out strings.Builder
	runes, space := 0, false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = out.Len() > 0
			continue
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			r = '?'
		}
		if space {
			out.WriteByte(' ')
			space = false
			runes++
		}
		if runes++; runes > boundedRunes {
			out.WriteString("…")
			break
		}
		out.WriteRune(r)
	}
	return out.String()
}
