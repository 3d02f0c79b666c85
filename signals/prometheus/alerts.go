package prometheus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// alertLabels are the labels that may hold the name of an alert's workload.
var alertLabels = []model.LabelName{"deployment", "statefulset", "daemonset", "workload", "service", "app", "container", "job",
	"app_kubernetes_io_name", "app_kubernetes_io_instance", "label_app_kubernetes_io_name", "exported_service"}

// maxAlerts is how many names are returned.
const maxAlerts = 10

// Firing are the names of the alerts of a workload that fired at a time, by the server's own series of alerts. Those that only
// inform are left out.
func (s *Source) Firing(ctx context.Context, kind, namespace, name string, at time.Time) ([]string, error) {
	selector := promql.Selector{Name: "ALERTS", Matchers: []*promql.Matcher{promql.Equal("alertstate", "firing"), promql.Equal("namespace", namespace)}}
	answer, bad := s.query(ctx, selector.String(), at)
	if bad != nil {
		return nil, fmt.Errorf("ask which alerts fired in namespace %s: %w; %s", namespace, bad, advice(bad))
	}
	v, ok := answer.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("ask which alerts fired in namespace %s: the server answered with a %s", namespace, answer.Type())
	}
	var out []string
	for _, sample := range v {
		alert := string(sample.Metric[model.AlertNameLabel])
		if severity := strings.ToLower(string(sample.Metric["severity"])); severity == "none" || severity == "info" || alert == "" {
			continue
		}
		if concerns(sample.Metric, kind, name) && !slices.Contains(out, alert) {
			out = append(out, alert)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxAlerts)], nil
}

// concerns reports whether an alert of the namespace is of the workload.
func concerns(m model.Metric, kind, name string) bool {
	if pod := m["pod"]; pod != "" {
		return signals.PodOf(string(pod), kind, name)
	}
	return slices.ContainsFunc(alertLabels, func(l model.LabelName) bool { return string(m[l]) == name })
}
