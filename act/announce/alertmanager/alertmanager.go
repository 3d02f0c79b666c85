// Package alertmanager posts alerts to Alertmanager.
package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	"github.com/prometheus/alertmanager/api/v2/client"
	"github.com/prometheus/alertmanager/api/v2/client/alert"
	"github.com/prometheus/alertmanager/api/v2/models"

	"github.com/bakewatch/bakewatch/act/announce"
)

const (
	maxSummary     = 500  // runes
	maxDescription = 4000 // runes
)

// Client posts alerts. Alertmanager converges by labels, so that posting again is how an alert is kept firing.
type Client struct {
	api   alert.ClientService
	place string
}

// New returns a Client for the Alertmanager at address, which may have a path. client brings the credentials; they are not
// taken from the address.
func New(address string, httpClient *http.Client) (*Client, error) {
	u, err := announce.ParseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("setting up alertmanager: %w", err)
	}
	if u.User != nil {
		return nil, errors.New("setting up alertmanager: the address holds credentials; give a credentials file or a password file instead")
	}
	transport := httptransport.NewWithClient(u.Host, path.Join("/", u.Path, "api/v2"), []string{u.Scheme}, announce.StrictClient(httpClient))
	transport.Debug = false // else the variable DEBUG makes it print every message
	return &Client{api: client.New(transport, strfmt.Default).Alert, place: announce.Place(u)}, nil
}

// Post sends the alerts in one request. Its error wraps announce.ErrFinal if sending the same again cannot mend it.
func (c *Client) Post(ctx context.Context, alerts []announce.Alert) error {
	if len(alerts) == 0 {
		return nil
	}
	body := make(models.PostableAlerts, 0, len(alerts))
	for _, a := range alerts {
		body = append(body, postable(a))
	}
	_, err := c.api.PostAlerts(alert.NewPostAlertsParamsWithContext(ctx).WithAlerts(body))
	if err == nil {
		return nil
	}
	advice := ""
	if answer, ok := errors.AsType[*announce.AnswerError](err); ok {
		switch {
		case answer.Code == http.StatusUnauthorized, answer.Code == http.StatusForbidden:
			advice = "; check the credentials file"
		case answer.Code == http.StatusNotFound, answer.Code >= 300 && answer.Code < 400:
			advice = "; check the address: scheme, path prefix, and that no login page stands before the API"
		}
	}
	return fmt.Errorf("posting %d alerts to alertmanager at %s: %w%s", len(alerts), c.place, announce.WithoutAddress(err), advice)
}

func postable(a announce.Alert) *models.PostableAlert {
	s := a.Story
	p := &models.PostableAlert{
		StartsAt: strfmt.DateTime(a.StartsAt),
		EndsAt:   strfmt.DateTime(a.EndsAt),
		// The labels are the alert's identity: nothing that may change from one post to the next belongs here.
		Alert: models.Alert{Labels: present(models.LabelSet{
			"alertname": a.Name,
			"severity":  a.Severity,
			"namespace": s.Namespace,
			"workload":  s.Workload,
			"kind":      s.Kind,
			"bake":      s.Bake,
			"observed":  strconv.FormatBool(s.Observed),
		})},
		Annotations: present(models.LabelSet{
			"summary":     announce.Clip(announce.OneLine(s.Headline), maxSummary),
			"description": description(s),
		}),
	}
	if !a.EndsAt.IsZero() && a.EndsAt.Before(a.StartsAt) { // rejected otherwise
		p.EndsAt = p.StartsAt
	}
	if u, err := url.Parse(a.Generator); err == nil && u.Host != "" { // one bad link would have the whole request rejected
		p.GeneratorURL = strfmt.URI(a.Generator)
	}
	return p
}

// description is the first reason, the others, and what was measured after a rollback, one a line.
func description(s announce.Story) string {
	var lines []string
	for _, sentence := range append(append([]string{s.Why}, s.Reasons...), s.Recovery) {
		sentence = announce.OneLine(sentence)
		if sentence != "" && (len(lines) == 0 || sentence != lines[0]) { // Why is one of the reasons
			lines = append(lines, sentence)
		}
	}
	return announce.Clip(strings.Join(lines, "\n"), maxDescription)
}

// present leaves out empty values and makes the others valid UTF-8, without which Alertmanager rejects them.
func present(set models.LabelSet) models.LabelSet {
	for name, value := range set {
		if value == "" {
			delete(set, name)
			continue
		}
		set[name] = strings.ToValidUTF8(value, "�")
	}
	return set
}
