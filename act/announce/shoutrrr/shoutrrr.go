// Package shoutrrr tells the services that have no adapter of their own, such as Microsoft Teams, Discord, Telegram and
// e-mail, through the library of that name.
package shoutrrr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"github.com/nicholas-fedor/shoutrrr/pkg/util/jsonclient"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	maxCalls = 4                // that are under way; the library takes no context
	maxOpen  = 32               // of these and those that hang
	hangs    = 10 * time.Minute // a call that is under way for so long is waited for no more
	maxTitle = 200              // characters
	maxText  = 1500             // characters; the least that a service takes is 2000 with the title
	longest  = 30 * time.Second // of a request
)

// Several of the library's services use http.DefaultClient, which waits for ever. Nothing else of the daemon uses it.
func init() { http.DefaultClient.Timeout = longest }

var (
	defaultTitle = wording.Must(`{{.Headline}}`)
	defaultText  = wording.Must(`{{.Why}}
{{- range .Others}}
- {{.}}{{end}}
{{- with .Recovery}}
{{.}}{{end}}
{{- with .Changes}}
Changed: {{join "; " .}}{{end}}
{{- with .ChangedBy}} (by {{.}}){{end}}
Bake: {{.Bake}}`)
)

// Options says where to send.
type Options struct {
	Name    string // the receiver's name; "shoutrrr" if empty
	URLFile string // holds the service's address in the library's form; read at each call, so that it may be rotated

	Title, Text *wording.Template // nil: our own
}

// Receiver sends every stage that matters as a message.
type Receiver struct {
	options Options

	mu    sync.Mutex
	calls map[string]*call // by bake and stage
	open  int              // calls that have not ended, those nobody waits for any more included
}

// call is one that is under way, or has ended and nobody knows yet.
type call struct {
	done  chan struct{}
	err   error // once done is closed
	began time.Time
}

// New returns a Receiver.
func New(o Options) (*Receiver, error) {
	o.Name = cmp.Or(o.Name, "shoutrrr")
	if o.URLFile == "" {
		return nil, fmt.Errorf("setting up %s: it needs the file with the service's address", o.Name)
	}
	o.Title, o.Text = cmp.Or(o.Title, defaultTitle), cmp.Or(o.Text, defaultText)
	return &Receiver{options: o, calls: map[string]*call{}}, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return r.options.Name }

// Wants leaves out rollouts that are as they should be.
func (r *Receiver) Wants(s announce.Story) announce.Interest { return announce.WorthTelling(s) }

// Tell sends the story. A call that goes on after ctx ended is not made again: the next Tell of the same waits for it.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	content, err := os.ReadFile(r.options.URLFile)
	if err != nil {
		return "", fmt.Errorf("reading the address of %s: %w; mount the secret that holds it", r.Name(), err)
	}
	address := strings.TrimSpace(string(content))
	u, err := url.Parse(address)
	var scheme string
	if err == nil {
		scheme, _, _ = strings.Cut(u.Scheme, "+")
	}
	if !slices.Contains((&router.ServiceRouter{}).ListServices(), scheme) { // not shown: it may be a secret
		return "", fmt.Errorf("reading the address of %s from %s: it is not of the form service://…, with one of the library's services", r.Name(), r.options.URLFile)
	}
	if scheme == "logger" {
		return "", fmt.Errorf("reading the address of %s from %s: logger tells nobody (%w); name another service", r.Name(), r.options.URLFile, announce.ErrFinal)
	}
	key := s.Bake + "/" + string(s.Stage)
	c, err := r.begin(key, func() error { return r.send(address, scheme, s) })
	if err != nil {
		return "", err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return "", fmt.Errorf("sending through %s: no answer of %s yet: %w", r.Name(), scheme, ctx.Err())
	}
	r.mu.Lock()
	if r.calls[key] == c {
		delete(r.calls, key)
	}
	r.mu.Unlock()
	if c.err == nil {
		return "", nil
	}
	said := fmt.Errorf("sending through %s: %s says: %s", r.Name(), scheme, conceal(c.err.Error(), u))
	if answer, ok := errors.AsType[jsonclient.Error](c.err); ok && answer.StatusCode >= 300 && errors.Is(&announce.AnswerError{Code: answer.StatusCode}, announce.ErrFinal) {
		return "", fmt.Errorf("%w (%w)", said, announce.ErrFinal)
	}
	return "", said
}

// begin makes the call of that key, unless it is under way.
func (r *Receiver) begin(key string, send func() error) (*call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.calls[key]; c != nil {
		return c, nil
	}
	if len(r.calls) >= maxCalls {
		for old, c := range r.calls {
			select {
			case <-c.done: // nobody came for it
				delete(r.calls, old)
			default:
				if time.Since(c.began) > hangs { // many of the library's services know no deadline: it may never end
					delete(r.calls, old)
				}
			}
		}
	}
	if len(r.calls) >= maxCalls || r.open >= maxOpen {
		return nil, fmt.Errorf("sending through %s: %d earlier messages have no answer yet", r.Name(), r.open)
	}
	c := &call{done: make(chan struct{}), began: time.Now()}
	r.calls[key] = c
	r.open++
	go func() {
		defer func() {
			r.mu.Lock()
			r.open--
			r.mu.Unlock()
			close(c.done)
		}()
		defer func() {
			if p := recover(); p != nil {
				c.err = fmt.Errorf("the library panicked: %v", p)
			}
		}()
		c.err = send()
	}()
	return c, nil
}

// titled are the services that show a title apart from the message.
var titled = []string{"discord", "gotify", "join", "lark", "matrix", "mattermost", "ntfy", "opsgenie", "pushbullet", "pushover", "bark", "smtp", "teams", "telegram", "zulip"}

func (r *Receiver) send(address, scheme string, s announce.Story) error {
	service, err := (&router.ServiceRouter{}).Locate(address)
	if err != nil {
		return errors.New("the address is not one that the library understands; see its documentation of the service")
	}
	title, text := announce.Clip(announce.OneLine(r.words(r.options.Title, defaultTitle, s)), maxTitle), announce.Clip(r.words(r.options.Text, defaultText, s), maxText)
	if slices.Contains(titled, scheme) {
		return service.Send(text, &types.Params{types.TitleKey: title})
	}
	return service.Send(title+"\n"+text, &types.Params{})
}

// words is the story by a template; where the user's fails on it after all, our own does.
func (r *Receiver) words(t, instead *wording.Template, s announce.Story) string {
	text, err := t.Write(s, escape)
	if err != nil {
		text, _ = instead.Write(s, escape)
	}
	return text
}

// escape keeps a text from calling people: it is shown by services of many kinds, most of which take it as it is.
func escape(text string) string {
	return strings.NewReplacer("@everyone", "@\u2060everyone", "@here", "@\u2060here", "@all", "@\u2060all", "<@", "<\u2060@", "<!", "<\u2060!").Replace(text)
}

var anyAddress = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*:/+[^\s"]+`)

// conceal words an error of the library, which is free with addresses and the secrets in them.
func conceal(text string, u *url.URL) string {
	text = anyAddress.ReplaceAllString(announce.OneLine(text), "…")
	password, _ := u.User.Password()
	secrets := []string{u.String(), u.User.Username(), password, u.Host, u.Hostname(), u.Path, u.RawQuery, u.EscapedPath()}
	secrets = append(secrets, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		secrets = append(secrets, values...)
	}
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	for _, secret := range secrets {
		if len(secret) >= 5 {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return announce.Clip(text, 300)
}
