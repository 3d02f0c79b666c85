package prometheus

import (
	"fmt"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals"
)

// crowded is half an hour of a namespace of as many workloads, of three pods with four series each.
func crowded(workloads int) *answer {
	var m model.Matrix
	for w := range workloads {
		for pod := range 3 {
			for code := range 4 {
				m = append(m, counter(fmt.Sprintf("pod=app-%d-7d9f6c5b4-x2k8%d,code=%d", w, pod, code), every(0, 1920, 15, func(at float64) float64 { return at })))
			}
		}
	}
	return decode(m, part{})
}

// BenchmarkOthers is what the neighbours cost beside the answer, which is asked for anyway: once for the half hour of a
// past, and in every tick.
func BenchmarkOthers(b *testing.B) {
	for _, workloads := range []int{10, 50, 1000} {
		a := crowded(workloads)
		q := signals.Question{Bounds: nil}
		for at := 120.0; at <= 1920; at += 15 {
			q.Bounds = append(q.Bounds, second(at))
		}
		past := spans(q.Bounds)
		names := largest(a, past, "app-0", 50)
		b.Run(fmt.Sprintf("find of %d", workloads), func(b *testing.B) {
			for b.Loop() {
				largest(a, past, "app-0", 50)
			}
		})
		b.Run(fmt.Sprintf("past of %d", workloads), func(b *testing.B) {
			for b.Loop() {
				tellOthers(signals.Query{}, names, past, a, a)
			}
		})
		b.Run(fmt.Sprintf("tick of %d", workloads), func(b *testing.B) {
			for b.Loop() {
				tellOthers(signals.Query{}, names, past[len(past)-2:], a, a)
			}
		})
	}
}
