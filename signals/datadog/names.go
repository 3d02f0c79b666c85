package datadog

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

const (
	// namesBack is how far back a metric must have had points to be there.
	namesBack = time.Hour
	// namesKeptFor is how long the names are kept: bakes that begin together share them, and those of one search are the same.
	namesKeptFor = 5 * time.Second
	maxListings  = 500
	maxNames     = 10_000
)

// listing is the names of metrics with one filter, and when they were asked for.
type listing struct {
	done    chan struct{}
	at      time.Time
	names   []string
	failure *queryError
}

// listings are those that are kept, by filter.
type listings struct {
	mu  sync.Mutex
	all map[string]*listing
}

// names are the metrics that had points with a filter's tags, of late. All who ask for the same share one request.
func (s *Source) names(ctx context.Context, filter string, at time.Time) ([]string, *queryError) {
	l, mine := s.listings.of(filter)
	if mine {
		l.names, l.failure = s.list(s.ctx, filter, at)
		close(l.done)
	}
	select {
	case <-ctx.Done():
		return nil, classify(ctx.Err(), nil, s.timeout)
	case <-l.done:
		return l.names, l.failure
	}
}

// of is the listing of a filter. It is mine where whoever asked must fill it in.
func (l *listings) of(filter string) (one *listing, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for key, old := range l.all {
		if age := now.Sub(old.at); age >= namesKeptFor || old.over() && age >= failureKeptFor || len(l.all) >= maxListings {
			delete(l.all, key)
		}
	}
	if old := l.all[filter]; old != nil {
		return old, false
	}
	one = &listing{done: make(chan struct{}), at: now}
	if l.all == nil {
		l.all = map[string]*listing{}
	}
	l.all[filter] = one
	return one, true
}

// over reports whether the listing failed.
func (l *listing) over() bool {
	select {
	case <-l.done:
		return l.failure != nil
	default:
		return false
	}
}

// list asks for the names.
func (s *Source) list(ctx context.Context, filter string, at time.Time) ([]string, *queryError) {
	var got datadogV1.MetricsListResponse
	failure := s.send(ctx, names, false, at, func(ctx context.Context) (*http.Response, error) {
		var resp *http.Response
		var err error
		got, resp, err = s.metricsAPI.ListActiveMetrics(ctx, at.Add(-namesBack).Unix(), *datadogV1.NewListActiveMetricsOptionalParameters().WithTagFilter(filter))
		return resp, err
	}, func() *queryError {
		if got.UnparsedObject != nil || got.Metrics == nil && got.From == nil {
			return failed(unavailable, nil, "unreadable answer: it is not a list of metrics")
		}
		return nil
	})
	if failure != nil {
		return nil, failure
	}
	out := make([]string, 0, min(len(got.Metrics), maxNames))
	for _, name := range got.Metrics[:min(len(got.Metrics), maxNames)] {
		out = append(out, strings.Clone(name))
	}
	return out, nil
}
