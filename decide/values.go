package decide

import (
	"math"
	"slices"
	"strconv"

	"github.com/bakewatch/bakewatch/signals"
)

// Values are all that was read of one value signal for one bake: a latency quantile, memory, the share of throttled
// periods. More is worse. A value that could not be read is NaN.
type Values struct {
	Signal    string
	Source    string // in sentences, where more than one source measures the signal
	Unit      string // in sentences, after the number: "s", "MiB"
	Threshold ValueThreshold
	History   []float64 // the baseline's values before the rollout, one a tick
	Ticks     []Pair    // since the first new pod was ready, oldest first
	Read      Evidence  // as it was read, for those who keep it
}

// Values is the evidence of a signal that is a value: what its sides have in place of counts.
func (e Evidence) Values(t ValueThreshold, unit string) Values {
	v := Values{Signal: e.Signal, Source: e.Source, Unit: unit, Threshold: t, Read: e}
	for _, b := range e.Blocks {
		v.History = append(v.History, value(b))
	}
	for _, r := range e.Ticks {
		v.Ticks = append(v.Ticks, Pair{Candidate: value(r.Candidate), Baseline: value(r.Baseline)})
	}
	return v
}

// value is a side's value; NaN where it is missing.
func value(s signals.Side) float64 {
	if s.Missing != signals.Present {
		return math.NaN()
	}
	return s.Value
}

// Pair is both sides' value in one tick.
type Pair struct{ Candidate, Baseline float64 }

// ValueThreshold is the smallest effect that matters.
type ValueThreshold struct {
	Max      float64 `json:"max,omitempty"` // a value above it is too much, unless the baseline's was; 0: no ceiling
	Increase float64 `json:"increase"`      // how many times the baseline's value is too much
	Floor    float64 `json:"floor"`         // smallest increase that matters, in the signal's unit
	Ticks    int     `json:"ticks"`         // how many of the newest ticks in a row must be over it
}

func (t ValueThreshold) over(value, base float64) bool {
	return value >= base+t.Floor && (value > t.Increase*base || (t.Max > 0 && value > t.Max && base <= t.Max))
}

// Limit is the value above which a candidate is over the threshold, for people to see.
func (t ValueThreshold) Limit(base float64) float64 {
	limit := t.Increase * base
	if t.Max > 0 && base <= t.Max {
		limit = math.Min(limit, t.Max)
	}
	return math.Max(limit, base+t.Floor)
}

// fewestPast is the fewest values of a past that is compared with.
const fewestPast = 20

// bets are the chances of being over the threshold that the sign test bets on, in parts of the way from the null's chance
// to 1. Each has the same weight.
var bets = []float64{0.3, 0.6, 0.9, 0.98}

// sign is what one tick says: whether the candidate is worse by more than matters, and the chance of that, at most, for a
// candidate that is not.
type sign struct {
	known, worse bool
	chance       float64
}

// signs look at each tick. Beside an old pod's value, a candidate that is no worse is over the threshold in at most every
// second tick, whatever the distribution. Compared with the past, it is above the past's tenth largest in a hundred in at
// most as many ticks as the past itself was, with what one does not know of so many values added.
func (v Values) signs() (out []sign, spell float64) {
	past := slices.DeleteFunc(slices.Clone(v.History), func(x float64) bool { return !usable(x) })
	sorted := slices.Sorted(slices.Values(past))
	n := len(sorted)
	var high, middle, chance float64
	spell = 1
	if n >= fewestPast {
		high, middle = sorted[n-1-n/10], sorted[n/2]
		p := float64(n/10+1) / float64(n+1)
		chance = math.Min(0.5, p+sureSign*math.Sqrt(p*(1-p)/float64(n)))
		spell = meanSpell(past, high)
	}
	for _, t := range v.Ticks {
		s := sign{}
		switch {
		case !usable(t.Candidate):
		case usable(t.Baseline):
			s = sign{known: true, worse: v.Threshold.over(t.Candidate, t.Baseline), chance: 0.5}
		case n >= fewestPast:
			s = sign{known: true, worse: t.Candidate > high && v.Threshold.over(t.Candidate, middle), chance: chance}
		}
		out = append(out, s)
	}
	return out, spell
}

// sureSign is how many standard errors the past's share of high values is taken higher than it was: 95% on one side.
const sureSign = 1.645

func usable(x float64) bool { return x >= 0 && x <= math.MaxFloat64/1e6 }

// meanSpell is how many values in a row were above a level, on the mean: slow spells are one event, not many.
func meanSpell(values []float64, level float64) float64 {
	spells, above := 0, 0
	for i, x := range values {
		if x > level {
			above++
			if i == 0 || values[i-1] <= level {
				spells++
			}
		}
	}
	if spells == 0 {
		return 1
	}
	return float64(above) / float64(spells)
}

// weighSigns is the logarithm of the e-value of the signs, mixed over onsets as that of counts is, and the onset it speaks
// for most. Ticks in spells count as one.
func weighSigns(signs []sign, spell float64) (logE float64, onset int) {
	logE, best := math.Inf(-1), math.Inf(-1)
	since := make([]float64, len(bets)) // logarithm of each bet's gain since the tick
	for s := len(signs) - 1; s >= 0; s-- {
		x := signs[s]
		if !x.known {
			continue
		}
		e := math.Inf(-1)
		for i, b := range bets {
			p := x.chance + b*(1-x.chance)
			if x.worse {
				since[i] += math.Log(p / x.chance)
			} else {
				since[i] += math.Log((1 - p) / (1 - x.chance))
			}
			e = logAdd(e, since[i]/spell-math.Log(float64(len(bets))))
		}
		if !isOnset(s) {
			continue
		}
		e += logOnset(s)
		logE = logAdd(logE, e)
		if e > best {
			best, onset = e, s
		}
	}
	return logE, onset
}

// judgeValues judges a value signal. Without the evidence layer, the newest ticks over the threshold are enough.
func (b *bench) judgeValues(v Values) finding {
	signs, spell := v.signs()
	known, run := 0, 0
	for _, s := range signs {
		switch {
		case !s.known:
			continue
		case s.worse:
			run++
		default:
			run = 0
		}
		known++
	}
	if known*2 <= len(signs) {
		return finding{result: Undecided, reason: Reason{Code: CodeBlind, Signal: v.Signal,
			Sentence: title(v.Signal, v.Source) + ": could be compared in " + strconv.Itoa(known) + " of " + ticks(len(signs))}}
	}
	logE, onset := weighSigns(signs, spell)
	reason := Reason{Code: CodeWithin, Signal: v.Signal, Sentence: v.sentence(0, b.names)}
	reason.Numbers.LogE = logE
	over := run >= v.Threshold.Ticks
	switch {
	case over && (b.ratios == nil || logE >= math.Log(b.odds)):
		reason.Code, reason.Sentence = CodeThreshold, v.sentence(onset, b.names)
		if b.ratios != nil {
			reason.Sentence += ", chance of a false alarm under 1 in " + number(b.odds)
		}
		return finding{result: Regressed, reason: reason}
	case over && logE >= suspicious:
		reason.Code, reason.Sentence = CodeSuspicion, v.sentence(onset, b.names)+"; the chance of a false alarm is "+oneIn(math.Exp(logE))+", 1 in "+number(b.odds)+" is needed"
		return finding{result: Undecided, reason: reason}
	}
	return finding{result: Healthy, reason: reason}
}

// sentence holds the medians against each other.
func (v Values) sentence(onset int, names sides) string {
	var candidate, baseline []float64
	for _, t := range v.Ticks[onset:] {
		if usable(t.Candidate) {
			candidate = append(candidate, t.Candidate)
		}
		if usable(t.Baseline) {
			baseline = append(baseline, t.Baseline)
		}
	}
	if len(baseline) == 0 {
		for _, x := range v.History {
			if usable(x) {
				baseline = append(baseline, x)
			}
		}
	}
	c, b := median(candidate), median(baseline)
	s := title(v.Signal, v.Source) + ": " + v.amount(c) + " on " + names.to + " against " + v.amount(b) + " on " + names.fromOr("the version before")
	if b > 0 && c >= 1.5*b {
		s += "; " + times(c/b) + " as much"
	}
	return s
}

func (v Values) amount(x float64) string {
	return strconv.FormatFloat(x, 'g', 3, 64) + " " + v.Unit
}

func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(xs))[len(xs)/2]
}
