package main

import (
	"testing"
)

// What a run costs: drawing it, judging it at every tick, and the rivals.
func BenchmarkRun(b *testing.B) {
	j := defaultJudge()
	for _, how := range []string{"1of4", "replace", "rolling5m"} {
		s := named(how, nil)
		d := simulate(s, 1, 0)
		b.Run(how+"/draw", func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				simulate(s, 1, i)
			}
		})
		b.Run(how+"/judge", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				j.decide(d)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(d.ticks)), "ns/tick")
		})
		b.Run(how+"/rivals", func(b *testing.B) {
			for range b.N {
				for _, r := range rivals {
					r.rule(d)
				}
			}
		})
	}
}
