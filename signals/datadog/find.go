package datadog

import (
	"context"

	"github.com/bakewatch/bakewatch/signals"
)

// Find looks for the presets that measure a subject. There are none yet: people write their queries.
func (s *Source) Find(context.Context, signals.Subject) ([]signals.Found, []signals.Absent, error) {
	return nil, nil, nil
}
