package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

// ErrNoPods says that a workload has no pods that could be told from others.
var ErrNoPods = errors.New("its pods are not known")

// Fault is why a call to the API server was in vain; nil where it was not. An API server that refuses has answered.
func Fault(err error) *upstream.Failure {
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	var onTheWay *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return upstream.Failed(upstream.Unavailable, err, "no answer in time")
	case errors.Is(err, ErrNoPods):
		return upstream.Failed(upstream.Rejected, err, "%s", upstream.Bounded(err.Error()))
	case errors.As(err, &status):
		class := upstream.Rejected
		if code := status.Status().Code; code >= http.StatusInternalServerError || code == http.StatusTooManyRequests || code < http.StatusBadRequest {
			class = upstream.Unavailable
		}
		return upstream.Failed(class, err, "%s", upstream.Bounded(err.Error()))
	case errors.As(err, &onTheWay): // its own text repeats the address
		return upstream.Failed(upstream.Unavailable, err, "%s", upstream.Bounded(onTheWay.Err.Error()))
	}
	return upstream.Failed(upstream.Unavailable, err, "%s", upstream.Bounded(err.Error()))
}

// Gate is one source's way to the API server: it leaves alone what does not answer, and measures how it went.
type Gate struct {
	breaker *upstream.Breaker
	meter   upstream.Meter
}

// NewGate makes the Gate of the source of that name. Metrics may be nil.
func NewGate(metrics *upstream.Metrics, source string) *Gate {
	return &Gate{breaker: upstream.NewBreaker(0), meter: metrics.Of(source)}
}

// Ask calls, unless that is of no use now. It returns what call returns, or why it was not called.
func (g *Gate) Ask(call func() error) error {
	tell, refused := g.breaker.Allow()
	if refused != nil {
		return refused
	}
	began := time.Now()
	err := call()
	fault := Fault(err)
	if fault != nil && fault.Class == upstream.Unavailable {
		tell(fault)
	} else {
		tell(nil)
	}
	if !errors.Is(err, context.Canceled) { // else who asked gave up
		g.meter.Asked(fault, time.Since(began))
		g.meter.Found(fault)
	}
	return err
}
