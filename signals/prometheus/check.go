package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Check asks the server for the simplest of queries. Its error says what is wrong and what to do about it.
func (s *Source) Check(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if _, err := s.query(ctx, "1", time.Time{}); err != nil {
		return fmt.Errorf("prometheus at %s: %w; %s", s.address, err, advice(err))
	}
	return nil
}

// advice says what to do about a failure. The texts it looks for are our own.
func advice(err *queryError) string {
	says := func(text string) bool { return strings.Contains(err.text, text) }
	var onTheWay net.Error
	switch {
	case says(fmt.Sprintf("(HTTP %d)", http.StatusUnauthorized)), says(fmt.Sprintf("(HTTP %d)", http.StatusForbidden)):
		return "give sources.prometheus credentials that may query, and the tenant where there are tenants"
	case says(fmt.Sprintf("(HTTP %d)", http.StatusNotFound)):
		return "sources.prometheus.url must be the address to which /api/v1/query is appended (Mimir's ends in /prometheus)"
	case says("unreadable answer"):
		return "sources.prometheus.url does not lead to a Prometheus query API; something else answers there"
	case says("no answer within"), errors.As(err.cause, &onTheWay) && onTheWay.Timeout():
		return "is the server overloaded, or does a NetworkPolicy or firewall drop the connection?"
	case says("x509"), says("tls:"):
		return "give sources.prometheus the CA and server name its certificate was made with"
	case says("no such host"), says("connection refused"), says("server misbehaving"):
		return "is sources.prometheus.url right, and is the server running?"
	case err.class != unavailable:
		return "the server refuses even the query \"1\"; see its own log"
	}
	return "see the server's own log"
}
