package signals

import "time"

// PodState is how a pod is, as the cluster tells, at one moment.
type PodState struct {
	Name   string    `json:"name"`
	Node   string    `json:"node,omitempty"`
	Born   time.Time `json:"born"`
	Ready  bool      `json:"ready,omitempty"`
	Going  bool      `json:"going,omitempty"`  // it is being deleted, or was evicted, and is replaced
	Probed bool      `json:"probed,omitempty"` // one of its containers has a readiness probe

	// Ends is how many times its container that ended most often has ended, and Ran for how long that one has run in all,
	// about: only its last two runs are known.
	Ends int           `json:"ends,omitempty"`
	Ran  time.Duration `json:"ran,omitempty"`

	Trouble *Trouble `json:"trouble,omitempty"` // nil: none is known
	Images  []string `json:"images,omitempty"`  // of its containers
	Uses    []string `json:"uses,omitempty"`    // the ConfigMaps and Secrets that it cannot start without, and keys of them: configmap/web, key dsn of secret/web
	Asks    string   `json:"asks,omitempty"`    // digest of what it asks of a node; equal ones fit on the same nodes
}

// Cause is what keeps a pod from running.
type Cause string

// The causes.
const (
	CrashLoop     Cause = "CrashLoopBackOff"           // a container ends again and again
	OOMKilled     Cause = "OOMKilled"                  // likewise, killed for want of memory
	ImagePull     Cause = "ImagePullBackOff"           // an image cannot be pulled
	ConfigError   Cause = "CreateContainerConfigError" // a ConfigMap or Secret, or a key of one, is not there
	RunError      Cause = "RunContainerError"          // a container cannot be made or started
	Unschedulable Cause = "Unschedulable"              // no node takes it
	Evicted       Cause = "Evicted"                    // its node, or a limit, put it out
	ProbeFailed   Cause = "Unhealthy"                  // it runs, and its probes fail
)

// Trouble is what keeps a pod from running, or has ended a container of it the last time.
type Trouble struct {
	Cause     Cause    `json:"cause"`
	Container string   `json:"container,omitempty"`
	Message   string   `json:"message,omitempty"` // what the cluster says of it: one short line, in which nothing secret stands
	Image     string   `json:"image,omitempty"`   // of an ImagePull
	Pull      PullFail `json:"pull,omitempty"`    // how it fails
	Missing   string   `json:"missing,omitempty"` // of a ConfigError, if the cluster names it, as in Uses
	Limit     string   `json:"limit,omitempty"`   // memory limit of an OOMKilled container; empty: it has none
	Used      string   `json:"used,omitempty"`    // memory that it was seen to use at most; empty: not known
	ExitCode  int32    `json:"exitCode,omitempty"`
	OwnFault  bool     `json:"ownFault,omitempty"` // of a RunError: the message says that it is the image's, or the spec's, on any node
}

// PullFail is how pulling an image fails, which says whose fault it may be.
type PullFail string

// The ways.
const (
	NotFound    PullFail = "not-found"   // the registry answered that it has no such image, or the name is no name
	Denied      PullFail = "denied"      // the registry wants other credentials
	Unreachable PullFail = "unreachable" // all else: it does not answer, or not well
)

// Pulling is an image that a pod of another workload cannot pull.
type Pulling struct {
	Workload string   `json:"workload"`
	Image    string   `json:"image"`
	Pull     PullFail `json:"pull"`
}

// PodLook is how the pods of both sides were at one moment.
type PodLook struct {
	At        time.Time  `json:"at"`
	Candidate []PodState `json:"candidate"`
	Baseline  []PodState `json:"baseline"`
	// Elsewhere are pods of other workloads that cannot pull their images, looked for only where the candidate's cannot.
	Elsewhere []Pulling `json:"elsewhere,omitempty"`
}
