package decide

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// FuzzJudge reads ticks from raw bytes, so that any float a source may send is tried: the judge never panics, always says
// one of its three words, its verdict can be written down, and no garbage makes Regressed.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{}, 0.05, 2.0, 0.005, 50.0, 2, "rev 6")
	f.Add(raw(100, 20, 1000, 1, 100, 20, 1000, 1), 0.05, 2.0, 0.005, 50.0, 2, "rev 6")
	f.Add(raw(nan, inf, -1, 0, math.MaxFloat64, math.MaxFloat64, 0, 0), 0.0, 1.0, 0.0, 1.0, 1, "")
	f.Add(raw(math.MaxFloat64, 1, math.MaxFloat64, 1, math.MaxFloat64, 1, math.MaxFloat64, 1), nan, inf, -1.0, 0.0, 0, "rev 6")
	f.Add(raw(math.MaxFloat64, 1, math.MaxFloat64, 1, math.MaxFloat64, 1, math.MaxFloat64, 1), 0.05, 2.0, 0.005, 50.0, 2, "rev 6")
	f.Add(raw(1, math.MaxFloat64, 1, 1, 1, math.MaxFloat64, 1, 1), 0.05, 2.0, 0.005, 2.0, 2, "rev 6")
	f.Fuzz(func(t *testing.T, b []byte, ceiling, increase, floor, minRequests float64, ticks int, from string) {
		e := Evidence{Signal: "s", Threshold: Threshold{Max: ceiling, Increase: increase, Floor: floor, MinRequests: minRequests, Ticks: ticks}}
		believable := 0.0 // errors of the candidate that may be believed
		for ; len(b) >= 32; b = b[32:] {
			r := signals.Reading{Candidate: side(b), Baseline: side(b[16:])}
			if r.Candidate.Spoke() {
				believable += r.Candidate.Errors
			}
			e.Ticks = append(e.Ticks, r)
			e.History = r.Baseline
		}
		v := Judge(Input{To: "rev 7", From: from, Signals: []Evidence{e}})
		switch v.Result {
		case Healthy, Regressed, Undecided:
		default:
			t.Fatalf("the verdict is %q", v.Result)
		}
		if v.Result == Regressed && believable == 0 && ceiling >= 0 {
			t.Fatalf("regressed without an error: %+v", v)
		}
		if len(v.Reasons) != 1 || v.Reasons[0].Sentence == "" {
			t.Fatalf("one signal, and these reasons: %+v", v.Reasons)
		}
		if _, err := json.Marshal(v); err != nil && ceiling >= 0 {
			t.Fatalf("a verdict that cannot be written down: %v", err)
		}
		if s := v.Reasons[0].Sentence; strings.Contains(s, "NaN") && !math.IsNaN(ceiling) {
			t.Fatalf("not a sentence for people: %s", s)
		}
	})
}

// side reads requests, errors, and by their low bits now and then a reason to be missing.
func side(b []byte) signals.Side {
	s := signals.Side{Counts: signals.Counts{Requests: float(b), Errors: float(b[8:])}}
	if b[0]%16 == 1 {
		s.Missing = []signals.Missing{signals.NoSeries, signals.Late, signals.NotNumber, signals.Failed}[b[8]%4]
	}
	return s
}

func float(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }

func raw(xs ...float64) []byte {
	var b []byte
	for _, x := range xs {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// BenchmarkJudge judges a bake of 60 ticks: 15 minutes at the default interval.
func BenchmarkJudge(b *testing.B) {
	for _, c := range []struct {
		name  string
		ticks []signals.Reading
	}{
		{"busy", repeat(60, tick(spoke(1000, 3), spoke(1000, 3)))},
		{"quiet", repeat(60, tick(spoke(1, 0), spoke(1, 0)))}, // looks back all the way
		{"regressed", repeat(60, tick(spoke(1000, 90), spoke(1000, 3)))},
	} {
		b.Run(c.name, func(b *testing.B) {
			in := Input{To: "rev 7", From: "rev 6", Signals: []Evidence{ofHTTP(usual, spoke(9870, 30), c.ticks...)}}
			b.ReportAllocs()
			for b.Loop() {
				Judge(in)
			}
		})
	}
}
