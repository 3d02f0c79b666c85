// Package announce tells people and their tools about bakes. A Story is what there is to tell; a Receiver is one place
// that can be told; the Desk delivers, retries and keeps one slow receiver from delaying anybody else.
package announce

import (
	"context"
	"time"
)

// Stage is a point in a bake's life at which receivers are told.
type Stage string

// The stages, in order.
const (
	Started Stage = "started" // a rollout is being watched

	Suspicion Stage = "suspicion" // evidence is gathering, and nothing is decided

	Deciding Stage = "deciding" // a regression was found, and this is what is being done about it
	Ended    Stage = "ended"    // the bake has an outcome
	Resolved Stage = "resolved" // what was found is over: recovered, followed by a newer rollout, or nobody came; only for those who keep something open
)

// How much a story matters, as Alertmanager's label says it.
const (
	Info     = "info"     // all is as it should be
	Warning  = "warning"  // to be looked at: a rollout could not be judged, or would have been rolled back
	Critical = "critical" // a rollout was rolled back, or waits for a person
)

// Story is what there is to tell of one bake at one stage. Its sentences are final: receivers print them word for word.
type Story struct {
	Bake      string `json:"bake"`      // namespace/name of the Bake object: the key under which receivers converge
	Namespace string `json:"namespace"` // of the workload and of the Bake
	Kind      string `json:"kind"`      // Deployment, ...
	Workload  string `json:"workload"`  // its name
	UID       string `json:"uid"`       // the workload's UID

	Labels map[string]string `json:"labels,omitempty"` // the workload's own when the bake began

	Stage    Stage  `json:"stage"`
	Outcome  string `json:"outcome,omitempty"` // set once the bake has ended
	Severity string `json:"severity"`          // Info, Warning or Critical
	Observed bool   `json:"observed"`          // mode: observe; what is told was only said, not done

	Headline string   `json:"headline"`          // one line: what happened
	Why      string   `json:"why,omitempty"`     // the first reason's sentence
	Reasons  []string `json:"reasons,omitempty"` // all reasons' sentences
	Recovery string   `json:"recovery,omitempty"`

	Recovered string `json:"recovered,omitempty"` // after a rollback: Yes, No or Unknown

	Measured []Measure `json:"measured,omitempty"` // what each signal counted
	Pods     []Pod     `json:"-"`                  // some of the new ones, as they were when a regression was found

	From      string   `json:"from,omitempty"` // "rev 6 (web-5d9f, app:v1)"
	To        string   `json:"to"`
	Version   string   `json:"candidateVersion,omitempty"` // what the new pods call their version, else ImageTag
	ImageTag  string   `json:"imageTag,omitempty"`         // of the images that changed, or of all if none did; empty if they differ
	Changes   []string `json:"changes,omitempty"`
	ChangedBy string   `json:"changedBy,omitempty"`

	Links []Link `json:"links,omitempty"` // where to read more

	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt,omitzero"` // zero while the bake goes on

	Report string `json:"-"` // the whole report in Markdown that GitHub takes, once the bake has ended and leaves work for people; else empty

	Decided bool              `json:"-"` // a regression was found and acted upon; who was told of it is told how it ended
	Earlier map[string]string `json:"-"` // what receivers called the messages of earlier stages, by receiver, as far as it is on record
}

// Link leads to where there is more to read.
type Link struct {
	Title string `json:"title"`
	URL   string `json:"url"` // http or https
}

// Measure is what a signal counted over the bake, "errors / requests" or, where it is a value, its median; empty: nothing.
type Measure struct {
	Signal    string `json:"signal"`
	Candidate string `json:"candidate,omitempty"` // the new revision's
	Baseline  string `json:"baseline,omitempty"`  // the old one's at the same time
	History   string `json:"history,omitempty"`   // the old one's before the rollout
}

// Pod is how a new pod was. Its lines are redacted.
type Pod struct {
	Name     string
	State    string // ready, or what keeps it from that
	Restarts int32
	Events   []string // its newest warnings
	Lines    []string // the last that its failing container wrote
}

// Alert is one alert as Alertmanager keeps it. It is sent again while it fires, because Alertmanager forgets.
type Alert struct {
	Name      string    // alertname, e.g. BakewatchRolledBack
	Severity  string    // critical, warning or info
	Story     Story     // what it is about
	StartsAt  time.Time // when it began to fire
	EndsAt    time.Time // when it ends: in the past or now to resolve it, in the future to let it lapse if nobody sends it again
	Generator string    // a link to where it comes from; may be empty
}

// Receiver is one place that can be told a story.
type Receiver interface {
	// Name is the receiver's name in receipts, logs and metrics: grafana, slack, webhook, events.
	Name() string
	// Tell delivers the story. Telling the same bake and stage again must converge where the receiver takes a key.
	// It returns what the receiver calls the message, if anything, and it returns soon after ctx ends. An error that trying again cannot mend wraps ErrFinal.
	Tell(ctx context.Context, s Story) (id string, err error)
}
