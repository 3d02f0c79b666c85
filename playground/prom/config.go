// Package prom configures and runs the real Prometheus and Alertmanager beside the control plane.
package prom

import (
	"fmt"
	"time"

	"sigs.k8s.io/yaml"
)

// Namespace is where the service account lives with which Prometheus reads the pods.
const Namespace = "monitoring"

// Config is what the two need to know about the others.
type Config struct {
	Interval     time.Duration // scrape interval
	APIServer    string        // URL
	CAFile       string
	TokenFile    string
	PodPort      string
	Alertmanager string // host:port
	Traffic      string // host:port of the generator's metrics
	Bakewatch    string // host:port of the daemon's metrics
	Webhook      string // URL every alert is sent to
	RulesGlob    string // alert rules a user may drop in
	DiscoveryURL string // lists the pods, for a Prometheus that cannot ask the API server; empty for one that can
}

type object = map[string]any

// relabel is one relabelling rule; an empty action replaces.
func relabel(action, regex, target, replacement string, source ...string) object {
	r := object{}
	for key, value := range map[string]string{"action": action, "regex": regex, "target_label": target, "replacement": replacement} {
		if value != "" {
			r[key] = value
		}
	}
	if len(source) > 0 {
		r["source_labels"] = source
	}
	return r
}

// Prometheus is the configuration of Prometheus.
func (c Config) Prometheus() ([]byte, error) {
	interval := fmt.Sprintf("%dms", c.Interval.Milliseconds())
	static := func(job, addr string) object {
		return object{"job_name": job, "static_configs": []object{{"targets": []string{addr}}}}
	}
	pods := object{
		"job_name": "pods",
		"relabel_configs": []object{
			relabel("drop", "Pending|Succeeded|Failed|Unknown", "", "", "__meta_kubernetes_pod_phase"),
			relabel("drop", "true", "", "", "__meta_kubernetes_pod_container_init"),
			relabel("drop", "false", "", "", "__meta_kubernetes_pod_annotation_prometheus_io_scrape"),
			relabel("keep", ".+", "", "", "__meta_kubernetes_pod_ip"),
			// One target a pod, whatever ports its containers name: the playground's pods serve on one.
			relabel("", "(.+)", "__address__", "$1:"+c.PodPort, "__meta_kubernetes_pod_ip"),
			// The pod's own labels first, so that none of them can take the place of those that say where it is.
			relabel("labelmap", "__meta_kubernetes_pod_label_(.+)", "", ""),
			relabel("", "", "namespace", "", "__meta_kubernetes_namespace"),
			relabel("", "", "pod", "", "__meta_kubernetes_pod_name"),
			relabel("", "", "node", "", "__meta_kubernetes_pod_node_name"),
		},
	}
	if c.DiscoveryURL != "" {
		pods["http_sd_configs"] = []object{{"url": c.DiscoveryURL, "refresh_interval": "1s"}}
	} else {
		pods["kubernetes_sd_configs"] = []object{{
			"role": "pod", "api_server": c.APIServer,
			"authorization": object{"credentials_file": c.TokenFile},
			"tls_config":    object{"ca_file": c.CAFile},
		}}
	}
	return yaml.Marshal(object{
		"global":     object{"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
		"rule_files": []string{c.RulesGlob},
		"alerting": object{"alertmanagers": []object{
			{"static_configs": []object{{"targets": []string{c.Alertmanager}}}},
		}},
		"scrape_configs": []object{pods, static("traefik", c.Traffic), static("bakewatch", c.Bakewatch)},
	})
}

// AlertmanagerConfig sends every alert, and its end, to the webhook within seconds.
func (c Config) AlertmanagerConfig() ([]byte, error) {
	return yaml.Marshal(object{
		"route": object{"receiver": "webhook", "group_by": []string{"..."}, "group_wait": "1s", "group_interval": "5s", "repeat_interval": "1h"},
		"receivers": []object{
			{"name": "webhook", "webhook_configs": []object{{"url": c.Webhook, "send_resolved": true}}},
		},
	})
}
