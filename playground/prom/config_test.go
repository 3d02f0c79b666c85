package prom

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

var example = Config{Interval: time.Second, APIServer: "https://127.0.0.1:1", CAFile: "/dev/null", TokenFile: "/dev/null", PodPort: "8080",
	Alertmanager: "127.0.0.1:2", Traffic: "127.0.0.1:3", Bakewatch: "127.0.0.1:4", Webhook: "http://127.0.0.1:5/alertmanager", RulesGlob: "/nowhere/*.yml"}

func TestConfigNamesItsJobs(t *testing.T) {
	raw, err := example.Prometheus()
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		ScrapeConfigs []struct {
			JobName string `json:"job_name"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	var jobs []string
	for _, s := range c.ScrapeConfigs {
		jobs = append(jobs, s.JobName)
	}
	if got := strings.Join(jobs, " "); got != "pods traefik bakewatch" {
		t.Fatalf("jobs are %s", got)
	}
}

// The real programs say whether they would take the configuration.
func TestConfigIsAccepted(t *testing.T) {
	for tool, render := range map[string]func(Config) ([]byte, error){"promtool": Config.Prometheus, "amtool": Config.AlertmanagerConfig} {
		example := example
		path, err := exec.LookPath(filepath.Join("..", ".tools", "bin", tool))
		if err != nil {
			if path, err = exec.LookPath(tool); err != nil {
				t.Logf("%s is not here: its check is left out", tool)
				continue
			}
		}
		if tool == "promtool" {
			kubernetes, err := HasKubernetesDiscovery(path)
			if err != nil {
				t.Fatal(err)
			}
			if !kubernetes {
				example.DiscoveryURL = "http://127.0.0.1:6/discovery/pods"
			}
		}
		raw, err := render(example)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"check-config", file}
		if tool == "promtool" {
			args = []string{"check", "config", file}
		}
		if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", tool, err, out, raw)
		}
	}
}
