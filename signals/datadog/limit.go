package datadog

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals"
)

const (
	// slower is how many times as long as 95 of 100 requests a request takes that is slow.
	slower = 2
	// fewestMinutes is the fewest minutes of the past from which it is told how long requests take.
	fewestMinutes = 5
)

// limit is the duration, in seconds, above which a request is slow: twice as long as 95 of 100 took in the middle one of the past's
// minutes, an hour of them at most. why says why there is none.
func (s *Source) limit(ctx context.Context, subject signals.Subject, text string) (limit float64, why string, err error) {
	at := min(subject.At.Unix(), time.Now().Add(-s.lag).Unix()) / searchGrain * searchGrain
	back := min(max(subject.At.Sub(subject.Past), fewestMinutes*time.Minute), time.Hour).Truncate(time.Minute)
	ask := signals.Question{Signal: "latency", Query: signals.Query{Source: signals.Datadog, Value: text}, Kind: subject.Kind, Workload: subject.Name, Whole: true}
	for t := at - int64(back.Seconds()); t <= at; t += 60 {
		ask.Bounds = append(ask.Bounds, time.Unix(t, 0))
	}
	rs, err := s.Read(ctx, ask)
	if err != nil {
		return 0, "", err
	}
	var minutes []float64
	for _, r := range rs {
		switch c := r.Candidate; {
		case c.Missing == signals.Failed && refusal(c.Detail):
			return 0, c.Detail, nil
		case c.Missing == signals.Failed:
			return 0, "", errors.New(strings.TrimPrefix(c.Detail, "datadog: "))
		case c.Missing == signals.Present && c.Value > 0:
			minutes = append(minutes, c.Value)
		}
	}
	if len(minutes) < fewestMinutes {
		return 0, "too few requests in the past to tell how long they take", nil
	}
	slices.Sort(minutes)
	return roundUp(slower * minutes[len(minutes)/2]), "", nil
}

// roundUp has two digits, so that people can read it: 0.25.
func roundUp(x float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(x))-1)
	n := math.Ceil(x/unit - 1e-9)
	if unit < 1 { // by a division: 25/100 is 0.25, and 25*0.01 may not be
		return n / math.Round(1/unit)
	}
	return n * unit
}
