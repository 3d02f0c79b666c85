// Package slack tells a Slack channel: through a bot, one message for each bake that is kept up to date, with what happened
// since in its thread; or through an incoming webhook, a message for each stage.
package slack

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

// Options says where to post and as whom: either WebhookFile, or TokenFile and Channel. Files are read at each call, so that
// what is in them may be rotated.
type Options struct {
	Name        string // the receiver's name; "slack" if empty
	WebhookFile string // holds the address of an incoming webhook
	TokenFile   string // holds a bot's token
	Channel     string // name or id
	URL         string // of the API, for others than slack.com's

	Title, Text *wording.Template // nil: our own
	Client      *http.Client
}

// Receiver tells Slack.
type Receiver struct {
	options Options
	client  *http.Client // every answer but a 2xx is an error
	webhook *http.Client // and every body but "ok"
}

// New returns a Receiver.
func New(o Options) (*Receiver, error) {
	o.Name = cmp.Or(o.Name, "slack")
	if (o.WebhookFile == "") == (o.TokenFile == "") || (o.TokenFile == "") != (o.Channel == "") {
		return nil, fmt.Errorf("setting up %s: it needs either a webhook's file, or a token's file and a channel", o.Name)
	}
	if o.URL != "" {
		u, err := announce.ParseAddress(o.URL)
		if err != nil {
			return nil, fmt.Errorf("setting up %s: %w", o.Name, err)
		}
		o.URL = strings.TrimRight(u.String(), "/") + "/" // the library appends the method's name
	}
	o.Title, o.Text = cmp.Or(o.Title, defaultTitle), cmp.Or(o.Text, defaultText)
	r := &Receiver{options: o, client: announce.StrictClient(o.Client)}
	webhook := *r.client
	webhook.Transport = saysOK{webhook.Transport}
	r.webhook = &webhook
	return r, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return r.options.Name }

// Wants leaves out rollouts that are as they should be.
func (r *Receiver) Wants(s announce.Story) announce.Interest { return announce.WorthTelling(s) }

// Tell posts the story. Through a bot it returns channel and time of the bake's message, which is the first one.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	if r.options.WebhookFile != "" {
		return "", r.post(ctx, s)
	}
	secret, err := r.read(r.options.TokenFile)
	if err != nil {
		return "", err
	}
	options := []slack.Option{slack.OptionHTTPClient(r.client)}
	if r.options.URL != "" {
		options = append(options, slack.OptionAPIURL(r.options.URL))
	}
	api := slack.New(secret, options...)
	id, err := r.tell(ctx, api, s)
	return id, announce.Conceal(err, secret)
}

// tell keeps the bake's message up to date and answers it with what is new, or posts it.
func (r *Receiver) tell(ctx context.Context, api *slack.Client, s announce.Story) (string, error) {
	message := r.message(s)
	content := []slack.MsgOption{
		slack.MsgOptionText(message.plain, false), slack.MsgOptionBlocks(message.blocks...),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
	}
	if channel, first, ok := strings.Cut(s.Earlier[r.Name()], "/"); ok {
		switch _, _, _, err := api.UpdateMessageContext(ctx, channel, first, content...); {
		case err == nil:
			answer := []slack.MsgOption{slack.MsgOptionText(message.plain, false), slack.MsgOptionTS(first)}
			if s.Severity != announce.Info && s.Recovered != "Yes" { // the channel is to see it, too
				answer = append(answer, slack.MsgOptionBroadcast())
			}
			if _, _, err := api.PostMessageContext(ctx, channel, answer...); err != nil {
				return "", r.explain("answering in a thread", err)
			}
			return channel + "/" + first, nil
		case !gone(err):
			return "", r.explain("updating a message", err)
		}
	}
	channel, at, err := api.PostMessageContext(ctx, r.options.Channel, content...)
	if err == nil && (channel == "" || at == "") {
		err = errors.New("the answer does not name the message, so it may not have been posted; check that the address is Slack's")
	}
	if err != nil {
		return "", r.explain("posting a message", err)
	}
	return channel + "/" + at, nil
}

// post sends the story to the incoming webhook.
func (r *Receiver) post(ctx context.Context, s announce.Story) error {
	address, err := r.read(r.options.WebhookFile)
	if err != nil {
		return err
	}
	u, err := announce.ParseAddress(address)
	if err != nil {
		return fmt.Errorf("reading the address of %s from %s: %w", r.Name(), r.options.WebhookFile, err)
	}
	message := r.message(s)
	err = slack.PostWebhookCustomHTTPContext(ctx, u.String(), r.webhook, &slack.WebhookMessage{Text: message.plain, Blocks: &slack.Blocks{BlockSet: message.blocks}})
	if err != nil {
		return r.explain("posting to its webhook at "+announce.Place(u), announce.WithoutAddress(err))
	}
	return nil
}

// read is what is in a file, without white space around it.
func (r *Receiver) read(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the secret of %s: %w; mount the secret that holds it", r.Name(), err)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", fmt.Errorf("reading the secret of %s: %s is empty", r.Name(), file)
	}
	return text, nil
}

// passing are Slack's own errors that trying again may mend.
var passing = []string{"ratelimited", "rate_limited", "message_limit_exceeded", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}

// explain words an error, says whether it is final, and adds what to do about it.
func (r *Receiver) explain(doing string, err error) error {
	if refused, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		text := announce.Clip(announce.OneLine(refused.Err), 200)
		if slices.Contains(passing, refused.Err) {
			return fmt.Errorf("%s in %s: slack says %s", doing, r.Name(), text)
		}
		return fmt.Errorf("%s in %s: slack says %s (%w)%s", doing, r.Name(), text, announce.ErrFinal, advice(refused))
	}
	hint := ""
	if answer, ok := errors.AsType[*announce.AnswerError](err); ok && answer.Code < 500 {
		switch answer.Code {
		case http.StatusTooManyRequests, http.StatusRequestTimeout:
		case http.StatusNotFound, http.StatusForbidden, http.StatusGone:
			hint = "; check that the webhook or token was not revoked"
		default:
			hint = "; check its address"
		}
	}
	return fmt.Errorf("%s in %s: %w%s", doing, r.Name(), announce.WithoutAddress(err), hint)
}

func advice(refused slack.SlackErrorResponse) string {
	switch refused.Err {
	case "not_in_channel":
		return "; invite the bot to the channel"
	case "channel_not_found":
		return "; check the channel, and invite the bot if it is private"
	case "is_archived":
		return "; name another channel"
	case "missing_scope":
		return "; give the bot the scope chat:write"
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired":
		return "; check the token file"
	}
	return ""
}

// gone reports whether the message to be updated is no longer there, or no longer ours.
func gone(err error) bool {
	refused, ok := errors.AsType[slack.SlackErrorResponse](err)
	return ok && slices.Contains([]string{"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found", "is_archived", "is_inactive"}, refused.Err)
}

// saysOK turns an answer of another body than "ok" into an error: it is not Slack that answered.
type saysOK struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t saysOK) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	if string(bytes.TrimSpace(body)) != "ok" {
		return nil, errors.New(`the answer is not slack's "ok", so the message may not have been posted; check that the address is that of a webhook`)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}
