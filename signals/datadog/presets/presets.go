// Package presets is what is known of the metrics that people have in Datadog: which of them count the requests and errors of a
// workload, and by which tags. It is data; it asks no server.
package presets

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
)

// Preset is one convention of metrics that measures one signal. In its queries $metric stands for what Names is, and $of for the
// tags that select the workload; variables are those of own queries.
type Preset struct {
	Name   string
	Signal string
	By     signals.By

	Errors, Requests string
	Events           string
	Value            string
	// Limit asks for how long 95 of 100 requests take. What takes far longer is slow, and stands for $limit in Errors.
	Limit string

	// Names are the metrics that are looked for, the best first; nil: the queries name theirs. Each is a pattern of a whole name.
	Names []string
	// Services are what the tag service may be, the likeliest first; nil: the preset is not by service.
	Services func(signals.Subject) []string
	// All says that all the services together are the workload's, and not the first that has metrics.
	All bool
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

// Filter selects metrics and series that have one of the values of the tag service.
func Filter(services []string) string {
	if len(services) == 1 {
		return "service:" + services[0]
	}
	return "service IN (" + strings.Join(services, ",") + ")"
}

// LimitQuery is the query for how long 95 of 100 requests take, by a metric and the tags that select the workload.
func (p Preset) LimitQuery(metric, of string) string {
	return strings.NewReplacer("$metric", metric, "$of", of).Replace(p.Limit)
}

// Query is the preset's query, by a metric and the tags that select the workload, and the limit, in seconds, above which a request is
// slow, where the preset has one.
func (p Preset) Query(metric, of string, limit float64) signals.Query {
	fill := strings.NewReplacer("$metric", metric, "$of", of, "$limit", strconv.FormatFloat(limit, 'f', -1, 64))
	return signals.Query{Source: signals.Datadog, Preset: p.Name, By: p.By, Over: limit,
		Errors: fill.Replace(p.Errors), Requests: fill.Replace(p.Requests), Events: fill.Replace(p.Events), Value: fill.Replace(p.Value)}
}

// Metric is what of the names that there are the preset measures by; empty where there is none. The best first.
func (p Preset) Metric(there []string) []string {
	var out []string
	for _, pattern := range p.Names {
		whole := regexp.MustCompile("^(?:" + pattern + ")$")
		for _, name := range there {
			if m := whole.FindStringSubmatch(name); m != nil && !slices.Contains(out, m[len(m)-1]) {
				out = append(out, m[len(m)-1])
			}
		}
	}
	return out
}

// All are the presets, those of a signal in the order in which they are preferred.
var All = slices.Concat(apm(), durations(), traefik(), pods())

// spans are the operations by which APM's libraries count the requests that a server answers, the outermost first.
var spans = map[string][]string{
	"http-errors": {
		"http.server.request", "web.request", "servlet.request", "netty.request", "aspnet_core.request", "aspnet.request", "rack.request",
		"wsgi.request", "asgi.request", "django.request", "flask.request", "fastapi.request", "starlette.request", "aiohttp.request",
		"tornado.request", "bottle.request", "falcon.request", "pyramid.request", "sanic.request", "express.request", "fastify.request",
		"koa.request", "hapi.request", "next.request", "play.request", "akka-http.request", "pekko-http.request", "jax-rs.request",
		"symfony.request", "laravel.request", "sinatra.request", "http.request",
	},
	"grpc-errors": {"grpc.server.request", "grpc.server", "grpc.service"},
}

// apm are APM's metrics of each request, sampled or not. They carry service and version, and other tags such as pod_name only
// where the organisation has made them primary ones.
func apm() []Preset {
	var out []Preset
	for _, signal := range []string{"http-errors", "grpc-errors"} {
		var names []string
		for _, span := range spans[signal] {
			names = append(names, "trace\\.("+regexp.QuoteMeta(span)+")\\.hits")
		}
		add := func(name string, by signals.By, group string) {
			out = append(out, Preset{Name: name, Signal: signal, By: by, Names: names, Services: own,
				Errors: "sum:trace.$metric.errors{$of}" + group + ".as_count()", Requests: "sum:trace.$metric.hits{$of}" + group + ".as_count()"})
		}
		add("APM by version", signals.ByVersion, " by {version}")
		add("APM by pod", signals.ByPod, " by {pod_name}")
		add("APM of the service", signals.ByService, "")
	}
	return out
}

// durations are APM's distributions of how long requests take, which are there beside their counts. How many of them were above a
// limit can be asked of such a metric.
func durations() []Preset {
	var out []Preset
	for _, signal := range []string{"http", "grpc"} {
		var names []string
		for _, span := range spans[signal+"-errors"] {
			names = append(names, "trace\\.("+regexp.QuoteMeta(span)+")")
		}
		add := func(name string, by signals.By, group string) {
			of := ":trace.$metric{$of}" + group + ".as_count()"
			out = append(out, Preset{Name: name, Signal: signal + "-latency", By: by, Names: names, Services: own,
				Errors: "count(v: v>$limit)" + of, Requests: "count(v: v>=0)" + of, Limit: "p95:trace.$metric{$of}"})
		}
		add("APM by version", signals.ByVersion, " by {version}")
		add("APM by pod", signals.ByPod, " by {pod_name}")
		add("APM of the service", signals.ByService, "")
	}
	return out
}

// own are what a workload may call its service: what its pods' label says, its name, and the names of Kubernetes Services.
func own(s signals.Subject) []string {
	var out []string
	names := []string{s.Service, s.Name}
	for _, r := range s.Routes {
		names = append(names, r.Service)
	}
	for _, name := range names {
		if name = query.Normal(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// traefik are the counters of Traefik, scraped by the Agent's openmetrics check in its newer or older form, or sent by Traefik itself.
func traefik() []Preset {
	return []Preset{{
		Name: "Traefik", Signal: "ingress-errors", Services: doors, All: true,
		Names:    []string{`((?:\w+\.)*traefik_service_requests\.count)`, `((?:\w+\.)*traefik_service_requests_total)`, `(traefik\.service\.request\.total)`},
		Errors:   "sum:$metric{$of AND code:5*}.as_count()",
		Requests: "sum:$metric{$of}.as_count()",
	}}
}

// doors are what Traefik calls a service: by namespace, name and port, and by what it read them from.
func doors(s signals.Subject) []string {
	var out []string
	for _, r := range s.Routes {
		for _, port := range r.Ports {
			for _, p := range []string{strconv.Itoa(int(port.Number)), port.Name} {
				if p == "" || p == "0" {
					continue
				}
				for _, from := range []string{"@kubernetes", "@kubernetescrd", "@kubernetesgateway"} {
					out = append(out, query.Normal(s.Namespace+"-"+r.Service+"-"+p+from))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// pods are what the Agent's kubelet check and its cluster check of Kubernetes' state say of pods.
func pods() []Preset {
	const of = "{kube_namespace:$namespace} by {pod_name}"
	return []Preset{
		{Name: "kubelet", Signal: "restarts", By: signals.ByPod, Events: "sum:kubernetes.containers.restarts" + of},
		{Name: "kubernetes_state", Signal: "restarts", By: signals.ByPod, Events: "sum:kubernetes_state.container.restarts" + of},
		{Name: "kubelet", Signal: "oom-kills", By: signals.ByPod, Requests: "sum:kubernetes.containers.restarts" + of,
			Events: "sum:kubernetes.containers.last_state.terminated{kube_namespace:$namespace,reason:oomkilled} by {pod_name}"},
		{Name: "kubelet", Signal: "memory", By: signals.ByPod, Value: "max:kubernetes.memory.usage_pct" + of},
		// Both are by the second, so that there are no counts of them; of their share it does not matter.
		{Name: "kubelet", Signal: "cpu-throttling", By: signals.ByPod, Value: "sum:kubernetes.cpu.cfs.throttled.periods" + of + " / sum:kubernetes.cpu.cfs.periods" + of},
	}
}
