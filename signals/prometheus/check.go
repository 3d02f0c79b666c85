package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// maxSkew is how far the server's clock may be from ours. Beyond, ticks end in what is the future there, or its samples are
// taken for late ones.
const maxSkew = 5 * time.Second

// Check asks the server for its time. Its error says what is wrong and what to do about it.
func (s *Source) Check(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	began := time.Now()
	answer, err := s.query(ctx, "time()", time.Time{})
	if err != nil {
		return fmt.Errorf("prometheus at %s: %w; %s", s.address, err, advice(err))
	}
	skew, known := skewOf(answer, began, time.Now())
	if !known {
		return nil
	}
	s.meter.Skewed(skew)
	if skew.Abs() > maxSkew {
		return fmt.Errorf("prometheus at %s: its clock is %s %s this daemon's, so that its newest samples are misjudged; synchronise both clocks", s.address, skew.Abs().Round(time.Second), direction(skew))
	}
	return nil
}

// skewOf is how far a server's clock is ahead of ours, by its time and when it was asked and answered. Half of what the answer
// took is uncertain, and left out.
func skewOf(answer model.Value, began, ended time.Time) (skew time.Duration, known bool) {
	t, ok := answer.(*model.Scalar)
	if !ok {
		return 0, false
	}
	theirs := time.Unix(0, int64(float64(t.Value)*1e9))
	uncertain := ended.Sub(began) / 2
	skew = theirs.Sub(began.Add(uncertain))
	switch {
	case skew > uncertain:
		return skew - uncertain, true
	case skew < -uncertain:
		return skew + uncertain, true
	}
	return 0, true
}

func direction(skew time.Duration) string {
	if skew < 0 {
		return "behind"
	}
	return "ahead of"
}

// advice says what to do about a failure. The texts it looks for are our own.
func advice(err *upstream.Failure) string {
	says := func(text string) bool { return strings.Contains(err.Text, text) }
	var onTheWay net.Error
	switch {
	case says(fmt.Sprintf("(HTTP %d)", http.StatusUnauthorized)), says(fmt.Sprintf("(HTTP %d)", http.StatusForbidden)):
		return "give sources.prometheus credentials that may query, and the tenant where there are tenants"
	case says(fmt.Sprintf("(HTTP %d)", http.StatusNotFound)):
		return "sources.prometheus.url must be the address to which /api/v1/query is appended (Mimir's ends in /prometheus)"
	case says("unreadable answer"):
		return "sources.prometheus.url does not lead to a Prometheus query API; something else answers there"
	case says("no answer within"), errors.As(err.Cause, &onTheWay) && onTheWay.Timeout():
		return "is the server overloaded, or does a NetworkPolicy or firewall drop the connection?"
	case says("x509"), says("tls:"):
		return "give sources.prometheus the CA and server name its certificate was made with"
	case says("no such host"), says("connection refused"), says("server misbehaving"):
		return "is sources.prometheus.url right, and is the server running?"
	case err.Class != upstream.Unavailable:
		return "the server refuses even the query \"time()\"; see its own log"
	}
	return "see the server's own log"
}
