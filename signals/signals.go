// Package signals is the vocabulary of what is measured for a workload: a Question put to a metrics source and the
// Readings that answer it. It knows no vendor, no Kubernetes and no configuration; each source is an adapter in a
// folder below this one.
package signals

import "time"

// Counts are what was counted over a window of time.
type Counts struct {
	Requests float64 `json:"requests"` // requests finished in the window
	Errors   float64 `json:"errors"`   // how many of them failed
}

// Add returns the sum of both counts.
func (c Counts) Add(o Counts) Counts {
	return Counts{Requests: c.Requests + o.Requests, Errors: c.Errors + o.Errors}
}

// Rate is the share of requests that failed, 0 to 1; 0 when nothing was requested.
func (c Counts) Rate() float64 {
	if c.Requests <= 0 {
		return 0
	}
	return c.Errors / c.Requests
}

// Missing says why a side could not be read. Missing is never zero: a side with counts has Missing == Present.
type Missing string

// Why a side could not be read.
const (
	Present   Missing = ""            // the side spoke; its counts, zero included, are true
	NoSeries  Missing = "no-series"   // the source answered, and has nothing for this side
	Late      Missing = "late"        // the newest sample is too old to speak for this window
	NotNumber Missing = "not-number"  // the source answered NaN, an infinity or a negative count
	Failed    Missing = "unavailable" // the source did not answer, or refused the query
)

// Side is what one side of a comparison (candidate, baseline or history) said over a window.
type Side struct {
	Missing Missing `json:"missing,omitempty"`
	Detail  string  `json:"detail,omitempty"` // one clause for people when Missing is set, e.g. "prometheus: connection refused"
	Counts
	Pods map[string]Counts `json:"pods,omitempty"` // by pod where the source can tell; the sum of it is Counts
}

// Spoke reports whether the side's counts may be believed: present, not negative and not beyond counting.
func (s Side) Spoke() bool {
	return s.Missing == Present && sane(s.Requests) && sane(s.Errors)
}

// maxCount is the largest count that a float holds exactly. Sums of what is below it stay finite.
const maxCount = 1 << 53

func sane(x float64) bool { return x >= 0 && x <= maxCount } // NaN is neither

// Window is a span of time, open at From and closed at To: samples in (From, To] belong to it.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Reading is what a Signal said for both sides over one window.
type Reading struct {
	Window    Window `json:"window"`
	Candidate Side   `json:"candidate"`
	Baseline  Side   `json:"baseline"`
	// Others are the counts of other workloads, by name, where the Question asked for them and they have series.
	Others map[string]Counts `json:"others,omitempty"`
}

// Question asks a source for the Readings of one count signal of one workload over consecutive windows.
type Question struct {
	Signal    string // name of the signal, for messages
	Errors    string // query for the counter of failed requests, in the source's language, variables not yet replaced
	Requests  string // query for the counter of all requests
	ByPod     bool   // the counters carry a pod label; without it they count the whole service, and all of it is Candidate
	Vars      map[string]string
	Kind      string // of the workload
	Workload  string // its name
	Candidate string // pods whose names begin with this are the candidate (ReplicaSet name and a dash); used with ByPod
	Baseline  string // likewise the baseline; empty: there is none

	// Whole makes all pods of the workload the candidate, whichever revision they are of, in place of those that Candidate
	// and Baseline name. Without ByPod that is so anyway.
	Whole bool
	// Others asks, with ByPod, for up to so many other workloads whose pods are in the same answer: the largest by requests
	// in the newest part of what is asked for. OtherNames asks for these instead.
	Others     int
	OtherNames []string

	// Bounds are the edges of the windows asked for, ascending: n+1 bounds give n Readings.
	Bounds []time.Time

	// FromZero says that candidate pods began life in this bake, so that a counter first seen counts from zero.
	// Pods named in Seen were counted before: theirs continue from the first sample of the answer instead.
	FromZero bool
	Seen     map[string]bool
	// Born bounds FromZero: a pod with a sample before this time is of an earlier life of the same revision, and its
	// counter continues. Zero: no pod is.
	Born time.Time
}
