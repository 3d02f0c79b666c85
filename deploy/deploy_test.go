// Package deploy holds the manifests to the chart they are written from.
package deploy

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/bakewatch/bakewatch/policy"
)

var update = flag.Bool("update", false, "write the manifests anew")

// render is the chart's manifests by the name of their template.
func render(t *testing.T, values string) map[string]string {
	t.Helper()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // it tells of each symbolic link
	chart, err := loader.LoadDir("chart")
	if err != nil {
		t.Fatal(err)
	}
	own, err := loader.LoadValues(strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(chart, own, common.ReleaseOptions{Name: "bakewatch", Namespace: "bakewatch", IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := engine.Render(chart, all)
	if err != nil {
		t.Fatalf("render the chart with %s: %v", values, err)
	}
	out := map[string]string{}
	for name, text := range rendered {
		out[name[strings.LastIndexByte(name, '/')+1:]] = strings.Trim(text, "\n") + "\n"
	}
	return out
}

// TestManifests: the plain manifests are what the chart says by default, and those of their own what it adds where it is told to.
func TestManifests(t *testing.T) {
	rendered := render(t, "rights: {gitops: true, helm: [shop]}")
	for _, name := range []string{"rbac.yaml", "configmap.yaml", "deployment.yaml", "gitops.yaml", "helm-rollback.yaml"} {
		want := []byte(rendered[name])
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the chart says: edit deploy/chart, then go test ./deploy -update", name)
		}
	}
}

// documents reads what a manifest holds, by kind and name.
func documents(t *testing.T, manifest string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, doc := range strings.Split("\n"+manifest, "\n---\n") {
		var head struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if head.Kind == "" {
			continue
		}
		key := head.Kind + " " + head.Metadata.Name
		if _, twice := out[key+" in "+head.Metadata.Namespace]; twice {
			t.Errorf("two of %s", key)
		}
		out[strings.TrimSuffix(key+" in "+head.Metadata.Namespace, " in ")] = doc
	}
	return out
}

// rights are the rules of the daemon's ClusterRole, one a line.
func rights(t *testing.T, manifest string) string {
	t.Helper()
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(documents(t, manifest)["ClusterRole bakewatch"]), &role); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, r := range role.Rules {
		out.WriteString(strings.Join(r.Verbs, ",") + " " + strings.Join(r.Resources, ",") + "\n")
	}
	return out.String()
}

// TestRights: what is switched off is left out, and nothing else is.
func TestRights(t *testing.T) {
	all := rights(t, render(t, "rights: {secrets: true, configMaps: true}")["rbac.yaml"])
	for feature, gone := range map[string][]string{
		"rollback":     {"patch deployments", "patch statefulsets", "patch daemonsets"},
		"statefulSets": {"get,list,watch statefulsets", "patch statefulsets"},
		"daemonSets":   {"get,list,watch daemonsets", "patch daemonsets"},
		"freePods":     {"delete pods"},
		"autoscalers":  {"list horizontalpodautoscalers"},
		"configMaps":   {"list,watch,create,patch,delete configmaps"},
		"logs":         {"get pods/log"},
		"references":   {"get configmaps,serviceaccounts,persistentvolumeclaims"},
		"secrets":      {"get secrets"},
		"routes":       {"list services", "list ingresses", "list ingressroutes"},
		"events":       {"list events"},
	} {
		want := all
		for _, line := range gone {
			if !strings.Contains(want, line+"\n") {
				t.Errorf("%s: no rule %q in\n%s", feature, line, all)
			}
			want = strings.Replace(want, line+"\n", "", 1)
		}
		if got := rights(t, render(t, fmt.Sprintf("rights: {secrets: %t, configMaps: %t, %q: false}", feature != "secrets", feature != "configMaps", feature))["rbac.yaml"]); got != want {
			t.Errorf("without %s it may\n%s\nwant\n%s", feature, got, want)
		}
	}
}

// TestNamespaces: with namespaces named there is no right anywhere else.
func TestNamespaces(t *testing.T) {
	out := render(t, "namespaces: [shop, pay]")
	docs := documents(t, out["rbac.yaml"])
	if _, all := docs["ClusterRoleBinding bakewatch"]; all {
		t.Error("bound for the whole cluster")
	}
	for _, ns := range []string{"shop", "pay", "bakewatch"} {
		var b rbacv1.RoleBinding
		if err := yaml.UnmarshalStrict([]byte(docs["RoleBinding bakewatch-guard in "+ns]), &b); err != nil || len(b.Subjects) != 1 || b.Subjects[0].Namespace != "bakewatch" || b.RoleRef.Name != "bakewatch" {
			t.Errorf("bound in %s: %v: %+v", ns, err, b)
		}
	}
	if !strings.Contains(out["deployment.yaml"], `args: [run, --namespaces, "shop,pay"]`) {
		t.Errorf("the daemon is not told:\n%s", out["deployment.yaml"])
	}
}

// TestPolicy: the policy goes in as it is, and the one it comes with is valid.
func TestPolicy(t *testing.T) {
	for values, want := range map[string]string{
		"{}": "mode: guard\n",
		"policy: |\n  mode: observe\n\n  # {{ not a template }}\n  sources: {prometheus: {url: http://p}}\n": "mode: observe\n\n# {{ not a template }}\nsources: {prometheus: {url: http://p}}",
	} {
		var m corev1.ConfigMap
		if err := yaml.UnmarshalStrict([]byte(render(t, values)["configmap.yaml"]), &m); err != nil {
			t.Fatal(err)
		}
		if got := m.Data["bakewatch.yaml"]; !strings.Contains(got, want) {
			t.Errorf("%s\nbecame\n%s", values, got)
		}
		if _, err := policy.Parse("values", []byte(m.Data["bakewatch.yaml"])); err != nil {
			t.Errorf("%s: %v", values, err)
		}
	}
}

// TestMonitoring: rules and dashboard are there when asked for, and the resource of the records outlives the release.
func TestMonitoring(t *testing.T) {
	if docs := documents(t, render(t, "{}")["monitoring.yaml"]); len(docs) != 0 {
		t.Errorf("unasked: %v", docs)
	}
	docs := documents(t, render(t, "{prometheusRule: true, dashboard: true}")["monitoring.yaml"])
	if !strings.Contains(docs["PrometheusRule bakewatch in bakewatch"], "alert: BakewatchDown") || !strings.Contains(docs["ConfigMap bakewatch-dashboard in bakewatch"], `"title": "Bakewatch"`) {
		t.Errorf("%v", docs)
	}
	crd := documents(t, render(t, "{}")["crd.yaml"])["CustomResourceDefinition bakes.bakewatch.dev"]
	if !strings.Contains(crd, "helm.sh/resource-policy: keep\n") {
		t.Errorf("the resource goes with the release:\n%.400s", crd)
	}
}
