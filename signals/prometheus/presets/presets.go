// Package presets is what is known of the metrics that people have in Prometheus: which of them count the requests, errors
// and durations of a workload, and by which labels. It is data; it asks no server.
package presets

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// Preset is one convention of metrics that measures one signal. Its queries have the variable $namespace where pods are told
// apart; where the whole service is counted, $values stands for what the label calls the service.
type Preset struct {
	Name   string
	Signal string
	By     signals.By
	Metric string // the metric that must be there; what it is called is all that is looked at first

	Errors, Good, Requests string
	Histogram              string // classic: the selector of its buckets; the native one has the same without _bucket
	Milli                  bool   // its durations are in milliseconds
	Events                 string
	Value                  string

	// Values are what the label calls the service in the metrics of an ingress or mesh.
	Values func(signals.Subject) []string
}

// Query is the preset's query for a subject; false where nothing leads to the subject that the preset knows.
func (p Preset) Query(s signals.Subject) (signals.Query, bool) {
	q := signals.Query{Preset: p.Name, By: p.By, Errors: p.Errors, Good: p.Good, Requests: p.Requests, Histogram: p.Histogram, Milli: p.Milli, Events: p.Events, Value: p.Value}
	if p.Values == nil {
		return q, true
	}
	values := p.Values(s)
	if len(values) == 0 {
		return q, false
	}
	slices.Sort(values)
	pattern := promql.Alternation(slices.Compact(values))
	for _, text := range []*string{&q.Errors, &q.Good, &q.Requests, &q.Histogram} {
		*text = strings.ReplaceAll(*text, "$values", pattern)
	}
	return q, true
}

// For are the presets of a signal, the best first.
func For(signal string) []Preset {
	var out []Preset
	for _, p := range All {
		if p.Signal == signal {
			out = append(out, p)
		}
	}
	return out
}

// health matches the paths that are no traffic: they are asked by machines, all the time, and answer well when nothing else
// does. A label that is not there matches nothing, so that this may be asked of all metrics.
const health = `/+(metrics|healthz?|healthcheck|_health|livez|readyz|live|liveness|ready|readiness|ping|actuator/(health|info|prometheus).*|-/(healthy|ready))/*`

// traffic leaves out what is no traffic, by the labels that client libraries use for paths.
func traffic() string {
	var b strings.Builder
	for _, label := range []string{"path", "handler", "route", "uri", "url", "endpoint", "http_route"} {
		b.WriteString("," + label + "!~`" + health + "`")
	}
	return b.String()
}

// All are the presets, those of a signal in the order in which they are preferred.
var All = slices.Concat(applications(), meshes(), grpc(), ingresses(), pods())

// byStatus are the requests of an application by a label with the status.
func byStatus(name, metric, label string) Preset {
	return Preset{Name: name, Signal: "http-errors", By: signals.ByPod, Metric: metric,
		Errors:   metric + `{namespace="$namespace",` + label + `=~"5.."` + traffic() + `}`,
		Requests: metric + `{namespace="$namespace",` + label + `!=""` + traffic() + `}`}
}

// durations are those of an application's requests.
func durations(name, metric, extra string) Preset {
	return Preset{Name: name, Signal: "http-latency", By: signals.ByPod, Metric: metric + "_bucket",
		Histogram: metric + `_bucket{namespace="$namespace"` + extra + traffic() + `}`}
}

// native is the same as a native histogram.
func native(p Preset) Preset {
	p.Name += " (native)"
	p.Metric = strings.TrimSuffix(p.Metric, "_bucket")
	p.Histogram = strings.Replace(p.Histogram, p.Metric+"_bucket", p.Metric, 1)
	return p
}

func applications() []Preset {
	var out []Preset
	status := func(name, metric string, labels ...string) {
		for _, label := range labels {
			out = append(out, byStatus(name+" by "+label, metric, label))
		}
	}
	status("http_requests_total", "http_requests_total", "code", "status", "status_code", "http_status")
	status("Spring, Micrometer", "http_server_requests_seconds_count", "status")
	status("OpenTelemetry", "http_server_request_duration_seconds_count", "http_response_status_code")
	status("OpenTelemetry before 1.20", "http_server_duration_milliseconds_count", "http_status_code")
	status("django-prometheus", "django_http_responses_total_by_status_total", "status")
	status("Ruby client", "http_server_requests_total", "code")
	status("prometheus_exporter for Ruby", "ruby_http_requests_total", "status")
	status("Flask exporter", "flask_http_request_total", "status")
	status("Starlette exporter", "starlette_requests_total", "status_code")
	status("prometheus-net", "http_requests_received_total", "code")
	status("http_request_duration_seconds", "http_request_duration_seconds_count", "code", "status", "status_code")
	for _, h := range []Preset{
		durations("http_request_duration_seconds", "http_request_duration_seconds", ""),
		durations("Spring, Micrometer", "http_server_requests_seconds", ""),
		durations("OpenTelemetry", "http_server_request_duration_seconds", ""),
		durations("django-prometheus", "django_http_requests_latency_seconds_by_view_method", ",view!~`.*(health|metrics).*`"),
		durations("prometheus_exporter for Ruby", "ruby_http_request_duration_seconds", ""),
		durations("Flask exporter", "flask_http_request_duration_seconds", ""),
		durations("Starlette exporter", "starlette_request_duration_seconds", ""),
	} {
		out = append(out, h, native(h))
	}
	old := durations("OpenTelemetry before 1.20", "http_server_duration_milliseconds", "")
	old.Milli = true
	return append(out, old)
}

func meshes() []Preset {
	latency := func(p Preset) Preset { p.Milli = true; return p }
	return []Preset{
		{Name: "Istio sidecar", Signal: "http-errors", By: signals.ByPod, Metric: "istio_requests_total",
			Errors:   `istio_requests_total{namespace="$namespace",reporter="destination",response_code=~"5.."}`,
			Requests: `istio_requests_total{namespace="$namespace",reporter="destination",request_protocol!="grpc"}`},
		{Name: "Linkerd proxy", Signal: "http-errors", By: signals.ByPod, Metric: "response_total",
			Errors:   `response_total{namespace="$namespace",direction="inbound",classification="failure"}`,
			Requests: `response_total{namespace="$namespace",direction="inbound"}`},
		latency(Preset{Name: "Istio sidecar", Signal: "http-latency", By: signals.ByPod, Metric: "istio_request_duration_milliseconds_bucket",
			Histogram: `istio_request_duration_milliseconds_bucket{namespace="$namespace",reporter="destination"}`}),
		latency(Preset{Name: "Linkerd proxy", Signal: "http-latency", By: signals.ByPod, Metric: "response_latency_ms_bucket",
			Histogram: `response_latency_ms_bucket{namespace="$namespace",direction="inbound"}`}),
	}
}

// grpcFaults are the status codes that are a server's own fault.
const grpcFaults = `Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss`

func grpc() []Preset {
	h := Preset{Name: "grpc_server_handling_seconds", Signal: "grpc-latency", By: signals.ByPod, Metric: "grpc_server_handling_seconds_bucket",
		Histogram: `grpc_server_handling_seconds_bucket{namespace="$namespace",grpc_service!="grpc.health.v1.Health"}`}
	return []Preset{
		{Name: "grpc_server_handled_total", Signal: "grpc-errors", By: signals.ByPod, Metric: "grpc_server_handled_total",
			Errors:   `grpc_server_handled_total{namespace="$namespace",grpc_service!="grpc.health.v1.Health",grpc_code=~"` + grpcFaults + `"}`,
			Requests: `grpc_server_handled_total{namespace="$namespace",grpc_service!="grpc.health.v1.Health"}`},
		h, native(h),
	}
}

// each is a name for every Service and port that leads to the subject.
func each(s signals.Subject, name func(r signals.Route, port string) []string) []string {
	var out []string
	for _, r := range s.Routes {
		for _, port := range r.Ports {
			if port.Number > 0 {
				out = append(out, name(r, strconv.Itoa(int(port.Number)))...)
			}
			if port.Name != "" {
				out = append(out, name(r, port.Name)...)
			}
		}
	}
	return out
}

// traefik names services by namespace, name and port, and by what it read them from.
func traefik(s signals.Subject) []string {
	return each(s, func(r signals.Route, port string) []string {
		name := s.Namespace + "-" + r.Service + "-" + port
		return []string{name + "@kubernetes", name + "@kubernetescrd", name + "@kubernetesgateway"}
	})
}

// hosts are the names of Traefik 1's backends: the host and path of an Ingress.
func hosts(s signals.Subject) []string {
	var out []string
	for _, r := range s.Routes {
		for _, i := range r.Ingresses {
			for _, h := range i.Hosts {
				out = append(out, h, h+"/")
			}
		}
	}
	return out
}

func services(s signals.Subject) []string {
	var out []string
	for _, r := range s.Routes {
		out = append(out, r.Service)
	}
	return out
}

func envoy(s signals.Subject) []string {
	return each(s, func(r signals.Route, port string) []string {
		return []string{s.Namespace + "_" + r.Service + "_" + port}
	})
}

func kong(s signals.Subject) []string {
	return each(s, func(r signals.Route, port string) []string {
		return []string{s.Namespace + "." + r.Service + "." + port}
	})
}

// ingresses are what callers see, counted at the door. Its labels keep their names only where the scrape honours them: else
// they begin with exported_.
func ingresses() []Preset {
	var out []Preset
	add := func(name, errors, requests, histogram string, milli bool, values func(signals.Subject) []string) {
		metric := func(selector string) string { m, _, _ := strings.Cut(selector, "{"); return m }
		out = append(out, Preset{Name: name, Signal: "ingress-errors", Metric: metric(requests), Errors: errors, Requests: requests, Values: values})
		if histogram != "" {
			out = append(out, Preset{Name: name, Signal: "ingress-latency", Metric: metric(histogram), Histogram: histogram, Milli: milli, Values: values})
		}
	}
	both := func(name string, text func(prefix string) (errors, requests, histogram string), milli bool, values func(signals.Subject) []string) {
		for _, prefix := range []string{"", "exported_"} {
			e, r, h := text(prefix)
			title := name
			if prefix != "" {
				title += ", labels " + prefix
			}
			add(title, e, r, h, milli, values)
		}
	}
	both("Traefik", func(p string) (e, r, h string) {
		of := p + `service=~"$values"`
		return `traefik_service_requests_total{` + of + `,code=~"5.."}`, `traefik_service_requests_total{` + of + `}`, `traefik_service_request_duration_seconds_bucket{` + of + `}`
	}, false, traefik)
	add("Traefik 1", `traefik_backend_requests_total{backend=~"$values",code=~"5.."}`, `traefik_backend_requests_total{backend=~"$values"}`,
		`traefik_backend_request_duration_seconds_bucket{backend=~"$values"}`, false, hosts)
	both("ingress-nginx", func(p string) (e, r, h string) {
		of := p + `namespace="$namespace",` + p + `service=~"$values"`
		return `nginx_ingress_controller_requests{` + of + `,status=~"5.."}`, `nginx_ingress_controller_requests{` + of + `}`, `nginx_ingress_controller_request_duration_seconds_bucket{` + of + `}`
	}, false, services)
	add("Istio callers", `istio_requests_total{reporter="source",destination_service_namespace="$namespace",destination_service_name=~"$values",response_code=~"5..|0"}`,
		`istio_requests_total{reporter="source",destination_service_namespace="$namespace",destination_service_name=~"$values"}`,
		`istio_request_duration_milliseconds_bucket{reporter="source",destination_service_namespace="$namespace",destination_service_name=~"$values"}`, true, services)
	add("Linkerd callers", `response_total{direction="outbound",dst_namespace="$namespace",dst_service=~"$values",classification="failure"}`,
		`response_total{direction="outbound",dst_namespace="$namespace",dst_service=~"$values"}`,
		`response_latency_ms_bucket{direction="outbound",dst_namespace="$namespace",dst_service=~"$values"}`, true, services)
	add("Envoy, Contour", `envoy_cluster_upstream_rq_xx{envoy_cluster_name=~"$values",envoy_response_code_class="5"}`,
		`envoy_cluster_upstream_rq_xx{envoy_cluster_name=~"$values"}`, `envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=~"$values"}`, true, envoy)
	both("Kong", func(p string) (e, r, h string) {
		of := p + `service=~"$values"`
		return `kong_http_requests_total{` + of + `,code=~"5.."}`, `kong_http_requests_total{` + of + `}`, `kong_request_latency_ms_bucket{` + of + `}`
	}, true, kong)
	return out
}

// pods are what kube-state-metrics and the kubelets' cAdvisor say of pods.
func pods() []Preset {
	var out []Preset
	for _, prefix := range []string{"", "exported_"} {
		of := prefix + `namespace="$namespace"`
		title := func(name string) string {
			if prefix == "" {
				return name
			}
			return name + ", labels " + prefix
		}
		out = append(out,
			Preset{Name: title("kube-state-metrics"), Signal: "restarts", By: signals.ByPod, Metric: "kube_pod_container_status_restarts_total",
				Events: `kube_pod_container_status_restarts_total{` + of + `}`},
			Preset{Name: title("kube-state-metrics"), Signal: "oom-kills", By: signals.ByPod, Metric: "kube_pod_container_status_last_terminated_reason",
				Events: `kube_pod_container_status_last_terminated_reason{` + of + `,reason="OOMKilled"}`},
		)
	}
	return append(out,
		Preset{Name: "cAdvisor", Signal: "oom-kills", By: signals.ByPod, Metric: "container_oom_events_total",
			Events: `container_oom_events_total{namespace="$namespace",container!=""}`},
		Preset{Name: "cAdvisor", Signal: "cpu-throttling", By: signals.ByPod, Metric: "container_cpu_cfs_periods_total",
			Errors:   `container_cpu_cfs_throttled_periods_total{namespace="$namespace",container!=""}`,
			Requests: `container_cpu_cfs_periods_total{namespace="$namespace",container!=""}`},
		Preset{Name: "cAdvisor", Signal: "memory", By: signals.ByPod, Metric: "container_spec_memory_limit_bytes",
			Value: `max by (pod) (container_memory_working_set_bytes{namespace="$namespace",container!="",container!="POD"}` +
				` / on (namespace, pod, container) (container_spec_memory_limit_bytes{namespace="$namespace",container!="",container!="POD"} > 0))`},
	)
}
