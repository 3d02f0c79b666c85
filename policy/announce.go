package policy

import "time"

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

// fill sets the defaults of the receivers that are there.
func (a *Announce) fill() {
	if a.Slack != nil {
		a.Slack.fill()
	}
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
	k.http(path, s.HTTP(), false)
	k.file(join(path, "webhookFile"), s.WebhookFile)
	k.file(join(path, "tokenFile"), s.TokenFile)
}
