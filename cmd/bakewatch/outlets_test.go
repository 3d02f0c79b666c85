package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/policy"
)

const routed = `
sources: {prometheus: {url: http://prometheus}}
announce:
  grafana: {url: http://grafana}
  webhook: {url: http://hook}
  slack: {webhookFile: /secrets/slack, title: "{{.Severity}} {{.Headline}}", text: "{{.Why}}"}
  github: {repository: acme/shop, tokenFile: /secrets/github}
  pagerduty: {routingKeyFile: /secrets/pagerduty}
  alertmanager: {url: http://alertmanager}
  shoutrrr: {urlFile: /secrets/discord}
  datadog: {apiKeyFile: /secrets/datadog}
  githubDeployments: {tokenFile: /secrets/github, repositories: [{match: {namespace: shop}, repository: acme/shop}]}
  receivers:
    mail: {shoutrrr: {urlFile: /secrets/smtp, text: "{{.Why}}"}}
    pay-team: {slack: {tokenFile: /secrets/slack, channel: pay}}
    pay-issues: {github: {repository: acme/pay, tokenFile: /secrets/github}}
  routes:
    - {match: {namespace: 'pay-*'}, to: [pay-team]}
    - {match: {outcome: [Passed]}, to: [mail, shoutrrr]}
    - {match: {namespace: 'pay-*', severity: critical}, to: [pay-issues, pagerduty]}
`

// Who hears what: by the routes that name a receiver, and without one as is usual for its kind.
func TestRoutes(t *testing.T) {
	config, err := policy.Parse("test", []byte(routed))
	if err != nil {
		t.Fatal(err)
	}
	r := &receivers{routes: routesOf(config)}
	for _, one := range outlets(config) {
		built, err := one.build()
		if err != nil || built.Name() != one.name {
			t.Fatalf("%s: %v", one.name, err)
		}
		r.list = append(r.list, built)
	}
	if alerts, err := alertmanagerOf(config); err != nil || alerts == nil {
		t.Errorf("alertmanager: %v", err)
	}
	info, critical := announce.Info, announce.Critical
	for _, c := range []struct {
		story announce.Story
		want  []string
	}{
		{announce.Story{Namespace: "shop", Stage: announce.Started, Severity: info}, []string{"grafana", "webhook", "datadog"}},
		{announce.Story{Namespace: "shop", Stage: announce.Deciding, Severity: critical, Decided: true}, []string{"grafana", "webhook", "slack", "datadog"}},
		{announce.Story{Namespace: "shop", Stage: announce.Ended, Severity: critical, Decided: true, Outcome: "RolledBack"}, []string{"grafana", "webhook", "slack", "github", "datadog"}},
		{announce.Story{Namespace: "shop", Stage: announce.Ended, Severity: info, Outcome: "Passed"}, []string{"grafana", "webhook", "github", "datadog", "shoutrrr", "mail"}},
		{announce.Story{Namespace: "shop", Stage: announce.Started, Severity: info, ImageTag: "v2"}, []string{"grafana", "webhook", "datadog", "githubDeployments"}},
		{announce.Story{Namespace: "pay-eu", Stage: announce.Started, Severity: info, ImageTag: "v2"}, []string{"grafana", "webhook", "datadog", "pay-team"}},
		{announce.Story{Namespace: "pay-eu", Stage: announce.Started, Severity: info}, []string{"grafana", "webhook", "datadog", "pay-team"}},
		{announce.Story{Namespace: "pay-eu", Stage: announce.Ended, Severity: info, Outcome: "Passed"}, []string{"grafana", "webhook", "github", "datadog", "shoutrrr", "mail", "pay-issues", "pay-team"}},
		{announce.Story{Namespace: "pay-eu", Stage: announce.Ended, Severity: critical, Outcome: "Held"}, []string{"grafana", "webhook", "slack", "github", "pagerduty", "datadog", "pay-issues", "pay-team"}},
		{announce.Story{Namespace: "pay-eu", Stage: announce.Ended, Severity: "warning", Observed: true, Outcome: "Held"}, []string{"grafana", "webhook", "slack", "github", "datadog", "pay-team"}},
		{announce.Story{Namespace: "pay-eu", Stage: announce.Resolved, Severity: critical, Outcome: "Held"}, []string{"pagerduty"}},
	} {
		if got := r.Receivers(c.story); !slices.Equal(got, c.want) {
			t.Errorf("%s %s %s: got %v, want %v", c.story.Namespace, c.story.Stage, c.story.Outcome, got, c.want)
		}
	}
}

// A receiver whose files are unusable cannot be built, and leaves the others be.
func TestUnusableFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := policy.Parse("test", fmt.Appendf(nil, `
sources: {prometheus: {url: http://prometheus}}
announce:
  github: {repository: acme/shop, tokenFile: /secrets/github, tls: {caFile: %s}}
  pagerduty: {routingKeyFile: /secrets/pagerduty}
`, file))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range outlets(config) {
		if _, err := one.build(); (err != nil) != (one.name == "github") {
			t.Errorf("%s: %v", one.name, err)
		}
	}
}
