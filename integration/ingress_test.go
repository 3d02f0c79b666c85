package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// door leads callers to a workload, as a Service and an Ingress.
const door = `apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: NAME}
spec:
  rules: [{host: NAME.example.org, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: NAME, port: {number: 80}}}}]}}]
`

// TestSeenOnlyThroughItsIngress: nobody scrapes the pods, and nobody wrote a query. What the ingress counts is found by the Service that
// leads to the workload: a bad version is named by it and rolled back, a good one passes.
func TestSeenOnlyThroughItsIngress(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	hidden := func(a app) app { a.unscraped = true; return a }
	for _, name := range []string{"web", "cart"} {
		s.apply(strings.ReplaceAll(door, "NAME", name))
		s.deploy(hidden(good(name, "a")))
	}
	for _, name := range []string{"web", "cart"} {
		s.rolledOut(name)
		s.waitFor("the ingress to have counted a while", func() (bool, string) {
			of := fmt.Sprintf(`traefik_service_requests_total{service="%s-%s-80@kubernetes",code="200"}`, s.namespace, name)
			n, err := s.query("sum(" + of + " - " + of + " offset 10s)")
			return err == nil && n >= 250, fmt.Sprint(n, err)
		})
	}
	s.daemon(rules{window: "20s", signals: `signals:
  ingress-errors: {threshold: {max: 5%, increase: 2x, floor: 1%, minRequests: 20, ticks: 2}}
  ingress-latency: {enabled: false}`})

	s.deploy(hidden(bad("web", "b")))
	s.deploy(hidden(good("cart", "b")))
	web := s.rolledBack("web", 1, 2, "a", 2, "threshold")
	if first := web.Status.Reasons[0]; first.Signal != "ingress-errors" || !strings.HasPrefix(web.Status.Why, "ingress-errors: ") {
		t.Errorf("it is not called what the ingress saw: %s", web.Status.Why)
	}
	cart := s.passed("cart", 1, 2)
	for _, b := range []v1alpha1.Bake{web, cart} {
		if m := b.Status.Measured; len(m) != 1 || m[0].Signal != "ingress-errors" || m[0].Preset != "Traefik" || m[0].Source != "prometheus" || b.Status.Service != b.Spec.Workload.Name {
			t.Errorf("measured by service %q: %+v", b.Status.Service, m)
		}
		if !slices.ContainsFunc(b.Status.NotMeasured, func(n v1alpha1.NotMeasured) bool { return n.Signal == "http-errors" && n.Why != "" }) {
			t.Errorf("why http-errors is not measured: %+v", b.Status.NotMeasured)
		}
	}
}
