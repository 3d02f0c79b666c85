package datadog

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

const (
	// namesBack is how far back a metric must have had points to be there.
	namesBack = time.Hour
	maxNames  = 10_000
)

// names are the metrics that had points with a filter's tags, of late.
func (s *Source) names(ctx context.Context, filter string, at time.Time) ([]string, *upstream.Failure) {
	return s.listed.get(ctx, filter, func() ([]string, *upstream.Failure) { return s.list(s.ctx, filter, at) })
}

func (s *Source) list(ctx context.Context, filter string, at time.Time) ([]string, *upstream.Failure) {
	var got datadogV1.MetricsListResponse
	failure := s.send(ctx, names, false, at, func(ctx context.Context) (*http.Response, error) {
		var resp *http.Response
		var err error
		got, resp, err = s.metricsAPI.ListActiveMetrics(ctx, at.Add(-namesBack).Unix(), *datadogV1.NewListActiveMetricsOptionalParameters().WithTagFilter(filter))
		return resp, err
	}, func() *upstream.Failure {
		if got.UnparsedObject != nil || got.Metrics == nil && got.From == nil {
			return upstream.Failed(upstream.Unavailable, nil, "unreadable answer: it is not a list of metrics")
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
