package datadog

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/signals"
)

// found is what measures web's signals, in short, by what happened before noon.
func found(t *testing.T, a *api, change func(*signals.Subject), names ...string) (got, not []string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, a)
		at(0)
		subject := signals.Subject{Kind: "Deployment", Namespace: "shop", Name: "web", Signals: names, At: time.Now(), Past: noon.Add(-time.Hour),
			Candidate: signals.Version{Pods: "web-5d4f8c7b9-", Version: "v2"}, Baseline: signals.Version{Pods: "web-7d9f6c5b4-", Version: "v1"},
			Routes: []signals.Route{{Service: "web-svc", Ports: []signals.Port{{Name: "http", Number: 80}}}}}
		if change != nil {
			change(&subject)
		}
		var all []signals.Found
		var absent []signals.Absent
		all, absent, err = s.Find(context.Background(), subject)
		for _, f := range all {
			got = append(got, f.Signal+" by "+f.Preset+": "+f.Requests+f.Events+f.Value)
			// What is found can be asked.
			q := asking(f.Query, -60)
			q.Signal, q.Candidate, q.Baseline = f.Signal, "web-5d4f8c7b9-", "web-7d9f6c5b4-"
			if side := read(t, s, q)[0].Baseline; f.By != signals.ByService && side.Missing != signals.Present {
				t.Errorf("%s: the baseline says %s", f.Preset, short(side))
			}
		}
		for _, n := range absent {
			not = append(not, n.Signal+" not by "+n.Preset+": "+n.Why)
		}
	})
	return got, not, err
}

// before adds what happened at each ten seconds in the quarter of an hour before noon.
func (a *api) before(metric, tags string, n float64) {
	for at := noon.Unix() - 900; at < noon.Unix(); at += 10 {
		a.add(metric, tags, at, n)
	}
}

func TestFind(t *testing.T) {
	const (
		noAPM  = "http-errors not by APM by version: no such metric with service IN (web,web-svc)"
		noPod  = "http-errors not by APM by pod: the series carry no tag pod_name: sum:trace.web.request.hits{service:web} by {pod_name}.as_count()"
		byName = "sum:trace.web.request.hits{service:web}"
	)
	for name, c := range map[string]struct {
		have   func(*api)
		change func(*signals.Subject)
		signal string
		want   string
		not    string // one of what is not chosen
	}{
		"nothing": {func(*api) {}, nil, "http-errors", "", noAPM},
		"APM by version": {func(a *api) { a.before("trace.web.request.hits", "service:web,version:v1", 3) }, nil, "http-errors",
			"http-errors by APM by version: " + byName + " by {version}.as_count()", ""},
		"APM, the outermost span": {func(a *api) {
			a.before("trace.django.request.hits", "service:web,version:v1", 3)
			a.before("trace.wsgi.request.hits", "service:web,version:v1", 3)
		}, nil, "http-errors", "http-errors by APM by version: sum:trace.wsgi.request.hits{service:web} by {version}.as_count()", ""},
		"APM, a span that is not asked any more": {func(a *api) {
			a.add("trace.wsgi.request.hits", "service:web,version:v1", noon.Unix()-3000, 3)
			a.before("trace.django.request.hits", "service:web,version:v1", 3)
		}, nil, "http-errors", "http-errors by APM by version: sum:trace.django.request.hits{service:web} by {version}.as_count()", ""},
		"APM, the service as its pods call it": {func(a *api) {
			a.before("trace.web.request.hits", "service:web,version:v1", 3) // another one's
			a.before("trace.web.request.hits", "service:front,version:v1", 3)
		}, func(s *signals.Subject) { s.Service = "Front" }, "http-errors", "http-errors by APM by version: sum:trace.web.request.hits{service:front} by {version}.as_count()", ""},
		"APM, versions alike, pods told": {func(a *api) {
			a.before("trace.web.request.hits", "service:web,version:v1,pod_name:web-7d9f6c5b4-abcde", 3)
		},
			func(s *signals.Subject) { s.Candidate.Version = "v1" }, "http-errors", "http-errors by APM by pod: " + byName + " by {pod_name}.as_count()",
			"http-errors not by APM by version: old and new pods call themselves version v1 alike; change the label tags.datadoghq.com/version with each release"},
		"APM, no version": {func(a *api) { a.before("trace.web.request.hits", "service:web", 3) }, nil, "http-errors",
			"http-errors by APM of the service: " + byName + ".as_count()", noPod},
		"gRPC": {func(a *api) { a.before("trace.grpc.server.hits", "service:web,version:v1", 3) }, nil, "grpc-errors",
			"grpc-errors by APM by version: sum:trace.grpc.server.hits{service:web} by {version}.as_count()", ""},
		"Traefik": {func(a *api) {
			a.before("traefik.traefik_service_requests.count", "service:shop-web-svc-80_kubernetes,code:200", 3)
		}, nil, "ingress-errors",
			"ingress-errors by Traefik: sum:traefik.traefik_service_requests.count{service IN (shop-web-svc-80_kubernetes,shop-web-svc-80_kubernetescrd,shop-web-svc-80_kubernetesgateway," +
				"shop-web-svc-http_kubernetes,shop-web-svc-http_kubernetescrd,shop-web-svc-http_kubernetesgateway)}.as_count()", ""},
		"Traefik, nothing leads to it": {func(*api) {}, func(s *signals.Subject) { s.Routes = nil }, "ingress-errors", "",
			"ingress-errors not by Traefik: no Service is known that leads to the workload"},
		"latency by version": {func(a *api) { a.before("trace.web.request", "service:web,version:v1", 0.11) }, nil, "http-latency",
			"http-latency by APM by version: count(v: v>=0):trace.web.request{service:web} by {version}.as_count()", ""},
		"latency, of the service": {func(a *api) { a.before("trace.web.request", "service:web", 0.11) }, nil, "http-latency",
			"http-latency by APM of the service: count(v: v>=0):trace.web.request{service:web}.as_count()", ""},
		"latency, of few": {func(a *api) { a.add("trace.web.request", "service:web,version:v1", noon.Unix()-400, 0.11) }, nil, "http-latency",
			"", "http-latency not by APM by version: too few requests in the past to tell how long they take"},
		"latency, only counts": {func(a *api) { a.before("trace.web.request.hits", "service:web,version:v1", 3) }, nil, "http-latency",
			"", "http-latency not by APM by version: no such metric with service IN (web,web-svc)"},
		"throttling": {func(a *api) {
			a.before("kubernetes.cpu.cfs.periods", "kube_namespace:shop,pod_name:web-7d9f6c5b4-abcde", 10)
			a.before("kubernetes.cpu.cfs.throttled.periods", "kube_namespace:shop,pod_name:web-7d9f6c5b4-abcde", 1)
		}, nil, "cpu-throttling", "cpu-throttling by kubelet: sum:kubernetes.cpu.cfs.throttled.periods{kube_namespace:$namespace} by {pod_name} / sum:kubernetes.cpu.cfs.periods{kube_namespace:$namespace} by {pod_name}", ""},
		"restarts": {func(a *api) {
			a.before("kubernetes.containers.restarts", "kube_namespace:shop,pod_name:web-7d9f6c5b4-abcde", 0)
		}, nil, "restarts",
			"restarts by kubelet: sum:kubernetes.containers.restarts{kube_namespace:$namespace} by {pod_name}", ""},
		"restarts by the cluster's state": {func(a *api) {
			a.before("kubernetes.containers.restarts", "kube_namespace:shop,pod_name:db-0", 0)
			a.before("kubernetes_state.container.restarts", "kube_namespace:shop,pod_name:web-7d9f6c5b4-abcde", 0)
		}, nil, "restarts", "restarts by kubernetes_state: sum:kubernetes_state.container.restarts{kube_namespace:$namespace} by {pod_name}",
			"restarts not by kubelet: no points for pods web-*"},
		"memory": {func(a *api) {
			a.before("kubernetes.memory.usage_pct", "kube_namespace:shop,pod_name:web-7d9f6c5b4-abcde", 0.5)
		}, nil, "memory",
			"memory by kubelet: max:kubernetes.memory.usage_pct{kube_namespace:$namespace} by {pod_name}", ""},
		"no preset": {func(*api) {}, nil, "cpu-throttling", "", ""},
	} {
		a := &api{}
		c.have(a)
		got, not, err := found(t, a, c.change, c.signal)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nnot chosen: %s", name, diff, strings.Join(not, "\n"))
		}
		if c.not != "" && !strings.Contains(strings.Join(not, "\n")+"\n", c.not+"\n") {
			t.Errorf("%s: not chosen:\n%s", name, strings.Join(not, "\n"))
		}
	}
}

// While the source cannot tell, nothing is found and nothing is absent.
func TestFindWhileAway(t *testing.T) {
	for _, path := range []string{"/api/v1/metrics", "/api/v1/query"} {
		a := &api{}
		a.before("trace.web.request.hits", "service:web,version:v1", 3)
		a.fault = func(w http.ResponseWriter, r *http.Request) bool { return r.URL.Path == path && answers(503, "")(w, r) }
		got, not, err := found(t, a, nil, "http-errors")
		if err == nil || !strings.HasPrefix(err.Error(), "datadog: look for what measures http-errors of deployment shop/web: HTTP 503") || len(got)+len(not) > 0 {
			t.Errorf("%s: %v %v %v", path, got, not, err)
		}
	}
}

// A query that is refused is not chosen, and does not keep others from being found.
func TestFindRefused(t *testing.T) {
	a := &api{}
	a.before("trace.web.request.hits", "service:web,version:v1", 3)
	a.fault = func(w http.ResponseWriter, r *http.Request) bool {
		return strings.Contains(r.URL.Query().Get("query"), "memory") && answers(400, `{"errors": ["no such function"]}`)(w, r)
	}
	got, not, err := found(t, a, nil, "memory", "http-errors")
	if err != nil || len(got) != 1 || !strings.HasPrefix(got[0], "http-errors by APM by version") || not[0] != "memory not by kubelet: datadog: query rejected: no such function" {
		t.Errorf("%q, %q, %v", got, not, err)
	}
}

// All bakes that begin together ask for the same names once.
func TestNamesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		s := newSource(t, a)
		at(0)
		done := make(chan struct{})
		for range 20 {
			go func() {
				if _, failure := s.names(context.Background(), "service:web", noon); failure != nil {
					t.Error(failure)
				}
				done <- struct{}{}
			}()
		}
		for range 20 {
			<-done
		}
		if a.others != 1 {
			t.Errorf("%d requests", a.others)
		}
		a.faulty(answers(200, `{"metrics": 7}`))
		time.Sleep(shelvedFor)
		if _, failure := s.names(context.Background(), "service:web", noon); failure == nil {
			t.Error("an unreadable answer is taken for names")
		}
		time.Sleep(shelvedFor)
		a.faulty(nil)
		if _, failure := s.names(context.Background(), "service:web", noon); failure != nil {
			t.Errorf("a failure is kept: %v", failure)
		}
	})
}
