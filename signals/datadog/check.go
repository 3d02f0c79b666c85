package datadog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// checkEvery is how often, at least, it is asked whether the keys are good for queries, while no bake asks anything. Each
// such query is one less of those that Datadog allows in an hour.
const checkEvery = 10 * time.Minute

// maxSkew is how far the server's clock may be from ours, told by the second.
const maxSkew = 5 * time.Second

// retryCheck is how soon it is asked again after it was not so.
const retryCheck = time.Minute

// health is what the last request said of the source.
type health struct {
	mu      sync.Mutex
	at      time.Time // of the last request; zero: there was none
	failure *upstream.Failure
}

func (h *health) heard(failure *upstream.Failure, at time.Time) {
	if failure != nil && failure.Class != upstream.Unavailable {
		failure = nil // it answered
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.failure = at, failure
}

func (h *health) last() (time.Time, *upstream.Failure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at, h.failure
}

// Check says whether the source works, by the last request there was. It asks for something itself when that was long ago, or
// failed. Its error says what is wrong and what to do about it.
func (s *Source) Check(ctx context.Context) error {
	at, failure := s.health.last()
	age := time.Since(at)
	if at.IsZero() || age >= checkEvery || failure != nil && age >= retryCheck {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		failure = s.probe(ctx)
		if ctx.Err() != nil && s.ctx.Err() == nil {
			return nil // the daemon ends
		}
	}
	if failure != nil {
		return fmt.Errorf("datadog at %s: %w; %s", s.address, failure, s.advice(failure))
	}
	if skew := time.Duration(s.skew.Load()); skew.Abs() > maxSkew {
		way := "ahead of"
		if skew < 0 {
			way = "behind"
		}
		return fmt.Errorf("datadog at %s: its clock is %s %s this daemon's, so that its newest points are misjudged; synchronise this node's clock", s.address, skew.Abs(), way)
	}
	return nil
}

// probe asks whether the API key is good, and then for the smallest of queries, which needs both keys.
func (s *Source) probe(ctx context.Context) *upstream.Failure {
	valid := false
	now := time.Now()
	failure := s.send(ctx, validity, false, now, func(ctx context.Context) (*http.Response, error) {
		got, resp, err := s.authAPI.Validate(ctx)
		valid = got.Valid != nil && *got.Valid
		return resp, err
	}, func() *upstream.Failure {
		if !valid {
			return upstream.Failed(upstream.Unavailable, nil, "access denied (the API key is not valid)")
		}
		return nil
	})
	if failure != nil {
		return failure
	}
	over := span{from: now.Unix() - 60, to: now.Unix(), step: 60}
	_, failure = s.query(ctx, []string{"sum:datadog.agent.running{bakewatch:check}.rollup(sum, 60)"}, over, false)
	if failure != nil && failure.Class != upstream.Unavailable {
		return nil
	}
	return failure
}

// advice says what to do about a failure. The texts it looks for are our own.
func (s *Source) advice(err *upstream.Failure) string {
	says := func(text string) bool { return strings.Contains(err.Text, text) }
	var onTheWay net.Error
	switch {
	case says("sources.datadog."):
		return "mount a Secret with the key there"
	case says("the API key is not valid"):
		return "is the key in sources.datadog.apiKeyFile of this site's organisation, and not revoked? An organisation has keys for its own site only"
	case err.Status == http.StatusUnauthorized || err.Status == http.StatusForbidden:
		return "the keys in sources.datadog.apiKeyFile and appKeyFile must be of the same organisation on this site, and the application key must have the scopes timeseries_query and metrics_read"
	case err.Status == http.StatusNotFound:
		return "sources.datadog.url must be the address to which /api/v1/query is appended"
	case err.Status == http.StatusTooManyRequests || says("rate limit") || says("slow down"):
		return "the organisation's queries are shared by all that asks Datadog's API; have Datadog raise the limit, or set bake.interval higher"
	case says("unreadable answer"):
		return "sources.datadog.site or url does not lead to Datadog's API; something else answers there"
	case says("no answer within"), errors.As(err.Cause, &onTheWay) && onTheWay.Timeout():
		return "does a NetworkPolicy or firewall drop the connection, or is a proxy needed (HTTPS_PROXY)?"
	case says("no such host"), says("connection refused"), says("server misbehaving"):
		return "is sources.datadog.site right, and may the pod reach the internet?"
	}
	return "see https://status.datadoghq.com for whether Datadog has a trouble"
}
