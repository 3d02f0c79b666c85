// Package decide is the judge: Readings in, Verdict out. It has no I/O, no clock and no logger, so that the same input
// gives the same Verdict, byte for byte.
package decide

import "github.com/bakewatch/bakewatch/signals"

// Result is what a Verdict says.
type Result string

// The results.
const (
	Healthy   Result = "Healthy"   // enough was seen, and it is not worse than policy allows
	Regressed Result = "Regressed" // the candidate is worse than policy allows
	Undecided Result = "Undecided" // not enough was seen to tell
)

// Threshold is what people tune for a signal. All rates are shares, 0 to 1.
type Threshold struct {
	Max         float64 `json:"max"`         // ceiling: an error rate above it is too high, unless the baseline was above it too
	Increase    float64 `json:"increase"`    // how many times the baseline's rate is too high
	Floor       float64 `json:"floor"`       // smallest increase over the baseline's rate that matters
	MinRequests float64 `json:"minRequests"` // fewest requests of the candidate that may be judged
	Ticks       int     `json:"ticks"`       // how many ticks in a row must be over the threshold
}

// Reason is one ground of a Verdict: a code, its numbers, and one sentence that is used word for word everywhere.
type Reason struct {
	Code     string  `json:"code"`
	Signal   string  `json:"signal,omitempty"`
	Sentence string  `json:"sentence"`
	Numbers  Numbers `json:"numbers"`
}

// Numbers are the figures a Reason's sentence was made from.
type Numbers struct {
	Candidate signals.Counts `json:"candidate"`
	Baseline  signals.Counts `json:"baseline"`
	// LogE is the natural logarithm of the e-value against "no worse than the margin"; 0 where the evidence layer is off
	// or had nothing to weigh.
	LogE float64 `json:"logE,omitempty"`
}

// Verdict is what the judge says of a bake at one moment.
type Verdict struct {
	Result Result `json:"result"`
	// Early says that the candidate is so surely no worse than the margin that the window need not be waited for.
	Early   bool     `json:"early,omitempty"`
	Reasons []Reason `json:"reasons,omitempty"`
	// Suspected is, of the reasons of an Undecided verdict, the one by which most evidence has gathered, where that is most of
	// what it takes; nil where there is none. See suspicion.
	Suspected *Reason `json:"suspected,omitempty"`
}

// Wording is how sentences speak of what a signal counts: "8% of 1,240 requests failed".
type Wording struct {
	Counted string `json:"counted,omitempty"` // "requests"; empty: what the signal's query suggests
	Bad     string `json:"bad,omitempty"`     // "failed"
}

// DefaultMargin is how many times worse is not yet worse, where policy says nothing. It is never 1: pods differ, and two
// sides that are the same are found different if looked at for long enough.
const DefaultMargin = 1.5
