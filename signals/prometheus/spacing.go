package prometheus

import (
	"context"
	"fmt"
	"time"

	"github.com/bakewatch/bakewatch/signals"
)

// Spacing is the median time between samples of a question's requests counter within its bounds; 0 when there are too few
// to tell. Sides make no difference: all pods of a source are scraped alike.
func (s *Source) Spacing(ctx context.Context, q signals.Question) (time.Duration, error) {
	q.By = signals.ByService
	q, err := prepare(q)
	if err != nil {
		return 0, fmt.Errorf("prometheus: signal %s: %w", q.Signal, err)
	}
	parts := portions(spans(q.Bounds))
	requests, _, err := s.askBoth(ctx, q, parts[len(parts)-1])
	if err != nil {
		return 0, fmt.Errorf("prometheus: %w", err)
	}
	all := newGroup(requests.series, nil, true, func(string) bool { return true })
	looks := make([]look, len(all.requests))
	for i, t := range all.requests {
		looks[i] = look{hi: len(t.at)}
	}
	return time.Duration(all.spacing(looks)) * time.Millisecond, nil
}
