package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/bakewatch/bakewatch/playground/cluster"
)

// Addresses is where a running playground is found. What does not run is empty.
type Addresses struct {
	Kubeconfig   string `json:"kubeconfig"`
	APIServer    string `json:"apiserver"`
	Prometheus   string `json:"prometheus"`
	Alertmanager string `json:"alertmanager"`
	Grafana      string `json:"grafana"`
	Webhook      string `json:"webhook"`
	Datadog      string `json:"datadog"`
	Loki         string `json:"loki"`
	Control      string `json:"control"`
	PodPrefix    string `json:"podPrefix"`
	PID          int    `json:"pid"`
}

func addressesFile(dir string) string { return filepath.Join(dir, "addresses.json") }

func (a Addresses) write(dir string) error {
	raw, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return cluster.WriteFile(addressesFile(dir), append(raw, '\n'))
}

// ReadAddresses reads where the playground of a directory is.
func ReadAddresses(dir string) (Addresses, error) {
	var a Addresses
	raw, err := os.ReadFile(addressesFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no playground runs in %s: start one with `playground up --dir %s`", dir, dir)
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("%s: %w", addressesFile(dir), err)
	}
	return a, nil
}

var trailing = regexp.MustCompile(`(?m) +$`)

// table says where everything is and what to try first.
func (a Addresses) table(dir string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range [][3]string{
		{"kubeconfig", a.Kubeconfig, "for a cluster administrator"},
		{"Kubernetes API", a.APIServer, ""},
		{"Prometheus", a.Prometheus, ""},
		{"Alertmanager", a.Alertmanager, "sends all alerts to the webhook stand-in"},
		{"Grafana stand-in", a.Grafana, "what it was sent: /_sent"},
		{"webhook stand-in", a.Webhook, "what it was sent: /_sent"},
		{"Datadog stand-in", a.Datadog, "Prometheus' samples by Datadog's API: PUT /_fault, /_sent"},
		{"Loki stand-in", a.Loki, "the pods' lines by Loki's API: PUT /_fault, /_sent"},
		{"control", a.Control, "/state; POST /outage/apiserver?for=60s, /prometheus/stop, /prometheus/start"},
	} {
		if row[1] != "" {
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", row[0], row[1], row[2])
		}
	}
	_ = w.Flush()
	self := "playground"
	if len(os.Args) > 0 {
		self = os.Args[0]
	}
	kubectl := filepath.Join(filepath.Dir(self), "kubectl")
	if _, err := os.Stat(kubectl); err != nil {
		kubectl = "kubectl"
	}
	dir = relative(dir)
	return fmt.Sprintf(`
The playground is up.

%s
Try:
  export KUBECONFIG=%s
  %s create deployment web --image=web:1 --replicas=3
  %s patch deployment web -p '{"spec":{"template":{"metadata":{"annotations":{"playground.bakewatch.dev/error-rate":"0.08"}}}}}'
  curl -s %s/state
  %s down --dir %s

`, trailing.ReplaceAllString(b.String(), ""), relative(a.Kubeconfig), kubectl, kubectl, a.Control, self, dir)
}

// relative shortens a path below the working directory.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}
