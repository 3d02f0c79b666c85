package decide

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

var latency = ValueThreshold{Increase: 1.5, Floor: 0.05, Ticks: 2}

// around draws values with a log-normal spread of 20%.
func around(r *rand.Rand, median float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = median * math.Exp(0.2*r.NormFloat64())
	}
	return out
}

func pairs(candidate, baseline []float64) []Pair {
	out := make([]Pair, len(candidate))
	for i := range out {
		out[i] = Pair{candidate[i], nan}
		if baseline != nil {
			out[i].Baseline = baseline[i]
		}
	}
	return out
}

func judgedValues(t *testing.T, v Values) (Result, Reason) {
	t.Helper()
	v.Signal, v.Unit, v.Threshold = "latency-p99", "s", latency
	got := Judge(Input{To: "rev 7", From: "rev 6", FalseAlarm: 0.001, Values: []Values{v}})
	if len(got.Reasons) != 1 {
		t.Fatalf("%d reasons: %+v", len(got.Reasons), got)
	}
	return got.Result, got.Reasons[0]
}

func TestValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	past := around(r, 0.2, 240)
	for _, c := range []struct {
		name   string
		v      Values
		result Result
		code   string
	}{
		{"as slow as before", Values{History: past, Ticks: pairs(around(r, 0.2, 60), nil)}, Healthy, CodeWithin},
		{"three times as slow as before", Values{History: past, Ticks: pairs(around(r, 0.6, 8), nil)}, Regressed, CodeThreshold},
		{"for too short a time", Values{History: past, Ticks: pairs(around(r, 0.6, 3), nil)}, Undecided, CodeSuspicion},
		{"as slow as the old pods beside it", Values{History: past, Ticks: pairs(around(r, 0.9, 60), around(r, 0.9, 60))}, Healthy, CodeWithin},
		{"three times as slow as they are", Values{Ticks: pairs(around(r, 0.6, 20), around(r, 0.2, 20))}, Regressed, CodeThreshold},
		{"slower by less than matters", Values{Ticks: pairs(around(r, 0.03, 60), around(r, 0.01, 60))}, Healthy, CodeWithin},
		{"slow at first, and well again", Values{History: past, Ticks: append(pairs(around(r, 0.6, 8), nil), pairs(around(r, 0.2, 8), nil)...)}, Healthy, CodeWithin},
		{"slow from the middle on", Values{History: past, Ticks: append(pairs(around(r, 0.2, 20), nil), pairs(around(r, 0.6, 10), nil)...)}, Regressed, CodeThreshold},
		{"a past that is too short", Values{History: past[:10], Ticks: pairs(around(r, 0.6, 20), nil)}, Undecided, CodeBlind},
		{"not a number", Values{History: past, Ticks: pairs([]float64{nan, inf, -1, nan}, nil)}, Undecided, CodeBlind},
		{"nothing", Values{}, Undecided, CodeBlind},
	} {
		t.Run(c.name, func(t *testing.T) {
			result, reason := judgedValues(t, c.v)
			if result != c.result || reason.Code != c.code {
				t.Errorf("%s (%s), want %s (%s): %s", result, reason.Code, c.result, c.code, reason.Sentence)
			}
			if strings.Contains(reason.Sentence, "NaN") {
				t.Errorf("not a sentence for people: %s", reason.Sentence)
			}
		})
	}
	_, reason := judgedValues(t, Values{Ticks: pairs([]float64{0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6}, []float64{0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2})})
	if want := "latency-p99: 0.6 s on rev 7 against 0.2 s on rev 6; 3x as much, chance of a false alarm under 1 in 1,000"; reason.Sentence != want {
		t.Errorf("said\n%s, want\n%s", reason.Sentence, want)
	}
}

// A ceiling counts where the baseline was below it; without the evidence layer the newest ticks are enough.
func TestValuesByThresholdAlone(t *testing.T) {
	v := Values{Signal: "memory", Unit: "MiB", Threshold: ValueThreshold{Max: 500, Increase: 10, Ticks: 2}, Ticks: pairs([]float64{510, 520}, []float64{480, 480})}
	if got := Judge(Input{To: "b", From: "a", Values: []Values{v}}); got.Result != Regressed {
		t.Errorf("over the ceiling: %+v", got)
	}
	v.Ticks = pairs([]float64{510, 520}, []float64{505, 505})
	if got := Judge(Input{To: "b", From: "a", Values: []Values{v}}); got.Result != Healthy {
		t.Errorf("it was above the ceiling before: %+v", got)
	}
}

// A version that is no slower is hardly ever called so, however often one looks: at 1 in 20 accepted, 1,000 runs.
func TestValuesFalseAlarms(t *testing.T) {
	const alpha, runs = 0.05, 1000
	for _, c := range []struct {
		name  string
		draw  func(r *rand.Rand) ([]float64, []Pair)
		times float64
	}{
		{"beside", func(r *rand.Rand) ([]float64, []Pair) { return nil, pairs(around(r, 0.3, 60), around(r, 0.2, 60)) }, 1},
		{"after", func(r *rand.Rand) ([]float64, []Pair) { return around(r, 0.2, 120), pairs(around(r, 0.2, 60), nil) }, 1},
	} {
		wrong := 0
		for i := range runs {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			v := Values{Threshold: ValueThreshold{Increase: 1.5, Ticks: 1}}
			if c.name == "after" {
				v.Threshold.Increase = 1 // so that the past's own spread is all there is
			}
			v.History, v.Ticks = c.draw(r)
			signs, spell := v.signs()
			for k := range signs {
				if logE, _ := weighSigns(signs[:k+1], spell); logE >= math.Log(1/alpha) {
					wrong++
					break
				}
			}
		}
		if most := alpha*runs + 3*math.Sqrt(alpha*runs); float64(wrong) > most {
			t.Errorf("%s: %d of %d runs are false alarms, more than 1 in 20", c.name, wrong, runs)
		}
	}
}

func TestValuesOfNothing(t *testing.T) {
	if got := meanSpell([]float64{1, 2, 1}, 5); got != 1 {
		t.Errorf("without a spell above the level, spells of %v", got)
	}
	if got := meanSpell([]float64{9, 9, 1, 9, 1, 9, 9, 9}, 5); got != 2 {
		t.Errorf("spells of %v, want 2", got)
	}
	if got := median(nil); got != 0 {
		t.Errorf("a median of nothing: %v", got)
	}
	if got, _ := weighSigns([]sign{{}, {}}, 1); !math.IsInf(got, -1) {
		t.Errorf("of no sign that is known: %v", got)
	}
}
