package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/common/config"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/alertmanager"
	"github.com/bakewatch/bakewatch/act/announce/events"
	"github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/act/announce/grafana"
	"github.com/bakewatch/bakewatch/act/announce/pagerduty"
	"github.com/bakewatch/bakewatch/act/announce/slack"
	"github.com/bakewatch/bakewatch/act/announce/webhook"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/web"
)

// receivers are those the policy names now, and the desk that delivers to them.
type receivers struct {
	desk     *announce.Desk
	client   kubernetes.Interface
	identity string
	troubles *web.Troubles
	log      *zap.Logger

	mu     sync.RWMutex
	list   []announce.Receiver
	alerts *alertmanager.Client
}

// use builds the receivers the policy names.
func (r *receivers) use(c *policy.Config) {
	list := []announce.Receiver{events.New(r.client.CoreV1(), r.identity)}
	add := func(name string, build func() (announce.Receiver, error)) {
		got, err := build()
		if err != nil {
			err = fmt.Errorf("nobody is told through %s: %w", name, err)
		} else {
			list = append(list, got)
		}
		r.troubles.Set("announce."+name, err, false)
	}
	if g := c.Announce.Grafana; g != nil {
		add("grafana", func() (announce.Receiver, error) {
			client, err := httpClient(g.HTTP, g.TokenFile, "grafana")
			if err != nil {
				return nil, err
			}
			return grafana.New(g.URL, client)
		})
	}
	if w := c.Announce.Webhook; w != nil {
		add("webhook", func() (announce.Receiver, error) {
			client, err := httpClient(w.HTTP, "", "webhook")
			if err != nil {
				return nil, err
			}
			if w.HeadersFile != "" {
				client.Transport = headersFrom{w.HeadersFile, client.Transport}
			}
			return webhook.New(webhook.Options{URL: w.URL, URLFile: w.URLFile, SecretFile: w.SecretFile, Version: showVersion(), Client: client})
		})
	}
	if s := c.Announce.Slack; s != nil {
		add("slack", func() (announce.Receiver, error) {
			client, err := httpClient(s.HTTP(), "", "slack")
			if err != nil {
				return nil, err
			}
			return slack.New(slack.Options{WebhookFile: s.WebhookFile, TokenFile: s.TokenFile, Channel: s.Channel, URL: s.URL, Client: client})
		})
	}
	if g := c.Announce.GitHub; g != nil {
		add("github", func() (announce.Receiver, error) {
			client, err := httpClient(g.HTTP(), "", "github")
			if err != nil {
				return nil, err
			}
			return github.New(github.Options{Repository: g.Repository, TokenFile: g.TokenFile, URL: g.URL, Client: client})
		})
	}
	if p := c.Announce.PagerDuty; p != nil {
		add("pagerduty", func() (announce.Receiver, error) {
			client, err := httpClient(p.HTTP(), "", "pagerduty")
			if err != nil {
				return nil, err
			}
			return pagerduty.New(pagerduty.Options{RoutingKeyFile: p.RoutingKeyFile, URL: p.URL, Version: showVersion(), Client: client})
		})
	}
	var alerts *alertmanager.Client
	if a := c.Announce.Alertmanager; a != nil {
		client, err := httpClient(a.HTTP, a.BearerTokenFile, "alertmanager")
		if err == nil {
			alerts, err = alertmanager.New(a.URL, client)
		}
		r.troubles.Set("announce.alertmanager", err, false)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts, r.list = alerts, list
	r.desk.SetReceivers(list)
}

// Receivers implements bake.Teller.
func (r *receivers) Receivers(s announce.Story) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var names []string
	for _, one := range r.list {
		if announce.Hears(one, s, nil) {
			names = append(names, one.Name())
		}
	}
	return names
}

// Tell implements bake.Teller.
func (r *receivers) Tell(s announce.Story, told []string) {
	hear := r.Receivers(s)
	r.mu.RLock()
	defer r.mu.RUnlock()
	except := slices.Clone(told)
	for _, one := range r.list {
		if !slices.Contains(hear, one.Name()) {
			except = append(except, one.Name())
		}
	}
	r.desk.Tell(s, except...)
}

// Alert implements bake.Teller.
func (r *receivers) Alert(ctx context.Context, alerts []announce.Alert) error {
	r.mu.RLock()
	client := r.alerts
	r.mu.RUnlock()
	if client == nil {
		return nil
	}
	err := client.Post(ctx, alerts)
	if !errors.Is(err, context.Canceled) {
		r.troubles.Set("alertmanager", err, false)
	}
	return err
}

// httpConfig is a service's address as the common HTTP client takes it. Files are read again when they change.
func httpConfig(h policy.HTTP, bearerTokenFile string) config.HTTPClientConfig {
	c := config.DefaultHTTPClientConfig
	if bearerTokenFile != "" {
		c.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: bearerTokenFile}
	}
	if h.BasicAuth != nil {
		c.BasicAuth = &config.BasicAuth{Username: h.BasicAuth.Username, PasswordFile: h.BasicAuth.PasswordFile}
	}
	if h.TLS != nil {
		c.TLSConfig = config.TLSConfig{
			CAFile: h.TLS.CAFile, CertFile: h.TLS.CertFile, KeyFile: h.TLS.KeyFile,
			ServerName: h.TLS.ServerName, InsecureSkipVerify: h.TLS.InsecureSkipVerify,
		}
	}
	return c
}

func httpClient(h policy.HTTP, bearerTokenFile, name string) (*http.Client, error) {
	client, err := config.NewClientFromConfig(httpConfig(h, bearerTokenFile), name)
	if err != nil {
		return nil, fmt.Errorf("make an HTTP client for %s: %w", name, err)
	}
	client.Timeout = h.Timeout
	return client, nil
}

// headersFrom adds the headers in a file, one "Name: value" a line, read at each request so that they may be rotated.
type headersFrom struct {
	path string
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (h headersFrom) RoundTrip(req *http.Request) (*http.Response, error) {
	f, err := os.Open(h.path)
	if err != nil {
		return nil, fmt.Errorf("read the headers file: %w", err)
	}
	defer func() { _ = f.Close() }()
	req = req.Clone(req.Context())
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			req.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return h.next.RoundTrip(req)
}
