package logs

import (
	"context"

	"github.com/bakewatch/bakewatch/signals"
)

// Either finds a workload's lines in Loki, or else where its pods wrote them.
type Either struct {
	Loki *Loki
	API  *Source
}

// Find implements discover.Source. While Loki cannot be asked it is not known which of them it will be.
func (e Either) Find(ctx context.Context, of signals.Subject) ([]signals.Found, []signals.Absent, error) {
	found, absent, err := e.Loki.Find(ctx, of)
	if err != nil || len(found) > 0 {
		return found, absent, err
	}
	found, more, err := e.API.Find(ctx, of)
	return found, append(absent, more...), err
}
