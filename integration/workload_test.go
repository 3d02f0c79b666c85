package integration

import (
	"cmp"
	"fmt"
	"maps"
	"testing"

	"sigs.k8s.io/yaml"
)

// app is a workload as a user would write it. What is zero is left out.
type app struct {
	kind      string // Deployment if not set
	name      string
	version   string // tag of the image
	replicas  int    // left out below 0
	rps       int    // 40 if not set
	errorRate float64
	after     string            // behaves well for so long
	startup   string            // from a pod's start until it is ready
	log       string            // lines that the container writes when it starts
	latency   string            // of a request, in ms
	memory    string            // limit of the container
	mode      string            // of the playground's pods: crash, unready …
	failPaths string            // on which they fail, in no metric
	env       map[string]string // of the container
	mounts    string            // ConfigMap that it has mounted
	envFrom   string            // ConfigMap that it has as its environment
	spec      map[string]any    // more of the workload's spec
	meta      map[string]string // annotations of the workload
	labels    map[string]string // more of its pods
	unscraped bool              // Prometheus knows its pods not

	serverSide bool // applied on the server side
}

// yaml is the manifest.
func (a app) yaml(t *testing.T) string {
	t.Helper()
	play := map[string]string{}
	note := func(key, value string) {
		if value != "" {
			play["playground.bakewatch.dev/"+key] = value
		}
	}
	if a.rps == 0 {
		a.rps = 40
	}
	note("rps", fmt.Sprint(a.rps))
	if a.errorRate > 0 {
		note("error-rate", fmt.Sprint(a.errorRate))
	}
	note("after", a.after)
	note("startup", a.startup)
	note("mode", a.mode)
	note("log", a.log)
	note("latency-ms", a.latency)
	note("fail-paths", a.failPaths)
	if a.unscraped {
		play["prometheus.io/scrape"] = "false"
	}
	container := map[string]any{"name": "app", "image": "app:" + a.version}
	if a.memory != "" {
		container["resources"] = map[string]any{"limits": map[string]string{"memory": a.memory}}
	}
	var env []map[string]string
	for k, v := range a.env {
		env = append(env, map[string]string{"name": k, "value": v})
	}
	if len(env) > 0 {
		container["env"] = env
	}
	pod := map[string]any{"containers": []any{container}}
	if a.mounts != "" {
		container["volumeMounts"] = []any{map[string]any{"name": "config", "mountPath": "/config"}}
		pod["volumes"] = []any{map[string]any{"name": "config", "configMap": map[string]any{"name": a.mounts}}}
	}
	if a.envFrom != "" {
		container["envFrom"] = []any{map[string]any{"configMapRef": map[string]any{"name": a.envFrom}}}
	}
	labels := map[string]string{"app": a.name}
	podLabels := maps.Clone(labels)
	maps.Copy(podLabels, a.labels)
	spec := map[string]any{
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{
			"metadata": map[string]any{"labels": podLabels, "annotations": play},
			"spec":     pod,
		},
	}
	if a.replicas >= 0 && a.kind != "DaemonSet" {
		spec["replicas"] = a.replicas
	}
	if a.kind == "StatefulSet" {
		spec["serviceName"] = a.name
	}
	maps.Copy(spec, a.spec)
	meta := map[string]any{"name": a.name}
	if len(a.meta) > 0 {
		meta["annotations"] = a.meta
	}
	raw, err := yaml.Marshal(map[string]any{"apiVersion": "apps/v1", "kind": cmp.Or(a.kind, "Deployment"), "metadata": meta, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// good and bad are versions of a Deployment with two replicas.
func good(name, version string) app { return app{name: name, version: version, replicas: 2} }

func bad(name, version string) app {
	return app{name: name, version: version, replicas: 2, errorRate: 0.4}
}

// deploy applies a version.
func (s *stage) deploy(a app, flags ...string) {
	s.t.Helper()
	if a.serverSide {
		flags = append(flags, "--server-side")
	}
	s.apply(a.yaml(s.t), flags...)
}
