// Package datadog tells each stage of a bake to Datadog as an event. The events of one bake carry its key, by which Datadog
// groups them.
package datadog

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

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	maxTitle = 500
	maxText  = 3900           // characters; Datadog's limit is 4000, our marks of Markdown included
	maxKey   = 100            // characters of an aggregation key
	maxTag   = 200            // bytes of a tag
	maxAge   = 17 * time.Hour // Datadog takes no event that is older than 18 hours
)

var (
	defaultTitle = wording.Must(`{{.Headline}}`)
	defaultText  = wording.Must(`{{.Why}}
{{range .Others}}
- {{.}}{{end}}
{{with .Recovery}}
**After the rollback:** {{.}}
{{end}}
{{with .From}}from {{.}} {{end}}to {{.To}}
{{with .Changes}}
Changed: {{join "; " .}}{{end}}{{with .ChangedBy}} (by {{.}}){{end}}

Bake {{.Bake}}{{range .Links}} · [{{.Title}}]({{.URL}}){{end}}`)
)

// Options says where to send events and as whom.
type Options struct {
	Name       string // the receiver's name; "datadog" if empty
	URL        string // of the API: that of the organisation's site, or of a proxy
	APIKeyFile string // holds an API key; read at each call, so that it may be rotated

	Title, Text *wording.Template // nil: our own
	Client      *http.Client
}

// Receiver tells Datadog. Datadog takes no key by which it would know an event again, so one may come twice after a crash.
type Receiver struct {
	options Options
	api     *datadogV1.EventsApi
	place   string
}

// New returns a Receiver.
func New(o Options) (*Receiver, error) {
	o.Name = cmp.Or(o.Name, "datadog")
	if o.APIKeyFile == "" {
		return nil, fmt.Errorf("setting up %s: it needs the file with an API key", o.Name)
	}
	u, err := announce.ParseAddress(o.URL)
	if err != nil {
		return nil, fmt.Errorf("setting up %s: %w", o.Name, err)
	}
	o.Title, o.Text = cmp.Or(o.Title, defaultTitle), cmp.Or(o.Text, defaultText)
	cfg := datadog.NewConfiguration()
	cfg.HTTPClient = announce.StrictClient(o.Client)
	cfg.UserAgent = "bakewatch " + cfg.UserAgent
	cfg.Servers = datadog.ServerConfigurations{{URL: strings.TrimRight(u.String(), "/")}}
	cfg.RetryConfiguration.EnableRetry = false // the desk tries again
	return &Receiver{options: o, api: datadogV1.NewEventsApi(datadog.NewAPIClient(cfg)), place: announce.Place(u)}, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return r.options.Name }

// Tell sends the event and returns its id.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	content, err := os.ReadFile(r.options.APIKeyFile)
	if err != nil {
		return "", fmt.Errorf("reading the API key of %s: %w; mount the secret that holds it", r.Name(), err)
	}
	apiKey := strings.TrimSpace(string(content))
	if apiKey == "" || strings.ContainsFunc(apiKey, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("reading the API key of %s: %s does not hold one key and nothing else", r.Name(), r.options.APIKeyFile)
	}
	ctx = context.WithValue(ctx, datadog.ContextAPIKeys, map[string]datadog.APIKey{"apiKeyAuth": {Key: apiKey}})
	answer, _, err := r.api.CreateEvent(ctx, r.event(s, time.Now())) //nolint:bodyclose // the client has read the body, and closed it
	switch {
	case err != nil:
		return "", announce.Conceal(r.explain(err), apiKey)
	case answer.UnparsedObject != nil || answer.GetStatus() != "ok":
		return "", fmt.Errorf("sending an event to %s at %s: the answer does not say that it was taken; check that the address is that of Datadog's API", r.Name(), r.place)
	}
	event := answer.GetEvent()
	if id := event.GetId(); id != 0 {
		return fmt.Sprint(id), nil
	}
	return "", nil
}

// explain words an error and adds what to do about it. The client's errors may hold the body of an answer: that is cut.
func (r *Receiver) explain(err error) error {
	advice := ""
	err = announce.WithoutAddress(err)
	answer, answered := errors.AsType[*announce.AnswerError](err)
	switch {
	case answered && (answer.Code == http.StatusForbidden || answer.Code == http.StatusUnauthorized):
		advice = "; check the API key, and that it is of this site's organisation"
	case answered && (answer.Code == http.StatusNotFound || answer.Code < 400):
		advice = "; check the site or the address"
	case !answered:
		err = oneLine{err}
	}
	return fmt.Errorf("sending an event to %s at %s: %w%s", r.Name(), r.place, err, advice)
}

// oneLine is an error whose text is bounded.
type oneLine struct{ cause error }

func (e oneLine) Error() string { return announce.Clip(announce.OneLine(e.cause.Error()), 300) }
func (e oneLine) Unwrap() error { return e.cause }

func (r *Receiver) event(s announce.Story, now time.Time) datadogV1.EventCreateRequest {
	text := announce.Clip(r.words(r.options.Text, defaultText, s, escape), maxText)
	e := datadogV1.EventCreateRequest{
		Title:          announce.Clip(announce.OneLine(r.words(r.options.Title, defaultTitle, s, nil)), maxTitle),
		Text:           "%%% \n" + text + "\n %%%",
		AggregationKey: datadog.PtrString(key(s)),
		AlertType:      kind(s).Ptr(),
		Tags:           tags(s),
	}
	at := s.StartedAt
	switch {
	case !s.EndedAt.IsZero():
		at = s.EndedAt
	case s.Stage != announce.Started:
		at = now
	}
	if age := now.Sub(at); age >= 0 && age < maxAge {
		e.DateHappened = datadog.PtrInt64(at.Unix())
	}
	return e
}

// words is the story by a template; where the user's fails on it after all, our own does.
func (r *Receiver) words(t, instead *wording.Template, s announce.Story, escape func(string) string) string {
	text, err := t.Write(s, escape)
	if err != nil {
		text, _ = instead.Write(s, escape)
	}
	return text
}

// escape keeps Markdown, and the marks around it, out of a text, and @ from calling people.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "#", `\#`, "<", "&lt;", "|", `\|`, "@", "@\u2060", "%%%", "%\u2060%\u2060%").Replace(text)
}

// kind is how Datadog shows the event.
func kind(s announce.Story) datadogV1.EventAlertType {
	switch {
	case s.Severity == announce.Critical:
		return datadogV1.EVENTALERTTYPE_ERROR
	case s.Severity == announce.Warning:
		return datadogV1.EVENTALERTTYPE_WARNING
	case s.Outcome == "Passed":
		return datadogV1.EVENTALERTTYPE_SUCCESS
	}
	return datadogV1.EVENTALERTTYPE_INFO
}

// key is the bake, by which its events are one story; one that is too long ends in its hash.
func key(s announce.Story) string {
	all := "bakewatch/" + s.Bake
	if len(all) <= maxKey {
		return all
	}
	hash := sha256.Sum256([]byte(all))
	suffix := "-" + hex.EncodeToString(hash[:8])
	return strings.ToValidUTF8(all[:maxKey-len(suffix)], "") + suffix
}

// tags are by what events are found, and laid over graphs: namespace, kind, workload and version before all.
func tags(s announce.Story) []string {
	all := []string{"bakewatch"}
	for _, t := range [][2]string{{"namespace", s.Namespace}, {"workload", s.Workload}, {"kind", s.Kind}, {"version", s.Version}, {"stage", string(s.Stage)}, {"outcome", s.Outcome}, {"severity", s.Severity}} {
		if value := announce.OneLine(t[1]); value != "" {
			all = append(all, tag(t[0]+":"+strings.ToLower(value)))
		}
	}
	if s.Observed {
		all = append(all, "observed:true")
	}
	return all
}

// tag is what Datadog would make of a text, which it does by itself but for the length.
func tag(text string) string {
	text = strings.Map(func(c rune) rune {
		if c == ',' || c == ' ' {
			return '_'
		}
		return c
	}, text)
	if len(text) > maxTag {
		text = strings.ToValidUTF8(text[:maxTag], "")
	}
	return text
}
