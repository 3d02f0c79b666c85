package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
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
	routes map[string][]announce.Route // by the receiver they name
	links  []link
	alerts *alertmanager.Client
	broken []string // receivers that could not be built
}

// use builds the receivers the policy names.
func (r *receivers) use(c *policy.Config) {
	list := []announce.Receiver{events.New(r.client.CoreV1(), r.identity)}
	broken := map[string]error{}
	for _, one := range outlets(c) {
		got, err := one.build()
		if err != nil {
			broken["announce."+one.name] = fmt.Errorf("nobody is told through %s: %w", one.name, err)
			continue
		}
		list = append(list, got)
	}
	alerts, err := alertmanagerOf(c)
	if err != nil {
		broken["announce.alertmanager"] = err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.broken {
		if broken[name] == nil {
			r.troubles.Set(name, nil, false)
		}
	}
	r.broken = slices.Collect(maps.Keys(broken))
	for name, err := range broken {
		r.troubles.Set(name, err, false)
	}
	r.alerts, r.list, r.routes, r.links = alerts, list, routesOf(c), linksOf(c)
	r.desk.SetReceivers(list)
}

// Receivers implements bake.Teller.
func (r *receivers) Receivers(s announce.Story) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	hear, _ := r.split(s)
	return hear
}

// Tell implements bake.Teller.
func (r *receivers) Tell(s announce.Story, told []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, rest := r.split(s)
	r.desk.Tell(linked(s, r.links), append(rest, told...)...)
}

// split are the names of those who are to hear a story, and of the rest.
func (r *receivers) split(s announce.Story) (hear, rest []string) {
	for _, one := range r.list {
		if name := one.Name(); announce.Hears(one, s, r.routes[name]) {
			hear = append(hear, name)
		} else {
			rest = append(rest, name)
		}
	}
	return hear, rest
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
