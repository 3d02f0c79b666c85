package policy

import (
	"net/url"
	"regexp"
	"time"
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

// Slack is a channel that is told: by an incoming webhook, or as a bot with a token.
type Slack struct {
	Endpoint
	WebhookFile string `json:"webhookFile"` // holds the webhook's address
	TokenFile   string `json:"tokenFile"`   // holds the bot's token
	Channel     string `json:"channel"`     // name or id; with a token
}

// GitHub is a repository that gets issues.
type GitHub struct {
	Endpoint
	Repository string `json:"repository"` // owner/name
	TokenFile  string `json:"tokenFile"`
}

// PagerDuty is a service whose people are alerted.
type PagerDuty struct {
	Endpoint
	RoutingKeyFile string `json:"routingKeyFile"` // holds the integration key
}

// fill sets the defaults of the receivers that are there.
func (a *Announce) fill() {
	if a.Slack != nil {
		a.Slack.fill()
	}
	if a.GitHub != nil {
		a.GitHub.fill()
	}
	if a.PagerDuty != nil {
		a.PagerDuty.fill()
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
	k.file(join(path, "tokenFile"), g.TokenFile)
}

func (k *checker) pagerDuty(path string, p PagerDuty) {
	if p.RoutingKeyFile == "" {
		k.errorf(join(path, "routingKeyFile"), "is missing; name the file that holds the integration key of a service")
	}
	k.endpoint(path, p.Endpoint)
	k.file(join(path, "routingKeyFile"), p.RoutingKeyFile)
}
