// Package policy is what people set: the ConfigMap's bakewatch.yaml, parsed strictly, and what it adds up to for one
// workload. It knows no Kubernetes client and no metrics source.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/bakewatch/bakewatch/decide"
)

// Config is one bakewatch.yaml, with defaults filled in. Key names are in the json tags: they are what people write.
// A Config is never changed after Parse returned it, so it may be shared.
type Config struct {
	Mode       Mode                  `json:"mode"`
	Watch      Watch                 `json:"watch"`
	Sources    Sources               `json:"sources"`
	Bake       Bake                  `json:"bake"`
	FalseAlarm Share                 `json:"falseAlarm"` // chance of a false rollback per deploy, above 0 and at most 0.5
	Margin     Ratio                 `json:"margin"`     // how many times worse is not yet worse, above 1 and at most 100
	Layers     Layers                `json:"layers"`
	Budget     Budget                `json:"budget"`
	Guards     Guards                `json:"guards"`
	Canary     Canary                `json:"canary"`
	ScaleDown  ScaleDown             `json:"scaleDown"`
	History    int                   `json:"history"` // finished Bakes kept per workload
	Signals    map[string]SignalRule `json:"signals"` // by signal name
	Announce   Announce              `json:"announce"`
	Workloads  []Override            `json:"workloads,omitempty"` // applied in order, later ones win
	Flows      []UserFlow            `json:"flows,omitempty"`     // run against pods
	GitOps     Strategy              `json:"gitops"`              // how what Argo CD or Flux keeps is rolled back
	Git        *Git                  `json:"git,omitempty"`       // where reverts are proposed; nil: nowhere
	Rollback   Rollback              `json:"rollback"`

	Configuration Configuration `json:"configuration"`
}

// Watch says which workloads are looked at. Namespaces are patterns with * and ?.
type Watch struct {
	Namespaces        []string `json:"namespaces"`        // empty: all
	ExcludeNamespaces []string `json:"excludeNamespaces"` // wins over Namespaces
	Selector          string   `json:"selector"`          // label selector on the workload; empty: all
	OptIn             bool     `json:"optIn"`             // only workloads annotated bakewatch.dev/enabled: "true"
}

// Sources are where signals are read.
type Sources struct {
	Prometheus Prometheus `json:"prometheus"`
	Datadog    *Datadog   `json:"datadog,omitempty"` // nil: not asked
	Loki       *Loki      `json:"loki,omitempty"`    // likewise
}

// HTTP is how a service is reached. Secrets are never here, only the absolute paths of files that hold them.
type HTTP struct {
	URL       string        `json:"url"`
	BasicAuth *BasicAuth    `json:"basicAuth,omitempty"`
	TLS       *TLS          `json:"tls,omitempty"`
	Timeout   time.Duration `json:"timeout"` // of one request
}

// BasicAuth is a user name and the file with its password.
type BasicAuth struct {
	Username     string `json:"username"`
	PasswordFile string `json:"passwordFile"`
}

// TLS is how a server's certificate is checked, and the client certificate shown to it.
type TLS struct {
	CAFile             string `json:"caFile"`   // empty: the system's authorities
	CertFile           string `json:"certFile"` // with KeyFile, the client certificate
	KeyFile            string `json:"keyFile"`
	ServerName         string `json:"serverName"`         // name expected in the certificate; empty: the URL's host
	InsecureSkipVerify bool   `json:"insecureSkipVerify"` // accept any certificate
}

// Prometheus is the Prometheus, Thanos or Mimir that answers queries, and how it knows us: at most one of a token, basicAuth,
// oauth2, sigv4 and google.
type Prometheus struct {
	HTTP
	BearerTokenFile string            `json:"bearerTokenFile"`
	Headers         map[string]string `json:"headers,omitempty"` // sent with each query, such as the tenant in X-Scope-OrgID
	OAuth2          *OAuth2           `json:"oauth2,omitempty"`
	SigV4           *SigV4            `json:"sigv4,omitempty"`
	Google          *Google           `json:"google,omitempty"`
}

// OAuth2 gets tokens as a client, RFC 6749, section 4.4.
type OAuth2 struct {
	ClientID         string            `json:"clientId"`
	ClientSecretFile string            `json:"clientSecretFile"`
	TokenURL         string            `json:"tokenUrl"`
	Scopes           []string          `json:"scopes,omitempty"`
	Params           map[string]string `json:"params,omitempty"` // sent with the request for a token, such as audience
}

// SigV4 signs queries for Amazon Managed Service for Prometheus, with the credentials that the pod has.
type SigV4 struct {
	Region  string `json:"region"`
	RoleARN string `json:"roleArn"` // to assume; empty: as the pod's own
}

// Google gets tokens for Google Cloud Managed Service for Prometheus.
type Google struct {
	CredentialsFile string `json:"credentialsFile"` // empty: the credentials that the pod has
}

// Bake is how long things take, and whether that may be less. A nil field is not set: in Config.Bake the defaults fill all of them, in an Override
// nil leaves what applied before.
type Bake struct {
	Window   *time.Duration `json:"window,omitempty"`   // how long a complete rollout is baked
	Interval *time.Duration `json:"interval,omitempty"` // time between ticks
	Verify   *time.Duration `json:"verify,omitempty"`   // how long recovery is measured after a rollback
	Deadline *time.Duration `json:"deadline,omitempty"` // how long a rollback may stand still until it is called stuck

	PassEarly *bool `json:"passEarly,omitempty"` // whether a rollout that is surely not worse ends its window early
}

// Layers are the parts of the judge, each off or on.
type Layers struct {
	Threshold bool `json:"threshold"` // the thresholds of the signals
	Evidence  bool `json:"evidence"`  // the sequential test that keeps falseAlarm
	Blame     bool `json:"blame"`     // what else moved: neighbours that did not deploy
}

// Budget bounds how many rollbacks may happen Within a time; beyond it a person decides. 0 means no rollback at all.
type Budget struct {
	PerNamespace int           `json:"perNamespace"`
	PerCluster   int           `json:"perCluster"`
	Within       time.Duration `json:"within"`
}

// SignalRule is one signal: what is measured and what is too much. In an Override, fields that are not set leave what
// applied before; Prometheus and Datadog are each replaced as a whole.
type SignalRule struct {
	Enabled    *bool           `json:"enabled,omitempty"`    // nil: true
	Prometheus *Queries        `json:"prometheus,omitempty"` // nil: what measures it is found among the presets
	Datadog    *DatadogQueries `json:"datadog,omitempty"`    // likewise; with both, the signal is measured twice
	Unit       string          `json:"unit,omitempty"`       // of a value, in messages
	Threshold  Threshold       `json:"threshold"`
}

// Queries measure a signal: by two counters, a histogram of durations, a counter of events, or a value. Counters and
// histograms are plain Prometheus selectors, a value is any expression. Variables stand inside quotes.
type Queries struct {
	Errors    string        `json:"errors,omitempty"`    // counter of failed requests; with requests
	Good      string        `json:"good,omitempty"`      // in place of errors: counter of those that did not fail
	Requests  string        `json:"requests,omitempty"`  // counter of all requests
	Histogram string        `json:"histogram,omitempty"` // of durations: …_bucket of a classic one, or a native one; with over
	Over      time.Duration `json:"over,omitempty"`      // a request that takes longer is slow
	Events    string        `json:"events,omitempty"`    // counter of events, by pod
	Value     string        `json:"value,omitempty"`     // expression of which more is worse
	Baseline  string        `json:"baseline,omitempty"`  // the baseline's, where value is only the candidate's
	By        string        `json:"by,omitempty"`        // "pod": the series carry a pod label; empty: they count the whole service
}

// Threshold is decide.Threshold as people write it; nil is not set.
type Threshold struct {
	Max         *Share `json:"max,omitempty"`
	Increase    *Ratio `json:"increase,omitempty"`
	Floor       *Share `json:"floor,omitempty"`
	MinRequests *int   `json:"minRequests,omitempty"`
	Ticks       *int   `json:"ticks,omitempty"`
}

// Announce is who is told; nil: not told.
type Announce struct {
	Grafana      *Grafana      `json:"grafana,omitempty"`
	Alertmanager *Alertmanager `json:"alertmanager,omitempty"`
	Outlets
	Receivers map[string]Outlets `json:"receivers,omitempty"` // more of them, by name, each with one outlet
	Routes    []Route            `json:"routes,omitempty"`
	Links     []Link             `json:"links,omitempty"` // in what is told
}

// Grafana is where bakes become annotations.
type Grafana struct {
	HTTP
	TokenFile  string      `json:"tokenFile"`            // service account token
	Dashboards []Dashboard `json:"dashboards,omitempty"` // that show them, beside those that ask for their tags
}

// Alertmanager is where alerts are sent.
type Alertmanager struct {
	HTTP
	BearerTokenFile string `json:"bearerTokenFile"`
}

// Webhook receives a JSON document per story. Its address is either URL or the content of URLFile.
type Webhook struct {
	HTTP
	URLFile     string `json:"urlFile"`     // for an address that is itself a secret
	HeadersFile string `json:"headersFile"` // lines "Name: value" sent with every request
	SecretFile  string `json:"secretFile"`  // key that messages are signed with; empty: not signed
}

// Override is what applies to the workloads it matches instead.
type Override struct {
	Match   Match  `json:"match"`
	Enabled *bool  `json:"enabled,omitempty"`
	Mode    Mode   `json:"mode,omitempty"`
	Bake    Bake   `json:"bake"`
	Guards  Guards `json:"guards"`
	Canary  Canary `json:"canary"`

	ScaleDown ScaleDown `json:"scaleDown"`

	Signals map[string]SignalRule `json:"signals,omitempty"`
	GitOps  Strategy              `json:"gitops,omitempty"`
	Git     GitPlace              `json:"git"`

	Rollback      Rollback      `json:"rollback"`
	Configuration Configuration `json:"configuration"`
}

// Match selects workloads: all that is set must hold, and something must be set.
type Match struct {
	Namespace string `json:"namespace,omitempty"` // pattern with * and ?
	Kind      string `json:"kind,omitempty"`
	Name      string `json:"name,omitempty"`     // pattern with * and ?
	Selector  string `json:"selector,omitempty"` // label selector on the workload
}

const defaultTimeout = 10 * time.Second

// Default is what applies where bakewatch.yaml is silent. Only sources.prometheus.url has no default.
func Default() *Config {
	return &Config{
		Mode:    Observe,
		Watch:   Watch{ExcludeNamespaces: []string{"kube-system", "kube-public", "kube-node-lease"}},
		Sources: Sources{Prometheus: Prometheus{HTTP: HTTP{Timeout: defaultTimeout}}},
		Bake: Bake{
			Window:   new(15 * time.Minute),
			Interval: new(15 * time.Second),
			Verify:   new(2 * time.Minute),
			Deadline: new(10 * time.Minute),

			PassEarly: new(false),
		},
		FalseAlarm: 0.001,
		Margin:     decide.DefaultMargin,
		Layers:     Layers{Threshold: true, Evidence: true, Blame: true},
		Budget:     Budget{PerNamespace: 2, PerCluster: 5, Within: 10 * time.Minute},
		Guards:     defaultGuards(),
		Canary:     defaultCanary(),
		ScaleDown:  defaultScaleDown(),
		History:    5,
		Signals:    defaultSignals(),
		GitOps:     Notify,
		Rollback:   defaultRollback(),

		Configuration: defaultConfiguration(),
	}
}

// Hash names what the Config says, defaults included: comments, order and spelling of a file do not change it.
func (c *Config) Hash() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic("policy: a Config always encodes: " + err.Error()) // plain structs of finite numbers
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
