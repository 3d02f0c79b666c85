// Package pagerduty opens an alert in PagerDuty when a regression is found, and resolves it when it is over.
package pagerduty

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	maxSummary = 1000 // characters; PagerDuty's limit is 1024
	maxDetail  = 4000 // characters of one detail
	maxKey     = 255  // bytes of what PagerDuty takes for a key
)

var (
	defaultTitle = wording.Must(`{{.Headline}}`)
	defaultText  = wording.Must(`{{.Why}}
{{- range .Others}}
{{.}}{{end}}
{{- with .Recovery}}
{{.}}{{end}}`)
)

// Options says where to send events and as whom.
type Options struct {
	Name           string // the receiver's name; "pagerduty" if empty
	RoutingKeyFile string // holds the integration key of a service; read at each call, so that it may be rotated
	URL            string // of the Events API, for others than events.pagerduty.com
	Version        string // of Bakewatch

	Title, Text *wording.Template // of summary and description; nil: our own
	Client      *http.Client
}

// Receiver tells PagerDuty. The bake is the key of its alert, so that telling twice converges to one.
type Receiver struct {
	options Options
	client  *http.Client
}

// New returns a Receiver.
func New(o Options) (*Receiver, error) {
	o.Name = cmp.Or(o.Name, "pagerduty")
	if o.RoutingKeyFile == "" {
		return nil, fmt.Errorf("setting up %s: it needs the file with the integration key", o.Name)
	}
	if o.URL != "" {
		u, err := announce.ParseAddress(o.URL)
		if err != nil {
			return nil, fmt.Errorf("setting up %s: %w", o.Name, err)
		}
		o.URL = strings.TrimRight(u.String(), "/")
	}
	o.Title, o.Text = cmp.Or(o.Title, defaultTitle), cmp.Or(o.Text, defaultText)
	return &Receiver{options: o, client: announce.StrictClient(o.Client)}, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return r.options.Name }

// Wants takes what somebody is to be woken for, and when that is over.
func (r *Receiver) Wants(s announce.Story) announce.Interest {
	switch {
	case s.Stage == announce.Started, s.Stage == announce.Suspicion:
		return announce.Never
	case s.Stage == announce.Resolved && s.Recovered == "Yes": // the end resolved it
		return announce.Never
	case s.Stage == announce.Ended && s.Severity == announce.Info && !s.Decided:
		return announce.Never
	}
	return announce.Usually
}

// over reports whether the story ends the alert.
func over(s announce.Story) bool {
	return s.Stage == announce.Resolved || s.Stage == announce.Ended && (s.Recovered == "Yes" || s.Severity == announce.Info)
}

// Tell triggers the bake's alert or resolves it, and returns its key.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	content, err := os.ReadFile(r.options.RoutingKeyFile)
	if err != nil {
		return "", fmt.Errorf("reading the integration key of %s: %w; mount the secret that holds it", r.Name(), err)
	}
	routingKey := strings.TrimSpace(string(content))
	if routingKey == "" {
		return "", fmt.Errorf("reading the integration key of %s: %s is empty", r.Name(), r.options.RoutingKeyFile)
	}
	event := &pagerduty.V2Event{RoutingKey: routingKey, Action: "resolve", DedupKey: key(s)}
	doing := "resolving an alert"
	if !over(s) {
		doing, event.Action = "triggering an alert", "trigger"
		event.Client, event.Payload = "bakewatch "+r.options.Version, r.payload(s)
	}
	calls := &caller{client: r.client}
	options := []pagerduty.ClientOptions{func(c *pagerduty.Client) { c.HTTPClient = calls }}
	if r.options.URL != "" {
		options = append(options, pagerduty.WithV2EventsAPIEndpoint(r.options.URL))
	}
	answer, err := pagerduty.NewClient("", options...).ManageEventWithContext(ctx, event)
	switch {
	case calls.err != nil:
		err = announce.WithoutAddress(calls.err)
	case err == nil && answer.Status != "success":
		err = errors.New("the answer does not say that the event was taken; check that the address is that of the Events API")
	}
	if err != nil {
		return "", announce.Conceal(fmt.Errorf("%s in %s: %w%s", doing, r.Name(), err, advice(err)), routingKey)
	}
	return event.DedupKey, nil
}

// caller keeps the error of the call, of which the library keeps the text only.
type caller struct {
	client *http.Client
	err    error
}

// Do implements pagerduty.HTTPClient.
func (c *caller) Do(req *http.Request) (*http.Response, error) {
	res, err := c.client.Do(req)
	c.err = err
	return res, err
}

func advice(err error) string {
	answer, ok := errors.AsType[*announce.AnswerError](err)
	switch {
	case !ok:
		return ""
	case answer.Code == http.StatusBadRequest, answer.Code == http.StatusForbidden, answer.Code == http.StatusUnauthorized:
		return "; check that the file holds the integration key of an Events API v2 integration"
	case answer.Code == http.StatusNotFound, answer.Code >= 300 && answer.Code < 400:
		return "; check its address"
	}
	return ""
}

// key is the bake, by which PagerDuty knows the alert; one that is too long ends in its hash.
func key(s announce.Story) string {
	all := "bakewatch/" + s.Bake
	if len(all) <= maxKey {
		return all
	}
	hash := sha256.Sum256([]byte(all))
	suffix := "-" + hex.EncodeToString(hash[:8])
	return all[:maxKey-len(suffix)] + suffix
}

func (r *Receiver) payload(s announce.Story) *pagerduty.V2Payload {
	details := map[string]string{}
	for name, text := range map[string]string{
		"why": r.words(r.options.Text, defaultText, s), "bake": s.Bake, "from": s.From, "to": s.To, "changed by": s.ChangedBy, "changes": strings.Join(s.Changes, "; "), "outcome": s.Outcome,
	} {
		if text != "" {
			details[name] = announce.Clip(strings.ToValidUTF8(text, "�"), maxDetail)
		}
	}
	p := &pagerduty.V2Payload{
		Summary:   announce.Clip(announce.OneLine(r.words(r.options.Title, defaultTitle, s)), maxSummary),
		Source:    s.Namespace + "/" + s.Kind + "/" + s.Workload,
		Severity:  s.Severity, // PagerDuty's words are the same
		Component: s.Workload,
		Group:     s.Namespace,
		Class:     "rollout",
		Details:   details,
	}
	if at := s.EndedAt; !at.IsZero() {
		p.Timestamp = at.UTC().Format(time.RFC3339)
	}
	return p
}

// words is the story by a template; where the user's fails on it after all, our own does.
func (r *Receiver) words(t, instead *wording.Template, s announce.Story) string {
	text, err := t.Write(s, nil)
	if err != nil {
		text, _ = instead.Write(s, nil)
	}
	return text
}
