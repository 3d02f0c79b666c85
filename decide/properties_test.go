package decide

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

// anyFloat is a count as a broken source may give it.
func anyFloat() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(0, 200).Draw(t, "n")) }),
		rapid.Float64Range(0, 1e6),
		rapid.SampledFrom([]float64{0, 1, -1, nan, inf, -inf, math.MaxFloat64, math.SmallestNonzeroFloat64, -0.0001}),
	)
}

func anyMissing() *rapid.Generator[signals.Missing] {
	return rapid.SampledFrom([]signals.Missing{signals.Present, signals.Present, signals.Present, signals.NoSeries, signals.Late, signals.NotNumber, signals.Failed})
}

func anySide() *rapid.Generator[signals.Side] {
	return rapid.Custom(func(t *rapid.T) signals.Side {
		return signals.Side{
			Missing: anyMissing().Draw(t, "missing"),
			Counts:  signals.Counts{Requests: anyFloat().Draw(t, "requests"), Errors: anyFloat().Draw(t, "errors")},
			Pods:    rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.Just(signals.Counts{Requests: 1}), 0, 3).Draw(t, "pods"),
		}
	})
}

func anyTicks() *rapid.Generator[[]signals.Reading] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) signals.Reading {
		return signals.Reading{Candidate: anySide().Draw(t, "candidate"), Baseline: anySide().Draw(t, "baseline")}
	}), 0, 12)
}

func anyThreshold() *rapid.Generator[Threshold] {
	return rapid.Custom(func(t *rapid.T) Threshold {
		return Threshold{
			Max: rapid.Float64Range(0, 1).Draw(t, "max"), Increase: rapid.Float64Range(1, 100).Draw(t, "increase"), Floor: rapid.Float64Range(0, 0.5).Draw(t, "floor"),
			MinRequests: float64(rapid.IntRange(1, 500).Draw(t, "minRequests")), Ticks: rapid.IntRange(1, 4).Draw(t, "ticks"),
		}
	})
}

func anyInput() *rapid.Generator[Input] {
	return rapid.Custom(func(t *rapid.T) Input {
		in := Input{To: "rev 7", From: rapid.SampledFrom([]string{"", "rev 6", "rev 6"}).Draw(t, "from")}
		for range rapid.IntRange(0, 3).Draw(t, "signals") {
			in.Signals = append(in.Signals, Evidence{Signal: "s", Threshold: anyThreshold().Draw(t, "threshold"),
				History: anySide().Draw(t, "history"), Ticks: anyTicks().Draw(t, "ticks")})
		}
		return in
	})
}

// weighedInput is any input with the evidence layer on, and whatever else may be known. Pods say what they like: they need
// not sum to their side.
func weighedInput() *rapid.Generator[Input] {
	return rapid.Custom(func(t *rapid.T) Input {
		in := anyInput().Draw(t, "in")
		in.FalseAlarm = rapid.SampledFrom([]float64{0.001, 0.05, 0.5, 0.999}).Draw(t, "falseAlarm")
		in.Margin = rapid.OneOf(rapid.Float64Range(1, 110), rapid.SampledFrom([]float64{0, -1, nan, inf, 1.5})).Draw(t, "margin")
		in.PassEarly = rapid.Bool().Draw(t, "passEarly")
		counts := rapid.Custom(func(t *rapid.T) signals.Counts {
			return signals.Counts{Requests: anyFloat().Draw(t, "requests"), Errors: anyFloat().Draw(t, "errors")}
		})
		pods := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), counts, 0, 4)
		side := rapid.Custom(func(t *rapid.T) signals.Side {
			return signals.Side{Missing: anyMissing().Draw(t, "missing"), Counts: counts.Draw(t, "counts"), Pods: pods.Draw(t, "pods")}
		})
		for i := range in.Signals {
			e := &in.Signals[i]
			e.Lead = rapid.OneOf(rapid.Float64Range(-0.1, 1.1), rapid.SampledFrom([]float64{0, nan, inf})).Draw(t, "lead")
			e.Days = rapid.SliceOfN(side, 0, 3).Draw(t, "days")
			e.Blocks = rapid.SliceOfN(side, 0, 20).Draw(t, "blocks")
			for len(e.Blocks) > 0 && len(e.Blocks) < 70 && rapid.Bool().Draw(t, "longer") {
				e.Blocks = append(e.Blocks, e.Blocks...)
			}
			for range rapid.IntRange(0, 3).Draw(t, "neighbours") {
				e.Neighbours = append(e.Neighbours, Neighbour{Name: "n", Before: counts.Draw(t, "before"), After: counts.Draw(t, "after")})
			}
			for j := range e.Ticks {
				if rapid.Bool().Draw(t, "told apart") {
					e.Ticks[j].Candidate.Pods = pods.Draw(t, "pods")
				}
			}
		}
		return in
	})
}

// inputs are those of the threshold alone and those of both layers.
func inputs() *rapid.Generator[Input] { return rapid.OneOf(anyInput(), weighedInput()) }

// each changes every candidate's side of a copy of in.
func each(in Input, change func(signals.Side) signals.Side) Input {
	in.Signals = slices.Clone(in.Signals)
	for i, e := range in.Signals {
		e.Ticks = slices.Clone(e.Ticks)
		for j := range e.Ticks {
			e.Ticks[j].Candidate = change(e.Ticks[j].Candidate)
		}
		in.Signals[i] = e
	}
	return in
}

// Whatever a source says, a candidate without an error that can be believed is never called worse.
func TestNothingMakesRegressedFromNoErrors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := each(inputs().Draw(t, "in"), func(s signals.Side) signals.Side {
			if s.Spoke() {
				s.Errors = 0
			}
			return s
		})
		if v := Judge(in); v.Result == Regressed {
			t.Fatalf("regressed without an error: %s", v.Reasons[0].Sentence)
		}
	})
}

// A candidate that never spoke is neither worse nor well: the verdict is Undecided, whatever the baseline says.
func TestBlindnessDecidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := each(inputs().Draw(t, "in"), func(s signals.Side) signals.Side {
			if s.Spoke() {
				s.Missing = rapid.SampledFrom([]signals.Missing{signals.NoSeries, signals.Late, signals.NotNumber, signals.Failed}).Draw(t, "why")
			}
			return s
		})
		if v := Judge(in); v.Result != Undecided {
			t.Fatalf("%s of a candidate that never spoke: %s", v.Result, v.Reasons[0].Sentence)
		}
	})
}

// A baseline of which nothing is known makes nothing worse: there must be something to compare with, or no earlier
// revision at all.
func TestNoBaselineNoRegression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "in")
		in.From = "rev 6"
		for i := range in.Signals {
			in.Signals[i].History.Missing = signals.Late
			for j := range in.Signals[i].Ticks {
				in.Signals[i].Ticks[j].Baseline.Missing = signals.Failed
			}
		}
		if v := Judge(in); v.Result == Regressed {
			t.Fatalf("regressed against nothing: %s", v.Reasons[0].Sentence)
		}
	})
}

// Healthy is only said where at least one signal was judged, and every reason has its code and its sentence.
func TestHealthyNeedsSight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Judge(inputs().Draw(t, "in"))
		if v.Result == Healthy && !slices.ContainsFunc(v.Reasons, func(r Reason) bool { return r.Code == CodeWithin }) {
			t.Fatalf("healthy without a signal that was judged: %+v", v)
		}
		for _, r := range v.Reasons {
			if r.Code == "" || r.Sentence == "" {
				t.Fatalf("a reason without a code or a sentence: %+v", r)
			}
		}
	})
}

// The monotonicity that holds for the threshold alone: when errors are added to ticks in which the candidate served requests, the requests and
// all else staying as they are, Regressed stays Regressed, and what was not Healthy does not become so.
//
// It does not hold for failed requests added on top (more requests too): a tick that had to look back for enough requests
// may then have enough of its own, and the older, worse ticks are no longer looked at.
func TestMoreErrorsAreNeverBetter(t *testing.T) {
	rank := map[Result]int{Healthy: 0, Undecided: 1, Regressed: 2}
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "in")
		before := Judge(in)
		worse := each(in, func(s signals.Side) signals.Side {
			if s.Spoke() && s.Requests > 0 && s.Errors < 1e300 {
				s.Errors += float64(rapid.IntRange(0, 300).Draw(t, "more"))
			}
			return s
		})
		if after := Judge(worse); rank[after.Result] < rank[before.Result] {
			t.Fatalf("%s with more errors, %s before:\n%+v\n%+v", after.Result, before.Result, after, before)
		}
	})
}

// Likewise for a baseline that gets better: with fewer errors on its side and as many requests, Regressed stays Regressed.
func TestABetterBaselineIsNeverAnExcuse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "in")
		if Judge(in).Result != Regressed {
			return
		}
		better := func(s signals.Side) signals.Side {
			if s.Spoke() {
				s.Errors *= rapid.Float64Range(0, 1).Draw(t, "share")
			}
			return s
		}
		for i := range in.Signals {
			in.Signals[i].History = better(in.Signals[i].History)
			for j := range in.Signals[i].Ticks {
				in.Signals[i].Ticks[j].Baseline = better(in.Signals[i].Ticks[j].Baseline)
			}
		}
		if v := Judge(in); v.Result != Regressed {
			t.Fatalf("%s against a better baseline: %+v", v.Result, v)
		}
	})
}

// Whatever was read, the verdict can be written down and read by people.
func TestEachVerdictCanBeWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Judge(inputs().Draw(t, "in"))
		if _, err := json.Marshal(v); err != nil {
			t.Fatalf("%v: %+v", err, v)
		}
		for _, r := range v.Reasons {
			if strings.Contains(r.Sentence, "NaN") {
				t.Fatalf("not a sentence for people: %s", r.Sentence)
			}
		}
		if v.Early && v.Result != Healthy {
			t.Fatalf("early, and %s", v.Result)
		}
	})
}

// The judge leaves its input alone and always says the same of it.
func TestJudgeIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "in")
		for i := range in.Signals { // JSON has no NaN
			clean := func(s signals.Side) signals.Side {
				if !s.Spoke() {
					s.Requests, s.Errors = 0, 0
				}
				s.Requests, s.Errors = min(s.Requests, 1e9), min(s.Errors, 1e9)
				return s
			}
			in.Signals[i].History = clean(in.Signals[i].History)
			for j := range in.Signals[i].Ticks {
				in.Signals[i].Ticks[j].Candidate, in.Signals[i].Ticks[j].Baseline = clean(in.Signals[i].Ticks[j].Candidate), clean(in.Signals[i].Ticks[j].Baseline)
			}
		}
		mustEncode := func(x any) []byte {
			b, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		input := mustEncode(in)
		first := mustEncode(Judge(in))
		if !bytes.Equal(mustEncode(in), input) {
			t.Fatal("the input was changed")
		}
		var again Input
		if err := json.Unmarshal(input, &again); err != nil {
			t.Fatal(err)
		}
		if second := mustEncode(Judge(again)); !bytes.Equal(first, second) {
			t.Fatalf("judged twice:\n%s\n%s", first, second)
		}
	})
}
