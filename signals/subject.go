package signals

import "time"

// Subject is a workload of which it is looked for what measures it.
type Subject struct {
	Kind, Namespace, Name string
	Signals               []string // names of the signals that are looked for
	Candidate, Baseline   Version  // an empty Baseline: there is no earlier one
	Routes                []Route  // what leads to its pods
	Service               string   // what its pods call their service, by the label tags.datadoghq.com/service; empty: they do not say
	Past                  time.Time
	At                    time.Time // when it is looked for; From Past to here the baseline served alone
}

// Version is one side of a comparison, as sources may know it.
type Version struct {
	Pods    string // how the names of its pods begin; empty when names do not tell
	Version string // what it calls itself: a label of its pods, or the tag of its image
}

// Route is a Service that leads to the workload's pods, and what leads to that.
type Route struct {
	Service   string
	Ports     []Port
	Ingresses []Ingress
}

// Port is one of a Service.
type Port struct {
	Name   string
	Number int32
}

// Ingress is an object that leads to a Service from outside: an Ingress, or a Traefik IngressRoute.
type Ingress struct {
	Kind, Name string
	Class      string // of an Ingress
	Hosts      []string
	Port       Port // of the Service
}

// Absent is a preset that does not measure a subject, and why, in one clause for people.
type Absent struct {
	Signal, Preset, Why string
}
