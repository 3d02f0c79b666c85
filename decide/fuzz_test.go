package decide

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
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

// FuzzJudgeEvidence is the same with the evidence layer on: ticks, days, blocks, neighbours and pods are read from raw bytes,
// what each is of by its first one.
func FuzzJudgeEvidence(f *testing.F) {
	of := func(kind byte, xs ...float64) []byte { return append([]byte{kind}, raw(xs...)...) }
	tick := func(xs ...float64) []byte { return of(4, xs...) }
	f.Add([]byte{}, 0.001, 1.5, 0.0, 50.0, 0.5, "rev 6")
	f.Add(slices.Concat(tick(100, 20, 1000, 1), tick(100, 20, 1000, 1)), 0.001, 1.5, 0.0, 5.0, 0.0, "rev 6")
	f.Add(slices.Concat(of(0, 9, 9, 0, 0), of(1, 1e3, 9, 1e3, 90), of(2, 1e3, 3, 1e3, 1), of(250, 1e3, 3, 400, 1), tick(100, 20, 1000, 1), tick(100, 20, 1000, 1)), 0.001, 1.5, 0.0, 5.0, 0.0, "rev 6")
	f.Add(slices.Concat(of(3, 1000, 0, 1000, 1), of(11, 1000, 0, 20, -300), of(11, 1000, 0, 20, -300), of(19, 1000, 0, nan, inf)), 0.999, 1.1, 0.0, 1.0, 0.9, "rev 6")
	f.Add(slices.Concat(tick(nan, inf, -1, 0), tick(math.MaxFloat64, math.MaxFloat64, 0, 0), tick(1e-320, 0, 1e-320, 1)), 0.5, nan, 0.0, 1.0, nan, "rev 6")
	f.Add(slices.Concat(tick(1, 1<<53, 1, 1), tick(1, 1<<53, 1<<53, 1<<53)), 0.05, 99.0, 0.005, 2.0, -1.0, "rev 6")
	f.Fuzz(func(t *testing.T, b []byte, falseAlarm, margin, floor, minRequests, lead float64, from string) {
		e := Evidence{Signal: "s", Threshold: Threshold{Max: 0.05, Increase: 2, Floor: floor, MinRequests: minRequests, Ticks: 2}, Lead: lead}
		believable := 0.0
		for ; len(b) >= 33; b = b[33:] {
			one, other := side(b[1:]), side(b[17:])
			switch b[0] % 8 {
			case 0:
				e.Days = append(e.Days, one)
			case 1:
				e.Neighbours = append(e.Neighbours, Neighbour{Before: one.Counts, After: other.Counts})
			case 2:
				one.Pods = map[string]signals.Counts{"a": other.Counts, "b": {Requests: one.Requests / 2, Errors: one.Errors}}
				for range 1 + b[0]/8 {
					e.Blocks = append(e.Blocks, one, other)
				}
			default:
				r := signals.Reading{Candidate: one, Baseline: other}
				if b[0]%8 == 3 {
					r.Candidate.Pods = map[string]signals.Counts{string(rune('a' + b[0]/8)): other.Counts, "a": e.History.Counts}
				}
				if r.Candidate.Spoke() {
					believable += r.Candidate.Errors
				}
				e.Ticks = append(e.Ticks, r)
				e.History = other
			}
		}
		in := Input{To: "rev 7", From: from, FalseAlarm: falseAlarm, Margin: margin, PassEarly: true, Signals: []Evidence{e}}
		v := Judge(in)
		if v.Result == Regressed && believable == 0 {
			t.Fatalf("regressed without an error: %+v", v)
		}
		if len(v.Reasons) == 0 || len(v.Reasons) > 2 {
			t.Fatalf("one signal, and these reasons: %+v", v.Reasons)
		}
		for _, r := range v.Reasons {
			if r.Sentence == "" || strings.Contains(r.Sentence, "NaN") {
				t.Fatalf("not a sentence for people: %q", r.Sentence)
			}
			if l := r.Numbers.LogE; math.IsNaN(l) || math.IsInf(l, 0) {
				t.Fatalf("an e-value beyond numbers: %v", l)
			}
		}
		if first, second := encode(t, v), encode(t, Judge(in)); !bytes.Equal(first, second) {
			t.Fatalf("judged twice:\n%s\n%s", first, second)
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
	const ticks = 60
	blocks := pastOf(seeded(1), 240, 1000, 0.003, steady)
	learnt := Learn(blocks)
	four := func(requests, errors float64) signals.Side {
		pods := map[string]signals.Counts{}
		for _, p := range []string{"api-6b7f9-a", "api-6b7f9-b", "api-6b7f9-c", "api-6b7f9-d"} {
			pods[p] = counts(requests/4, errors)
		}
		return named(pods)
	}
	evidence := func(rs []signals.Reading) Input {
		e := against(sum(blocks), rs...)
		e.Blocks, e.Learnt = blocks, &learnt
		return input(e)
	}
	alone := func(rs []signals.Reading) Input {
		return Input{To: "rev 7", From: "rev 6", Signals: []Evidence{ofHTTP(usual, spoke(9870, 30), rs...)}}
	}
	for _, c := range []struct {
		name string
		in   Input
	}{
		{"threshold/busy", alone(repeat(ticks, tick(spoke(1000, 3), spoke(1000, 3))))},
		{"threshold/quiet", alone(repeat(ticks, tick(spoke(1, 0), spoke(1, 0))))}, // looks back all the way
		{"threshold/regressed", alone(repeat(ticks, tick(spoke(1000, 90), spoke(1000, 3))))},
		{"evidence/past", evidence(repeat(ticks, tick(spoke(1000, 3))))},
		{"evidence/beside", evidence(repeat(ticks, tick(spoke(1000, 3), spoke(1000, 3))))},
		{"evidence/rolling", evidence(concat(repeat(ticks/2, tick(four(1000, 1), four(1000, 1))), repeat(ticks/2, tick(four(2000, 2)))))},
		{"evidence/a little worse", evidence(repeat(ticks, tick(spoke(1000, 5))))}, // no onset is hopeless
		{"evidence/regressed", evidence(repeat(ticks, tick(spoke(1000, 90))))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Judge(c.in)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/ticks, "ns/tick-seen")
		})
	}
}
