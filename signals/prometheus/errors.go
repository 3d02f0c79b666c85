package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// classify turns what the client returned into a queryError. status is the HTTP status last received, 0 for none; the
// client's own error does not always tell it.
func classify(err error, status int, timeout time.Duration) *upstream.Failure {
	var known *upstream.Failure
	if errors.As(err, &known) { // a too large answer, said by the transport
		return known
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return upstream.Failed(upstream.Unavailable, err, "no answer within %s", timeout)
	case errors.Is(err, context.Canceled):
		return upstream.Failed(upstream.Unavailable, err, "the query was given up")
	}
	kind, text := said(err)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return upstream.Failed(upstream.Unavailable, err, "access denied (HTTP %d)", status)
	case status == http.StatusTooManyRequests:
		return upstream.Failed(upstream.Unavailable, err, "asked to slow down (HTTP 429)")
	case status == http.StatusRequestEntityTooLarge || kind == v1.ErrTimeout:
		return upstream.Failed(upstream.TooExpensive, err, "query too expensive: %s", text)
	case status == http.StatusUnprocessableEntity || kind == v1.ErrExec:
		if overLimit(text) {
			return upstream.Failed(upstream.TooExpensive, err, "query too expensive: %s", text)
		}
		return upstream.Failed(upstream.Rejected, err, "query rejected: %s", text)
	case status == http.StatusBadRequest || kind == v1.ErrBadData:
		return upstream.Failed(upstream.Rejected, err, "query rejected: %s", text)
	case status == http.StatusNotFound:
		return upstream.Failed(upstream.Unavailable, err, "no query API at this address (HTTP 404)")
	case status >= 200 && status < 300:
		return upstream.Failed(upstream.Unavailable, err, "unreadable answer: %s", text)
	case status != 0:
		return upstream.Failed(upstream.Unavailable, err, "HTTP %d: %s", status, text)
	}
	return upstream.Failed(upstream.Unavailable, err, "%s", text)
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
				return own.Type, upstream.Bounded(own.Text)
			}
			return answer.Type, upstream.Bounded(answer.Detail)
		}
		return answer.Type, upstream.Bounded(answer.Msg)
	}
	var onTheWay *url.Error
	if errors.As(err, &onTheWay) { // drop the address: it may hold a password, and people know which source is meant
		return "", upstream.Bounded(onTheWay.Err.Error())
	}
	return "", upstream.Bounded(err.Error())
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
