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
	// Detail is one clause for people: why the side is Missing, e.g. "prometheus: connection refused", or what most of its
	// errors were, where the source knows.
	Detail string `json:"detail,omitempty"`
	Counts
	Pods map[string]Counts `json:"pods,omitempty"` // by pod where the source can tell; the sum of it is Counts
	// Value is what a question for a value found: the worst pod's, where pods are told apart. It has no counts then.
	Value float64 `json:"value,omitempty"`
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

// The sources, by name.
const (
	Prometheus = "prometheus"
	Datadog    = "datadog"
	Kubernetes = "kubernetes"
	Logs       = "logs"
	Loki       = "loki"
	Probe      = "probe"
)

// By says how a source tells the two sides apart.
type By string

// What the sides may be told apart by.
const (
	ByService By = ""        // not at all: the whole service is counted, and all of it is Candidate
	ByPod     By = "pod"     // by the pods' names
	ByVersion By = "version" // by the version that both sides report of themselves
)

// Query is how one source measures a signal, in that source's language, with variables that are not yet replaced. Exactly
// one of Errors, Good, Histogram, Events, Value and Flow is set; a Query without any is not known yet.
type Query struct {
	Source string `json:"source,omitempty"` // one of the sources; empty means prometheus
	Preset string `json:"preset,omitempty"` // the preset it was taken from; empty: people wrote it
	By     By     `json:"by,omitempty"`

	// Errors counts the requests that failed, Good those that did not, of all that Requests counts.
	Errors   string `json:"errors,omitempty"`
	Good     string `json:"good,omitempty"`
	Requests string `json:"requests,omitempty"`
	// Histogram is one of durations: its observations are the requests, and those above Over failed. Over is a
	// bound of its buckets where these are counters of their own. Beside Errors it is above what these counted.
	Histogram string  `json:"histogram,omitempty"`
	Over      float64 `json:"over,omitempty"`
	Milli     bool    `json:"milli,omitempty"` // the histogram's durations, and Over, are in milliseconds
	// Events is a counter of events, by pod. Each pod is one request in each window, which failed if there was an event. A
	// counter that is there only once there was one goes with Requests: whatever is there of each pod.
	Events string `json:"events,omitempty"`
	// Value is a value of which more is worse. BaselineValue, if set, asks for the baseline's apart: then neither is told
	// apart by pod.
	Value         string `json:"value,omitempty"`
	BaselineValue string `json:"baselineValue,omitempty"`
	// Flow is a user flow as JSON, see signals/probe/flow. Its runs are the requests.
	Flow string `json:"flow,omitempty"`
}

// Known reports whether the query asks for anything.
func (q Query) Known() bool {
	return q.Errors != "" || q.Good != "" || q.Histogram != "" || q.Events != "" || q.Value != "" || q.Flow != ""
}

// From is the name of the source that answers it.
func (q Query) From() string {
	if q.Source == "" {
		return Prometheus
	}
	return q.Source
}

// Key tells a signal measured by the query from others of the same name that another source answers.
func (q Query) Key(signal string) string {
	if q.From() == Prometheus {
		return signal
	}
	return signal + "@" + q.From()
}

// Found is one way in which a signal of a workload is measured.
type Found struct {
	Signal string `json:"signal"`
	Query
}

// Question asks a source for the Readings of one signal of one workload over consecutive windows.
type Question struct {
	Signal string // name of the signal, for messages
	Query
	Vars      map[string]string
	Kind      string // of the workload
	Workload  string // its name
	Candidate string // pods whose names begin with this are the candidate (ReplicaSet name and a dash); used with ByPod
	Baseline  string // likewise the baseline; empty: there is none

	// What both sides call their version; used with ByVersion. Empty: they do not say.
	CandidateVersion, BaselineVersion string

	// Whole makes all pods of the workload the candidate, whichever revision they are of, in place of those that Candidate
	// and Baseline name. Without ByPod that is so anyway.
	Whole bool
	// Others asks, with ByPod, for up to so many other workloads whose pods are in the same answer: the largest by requests
	// in the newest part of what is asked for. OtherNames asks for these instead.
	Others     int
	OtherNames []string

	// Lives, where the names of pods do not tell of which revision they are, are the candidate's pods, and when each was born;
	// they take the place of Candidate. All other pods of the workload, and those of the same names before that time, are the
	// baseline's, unless Baseline is empty. Used with ByPod.
	Lives map[string]time.Time

	// Bounds are the edges of the windows asked for, ascending: n+1 bounds give n Readings.
	Bounds []time.Time

	// FromZero says that candidate pods began life in this bake, so that a counter first seen counts from zero.
	// Pods named in Seen were counted before: theirs continue from the first sample of the answer instead.
	FromZero bool
	Seen     map[string]bool
	// Born is when what the candidate does began. It bounds FromZero: a pod with a sample before this time is of an earlier life of the
	// same revision, and its counter continues. And what was so at this time already, such as an alert, is not the candidate's doing.
	// Zero: nothing is known of that.
	Born time.Time
}
