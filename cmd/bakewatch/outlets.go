package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/alertmanager"
	"github.com/bakewatch/bakewatch/act/announce/datadog"
	"github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/act/announce/grafana"
	"github.com/bakewatch/bakewatch/act/announce/pagerduty"
	"github.com/bakewatch/bakewatch/act/announce/shoutrrr"
	"github.com/bakewatch/bakewatch/act/announce/slack"
	"github.com/bakewatch/bakewatch/act/announce/webhook"
	"github.com/bakewatch/bakewatch/act/announce/wording"
	"github.com/bakewatch/bakewatch/policy"
)

// outlet is a receiver that the policy names, and how it is made.
type outlet struct {
	name  string
	build func() (announce.Receiver, error)
}

// outlets are the receivers of stories that the policy names.
func outlets(c *policy.Config) []outlet {
	var all []outlet
	if g := c.Announce.Grafana; g != nil {
		all = append(all, outlet{"grafana", func() (announce.Receiver, error) {
			client, err := httpClient(g.HTTP, g.TokenFile, "grafana")
			if err != nil {
				return nil, err
			}
			return grafana.New(g.URL, client, dashboardsOf(g)...)
		}})
	}
	all = append(all, outletsOf("", c.Announce.Outlets)...)
	for _, name := range slices.Sorted(maps.Keys(c.Announce.Receivers)) {
		all = append(all, outletsOf(name, c.Announce.Receivers[name])...)
	}
	return all
}

// outletsOf are those that are there of o, by the given name, or each by that of its kind.
func outletsOf(name string, o policy.Outlets) []outlet {
	var all []outlet
	add := func(kind string, h policy.HTTP, build func(name string, client *http.Client) (announce.Receiver, error)) {
		name := cmp.Or(name, kind)
		all = append(all, outlet{name, func() (announce.Receiver, error) {
			client, err := httpClient(h, "", name)
			if err != nil {
				return nil, err
			}
			return build(name, client)
		}})
	}
	if w := o.Webhook; w != nil {
		add("webhook", w.HTTP, func(name string, client *http.Client) (announce.Receiver, error) {
			if w.HeadersFile != "" {
				client.Transport = headersFrom{w.HeadersFile, client.Transport}
			}
			return webhook.New(webhook.Options{Name: name, URL: w.URL, URLFile: w.URLFile, SecretFile: w.SecretFile, Version: showVersion(), Client: client})
		})
	}
	if s := o.Slack; s != nil {
		add("slack", s.HTTP(), func(name string, client *http.Client) (announce.Receiver, error) {
			title, text, err := templates(s.Wording)
			if err != nil {
				return nil, err
			}
			return slack.New(slack.Options{Name: name, WebhookFile: s.WebhookFile, TokenFile: s.TokenFile, Channel: s.Channel, URL: s.URL, Title: title, Text: text, Client: client})
		})
	}
	if g := o.GitHub; g != nil {
		add("github", g.HTTP(), func(name string, client *http.Client) (announce.Receiver, error) {
			title, text, err := templates(g.Wording)
			if err != nil {
				return nil, err
			}
			return github.New(github.Options{Name: name, Repository: g.Repository, TokenFile: g.TokenFile, URL: g.URL, Title: title, Text: text, Client: client})
		})
	}
	if p := o.PagerDuty; p != nil {
		add("pagerduty", p.HTTP(), func(name string, client *http.Client) (announce.Receiver, error) {
			title, text, err := templates(p.Wording)
			if err != nil {
				return nil, err
			}
			return pagerduty.New(pagerduty.Options{Name: name, RoutingKeyFile: p.RoutingKeyFile, URL: p.URL, Version: showVersion(), Title: title, Text: text, Client: client})
		})
	}
	if d := o.Datadog; d != nil {
		add("datadog", d.HTTP(), func(name string, client *http.Client) (announce.Receiver, error) {
			title, text, err := templates(d.Wording)
			if err != nil {
				return nil, err
			}
			return datadog.New(datadog.Options{Name: name, URL: d.HTTP().URL, APIKeyFile: d.APIKeyFile, Title: title, Text: text, Client: client})
		})
	}
	if g := o.GitHubDeployments; g != nil {
		add("githubDeployments", g.HTTP(), func(name string, client *http.Client) (announce.Receiver, error) {
			repositories, err := repositoriesOf(g)
			if err != nil {
				return nil, err
			}
			return github.NewDeployments(github.DeploymentOptions{Name: name, Repositories: repositories, TokenFile: g.TokenFile, URL: g.URL, Client: client})
		})
	}
	if s := o.Shoutrrr; s != nil {
		name := cmp.Or(name, "shoutrrr")
		all = append(all, outlet{name, func() (announce.Receiver, error) {
			title, text, err := templates(s.Wording)
			if err != nil {
				return nil, err
			}
			return shoutrrr.New(shoutrrr.Options{Name: name, URLFile: s.URLFile, Title: title, Text: text})
		}})
	}
	return all
}

// templates are those of the policy, which has checked them; nil where it has none.
func templates(w policy.Wording) (title, text *wording.Template, err error) {
	if w.Title != "" {
		if title, err = wording.ParseTitle(w.Title); err != nil {
			return nil, nil, fmt.Errorf("read the template of titles: %w", err)
		}
	}
	if w.Text != "" {
		if text, err = wording.Parse(w.Text); err != nil {
			return nil, nil, fmt.Errorf("read the template of texts: %w", err)
		}
	}
	return title, text, nil
}

// alertmanagerOf is the Alertmanager that the policy names; nil if it names none.
func alertmanagerOf(c *policy.Config) (*alertmanager.Client, error) {
	a := c.Announce.Alertmanager
	if a == nil {
		return nil, nil
	}
	client, err := httpClient(a.HTTP, a.BearerTokenFile, "alertmanager")
	if err != nil {
		return nil, err
	}
	return alertmanager.New(a.URL, client)
}

// routesOf are the policy's routes, by the receivers they name.
func routesOf(c *policy.Config) map[string][]announce.Route {
	all := map[string][]announce.Route{}
	for _, r := range c.Announce.Routes {
		route := func(s announce.Story, any bool) bool {
			return r.Match.Workload(target(s)) && (any || r.Match.Story(s.Severity, s.Outcome))
		}
		for _, name := range r.To {
			all[name] = append(all[name], route)
		}
	}
	return all
}
