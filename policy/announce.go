package policy

import (
	"net/url"
	"regexp"
	"time"

	"github.com/bakewatch/bakewatch/act/announce/wording"
)

// Endpoint is how a service on the internet is reached. Its address is known, and is only written where it is another.
type Endpoint struct {
	URL     string        `json:"url"`
	TLS     *TLS          `json:"tls,omitempty"`
	Timeout time.Duration `json:"timeout"` // of one request
}

// HTTP is the endpoint as HTTP.
func (e Endpoint) HTTP() HTTP { return HTTP{URL: e.URL, TLS: e.TLS, Timeout: e.Timeout} }

func (e *Endpoint) fill() {
	if e.Timeout == 0 {
		e.Timeout = defaultTimeout
	}
}

// Wording are the templates of what a receiver is told, of Go's text/template; empty: our own.
type Wording struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

// Slack is a channel that is told: by an incoming webhook, or as a bot with a token.
type Slack struct {
	Endpoint
	Wording
	WebhookFile string `json:"webhookFile"` // holds the webhook's address
	TokenFile   string `json:"tokenFile"`   // holds the bot's token
	Channel     string `json:"channel"`     // name or id; with a token
}

// GitHub is a repository that gets issues.
type GitHub struct {
	Endpoint
	Wording
	Repository string `json:"repository"` // owner/name
	TokenFile  string `json:"tokenFile"`
}

// PagerDuty is a service whose people are alerted.
type PagerDuty struct {
	Endpoint
	Wording
	RoutingKeyFile string `json:"routingKeyFile"` // holds the integration key
}

// Shoutrrr is one of the many services that the library of that name knows.
type Shoutrrr struct {
	Wording
	URLFile string `json:"urlFile"` // holds the service's address, with its secrets
}

func (*Shoutrrr) fill() {} // it has no defaults

// Outlets are the receivers of which there may be several; nil: not told.
type Outlets struct {
	Webhook   *Webhook   `json:"webhook,omitempty"`
	Slack     *Slack     `json:"slack,omitempty"`
	GitHub    *GitHub    `json:"github,omitempty"`
	PagerDuty *PagerDuty `json:"pagerduty,omitempty"`
	Shoutrrr  *Shoutrrr  `json:"shoutrrr,omitempty"`

	Datadog *DatadogEvents `json:"datadog,omitempty"`

	GitHubDeployments *GitHubDeployments `json:"githubDeployments,omitempty"`
}

// each is what is there of o, by its key.
func (o Outlets) each() map[string]filler {
	all := map[string]filler{}
	if o.Webhook != nil {
		all["webhook"] = o.Webhook
	}
	if o.Slack != nil {
		all["slack"] = o.Slack
	}
	if o.GitHub != nil {
		all["github"] = o.GitHub
	}
	if o.PagerDuty != nil {
		all["pagerduty"] = o.PagerDuty
	}
	if o.Shoutrrr != nil {
		all["shoutrrr"] = o.Shoutrrr
	}
	if o.Datadog != nil {
		all["datadog"] = o.Datadog
	}
	if o.GitHubDeployments != nil {
		all["githubDeployments"] = o.GitHubDeployments
	}
	return all
}

type filler interface{ fill() }

// fill sets the defaults of the receivers that are there.
func (o Outlets) fill() {
	for _, one := range o.each() {
		one.fill()
	}
}

// outlets checks the receivers that are there; path is of what they are in.
func (k *checker) outlets(path string, o Outlets) {
	if o.Webhook != nil {
		k.webhook(join(path, "webhook"), *o.Webhook)
	}
	if o.Slack != nil {
		k.slack(join(path, "slack"), *o.Slack)
	}
	if o.GitHub != nil {
		k.github(join(path, "github"), *o.GitHub)
	}
	if o.PagerDuty != nil {
		k.pagerDuty(join(path, "pagerduty"), *o.PagerDuty)
	}
	if o.Shoutrrr != nil {
		k.shoutrrr(join(path, "shoutrrr"), *o.Shoutrrr)
	}
	if o.Datadog != nil {
		k.datadogEvents(join(path, "datadog"), *o.Datadog)
	}
	if o.GitHubDeployments != nil {
		k.githubDeployments(join(path, "githubDeployments"), *o.GitHubDeployments)
	}
}

func (k *checker) webhook(path string, w Webhook) {
	if (w.URL == "") == (w.URLFile == "") {
		k.errorf(path, "needs either url or urlFile, for an address that is itself a secret, and not both")
	}
	k.http(path, w.HTTP, false)
	k.file(join(path, "urlFile"), w.URLFile)
	k.file(join(path, "headersFile"), w.HeadersFile)
	k.file(join(path, "secretFile"), w.SecretFile)
}

func (k *checker) wording(path string, w Wording) {
	if w.Title != "" {
		if _, err := wording.ParseTitle(w.Title); err != nil {
			k.errorf(join(path, "title"), "is not a good template: %v", err)
		}
	}
	if w.Text != "" {
		if _, err := wording.Parse(w.Text); err != nil {
			k.errorf(join(path, "text"), "is not a good template: %v", err)
		}
	}
}

func (k *checker) endpoint(path string, e Endpoint) {
	if u, err := url.Parse(e.URL); err == nil && u.User != nil {
		k.errorf(join(path, "url"), "must not hold a user or password")
		e.URL = ""
	}
	k.http(path, e.HTTP(), false)
}

func (k *checker) slack(path string, s Slack) {
	switch {
	case (s.WebhookFile == "") == (s.TokenFile == ""):
		k.errorf(path, "needs either webhookFile, with the address of an incoming webhook, or tokenFile and channel, and not both")
	case s.TokenFile != "" && s.Channel == "":
		k.errorf(join(path, "channel"), "is missing: a bot is told which channel to write to")
	case s.WebhookFile != "" && s.Channel != "":
		k.errorf(join(path, "channel"), "goes with tokenFile; a webhook knows its channel")
	case s.WebhookFile != "" && s.URL != "":
		k.errorf(join(path, "url"), "goes with tokenFile; the address of a webhook is in its file")
	}
	k.endpoint(path, s.Endpoint)
	k.wording(path, s.Wording)
	k.file(join(path, "webhookFile"), s.WebhookFile)
	k.file(join(path, "tokenFile"), s.TokenFile)
}

var repository = regexp.MustCompile(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)

func (k *checker) github(path string, g GitHub) {
	if !repository.MatchString(g.Repository) {
		k.errorf(join(path, "repository"), "must be a repository such as acme/shop, not %s", quote(g.Repository))
	}
	if g.TokenFile == "" {
		k.errorf(join(path, "tokenFile"), "is missing; name the file that holds a token with the right to write issues")
	}
	k.endpoint(path, g.Endpoint)
	k.wording(path, g.Wording)
	k.file(join(path, "tokenFile"), g.TokenFile)
}

func (k *checker) pagerDuty(path string, p PagerDuty) {
	if p.RoutingKeyFile == "" {
		k.errorf(join(path, "routingKeyFile"), "is missing; name the file that holds the integration key of a service")
	}
	k.endpoint(path, p.Endpoint)
	k.wording(path, p.Wording)
	k.file(join(path, "routingKeyFile"), p.RoutingKeyFile)
}

func (k *checker) shoutrrr(path string, s Shoutrrr) {
	if s.URLFile == "" {
		k.errorf(join(path, "urlFile"), "is missing; name the file that holds the service's address, such as discord://…")
	}
	k.wording(path, s.Wording)
	k.file(join(path, "urlFile"), s.URLFile)
}
