// Package flow is what a user flow is: a few steps, what each of them sends, expects and captures. It reads flows, compiles
// them and judges answers; it sends nothing itself.
package flow

import (
	"encoding/json"
	"fmt"
	"time"
)

// Defaults of what a flow does not say.
const (
	DefaultEvery   = 5 * time.Second
	DefaultTimeout = 5 * time.Second
)

// The bounds of a flow.
const (
	MinEvery   = time.Second
	MaxEvery   = 5 * time.Minute
	MinTimeout = 100 * time.Millisecond
	MaxTimeout = 30 * time.Second
	MaxRun     = 2 * time.Minute // all steps together, each taking as long as it may
	MaxSteps   = 20
	MaxText    = 16 << 10 // bytes of a flow as JSON: it is kept with each Bake
	maxNamed   = 30       // headers, captures, hosts and secret files, each
	maxName    = 60       // runes of a step's name
)

// MaxBody is how much of an answer's body is read, in bytes. What comes after it is not looked at.
const MaxBody = 256 << 10

// Flow is a user flow as people write it. It is run against one pod at a time.
type Flow struct {
	Every   Duration `json:"every,omitempty"`   // between the beginnings of two runs against the same pod; 0: DefaultEvery
	Timeout Duration `json:"timeout,omitempty"` // of one step; 0: DefaultTimeout
	TLS     *TLS     `json:"tls,omitempty"`     // nil: pods and Services are spoken to without TLS
	// SecretFiles are absolute paths of files, by the name under which steps use their content.
	SecretFiles map[string]string `json:"secretFiles,omitempty"`
	// Hosts are the hosts that steps may go to by URL, beside the workload's own pods and Services.
	Hosts []string `json:"hosts,omitempty"`
	Steps []Step   `json:"steps"`
}

// TLS is how certificates are checked. ServerName and InsecureSkipVerify are for pods and Services only.
type TLS struct {
	CAFile             string `json:"caFile,omitempty"`   // empty: the system's authorities
	CertFile           string `json:"certFile,omitempty"` // with KeyFile, the client certificate
	KeyFile            string `json:"keyFile,omitempty"`
	ServerName         string `json:"serverName,omitempty"`         // name expected in the certificate; empty: the pod's address, or the Service's name
	InsecureSkipVerify bool   `json:"insecureSkipVerify,omitempty"` // accept any certificate
}

// Step is one call of a flow: exactly one of HTTP, TCP and GRPC. It goes to the pod, unless a Service or a URL is named.
type Step struct {
	Name    string             `json:"name,omitempty"`
	HTTP    *HTTP              `json:"http,omitempty"`
	TCP     *TCP               `json:"tcp,omitempty"`
	GRPC    *GRPC              `json:"grpc,omitempty"`
	Service string             `json:"service,omitempty"` // of the workload's namespace, leading to its pods
	Expect  *Expect            `json:"expect,omitempty"`
	Capture map[string]Capture `json:"capture,omitempty"` // by name; HTTP only
}

// HTTP is a request. Path, URL, Headers' values and Body may use ${name}.
type HTTP struct {
	Method  string            `json:"method,omitempty"` // empty: GET, or POST with a body
	Path    string            `json:"path,omitempty"`   // from the /, with the query; empty: /
	URL     string            `json:"url,omitempty"`    // in place of the pod: an address of a host that is allowed
	Port    Port              `json:"port,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// TCP is a connection that is opened and closed.
type TCP struct {
	Port Port `json:"port,omitempty"`
}

// GRPC is a question to grpc.health.v1, which must be answered with SERVING.
type GRPC struct {
	Service string `json:"service,omitempty"` // a gRPC service; empty: the server as a whole
	Port    Port   `json:"port,omitempty"`
}

// Expect is what an answer must be like. Status, Body and CEL are for HTTP only.
type Expect struct {
	Status []Status `json:"status,omitempty"` // empty: 2xx
	Body   string   `json:"body,omitempty"`   // a regular expression that matches somewhere in it
	CEL    string   `json:"cel,omitempty"`    // an expression that is true
	Within Duration `json:"within,omitempty"` // from opening the connection to the end of the body
}

// Capture is where a value is found in an answer: one of CEL and Pattern, or the whole Header.
type Capture struct {
	CEL     string `json:"cel,omitempty"`
	Header  string `json:"header,omitempty"`  // its first value, or with Pattern the first that matches
	Pattern string `json:"pattern,omitempty"` // a regular expression with one group; without Header it looks in the body
}

// Parse reads a flow from the text that Text wrote.
func Parse(text string) (Flow, error) {
	var f Flow
	if len(text) > MaxText {
		return f, fmt.Errorf("a flow of %d bytes is too long; at most %d", len(text), MaxText)
	}
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return f, fmt.Errorf("read a flow: %w", err)
	}
	return f, nil
}

// Text is the flow as one text, the same for the same flow.
func (f Flow) Text() string {
	b, err := json.Marshal(f)
	if err != nil {
		panic("flow: a Flow always encodes: " + err.Error()) // plain structs of text and whole numbers
	}
	return string(b)
}

// every is how often the flow is run, timeout what a step may take.
func (f Flow) every() time.Duration {
	if f.Every > 0 {
		return time.Duration(f.Every)
	}
	return DefaultEvery
}

func (f Flow) timeout() time.Duration {
	if f.Timeout > 0 {
		return time.Duration(f.Timeout)
	}
	return DefaultTimeout
}

// title is what a step is called: its name, or what it does.
func (s Step) title() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.HTTP != nil && s.HTTP.URL != "":
		return cut(s.HTTP.method()+" "+s.HTTP.URL, maxName)
	case s.HTTP != nil:
		return cut(s.HTTP.method()+" "+s.HTTP.path(), maxName)
	case s.TCP != nil:
		return "TCP " + s.TCP.Port.or("connect")
	}
	return "gRPC health"
}

func (h HTTP) method() string {
	switch {
	case h.Method != "":
		return h.Method
	case h.Body != "":
		return "POST"
	}
	return "GET"
}

func (h HTTP) path() string {
	if h.Path == "" {
		return "/"
	}
	return h.Path
}

// cut is s, or its first n runes and a sign that there were more.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
