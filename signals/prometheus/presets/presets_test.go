package presets

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

var subject = signals.Subject{Kind: "Deployment", Namespace: "shop", Name: "web", Routes: []signals.Route{{Service: "web-a.b",
	Ports:     []signals.Port{{Name: "http", Number: 80}},
	Ingresses: []signals.Ingress{{Kind: "Ingress", Name: "web", Hosts: []string{"shop.example.org"}}}}}}

var vars = map[string]string{"namespace": "shop", "workload": "web", "kind": "Deployment"}

// Each preset can be asked: its queries are what the source takes, of the metric that is looked for first.
func TestPresetsCanBeAsked(t *testing.T) {
	names := map[string]bool{}
	for _, p := range All {
		if id := p.Signal + " " + p.Name; names[id] {
			t.Errorf("two presets are called %q", id)
		} else {
			names[id] = true
		}
		q, ok := p.Query(subject)
		if !ok || !q.Known() || q.Preset != p.Name {
			t.Errorf("%s: %+v", p.Name, q)
			continue
		}
		for _, text := range []string{q.Errors, q.Good, q.Requests, q.Histogram, q.Events, q.Value} {
			if text == "" {
				continue
			}
			rendered, err := promql.Render(text, vars)
			if err != nil {
				t.Errorf("%s: %s: %v", p.Name, text, err)
				continue
			}
			selectors, err := promql.Selectors(rendered)
			if err != nil || len(selectors) == 0 {
				t.Errorf("%s: %s: %v", p.Name, rendered, err)
				continue
			}
			if q.Value == "" {
				if _, err := promql.ParseSelector(rendered); err != nil {
					t.Errorf("%s: %s: %v", p.Name, rendered, err)
				}
			}
			if p.By == signals.ByService && !strings.Contains(rendered, "web-a\\\\.b") && !strings.Contains(rendered, "shop\\\\.example") {
				t.Errorf("%s counts more than this service: %s", p.Name, rendered)
			}
			if p.By == signals.ByPod && !strings.Contains(rendered, `namespace="shop"`) {
				t.Errorf("%s is not asked for one namespace: %s", p.Name, rendered)
			}
		}
		counted := q.Requests + q.Histogram + q.Events + q.Value
		if !strings.Contains(counted, p.Metric) {
			t.Errorf("%s looks for %s, and asks for %s", p.Name, p.Metric, counted)
		}
	}
}

// Where nothing leads to a workload, what ingresses count says nothing of it.
func TestWithoutRoutes(t *testing.T) {
	for _, p := range All {
		if _, ok := p.Query(signals.Subject{Namespace: "shop", Name: "web"}); ok != (p.By == signals.ByPod) {
			t.Errorf("%s %s: %v", p.Signal, p.Name, ok)
		}
	}
}

func TestServiceNames(t *testing.T) {
	for name, c := range map[string]struct{ got, want []string }{
		"traefik": {traefik(subject), []string{"shop-web-a.b-80@kubernetes", "shop-web-a.b-http@kubernetescrd"}},
		"hosts":   {hosts(subject), []string{"shop.example.org", "shop.example.org/"}},
		"envoy":   {envoy(subject), []string{"shop_web-a.b_80", "shop_web-a.b_http"}},
		"kong":    {kong(subject), []string{"shop.web-a.b.80", "shop.web-a.b.http"}},
	} {
		for _, w := range c.want {
			if !slices.Contains(c.got, w) {
				t.Errorf("%s: %q is not among %q", name, w, c.got)
			}
		}
	}
}

func TestHealthIsNoTraffic(t *testing.T) {
	pattern := regexp.MustCompile("^(?:" + health + ")$")
	for _, path := range []string{"/metrics", "/health", "/healthz", "/readyz", "/livez/", "/actuator/health/liveness", "/-/ready", "//ping"} {
		if !pattern.MatchString(path) {
			t.Errorf("%s counts as traffic", path)
		}
	}
	for _, path := range []string{"", "/", "/checkout", "/healthy-food", "/metrics-explorer", "/readymade", "/api/health-plans", "none"} {
		if pattern.MatchString(path) {
			t.Errorf("%s does not count as traffic", path)
		}
	}
}
