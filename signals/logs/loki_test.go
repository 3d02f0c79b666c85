package logs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

// agents have sent what a cluster's pods wrote to a Loki, some time after it was written.
type agents struct {
	*written
	mu       sync.Mutex
	shipped  func(pod string) time.Duration // how long it takes; nil: no time
	lost     map[string]time.Time           // from when on a pod's lines do not arrive
	otel     bool
	maxPage  int
	fault    http.HandlerFunc // in place of an answer
	requests []string
	gone     []Pod
}

var matcher = regexp.MustCompile(`(\w+)(=~?)("(?:[^"\\]|\\.)*")`)

func (a *agents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r.URL.Path+" "+r.Header.Get("X-Scope-OrgID"))
	if a.fault != nil {
		a.fault(w, r)
		return
	}
	args := r.URL.Query()
	nanos := func(name string) time.Time {
		n, _ := strconv.ParseInt(args.Get(name), 10, 64)
		return time.Unix(0, n)
	}
	labels := []string{"namespace", "pod", "container"}
	if a.otel {
		labels = []string{"k8s_namespace_name", "k8s_pod_name", "k8s_container_name"}
	}
	names := regexp.MustCompile(`^$`)
	for _, m := range matcher.FindAllStringSubmatch(args.Get("query")+args.Get("match[]"), -1) {
		value, _ := strconv.Unquote(m[3])
		if m[1] == labels[1] {
			names = regexp.MustCompile("^(?:" + value + ")$")
		}
	}
	switch limit, _ := strconv.Atoi(args.Get("limit")); r.URL.Path {
	case "/loki/api/v1/labels":
		_, _ = w.Write([]byte(`{"status":"success","data":["namespace"]}`))
	case "/loki/api/v1/series":
		out := []map[string]string{}
		for _, p := range slices.Concat(a.pods, a.gone) {
			if names.MatchString(p.Name) {
				out = append(out, map[string]string{labels[1]: p.Name})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": out})
	case "/loki/api/v1/query_range":
		if a.maxPage > 0 && limit > a.maxPage {
			http.Error(w, fmt.Sprintf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", limit, a.maxPage), http.StatusBadRequest)
			return
		}
		a.stream(w, labels, names, nanos("start"), nanos("end"), limit, args.Get("direction") == "backward")
	default:
		http.NotFound(w, r)
	}
}

func (a *agents) stream(w http.ResponseWriter, labels []string, names *regexp.Regexp, from, to time.Time, limit int, backward bool) {
	type entry struct {
		pod, text string
		at        time.Time
	}
	var all []entry
	for _, p := range slices.Concat(a.pods, a.gone) {
		if !names.MatchString(p.Name) {
			continue
		}
		late := time.Duration(0)
		if a.shipped != nil {
			late = a.shipped(p.Name)
		}
		for at := later(from, p.Born).Truncate(time.Second); at.Before(earlier(to, a.now)); at = at.Add(time.Second) {
			if lost, ok := a.lost[p.Name]; ok && !at.Before(lost) {
				break
			}
			text := a.lines[p.Name](at)
			if text == "" || at.Before(p.Born) || at.Add(late).After(a.now) {
				continue
			}
			for i, line := range strings.Split(text, "\n") {
				if e := (entry{p.Name, line, at.Add(time.Duration(i+1) * time.Millisecond)}); !e.at.Before(from) && e.at.Before(to) {
					all = append(all, e)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	if backward {
		slices.Reverse(all)
	}
	all = all[:min(len(all), limit)]
	streams := map[string][][]any{}
	for _, e := range all {
		streams[e.pod] = append(streams[e.pod], []any{strconv.FormatInt(e.at.UnixNano(), 10), e.text, map[string]string{"detected_level": "x"}})
	}
	out := []any{}
	for pod, values := range streams {
		out = append(out, map[string]any{"stream": map[string]string{labels[0]: "shop", labels[1]: pod, labels[2]: "app"}, "values": values})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "streams", "result": out, "stats": map[string]any{}}})
}

const lokiLag = 5 * time.Second

func lokiOf(t *testing.T, a *agents) *Loki {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	s, err := NewLoki(LokiOptions{URL: server.URL, Tenant: "team", Lag: lokiLag, Timeout: 2 * time.Second, Cluster: a.written})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.now = func() time.Time { a.written.mu.Lock(); defer a.written.mu.Unlock(); return a.now }
	return s
}

func readLoki(t *testing.T, s *Loki, q signals.Question) []signals.Reading {
	t.Helper()
	got, err := s.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func shop() *agents {
	a := &agents{written: &written{now: start}}
	a.pod(oldPod, start.Add(-time.Hour), every(10, "ERROR slow query 4711"))
	a.pod(newPod, start.Add(-30*time.Second), every(2, "Traceback (most recent call last):\n  File x\nKeyError: 'cart'"))
	return a
}

// The same lines give the same counts, by Loki as by the Kubernetes API, whatever the labels and however few lines come at a time.
func TestLokiJudgesAsTheClusterDoes(t *testing.T) {
	for name, set := range map[string]func(*agents){
		"labels":          func(*agents) {},
		"opentelemetry":   func(a *agents) { a.otel = true },
		"few at a time":   func(a *agents) { a.maxPage = 60 },
		"late, but known": func(a *agents) { a.shipped = func(string) time.Duration { return lokiLag - time.Second } },
	} {
		t.Run(name, func(t *testing.T) {
			a := shop()
			set(a)
			s, api := lokiOf(t, a), sourceOf(a.written)
			for step := range 4 { // in the steps of a bake, the newest tick once more
				a.at(start.Add(time.Duration(step) * 10 * time.Second))
				to := a.now.Add(-lokiLag).Truncate(10 * time.Second)
				q := about(to, 2)
				got, want := readLoki(t, s, q), read(t, api, q)
				for i := range want {
					if g, w := counts(got[i].Candidate)+"; "+counts(got[i].Baseline), counts(want[i].Candidate)+"; "+counts(want[i].Baseline); g != w {
						t.Errorf("step %d, window %d: %s\nby the cluster: %s", step, i, g, w)
					}
				}
			}
			for _, r := range a.requests {
				if !strings.HasSuffix(r, " team") {
					t.Errorf("without the tenant: %s", r)
				}
			}
		})
	}
}

// What Loki has of pods that are gone is known after a restart of the daemon, too.
func TestLokiKnowsPodsThatAreGone(t *testing.T) {
	a := shop()
	a.gone = append(a.gone, a.pods[0])
	a.remove(oldPod)
	a.lost = map[string]time.Time{oldPod: start.Add(-30 * time.Second)}
	got := readLoki(t, lokiOf(t, a), about(start.Add(-40*time.Second), 2))
	if b := counts(got[1].Baseline); b != "1 of 10 ERROR slow query #" {
		t.Errorf("%s", b)
	}
	got = readLoki(t, lokiOf(t, a), about(start.Add(-10*time.Second), 1))
	if b := got[0].Baseline; b.Missing != signals.NoSeries {
		t.Errorf("after its end: %s", counts(b))
	}
}

// A StatefulSet's pod has the name of the one before it.
func TestLokiTellsLivesApart(t *testing.T) {
	a := &agents{written: &written{now: start}}
	a.pod("db-0", start.Add(-time.Hour), func(at time.Time) string {
		if at.Before(start.Add(-30 * time.Second)) {
			return "level=info"
		}
		return "ERROR boom"
	})
	a.gone = []Pod{a.pods[0]}
	a.pods[0].Born, a.pods[0].Containers[0].Now.from = start.Add(-30*time.Second), start.Add(-30*time.Second)
	q := about(start.Add(-10*time.Second), 3)
	q.Kind, q.Workload, q.Candidate, q.Baseline, q.Lives = "StatefulSet", "db", "", "db-", map[string]time.Time{"db-0": start.Add(-30 * time.Second)}
	a.pods, a.gone = a.pods[:1], a.gone[:1]
	got := readLoki(t, lokiOf(t, a), q)
	// Of the life that is over it is known up to its last line.
	if o, n := counts(got[0].Baseline), counts(got[2].Candidate); o != "0 of 9 " || n != "10 of 10 new: ERROR boom" || got[2].Baseline.Missing == "" {
		t.Errorf("%s; %s; %s", o, n, counts(got[2].Baseline))
	}
}

// A pod of which no line arrives is not quiet, and one whose lines stopped long ago neither.
func TestLokiTakesSilenceForNothing(t *testing.T) {
	a := &agents{written: &written{now: start}, lost: map[string]time.Time{newPod: start.Add(-time.Hour), oldPod: start.Add(-15 * time.Minute)}}
	a.pod(oldPod, start.Add(-time.Hour), quiet)
	a.pod(newPod, start.Add(-time.Minute), every(1, "ERROR boom"))
	got := readLoki(t, lokiOf(t, a), about(start.Add(-10*time.Second), 1))
	if c, b := got[0].Candidate, got[0].Baseline; c.Missing != signals.NoSeries || b.Missing != signals.NoSeries {
		t.Errorf("%s; %s", counts(c), counts(b))
	}
	a.lost[oldPod] = start.Add(-time.Minute)
	got = readLoki(t, lokiOf(t, a), about(start.Add(-10*time.Second), 1))
	if b := counts(got[0].Baseline); b != "0 of 10 " {
		t.Errorf("a pod that was heard a minute ago: %s", b)
	}
}

// Lines that come too late are told of, and count once the tick is read once more.
func TestLokiTellsOfLateLines(t *testing.T) {
	a := shop()
	a.shipped = func(pod string) time.Duration {
		if pod == newPod {
			return 12 * time.Second
		}
		return 0
	}
	s := lokiOf(t, a)
	readLoki(t, s, about(start.Add(-10*time.Second), 1))
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	a.at(start.Add(10 * time.Second))
	got := readLoki(t, s, about(start, 2))
	if c := counts(got[0].Candidate); c != "5 of 10 new: KeyError: 'cart'" {
		t.Errorf("%s", c)
	}
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "sources.loki.lag") {
		t.Errorf("%v", err)
	}
}

// Of more than is read at a time nothing is known, and nothing is taken for quiet.
func TestLokiUnderAStorm(t *testing.T) {
	a := &agents{written: &written{now: start}}
	storm := strings.Repeat("ERROR boom\n", 3000)
	a.pod(newPod, start.Add(-40*time.Second), func(time.Time) string { return storm })
	got := readLoki(t, lokiOf(t, a), about(start.Add(-10*time.Second), 2))
	if c := got[0].Candidate; c.Missing != signals.NoSeries {
		t.Errorf("of what was not read: %s", counts(c))
	}
	if c := got[1].Candidate; c.Requests == 0 || c.Requests != c.Errors {
		t.Errorf("%s", counts(c))
	}
	if n := len(a.requests); n > 10 {
		t.Errorf("%d requests", n)
	}
}

func TestLokiFaults(t *testing.T) {
	says := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = w.Write([]byte(text)) }
	}
	for name, c := range map[string]struct {
		fault http.HandlerFunc
		want  string
	}{
		"no tenant":     {says(401, "no org id"), "access denied (HTTP 401): no org id"},
		"too many":      {says(429, "too many outstanding requests"), "asked to slow down (HTTP 429)"},
		"down":          {says(503, "Service Unavailable"), "HTTP 503"},
		"not Loki":      {says(404, "404 page not found"), "no Loki at this address"},
		"a page":        {says(200, "<html>Sign in</html>"), "unreadable answer"},
		"half of it":    {says(200, `{"status":"success","data":{"resultType":"streams","result":[{"stre`), "unreadable answer"},
		"another shape": {says(200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`), "unreadable answer"},
		"no data":       {says(200, `{"status":"success"}`), "unreadable answer"},
		"an error":      {says(200, `{"status":"error","data":{"resultType":"streams","result":[]}}`), "unreadable answer"},
		"a bad entry":   {says(200, `{"status":"success","data":{"resultType":"streams","result":[{"stream":{"pod":"web-1"},"values":[["x","y"]]}]}}`), "unreadable answer"},
		"no pod":        {says(200, `{"status":"success","data":{"resultType":"streams","result":[{"stream":{},"values":[["1","y"]]}]}}`), "unreadable answer"},
		"partial":       {says(200, `{"status":"success","warnings":["shard 3 timed out"],"data":{"resultType":"streams","result":[]}}`), "partial answer: shard 3 timed out"},
		"limits":        {says(400, "the query would read too many bytes (query: 2GB, limit: 1GB)"), "more than its limits allow"},
		"slow":          {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := shop()
			a.fault = func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/series") && !strings.HasPrefix(name, "no tenant") {
					_, _ = w.Write([]byte(`{"status":"success","data":[]}`))
					return
				}
				c.fault(w, r)
			}
			s := lokiOf(t, a)
			s.client.timeout = 300 * time.Millisecond
			if got, err := s.Read(t.Context(), about(start.Add(-10*time.Second), 1)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v %v, want %s", got, err, c.want)
			}
		})
	}
}

// A Loki that asks to be left alone, is.
func TestLokiIsLeftAlone(t *testing.T) {
	a := shop()
	a.fault = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "30"); w.WriteHeader(429) }
	s := lokiOf(t, a)
	for i := range 5 {
		a.at(start.Add(time.Duration(i) * 2 * time.Second))
		if _, err := s.Read(t.Context(), about(start.Add(-10*time.Second), 1)); err == nil || !strings.Contains(err.Error(), "429") {
			t.Errorf("%v", err)
		}
	}
	if len(a.requests) != 1 {
		t.Errorf("%d requests: %v", len(a.requests), a.requests)
	}
}

// Where Loki has nothing of a workload, its pods' logs are read through the cluster.
func TestEither(t *testing.T) {
	a := shop()
	subject := signals.Subject{Kind: "Deployment", Namespace: "shop", Name: "web", Signals: []string{Signal}}
	find := func() (string, int, error) {
		found, absent, err := Either{lokiOf(t, a), sourceOf(a.written)}.Find(context.Background(), subject)
		if len(found) != 1 {
			return "", len(absent), err
		}
		return found[0].From(), len(absent), err
	}
	if source, absent, err := find(); source != signals.Loki || absent != 0 || err != nil {
		t.Errorf("%s %d %v", source, absent, err)
	}
	a.lost = map[string]time.Time{oldPod: {}, newPod: {}}
	if source, absent, err := find(); source != signals.Logs || absent != 1 || err != nil {
		t.Errorf("%s %d %v", source, absent, err)
	}
	a.fault = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	if source, _, err := find(); source != "" || err == nil {
		t.Errorf("while Loki is away: %s %v", source, err)
	}
}

func FuzzLokiAnswer(f *testing.F) {
	f.Add(`{"status":"success","data":{"resultType":"streams","result":[{"stream":{"pod":"web-557975f8ff-bcdef"},"values":[["1780000000000000000","ERROR x"]]}]}}`)
	f.Add(`{"status":"success","data":{"resultType":"streams","result":[{"stream":{"pod":"a"},"values":[[]]}]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		client, err := newLokiClient(LokiOptions{URL: "http://loki"})
		if err != nil {
			t.Fatal(err)
		}
		client.http.Transport = answers(body)
		from, to := time.Unix(0, 0), time.Unix(0, 1<<62)
		got, err := client.queryRange(t.Context(), layouts[0], "{}", from, to, 10, false)
		for _, l := range got {
			if err != nil || l.pod == "" || l.at.Before(from) || !l.at.Before(to) || len(l.text) > maxLine {
				t.Errorf("%+v %v", l, err)
			}
		}
	})
}

type answers string

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_, _ = w.WriteString(string(a))
	return w.Result(), nil
}

// Read bit by bit or all at once, whatever was written and however late it arrived: the same seconds are known, and bad.
func TestLokiInAnySteps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		said := map[int64]string{}
		born := start.Add(-time.Minute)
		said[born.Unix()] = "level=info msg=begins"
		for range rapid.IntRange(0, 60).Draw(rt, "lines") {
			at := born.Unix() + int64(rapid.IntRange(0, 240).Draw(rt, "at"))
			said[at] = rapid.SampledFrom([]string{"level=info msg=on", "ERROR boom 7", "Traceback (most recent call last):\n  File x\nKeyError: 'cart'", "plain"}).Draw(rt, "line")
		}
		late := time.Duration(rapid.IntRange(0, int(lokiLag/time.Second)).Draw(rt, "late")) * time.Second
		a := &agents{written: &written{now: start}, shipped: func(string) time.Duration { return late }}
		a.pod(newPod, born, func(at time.Time) string { return said[at.Unix()] })
		steps := lokiOf(t, a)
		now := start
		for now.Before(start.Add(3 * time.Minute)) {
			a.at(now)
			if _, err := steps.Read(t.Context(), about(now.Add(-lokiLag), 1)); err != nil {
				rt.Fatal(err)
			}
			now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(rt, "step")) * time.Second)
		}
		a.at(now)
		q := about(now.Add(-lokiLag-unsure).Truncate(10*time.Second), 12)
		got, err := steps.Read(t.Context(), q)
		if err != nil {
			rt.Fatal(err)
		}
		want, err := lokiOf(t, a).Read(t.Context(), q)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range want {
			g, w := got[i].Candidate, want[i].Candidate
			if g.Missing != w.Missing || g.Counts != w.Counts || g.Requests > 10 || g.Errors > g.Requests {
				rt.Errorf("window %d: %s in steps, %s at once", i, counts(g), counts(w))
			}
		}
	})
}
