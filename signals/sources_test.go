package signals_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog"
	states "github.com/bakewatch/bakewatch/signals/kubernetes"
	"github.com/bakewatch/bakewatch/signals/logs"
	"github.com/bakewatch/bakewatch/signals/probe"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

// source is what all adapters are to a bake.
type source interface {
	Read(ctx context.Context, q signals.Question) ([]signals.Reading, error)
	Close()
}

// adapter is a source that asks a server, by its own client.
type adapter struct {
	name  string
	query signals.Query
	build func(t *testing.T, url string) source
}

const patience = 300 * time.Millisecond

func client(t *testing.T, url string) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(&rest.Config{Host: url, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var adapters = []adapter{
	{"prometheus", signals.Query{By: signals.ByPod, Errors: `r{code="500"}`, Requests: "r"}, func(t *testing.T, url string) source {
		s, err := prometheus.New(prometheus.Options{URL: url, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}},
	{"datadog", signals.Query{Source: signals.Datadog, By: signals.ByPod, Errors: "sum:r.errors{kube_namespace:$namespace} by {pod_name}.as_count()", Requests: "sum:r.hits{kube_namespace:$namespace} by {pod_name}.as_count()"}, func(t *testing.T, url string) source {
		file := func(name string) string {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		s, err := datadog.New(datadog.Options{URL: url, APIKeyFile: file("api"), AppKeyFile: file("app"), Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}},
	{"logs", signals.Query{Source: signals.Logs, By: signals.ByPod, Errors: "bad seconds", Requests: "seconds"}, func(t *testing.T, url string) source {
		c := client(t, url)
		return logs.New(&logs.API{Client: c, Lister: &states.Lister{Client: c}}, zap.NewNop())
	}},
	{"probe", signals.Query{Source: signals.Probe, By: signals.ByPod, Flow: `{"name":"x","steps":[{"name":"s","http":{"path":"/","port":"8080"}}]}`}, func(t *testing.T, url string) source {
		metrics, err := probe.NewMetrics(promclient.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		c := client(t, url)
		s := probe.New(probe.Options{Cluster: &probe.API{Client: c, Pods: &states.Lister{Client: c}}, Metrics: metrics, Log: zap.NewNop()})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx, func() []probe.Standing { return nil }) }()
		t.Cleanup(func() { cancel(); <-done })
		return s
	}},
}

// nothing is what a server answers that is well and has nothing of the workload.
func nothing(w http.ResponseWriter, r *http.Request) {
	answer := ""
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/api/v1/namespaces/"):
		answer = `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`
	case strings.Contains(path, "/deployments/"):
		answer = `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","namespace":"shop","uid":"u"},"spec":{"selector":{"matchLabels":{"app":"web"}}}}`
	case path == "/api/v1/query", strings.HasSuffix(path, "/query") && r.URL.Query().Has("from"):
		answer = `{"status":"success","data":{"resultType":"matrix","result":[]}}`
		if r.URL.Query().Has("from") {
			answer = `{"status":"ok","res_type":"time_series","series":[],"from_date":0,"to_date":0,"query":""}`
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(answer))
}

// TestContract is what holds for every source, whatever its server does: each window is answered, or none with an error; in time; and
// what is not known is never a count of zero.
func TestContract(t *testing.T) {
	end := time.Now().Add(-time.Minute).Truncate(15 * time.Second)
	ask := func(a adapter) signals.Question {
		return signals.Question{Signal: "errors", Query: a.query, Kind: "Deployment", Workload: "web", Vars: map[string]string{"namespace": "shop", "workload": "web", "kind": "Deployment"},
			Candidate: "web-557975f8ff-", Baseline: "web-7589768665-", Bounds: []time.Time{end.Add(-30 * time.Second), end.Add(-15 * time.Second), end}}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
	}
	servers := map[string]http.HandlerFunc{
		"it has nothing": nothing,
		"unavailable":    status(503),
		"no permission":  status(403),
		"too many":       status(429),
		"not found":      status(404),
		"a page":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello</html>")) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"web-55`))
		},
		"another's answer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"status":"ok","data":null,"series":null,"items":null}`))
		},
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then is it noticed that the client is gone
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		},
		"it hangs up": func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = c.Close()
			}
		},
	}
	for _, a := range adapters {
		for name, handler := range servers {
			t.Run(a.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				server := httptest.NewServer(handler)
				t.Cleanup(server.Close)
				s := a.build(t, server.URL)
				t.Cleanup(s.Close)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				q := ask(a)
				rs, err := s.Read(ctx, q)
				if err != nil {
					return
				}
				if len(rs) != len(q.Bounds)-1 {
					t.Fatalf("%d readings of %d windows", len(rs), len(q.Bounds)-1)
				}
				for i, r := range rs {
					if !r.Window.From.Equal(q.Bounds[i]) || !r.Window.To.Equal(q.Bounds[i+1]) {
						t.Errorf("reading %d is of %v to %v", i, r.Window.From, r.Window.To)
					}
					for side, x := range map[string]signals.Side{"candidate": r.Candidate, "baseline": r.Baseline} {
						if x.Missing == signals.Present || x.Detail == "" || x.Requests != 0 || x.Errors != 0 {
							t.Errorf("%s of window %d is %+v: nothing is known of it", side, i, x)
						}
					}
				}
			})
		}
		t.Run(a.name+"/without a window", func(t *testing.T) {
			s := a.build(t, "http://127.0.0.1:1")
			t.Cleanup(s.Close)
			q := ask(a)
			q.Bounds = q.Bounds[:1]
			if rs, err := s.Read(t.Context(), q); err == nil {
				t.Errorf("%+v", rs)
			}
		})
		t.Run(a.name+"/given up", func(t *testing.T) {
			s := a.build(t, "http://127.0.0.1:1")
			t.Cleanup(s.Close)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			rs, err := s.Read(ctx, ask(a))
			if err == nil && len(rs) > 0 && rs[0].Candidate.Missing == signals.Present {
				t.Errorf("%+v", rs[0])
			}
		})
	}
}
