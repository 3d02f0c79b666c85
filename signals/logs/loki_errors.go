package logs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// lokiError is why Loki gave no answer that may be believed, and what else is to be done about it.
type lokiError struct {
	upstream.Failure
	less bool          // it may answer where fewer lines are asked for
	wait time.Duration // for how long it is left alone
}

func (e *lokiError) Error() string { return "loki: " + e.Text }

// Unwrap is the failure as all sources tell theirs.
func (e *lokiError) Unwrap() error { return &e.Failure }

func lokiFailed(c upstream.Class, cause error, format string, args ...any) *lokiError {
	return &lokiError{Failure: *upstream.Failed(c, cause, format, args...)}
}

func unreadable(why string) *lokiError {
	return lokiFailed(upstream.Unavailable, nil, "unreadable answer: %s", why)
}

// onTheWay is a failure without an answer.
func onTheWay(err error, timeout time.Duration) *lokiError {
	var addressed *url.Error
	if errors.As(err, &addressed) { // drop the address: people know which one is meant
		err = addressed.Err
	}
	failure := lokiFailed(upstream.Unavailable, err, "%s", clause(err.Error()))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		failure.Text = fmt.Sprintf("no answer within %s", timeout)
	case errors.Is(err, context.Canceled):
		failure.Text = "the request was given up"
	}
	return failure
}

// byStatus is what an answer says that is none. Loki says why in plain text.
func byStatus(resp *http.Response, body string) *lokiError {
	said := clause(body)
	failure := lokiFailed(upstream.Unavailable, nil, "HTTP %d: %s", resp.StatusCode, said)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		failure.Text = fmt.Sprintf("access denied (HTTP %d): %s", code, said)
	case code == http.StatusTooManyRequests:
		failure.Text, failure.wait = "asked to slow down (HTTP 429): "+said, waitOf(resp)
	case code == http.StatusNotFound:
		failure.Text = "no Loki at this address (HTTP 404)"
	case code == http.StatusBadRequest && strings.Contains(body, "max entries limit"):
		failure.Class, failure.less, failure.Text = upstream.Rejected, true, "it gives fewer lines at a time than are asked for (HTTP 400): "+said
	case code == http.StatusBadRequest && (strings.Contains(body, "limit") || strings.Contains(body, "too many") || strings.Contains(body, "too large")):
		failure.Class, failure.Text = upstream.TooExpensive, "the query is more than its limits allow (HTTP 400): "+said
	case code >= 400 && code < 500:
		failure.Class = upstream.Rejected
	case code >= 500:
		failure.wait = waitOf(resp)
	}
	failure.Status = resp.StatusCode
	return failure
}

// waitOf is for how long a server asks to be left alone; 0: it does not.
func waitOf(resp *http.Response) time.Duration {
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		return time.Duration(min(s, int(lokiMaxRest/time.Second))) * time.Second
	}
	return 0
}

// advice says what to do about a failure.
func (e *lokiError) advice() string {
	var says = func(text string) bool { return strings.Contains(e.Text, text) }
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "give sources.loki credentials that may query, and sources.loki.tenant where there are tenants"
	case e.Status == http.StatusNotFound, says("unreadable"):
		return "sources.loki.url must be the address to which /loki/api/v1/query_range is appended"
	case says("no answer within"):
		return "is the server overloaded, or does a NetworkPolicy or firewall drop the connection?"
	case says("x509"), says("tls:"):
		return "give sources.loki the CA and server name its certificate was made with"
	case says("no such host"), says("connection refused"), says("server misbehaving"):
		return "is sources.loki.url right, and is the server running?"
	}
	return "see Loki's own log"
}
