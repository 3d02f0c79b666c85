package signals_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	"github.com/bakewatch/bakewatch/signals/upstream"
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
	late  time.Duration // how long after a window's end it is asked
	build func(t *testing.T, s server, measured *upstream.Metrics) source
}

// server is what an adapter asks.
type server struct {
	url string
	in  http.RoundTripper // the server within the process, for those that ask by a Kubernetes client; nil: it is at the url
}

const patience = 300 * time.Millisecond

func client(t *testing.T, s server) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(&rest.Config{Host: s.url, Transport: s.in, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// podOf is a cluster that has one new pod of whatever workload.
type podOf struct{}

func (podOf) Pods(context.Context, logs.Workload) ([]logs.Pod, error) {
	return []logs.Pod{{Name: "web-557975f8ff-bcdef", UID: "u", Born: time.Now().Add(-time.Hour)}}, nil
}

var adapters = []adapter{
	{"prometheus", signals.Query{By: signals.ByPod, Errors: `r{code="500"}`, Requests: "r"}, 0, func(t *testing.T, at server, measured *upstream.Metrics) source {
		s, err := prometheus.New(prometheus.Options{URL: at.url, Timeout: patience, Metrics: measured})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}},
	{"datadog", signals.Query{Source: signals.Datadog, By: signals.ByPod, Errors: "sum:r.errors{kube_namespace:$namespace} by {pod_name}.as_count()", Requests: "sum:r.hits{kube_namespace:$namespace} by {pod_name}.as_count()"}, datadog.DefaultLag, func(t *testing.T, at server, measured *upstream.Metrics) source {
		file := func(name string) string {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		s, err := datadog.New(datadog.Options{URL: at.url, APIKeyFile: file("api"), AppKeyFile: file("app"), Timeout: patience, Metrics: measured})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}},
	{"logs", signals.Query{Source: signals.Logs, By: signals.ByPod, Errors: "bad seconds", Requests: "seconds"}, 0, func(t *testing.T, at server, measured *upstream.Metrics) source {
		c := client(t, at)
		return logs.New(&logs.API{Client: c, Lister: &states.Lister{Client: c}}, measured, zap.NewNop())
	}},
	{"loki", signals.Query{Source: signals.Loki, By: signals.ByPod, Errors: "bad seconds", Requests: "seconds"}, 0, func(t *testing.T, at server, measured *upstream.Metrics) source {
		s, err := logs.NewLoki(logs.LokiOptions{URL: at.url, Timeout: patience, Cluster: podOf{}, Metrics: measured})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}},
	{"probe", signals.Query{Source: signals.Probe, By: signals.ByPod, Flow: `{"name":"x","steps":[{"name":"s","http":{"path":"/","port":"8080"}}]}`}, 0, func(t *testing.T, at server, measured *upstream.Metrics) source {
		metrics, err := probe.NewMetrics(promclient.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		c := client(t, at)
		s := probe.New(probe.Options{Cluster: &probe.API{Client: c, Pods: &states.Lister{Client: c}}, Metrics: metrics, Sources: measured, Log: zap.NewNop()})
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
	case path == "/loki/api/v1/series":
		answer = `{"status":"success","data":[]}`
	case path == "/loki/api/v1/query_range":
		answer = `{"status":"success","data":{"resultType":"streams","result":[],"stats":{}}}`
	case path == "/api/v1/query", strings.HasSuffix(path, "/query") && r.URL.Query().Has("from"):
		answer = `{"status":"success","data":{"resultType":"matrix","result":[]}}`
		if q := r.URL.Query(); q.Has("from") {
			answer = `{"status":"ok","res_type":"time_series","series":[],"from_date":` + q.Get("from") + `000,"to_date":` + q.Get("to") + `000,"query":""}`
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(answer))
}

// question is about the windows between the bounds.
func question(a adapter, bounds ...time.Time) signals.Question {
	return signals.Question{Signal: "errors", Query: a.query, Kind: "Deployment", Workload: "web", Vars: map[string]string{"namespace": "shop", "workload": "web", "kind": "Deployment"},
		Candidate: "web-557975f8ff-", Baseline: "web-7589768665-", Bounds: bounds}
}

// TestContract is what holds for every source, whatever its server does: each window is answered, or none with an error; in time; and
// what is not known is never a count of zero.
func TestContract(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(-time.Minute).Truncate(15 * time.Second)
	ask := func(a adapter) signals.Question {
		return question(a, end.Add(-30*time.Second), end.Add(-15*time.Second), end)
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
				api := httptest.NewServer(handler)
				t.Cleanup(api.Close)
				s := a.build(t, server{url: api.URL}, nil)
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
			s := a.build(t, server{url: "http://127.0.0.1:1"}, nil)
			t.Cleanup(s.Close)
			q := ask(a)
			q.Bounds = q.Bounds[:1]
			if rs, err := s.Read(t.Context(), q); err == nil {
				t.Errorf("%+v", rs)
			}
		})
		t.Run(a.name+"/given up", func(t *testing.T) {
			s := a.build(t, server{url: "http://127.0.0.1:1"}, nil)
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

// TestContractOfHealth is what holds for every source whose server goes away and comes back: it is said to be down, it is left alone
// after some requests, and is asked again after a while. Nothing is known meanwhile, which is what a Bake calls blind.
func TestContractOfHealth(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			flapping := &flapping{}
			if a.query.Source == signals.Logs || a.query.Source == signals.Probe { // theirs take their time
				synctest.Test(t, func(t *testing.T) { health(t, a, flapping, server{url: "http://in-process", in: flapping}) })
				return
			}
			t.Parallel()
			api := httptest.NewServer(flapping)
			t.Cleanup(api.Close)
			health(t, a, flapping, server{url: api.URL})
		})
	}
}

// flapping is a server that is well or down.
type flapping struct {
	asked atomic.Int64
	down  atomic.Bool
}

func (f *flapping) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	if f.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	nothing(w, r)
}

func (f *flapping) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result(), nil
}

func health(t *testing.T, a adapter, of *flapping, at server) {
	reg := promclient.NewRegistry()
	measured, err := upstream.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	s := a.build(t, at, measured)
	defer s.Close()
	// ask asks about windows that nobody has asked about before, so that it is not answered by what was heard then.
	asks := 0
	ask := func() signals.Side {
		to := time.Now().Add(-a.late)
		if asks++; a.late > 0 { // whole seconds are told apart
			to = to.Add(-time.Duration(asks%100) * time.Second)
		}
		rs, err := s.Read(t.Context(), question(a, to.Add(-10*time.Second), to))
		if err != nil {
			return signals.Side{Missing: signals.Failed, Detail: err.Error()}
		}
		return rs[0].Candidate
	}
	until := func(what string, up float64, blind bool, says string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			side := ask()
			found := gauge(t, reg, "bakewatch_source_up", a.name)
			if found == up && (side.Missing == signals.Failed) == blind && strings.Contains(side.Detail, says) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("it is not %s: up is %g, and it is %q: %s", what, found, side.Missing, side.Detail)
			}
		}
	}
	until("well", 1, false, "")
	of.down.Store(true)
	until("known to be down", 0, true, "")
	until("left alone", 0, true, "not asked: the last 5 queries were not answered")
	before := of.asked.Load()
	for range 50 {
		ask()
		time.Sleep(time.Millisecond)
	}
	if n := of.asked.Load() - before; n > 0 {
		t.Errorf("asked %d times more", n)
	}
	of.down.Store(false)
	until("well again", 1, false, "")
}

// gauge is the value of a source's gauge; -1: it has none.
func gauge(t *testing.T, reg *promclient.Registry, name, source string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == source {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}
