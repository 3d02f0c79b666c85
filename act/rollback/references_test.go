package rollback

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// needy is a pod that refers to objects in every way there is.
const needy = `
serviceAccountName: web
imagePullSecrets: [{name: registry}]
volumes:
- {name: a, configMap: {name: config}}
- {name: b, configMap: {name: maybe, optional: true}}
- {name: c, secret: {secretName: tls, optional: false}}
- {name: d, secret: {secretName: extra, optional: true}}
- {name: e, persistentVolumeClaim: {claimName: data}}
- {name: f, emptyDir: {}}
- name: g
  projected: {sources: [{configMap: {name: part}}, {secret: {name: key}}, {secret: {name: perhaps, optional: true}}, {serviceAccountToken: {path: token}}]}
initContainers:
- {name: init, envFrom: [{configMapRef: {name: first}}, {secretRef: {name: tls}}, {secretRef: {name: never, optional: true}}]}
containers:
- name: app
  env:
  - {name: A, value: plain}
  - {name: B, valueFrom: {configMapKeyRef: {name: config, key: b}}}
  - {name: C, valueFrom: {secretKeyRef: {name: token, key: c}}}
  - {name: D, valueFrom: {configMapKeyRef: {name: also-maybe, key: d, optional: true}}}
  - {name: E, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
`

func needs(t *testing.T, text string) *corev1.PodSpec {
	t.Helper()
	var spec corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}

func TestReferences(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"none", `{}`, nil},
		{"the service account that is always there", `serviceAccountName: default`, nil},
		{"all kinds", needy, []string{"ServiceAccount web", "ConfigMap config", "Secret tls", "PersistentVolumeClaim data", "ConfigMap part", "Secret key", "ConfigMap first", "Secret token"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, r := range references(needs(t, c.spec)) {
				got = append(got, r.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// api is an API server with one Deployment of two revisions, whose first is needy, and the answers given for what it needs.
func api(t *testing.T, answers map[string]int) *Undoer {
	t.Helper()
	template := func(spec *corev1.PodSpec) map[string]any {
		return map[string]any{"metadata": map[string]any{"labels": map[string]string{"app": "web"}}, "spec": spec}
	}
	set := func(hash string, spec *corev1.PodSpec) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"name": "web-" + hash, "namespace": "shop", "labels": map[string]string{"app": "web", "pod-template-hash": hash},
				"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u1", "controller": true}}},
			"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]string{"app": "web"}}, "template": template(spec)},
		}
	}
	bare := needs(t, "containers: [{name: app}]")
	known := map[string]any{
		"/apis/apps/v1/namespaces/shop/deployments/web": map[string]any{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": map[string]any{"name": "web", "namespace": "shop", "uid": "u1"},
			"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]string{"app": "web"}}, "template": template(bare)}},
		"/apis/apps/v1/namespaces/shop/replicasets": map[string]any{"kind": "ReplicaSetList", "apiVersion": "apps/v1", "items": []any{set("good", needs(t, needy)), set("bad", bare)}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if object, ok := known[r.URL.Path]; ok {
			_ = json.NewEncoder(w).Encode(object)
			return
		}
		if !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
			t.Errorf("%s: more than metadata is asked for: %s", r.URL.Path, r.Header.Get("Accept"))
		}
		what := strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/shop/")
		meta := map[string]any{"name": what}
		switch status := answers[what]; status {
		case 0:
		case http.StatusGone: // going: a finalizer holds it
			meta["deletionTimestamp"] = "2026-05-01T12:00:00Z"
		default:
			reason := map[int]string{http.StatusNotFound: "NotFound", http.StatusForbidden: "Forbidden"}[status]
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, QPS: 1000, Burst: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return &Undoer{Client: client}
}

func TestMissing(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[string]int
		target  string
		want    []string
		fails   string
	}{
		{"all is there", nil, "good", nil, ""},
		{"some is gone", map[string]int{"configmaps/config": 404, "secrets/token": 404}, "good", []string{"ConfigMap config", "Secret token"}, ""},
		{"a claim is going", map[string]int{"persistentvolumeclaims/data": 410}, "good", []string{"PersistentVolumeClaim data"}, ""},
		{"what may not be seen is taken to be there", map[string]int{"secrets/tls": 403, "serviceaccounts/web": 404}, "good", []string{"ServiceAccount web"}, ""},
		{"what is optional may be gone", map[string]int{"configmaps/maybe": 404, "secrets/registry": 404}, "good", nil, ""},
		{"the revision needs nothing", map[string]int{"configmaps/config": 404}, "bad", nil, ""},
		{"there is no such revision", map[string]int{"configmaps/config": 404}, "older", nil, ""},
		{"it cannot be told", map[string]int{"configmaps/part": 500}, "good", nil, "see whether ConfigMap part of shop exists"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := api(t, c.answers).Missing(t.Context(), bake.Key{Kind: bake.KindDeployment, Namespace: "shop", Name: "web"}, v1alpha1.Revision{Hash: c.target})
			if !slices.Equal(got, c.want) {
				t.Errorf("missing %v, want %v", got, c.want)
			}
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
		})
	}
}
