package helm

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/rest"
)

// apiServer stands for the API server and the deployment controller, as far as Helm and the watcher need them: objects are kept as
// they are sent, patches are strategic merges, and nothing is defaulted.
type apiServer struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string]map[string]any // by path
	sets    map[string]map[string]any // ReplicaSets, by hash
	number  int
	version int
	writes  []string                                  // carried out, in order
	refuse  func(method, path string) *metav1.Status  // a write, or a read; nil: it is not refused
	hold    chan struct{}                             // until it is closed nothing is answered
	before  func(method, path string, dry bool) error // before anything is carried out
}

var kinds = map[string]struct {
	kind string
	of   any
}{
	"deployments": {"Deployment", appsv1.Deployment{}}, "statefulsets": {"StatefulSet", appsv1.StatefulSet{}}, "configmaps": {"ConfigMap", corev1.ConfigMap{}},
	"secrets": {"Secret", corev1.Secret{}}, "persistentvolumeclaims": {"PersistentVolumeClaim", corev1.PersistentVolumeClaim{}},
}

func newAPIServer(t *testing.T) *apiServer {
	a := &apiServer{objects: map[string]map[string]any{}, sets: map[string]map[string]any{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *apiServer) config() *rest.Config {
	json := rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"}
	return &rest.Config{Host: a.URL, QPS: -1, ContentConfig: json}
}

func resources(group string, names ...string) metav1.APIResourceList {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: group}
	for _, n := range names {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: n, Kind: kinds[n].kind, Namespaced: true, Verbs: metav1.Verbs{"get", "list", "create", "patch", "delete"}})
	}
	return list
}

// ServeHTTP implements http.Handler.
func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.hold != nil {
		<-a.hold
	}
	answer := func(code int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	}
	fail := func(code int, reason metav1.StatusReason, message string) {
		answer(code, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(code), Reason: reason, Message: message})
	}
	switch r.URL.Path {
	case "/version":
		answer(200, map[string]string{"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
		return
	case "/api":
		answer(200, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
		return
	case "/apis":
		v := metav1.GroupVersionForDiscovery{GroupVersion: "apps/v1", Version: "v1"}
		answer(200, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"},
			Groups: []metav1.APIGroup{{Name: "apps", Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v}}})
		return
	case "/api/v1":
		answer(200, resources("v1", "configmaps", "secrets", "persistentvolumeclaims"))
		return
	case "/apis/apps/v1":
		answer(200, resources("apps/v1", "deployments", "statefulsets"))
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	path, dry := r.URL.Path, r.URL.Query().Get("dryRun") == "All" || r.Method == "DELETE" && strings.Contains(string(body), `"dryRun":["All"]`)
	if a.refuse != nil {
		if s := a.refuse(r.Method, path); s != nil {
			fail(int(s.Code), s.Reason, s.Message)
			return
		}
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	i := slices.Index(parts, "namespaces")
	if i < 0 || len(parts) < i+3 {
		fail(404, metav1.StatusReasonNotFound, "no such path "+path)
		return
	}
	resource := parts[i+2]
	if r.Method == "GET" {
		a.get(w, r, resource, path, len(parts) == i+4, answer, fail)
		return
	}
	if a.before != nil {
		if err := a.before(r.Method, path, dry); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	var sent map[string]any
	if r.Method != "DELETE" {
		if err := json.Unmarshal(body, &sent); err != nil {
			fail(400, metav1.StatusReasonBadRequest, err.Error())
			return
		}
	}
	if r.Method == "POST" {
		path += "/" + sent["metadata"].(map[string]any)["name"].(string)
	}
	old, there := a.objects[path]
	switch {
	case r.Method == "POST" && there:
		fail(409, metav1.StatusReasonAlreadyExists, path+" already exists")
		return
	case r.Method != "POST" && !there:
		fail(404, metav1.StatusReasonNotFound, path+" not found")
		return
	}
	next := sent
	if r.Method == "PATCH" {
		raw, _ := json.Marshal(old)
		merged, err := strategicpatch.StrategicMergePatch(raw, body, kinds[resource].of)
		if err != nil {
			fail(400, metav1.StatusReasonBadRequest, err.Error())
			return
		}
		next = nil
		_ = json.Unmarshal(merged, &next)
	}
	if r.Method == "DELETE" {
		next = old
	}
	if !dry {
		a.put(r.Method, path, resource, next)
	}
	if r.Method == "DELETE" {
		answer(200, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success"})
		return
	}
	answer(200, next)
}

func (a *apiServer) get(_ http.ResponseWriter, r *http.Request, resource, path string, one bool, answer func(int, any), fail func(int, metav1.StatusReason, string)) {
	if one {
		if o := a.objects[path]; o != nil {
			answer(200, o)
			return
		}
		fail(404, metav1.StatusReasonNotFound, path+" not found")
		return
	}
	selector, _ := labels.Parse(r.URL.Query().Get("labelSelector"))
	items := []any{}
	from := a.objects
	if resource == "replicasets" {
		from = a.sets
	}
	for _, p := range slices.Sorted(maps.Keys(from)) {
		set := labels.Set{}
		for k, v := range from[p]["metadata"].(map[string]any)["labels"].(map[string]any) {
			set[k] = fmt.Sprint(v)
		}
		if (resource == "replicasets" || strings.HasPrefix(p, path+"/")) && selector.Matches(set) {
			items = append(items, from[p])
		}
	}
	list, version := map[string]string{"secrets": "SecretList", "replicasets": "ReplicaSetList"}[resource], "v1"
	if resource == "replicasets" {
		version = "apps/v1"
	}
	answer(200, map[string]any{"kind": list, "apiVersion": version, "metadata": map[string]any{}, "items": items})
}

// put keeps an object, and does what the deployment controller does.
func (a *apiServer) put(method, path, resource string, o map[string]any) {
	if !strings.Contains(path, "/secrets/") || method != "PUT" {
		a.writes = append(a.writes, method+" "+path[strings.LastIndex(path, "/")+1:])
	}
	if method == "DELETE" {
		delete(a.objects, path)
		return
	}
	a.version++
	meta := o["metadata"].(map[string]any)
	meta["resourceVersion"], meta["namespace"] = fmt.Sprint(a.version), "shop"
	if meta["uid"] == nil {
		meta["uid"] = fmt.Sprintf("uid-%d", a.version)
	}
	if meta["labels"] == nil {
		meta["labels"] = map[string]any{}
	}
	o["kind"], o["apiVersion"] = kinds[resource].kind, map[bool]string{true: "apps/v1", false: "v1"}[resource == "deployments"]
	a.objects[path] = o
	if resource != "deployments" {
		return
	}
	meta["generation"] = a.version
	o["status"] = map[string]any{"observedGeneration": a.version}
	template := o["spec"].(map[string]any)["template"].(map[string]any)
	raw, _ := json.Marshal(template)
	sum := fnv.New32a()
	_, _ = sum.Write(append(raw, fmt.Sprint(meta["uid"])...))
	hash := fmt.Sprint(sum.Sum32())
	a.number++
	var copied map[string]any
	_ = json.Unmarshal(raw, &copied)
	of := copied["metadata"].(map[string]any)["labels"].(map[string]any)
	of[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	yes := true
	a.sets[hash] = map[string]any{"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": map[string]any{"name": fmt.Sprint(meta["name"], "-", hash), "namespace": "shop", "labels": of,
		"annotations":     map[string]any{"deployment.kubernetes.io/revision": fmt.Sprint(a.number)},
		"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"], "controller": &yes}}},
		"spec": map[string]any{"template": copied}}
}
