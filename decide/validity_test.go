package decide

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// looks are the ticks after which the judge is asked: all at first, when it may be wrong most easily, then every tenth. An
// e-value moves little from one tick to the next by then.
func looks(tick int) bool { return tick < 20 || tick%10 == 0 }

// What is promised of falseAlarm: a candidate that is exactly as bad as the margin allows, with errors that are independent
// of each other, is found worse with that chance at most, ever, however often one looks.
func TestFalseAlarmIsKept(t *testing.T) {
	const ticks, alpha, requests, runs = 200, 0.05, 1000, 200
	r := newRatios(DefaultMargin)
	for _, c := range []struct {
		name   string
		past   float64 // errors expected in the past
		each   float64 // errors expected in a tick
		beside int     // ticks in which old pods serve, too
	}{
		{"old pods beside, few errors", 50, 0.3, ticks},
		{"old pods beside, many errors", 50, 5, ticks},
		{"a past of 0.5 errors", 0.5, 0.5, 0},
		{"a past of 3 errors", 3, 0.3, 0},
		{"a past of 20 errors, and few since", 20, 0.1, 0},
		{"a past of 20 errors", 20, 1, 0},
		{"a past of 3 errors, and old pods at first", 3, 1, 20},
		{"a past of 20 errors, and old pods at first", 20, 1, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var alarms atomic.Int64
			var wg sync.WaitGroup
			for part := range 2 {
				wg.Go(func() {
					for run := part; run < runs; run += 2 {
						rng := seeded(uint64(run))
						rate := c.each / requests
						e := Evidence{Threshold: defaults, History: spoke(math.Round(c.past/rate), draw(rng, c.past))}
						e.Ticks = make([]signals.Reading, 0, ticks)
						for i := range ticks {
							share := 1.0
							if i < c.beside { // another one each tick
								share = 0.05 + 0.74*rng.Float64()
							}
							n := math.Round(requests * share)
							x := tick(spoke(n, draw(rng, n*rate*DefaultMargin)))
							if i < c.beside {
								x.Baseline = spoke(requests-n, draw(rng, (requests-n)*rate))
							}
							e.Ticks = append(e.Ticks, x)
							if !looks(i) {
								continue
							}
							if w, ok := e.trial(r).weigh(); ok && w.logE >= -math.Log(alpha) {
								alarms.Add(1)
								break
							}
						}
					}
				})
			}
			wg.Wait()
			if share := float64(alarms.Load()) / runs; share > alpha+3*math.Sqrt(alpha*(1-alpha)/runs) {
				t.Errorf("%.3f of the runs were false alarms, %v are allowed", share, alpha)
			}
		})
	}
}
