package prometheus

import (
	"fmt"
	"testing"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

// TestBlocksAddUp: a span cut into blocks counts the same as in one window, whatever the counters do, as long as no
// target goes unscraped for longer than a block looks back.
func TestBlocksAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const block, blocks = 15, 12
		scrape := rapid.SampledFrom([]float64{1, 5, 15, 30, 55}).Draw(t, "scrape")
		var requests, errs model.Matrix
		for pod := range rapid.IntRange(1, 3).Draw(t, "pods") {
			offset := rapid.Float64Range(0, scrape).Draw(t, "offset")
			for _, code := range []string{"200", "500"} {
				from := rapid.SampledFrom([]float64{-60, -60, 40, 100}).Draw(t, "from")
				to := rapid.SampledFrom([]float64{block * blocks, 90}).Draw(t, "to")
				value := 0.0
				text := every(from+offset, to, scrape, func(float64) float64 {
					if value += float64(rapid.IntRange(0, 5).Draw(t, "more")); rapid.IntRange(0, 20).Draw(t, "reset") == 0 {
						value = 0
					}
					return value
				})
				s := counter(fmt.Sprintf("pod=web-%d,code=%s", pod, code), text)
				if len(s.Values) == 0 {
					continue
				}
				requests = append(requests, s)
				if code == "500" {
					errs = append(errs, s)
				}
			}
		}
		q := signals.Question{Query: signals.Query{By: signals.ByPod}, Candidate: "web-", Bounds: seconds(0, block*blocks)}
		want := tell(q, requests, errs)[0].Candidate
		q.Bounds = nil
		for i := range blocks + 1 {
			q.Bounds = append(q.Bounds, second(float64(i*block)))
		}
		var got signals.Counts
		spoke := false
		for _, r := range tell(q, requests, errs) {
			if r.Candidate.Spoke() {
				got, spoke = got.Add(r.Candidate.Counts), true
			}
		}
		if want.Spoke() && (!spoke || got != want.Counts) {
			t.Fatalf("blocks add up to %+v, in one window it is %+v", got, want.Counts)
		}
	})
}
