package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/bakewatch/bakewatch/playground/standins"
)

// The times of the demo's policy.
const (
	scrapeInterval = time.Second
	interval       = 2 * time.Second
	window         = 20 * time.Second
	verify         = 10 * time.Second
	ticks          = 2
)

// allowed is how long after the first bad response the rollback may come: two scrapes, two ticks, and the ticks that
// the policy wants to see in a row.
const allowed = 2*scrapeInterval + (2+ticks)*interval

// allowedBy is the same by a source and a story: Datadog is read as much later as it needs to know what happened.
func (d *demo) allowedBy() time.Duration {
	most := allowed
	if d.source == "datadog" {
		most += lag
	}
	if d.options.story == byHelm {
		most += 2 * time.Second // the rollback is tried before it is carried out
	}
	return most
}

//go:embed manifests/*.yaml
var manifests embed.FS

// version is one version of web, as its manifest is filled in.
type version struct {
	Version   string
	ErrorRate string
	Startup   string
}

// The versions of web. Prometheus looks for new pods every five seconds only. The bad version takes longer than that to
// start, so that its first bad response is in the next scrape, and the time to the rollback is Bakewatch's own.
var (
	v1 = version{"v1", "0.0005", "2s"}
	v2 = version{"v2", "0.08", "8s"}
	v3 = version{"v3", "0.0005", "2s"}
	v4 = version{"v4", "0.0005", "2s"}
)

func (v version) image() string { return "web:" + v.Version }

// policy fills in the manifest of the demo's policy.
type policy struct {
	addresses
	Window, Interval, Verify time.Duration

	Keys string        // directory with Datadog's keys; empty: Prometheus is asked
	Lag  time.Duration // of Datadog
	Helm bool          // releases go back as a whole

	Sync time.Duration // within which pods read a ConfigMap that changed; 0: ConfigMaps are not followed
}

// lag is how long the demo's Datadog needs to know what happened: as the samples are Prometheus', the time of two scrapes.
const lag = 2 * scrapeInterval

// policy is the demo's policy, for the source it is played with.
func (d *demo) policy() (policy, error) {
	p := policy{addresses: d.addresses, Window: window, Interval: interval, Verify: verify, Helm: d.options.story == byHelm}
	if d.options.story == byConfig {
		p.Sync = configSync
	}
	if d.source != "datadog" {
		return p, nil
	}
	p.Keys, p.Lag = d.dir, lag
	for name, key := range map[string]string{"datadog-api-key": standins.DatadogAPIKey, "datadog-app-key": standins.DatadogAppKey} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(key+"\n"), 0o600); err != nil {
			return p, err
		}
	}
	return p, nil
}

// write fills a manifest in, keeps it in the demo's directory so that it can be looked at, and returns its path.
func (d *demo) write(manifest, as string, values any) (string, error) {
	t, err := template.ParseFS(manifests, "manifests/"+manifest)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, values); err != nil {
		return "", fmt.Errorf("fill in %s: %w", manifest, err)
	}
	path := filepath.Join(d.dir, as)
	return path, os.WriteFile(path, out.Bytes(), 0o600)
}
