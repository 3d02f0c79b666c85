package presets

import (
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
)

var subject = signals.Subject{Kind: "Deployment", Namespace: "shop", Name: "web", Service: "Shop-Front",
	Routes: []signals.Route{{Service: "web-svc", Ports: []signals.Port{{Name: "http", Number: 80}}}}}

// Each preset can be asked: its queries are what the source takes, tell the sides apart, and count no more than the workload's.
func TestPresetsCanBeAsked(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All {
		if id := p.Signal + " " + p.Name; seen[id] {
			t.Errorf("two presets are called %q", id)
		} else {
			seen[id] = true
		}
		if (p.Names == nil) != (p.Services == nil) {
			t.Errorf("%s: metrics are looked for by service", p.Name)
		}
		of := ""
		if p.Services != nil {
			of = Filter(p.Services(subject))
		}
		q := p.Query("x.y", of, 0.25)
		if !q.Known() || q.Preset != p.Name || q.By != p.By || q.Source != signals.Datadog {
			t.Errorf("%s: %+v", p.Name, q)
		}
		check := func(text string, parse func(string) (query.Plain, error)) {
			rendered, err := query.Render(text, map[string]string{"namespace": "shop"})
			if err != nil {
				t.Fatalf("%s: %s: %v", p.Name, text, err)
			}
			got, err := parse(rendered)
			if err != nil {
				t.Fatalf("%s: %s: %v", p.Name, rendered, err)
			}
			if tag := map[signals.By]string{signals.ByPod: "pod_name", signals.ByVersion: "version"}[p.By]; tag != "" && !slices.Contains(got.By, tag) || tag == "" && len(got.By) > 0 {
				t.Errorf("%s does not tell apart by %q: %s", p.Name, tag, rendered)
			}
			if !strings.Contains(got.Scope, "service:") && !strings.Contains(got.Scope, "service IN") && !strings.Contains(got.Scope, "kube_namespace:shop") {
				t.Errorf("%s counts more than the workload's: %s", p.Name, rendered)
			}
		}
		switch {
		case q.Value != "":
			for _, plain := range strings.Split(q.Value, " / ") {
				check(plain, query.ParsePlain)
			}
			if _, err := query.ParseValue(q.Value); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		case q.Events != "":
			check(q.Events, query.ParseEvents)
			if q.Requests != "" {
				check(q.Requests, query.ParseEvents)
			}
		default:
			check(q.Errors, query.ParseCount)
			check(q.Requests, query.ParseCount)
		}
		if p.Limit != "" {
			if _, err := query.ParseValue(p.LimitQuery("x.y", of)); err != nil || q.Over != 0.25 || !strings.HasPrefix(q.Errors, "count(v: v>0.25):trace.x.y{") {
				t.Errorf("%s: %v, %+v", p.Name, err, q)
			}
		}
	}
}

func TestMetric(t *testing.T) {
	there := []string{"traefik.traefik_service_requests.count", "trace.django.middleware.hits", "trace.django.request.hits", "trace.django.request.errors", "trace.http.request.hits", "trace.wsgi.request.hits", "x.trace.web.request.hits"}
	for signal, want := range map[string]string{"http-errors": "wsgi.request django.request http.request", "ingress-errors": "traefik.traefik_service_requests.count", "grpc-errors": ""} {
		if got := strings.Join(For(signal)[0].Metric(there), " "); got != want {
			t.Errorf("%s: %q, want %q", signal, got, want)
		}
	}
	if got := For("ingress-errors")[0].Metric([]string{"traefik.service.request.total", "mytraefik_service_requests_total", "traefik_service_requests_total"}); strings.Join(got, " ") != "traefik_service_requests_total traefik.service.request.total" {
		t.Error(got)
	}
}

func TestServices(t *testing.T) {
	if got := strings.Join(own(subject), " "); got != "shop-front web web-svc" {
		t.Error(got)
	}
	if got := Filter(doors(subject)); got != "service IN (shop-web-svc-80_kubernetes,shop-web-svc-80_kubernetescrd,shop-web-svc-80_kubernetesgateway,shop-web-svc-http_kubernetes,shop-web-svc-http_kubernetescrd,shop-web-svc-http_kubernetesgateway)" {
		t.Error(got)
	}
	if got := doors(signals.Subject{Namespace: "shop", Name: "web"}); len(got) > 0 {
		t.Errorf("nothing leads to it, and yet %v", got)
	}
	if got := Filter(own(signals.Subject{Name: "web"})); got != "service:web" {
		t.Error(got)
	}
}
