package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// scripted is a server that answers queries as the handler says, and notes what it was asked.
type scripted struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string // "time query"
	handler http.HandlerFunc
}

func script(t *testing.T, handler http.HandlerFunc) *scripted {
	s := &scripted{handler: handler}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.FormValue("time")+" "+r.FormValue("query"))
		s.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// sourceOf builds a Source for a test; it is closed at the end.
func sourceOf(t testing.TB, o Options) *Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// matrix writes the API's answer with these series.
func matrix(streams ...*model.SampleStream) string {
	type data struct {
		Type   string                `json:"resultType"`
		Result []*model.SampleStream `json:"result"`
	}
	if streams == nil {
		streams = []*model.SampleStream{}
	}
	text, err := json.Marshal(map[string]any{"status": "success", "data": data{"matrix", streams}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// asking is a question about the new- and old- pods in one window.
func asking() signals.Question {
	return signals.Question{
		Signal: "http-errors", Candidate: "new-", Baseline: "old-", Bounds: seconds(120, 135),
		Query: signals.Query{By: signals.ByPod, Errors: `r{namespace="$namespace",code=~"5.."}`, Requests: ` r{namespace="$namespace"} `},
		Vars:  map[string]string{"namespace": "shop"},
	}
}

func TestReadAsksForRawSamples(t *testing.T) {
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		streams := []*model.SampleStream{counter("pod=new-1,code=500", "119:1 134:4")}
		if !strings.Contains(r.FormValue("query"), "5..") {
			streams = append(streams, counter("pod=new-1,code=200", "119:20 134:40"), counter("pod=old-1,code=200", "119:20 134:41"))
		}
		answering(200, matrix(streams...))(w, r)
	})
	source := sourceOf(t, Options{URL: server.URL + "/"})
	readings, err := source.Read(t.Context(), asking())
	if err != nil {
		t.Fatal(err)
	}
	got := readings[0]
	if got.Candidate.Counts != (signals.Counts{Requests: 23, Errors: 3}) || got.Baseline.Counts != (signals.Counts{Requests: 21}) {
		t.Errorf("reading %+v", got)
	}
	if w := got.Window; !w.From.Equal(second(120)) || !w.To.Equal(second(135)) {
		t.Errorf("window %v", w)
	}
	at := fmt.Sprint(second(135).Unix())
	for _, want := range []string{at + " r{namespace=\"shop\"}\n[150s]", at + " r{namespace=\"shop\",code=~\"5..\"}\n[150s]"} {
		found := false
		for _, asked := range server.requests() {
			found = found || asked == want
		}
		if !found {
			t.Errorf("%q was not asked, but %q", want, server.requests())
		}
	}
}

// TestSharing: whatever the number of bakes, a tick costs one request for each query text.
func TestSharing(t *testing.T) {
	server := script(t, answering(200, matrix(counter("pod=new-1,code=200", "119:20 134:40"))))
	source := sourceOf(t, Options{URL: server.URL})
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			q := asking()
			q.Candidate, q.Baseline = fmt.Sprintf("app-%d-new-", i), fmt.Sprintf("app-%d-old-", i)
			q.Bounds = seconds(135-float64(35+i%25), 135)
			q.Vars = map[string]string{"namespace": "shop", "workload": fmt.Sprint(i)}
			readings, err := source.Read(t.Context(), q)
			if err != nil || len(readings) != 1 || readings[0].Candidate.Missing != signals.NoSeries {
				t.Errorf("%+v, %v", readings, err)
			}
		})
	}
	wg.Wait()
	if n := len(server.requests()); n != 2 || source.Queries() != 2 {
		t.Errorf("500 questions made %d requests (%d counted), want 2", n, source.Queries())
	}
	q := asking()
	q.Bounds = seconds(135, 150)
	if _, err := source.Read(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if n := len(server.requests()); n != 4 {
		t.Errorf("the next tick brought it to %d requests, want 4", n)
	}
}

func TestFaults(t *testing.T) {
	slow := make(chan struct{})
	t.Cleanup(func() { close(slow) })
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		options Options
		class   upstream.Class
		detail  string
	}{
		{"timeout", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-slow:
			case <-r.Context().Done():
			}
		}, Options{Timeout: 50 * time.Millisecond}, upstream.Unavailable, "no answer within 50ms"},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Options{}, upstream.Unavailable, "EOF"},
		{"internal error", answering(500, `{"status":"error","errorType":"internal","error":"disk on fire"}`), Options{}, upstream.Unavailable, "HTTP 500: disk on fire"},
		{"bad gateway", answering(502, "<html>\n\tbad\n gateway</html>"), Options{}, upstream.Unavailable, "HTTP 502: <html> bad gateway</html>"},
		{"starting", answering(503, "Service Unavailable"), Options{}, upstream.Unavailable, "HTTP 503: Service Unavailable"},
		{"server's own timeout", answering(503, `{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}`), Options{}, upstream.TooExpensive, "query too expensive: query timed out"},
		{"slow down", answering(429, "too many requests"), Options{}, upstream.Unavailable, "asked to slow down (HTTP 429)"},
		{"bad query", answering(400, `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: `+strings.Repeat("long ", 100)+`"}`), Options{}, upstream.Rejected, "query rejected: invalid parameter \"query\": 1:5: parse error"},
		{"bad query, plain", answering(400, "nope"), Options{}, upstream.Rejected, "query rejected: nope"},
		{"too many samples", answering(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`), Options{}, upstream.TooExpensive, "query too expensive: query processing would load too many samples"},
		{"cannot be run", answering(422, `{"status":"error","errorType":"execution","error":"found duplicate series"}`), Options{}, upstream.Rejected, "query rejected: found duplicate series"},
		{"no credentials", answering(401, "who are you"), Options{}, upstream.Unavailable, "access denied (HTTP 401)"},
		{"wrong credentials", answering(403, "not you"), Options{}, upstream.Unavailable, "access denied (HTTP 403)"},
		{"wrong address", answering(404, "404 page not found"), Options{}, upstream.Unavailable, "no query API at this address (HTTP 404)"},
		{"a page", answering(200, "<html>hello</html>"), Options{}, upstream.Unavailable, "unreadable answer: "},
		{"half an answer", answering(200, `{"status":"success","data":{"resultType":"matrix","result":[{"met`), Options{}, upstream.Unavailable, "unreadable answer: "},
		{"no data", answering(200, `{"status":"success"}`), Options{}, upstream.Unavailable, "unreadable answer: "},
		{"status error", answering(200, `{"status":"error","errorType":"internal","error":"x"}`), Options{}, upstream.Unavailable, "unreadable answer: "},
		{"partial answer", answering(200, `{"status":"success","warnings":["store-1 is away"],"data":{"resultType":"matrix","result":[]}}`), Options{}, upstream.Unavailable, "partial answer: store-1 is away"},
		{"not a selector", answering(200, `{"status":"success","data":{"resultType":"vector","result":[]}}`), Options{}, upstream.Rejected, "query rejected: it must select counters"},
		{"too large", answering(200, matrix(counter("pod=new-1", every(0, 1000, 1, func(at float64) float64 { return at })))), Options{MaxBytes: 1000}, upstream.TooExpensive, "its answer is larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := script(t, c.handler)
			reg := prometheus.NewRegistry()
			metrics, err := upstream.NewMetrics(reg)
			if err != nil {
				t.Fatal(err)
			}
			c.options.URL, c.options.Metrics = server.URL, metrics
			source := sourceOf(t, c.options)
			q := asking()
			q.Bounds = seconds(105, 120, 135)
			readings, err := source.Read(t.Context(), q)
			if err != nil || len(readings) != 2 {
				t.Fatalf("%d readings, %v", len(readings), err)
			}
			for _, r := range readings {
				for _, s := range []signals.Side{r.Candidate, r.Baseline} {
					if s.Missing != signals.Failed || !strings.HasPrefix(s.Detail, "prometheus: ") || !strings.Contains(s.Detail, c.detail) || len(s.Detail) > 300 {
						t.Errorf("side %+v, want one that failed with %q", s, c.detail)
					}
				}
				sound(t, "reading", r)
			}
			var failure *upstream.Failure
			_, err = source.ask(key{text: `r{namespace="shop"}`, time: second(135).UnixMilli(), reach: 150_000}, 15*time.Second)(t.Context())
			if !errors.As(err, &failure) || failure.Class != c.class {
				t.Errorf("failure %v, want class %s", err, c.class)
			}
			if source.Queries() != 2 {
				t.Errorf("%d queries for two texts: a failure is not asked for twice in a tick", source.Queries())
			}
		})
	}
}

func TestConnectionRefusedDoesNotShowThePassword(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := strings.Replace(server.URL, "http://", "http://me:hush@", 1)
	server.Close()
	source := sourceOf(t, Options{URL: address})
	readings, err := source.Read(t.Context(), asking())
	if err != nil {
		t.Fatal(err)
	}
	said := readings[0].Candidate.Detail
	if !strings.Contains(said, "connection refused") {
		t.Errorf("detail %q", said)
	}
	check := source.Check(t.Context())
	if check == nil || !strings.Contains(check.Error(), "connection refused; is sources.prometheus.url right") {
		t.Errorf("check: %v", check)
	}
	if strings.Contains(said+check.Error(), "hush") {
		t.Errorf("the password is told: %s, %v", said, check)
	}
}

func TestCheck(t *testing.T) {
	clock := func(ahead time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			now := float64(time.Now().Add(ahead).UnixMilli()) / 1000
			answering(200, fmt.Sprintf(`{"status":"success","data":{"resultType":"scalar","result":[%f,"%f"]}}`, now, now))(w, r)
		}
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    string // "" is well
	}{
		{"well", clock(0), ""},
		{"a little late", clock(-3 * time.Second), ""},
		{"its clock is late", clock(-time.Minute), "its clock is 1m0s behind this daemon's"},
		{"its clock is fast", clock(time.Hour), "its clock is 1h0m0s ahead of this daemon's"},
		{"no time in it", answering(200, `{"status":"success","data":{"resultType":"vector","result":[]}}`), ""},
		{"credentials", answering(401, ""), "credentials"},
		{"address", answering(404, ""), "sources.prometheus.url must be the address"},
		{"a page", answering(200, "<html>"), "something else answers there"},
		{"broken", answering(500, ""), "the server's own log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := sourceOf(t, Options{URL: script(t, c.handler).URL})
			err := source.Check(t.Context())
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("check: %v, want %q", err, c.want)
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	source := sourceOf(t, Options{URL: "http://127.0.0.1:1"})
	for _, c := range []struct {
		name   string
		change func(*signals.Question)
		want   string
	}{
		{"one bound", func(q *signals.Question) { q.Bounds = seconds(1) }, "two bounds"},
		{"unsorted bounds", func(q *signals.Question) { q.Bounds = seconds(2, 1) }, "not ascending"},
		{"equal bounds", func(q *signals.Question) { q.Bounds = seconds(2, 2) }, "not ascending"},
		{"too many windows", func(q *signals.Question) { q.Bounds = make([]time.Time, maxWindows+2) }, "too long"},
		{"no query", func(q *signals.Question) { q.Errors = " " }, "needs a query"},
		{"unknown variable", func(q *signals.Question) { q.Vars = nil }, "unknown variable $namespace"},
		{"no candidate", func(q *signals.Question) { q.Candidate = "" }, "prefix of the candidate"},
		{"same pods", func(q *signals.Question) { q.Baseline = q.Candidate }, "same pods"},
		{"whole, of nothing", func(q *signals.Question) { q.Whole = true }, "needs its name"},
	} {
		q := asking()
		c.change(&q)
		if _, err := source.Read(t.Context(), q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if source.Queries() != 0 {
		t.Errorf("%d queries were sent", source.Queries())
	}
}

func TestNewRefuses(t *testing.T) {
	for _, address := range []string{"", "prometheus:9090", "ftp://x", "http://", "http://u:hush@h:port"} {
		_, err := New(Options{URL: address})
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := New(Options{URL: "http://x", HTTPClient: config.HTTPClientConfig{BearerToken: "a", BearerTokenFile: "b"}}); err == nil {
		t.Error("two bearer tokens passed")
	}
}

// TestLongQuestionInParts: the rebuild of a long bake is asked for in parts that a server can carry, and counts the same.
func TestLongQuestionInParts(t *testing.T) {
	const minutes = 180
	stream := counter("pod=new-1", every(-60, 60*minutes, 15, func(at float64) float64 { return 1000 + at }))
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		var at, reach float64
		if _, err := fmt.Sscan(r.FormValue("time"), &at); err != nil {
			t.Error(err)
		}
		_, span, _ := strings.Cut(r.FormValue("query"), "[")
		if _, err := fmt.Sscanf(span, "%fs]", &reach); err != nil {
			t.Error(err)
		}
		if reach > 2*maxReach.Seconds() {
			t.Errorf("a reach of %v s", reach)
		}
		end := time.Unix(int64(at), 0)
		answering(200, matrix(cut(model.Matrix{stream}, end.Add(-time.Duration(reach)*time.Second), end)...))(w, r)
	})
	source := sourceOf(t, Options{URL: server.URL})
	q := asking()
	q.Errors = "r{code=\"500\"}"
	q.FromZero = true
	q.Bounds = nil
	for at := 0.0; at <= 60*minutes; at += 60 {
		q.Bounds = append(q.Bounds, second(at))
	}
	readings, err := source.Read(t.Context(), q)
	if err != nil || len(readings) != minutes {
		t.Fatalf("%d readings, %v", len(readings), err)
	}
	for i, r := range readings {
		want := 60.0
		if i == 0 {
			want = 1060
		}
		if r.Candidate.Requests != want || !r.Window.To.Equal(q.Bounds[i+1]) {
			t.Errorf("window %d: %+v, want %v requests", i, r, want)
		}
	}
	if n := len(server.requests()); n < 4 || n > 20 {
		t.Errorf("%d requests", n)
	}

	// Where the first part fails, the others are not tried.
	away := script(t, answering(503, ""))
	source = sourceOf(t, Options{URL: away.URL})
	readings, err = source.Read(t.Context(), q)
	if err != nil || len(readings) != minutes || readings[minutes-1].Candidate.Missing != signals.Failed {
		t.Errorf("%d readings, %v", len(readings), err)
	}
	if n := len(away.requests()); n > 2 {
		t.Errorf("%d requests to a server that is away", n)
	}
}

func TestAnswerThatJustFits(t *testing.T) {
	body := matrix(counter("pod=new-1", "119:1 134:3"))
	for _, c := range []struct {
		max  int
		want signals.Missing
	}{{len(body), signals.Present}, {len(body) - 1, signals.Failed}} {
		source, err := newSource(Options{URL: "http://prometheus", MaxBytes: int64(c.max)}, &http.Client{Transport: canned{200, body}})
		if err != nil {
			t.Fatal(err)
		}
		readings, err := source.Read(t.Context(), asking())
		source.Close()
		if err != nil || readings[0].Candidate.Missing != c.want {
			t.Errorf("%d of %d bytes allowed: %+v, %v", c.max, len(body), readings, err)
		}
	}
}

func TestGivingUpLeavesTheOthersTheirAnswer(t *testing.T) {
	let := make(chan struct{})
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		<-let
		answering(200, matrix(counter("pod=new-1", "119:1 134:3")))(w, r)
	})
	source := sourceOf(t, Options{URL: server.URL})
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan []signals.Reading)
	go func() {
		readings, _ := source.Read(ctx, asking())
		gaveUp <- readings
	}()
	for len(server.requests()) < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if s := (<-gaveUp)[0].Candidate; s.Missing != signals.Failed || !strings.Contains(s.Detail, "gave up waiting") {
		t.Errorf("side %+v", s)
	}
	close(let)
	readings, err := source.Read(t.Context(), asking())
	if err != nil || readings[0].Candidate.Requests != 2 || len(server.requests()) != 2 {
		t.Errorf("%+v, %v, %d requests", readings, err, len(server.requests()))
	}
}

func TestFewInFlight(t *testing.T) {
	var now, most atomic.Int64
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		answering(200, matrix())(w, r)
	})
	source := sourceOf(t, Options{URL: server.URL, MaxInFlight: 3})
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			q := asking()
			q.Vars = map[string]string{"namespace": fmt.Sprint("n", i)}
			readings, err := source.Read(t.Context(), q)
			if err != nil || readings[0].Candidate.Missing != signals.NoSeries {
				t.Errorf("%+v, %v", readings, err)
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || len(server.requests()) != 60 {
		t.Errorf("%d at the same time, want 3 at most; %d requests, want 60", most.Load(), len(server.requests()))
	}
}

func TestNoTurn(t *testing.T) {
	let := make(chan struct{})
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		<-let
		answering(200, matrix())(w, r)
	})
	source := sourceOf(t, Options{URL: server.URL, MaxInFlight: 1, Timeout: 50 * time.Millisecond})
	source.slots <- struct{}{} // somebody's query never ends
	readings, err := source.Read(t.Context(), asking())
	close(let)
	if err != nil || !strings.Contains(readings[0].Candidate.Detail, "no turn within 50ms: 1 queries are under way") {
		t.Errorf("%+v, %v", readings, err)
	}
}

// TestBreaker: a source that answers nothing is left alone, and asked again after a while.
func TestBreaker(t *testing.T) {
	status := atomic.Int64{}
	status.Store(503)
	server := script(t, func(w http.ResponseWriter, r *http.Request) { answering(int(status.Load()), matrix())(w, r) })
	source := sourceOf(t, Options{URL: server.URL})
	const rest = 100 * time.Millisecond
	source.breaker = upstream.NewBreaker(rest)
	ask := func() *upstream.Failure {
		_, err := source.query(t.Context(), "1", time.Time{})
		return err
	}
	for range upstream.TripAfter {
		if err := ask(); err == nil || err.Class != upstream.Unavailable {
			t.Fatalf("%v", err)
		}
	}
	asked := len(server.requests())
	if err := ask(); err == nil || err.Class != upstream.Unavailable || !strings.Contains(err.Text, "not asked: the last 5 queries were not answered, the last one with HTTP 503") {
		t.Errorf("%v", err)
	}
	if n := len(server.requests()); n != asked {
		t.Errorf("%d requests more", n-asked)
	}
	status.Store(200)
	time.Sleep(2 * rest)
	if err := ask(); err != nil {
		t.Errorf("after a rest: %v", err)
	}
	if err := ask(); err != nil {
		t.Errorf("and then: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * upstream.TripAfter {
		_, _ = source.query(ctx, "1", time.Time{})
	}
	if err := ask(); err != nil {
		t.Errorf("after questions that were given up: %v", err)
	}
}

func TestClosed(t *testing.T) {
	server := script(t, answering(200, matrix()))
	source := sourceOf(t, Options{URL: server.URL})
	source.Close()
	readings, err := source.Read(t.Context(), asking())
	if err != nil || readings[0].Candidate.Missing != signals.Failed || len(server.requests()) != 0 {
		t.Errorf("%+v, %v", readings, err)
	}
}

// TestMetrics: a Source built anew goes on with the metrics there are.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	metrics, err := upstream.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	status := 200
	server := script(t, func(w http.ResponseWriter, r *http.Request) { answering(status, matrix())(w, r) })
	for _, s := range []int{200, 500, 400} {
		status = s
		source := sourceOf(t, Options{URL: server.URL, Metrics: metrics})
		q := asking()
		q.Bounds = []time.Time{time.Now().Add(-time.Minute), time.Now()}
		if _, err := source.Read(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		for source.Queries() < 2 || len(source.slots) > 0 { // a reading does not wait for the second query when the first fails
			time.Sleep(time.Millisecond)
		}
		source.Close()
		up := 1.0
		if s == 500 {
			up = 0
		}
		if got := value(t, reg, "bakewatch_source_up", "source=prometheus"); got != up {
			t.Errorf("up is %v after HTTP %d, want %v", got, s, up)
		}
	}
	for result, want := range map[string]float64{"ok": 2, "unavailable": 2, "rejected": 2} {
		if got := value(t, reg, "bakewatch_source_queries_total", "result="+result+" source=prometheus"); got != want {
			t.Errorf("%v queries were %s, want %v", got, result, want)
		}
	}
	if got := value(t, reg, "bakewatch_source_query_seconds", "source=prometheus"); got != 6 {
		t.Errorf("%v queries were timed, want 6", got)
	}
}

// TestOldRangesDoNotTellWhetherItIsUp: a range of a week ago may be in a store that is away, or nowhere.
func TestOldRangesDoNotTellWhetherItIsUp(t *testing.T) {
	reg := prometheus.NewRegistry()
	metrics, err := upstream.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	status := 200
	server := script(t, func(w http.ResponseWriter, r *http.Request) { answering(status, matrix())(w, r) })
	source := sourceOf(t, Options{URL: server.URL, Metrics: metrics})
	q := asking()
	for i, c := range []struct {
		ago  time.Duration
		http int
		up   float64
	}{{time.Minute, 200, 1}, {7 * 24 * time.Hour, 503, 1}, {2 * time.Hour, 503, 0}, {24 * time.Hour, 200, 0}, {time.Hour, 200, 1}} {
		status = c.http
		q.Bounds = []time.Time{time.Now().Add(-c.ago - time.Minute), time.Now().Add(-c.ago)}
		if _, err := source.Read(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		for source.Queries() < int64(2*(i+1)) || len(source.slots) > 0 {
			time.Sleep(time.Millisecond)
		}
		if got := value(t, reg, "bakewatch_source_up", "source=prometheus"); got != c.up {
			t.Errorf("HTTP %d for a range %s ago: up is %v", c.http, c.ago, got)
		}
	}
}

// value reads a metric: of a histogram, how often it was observed.
func value(t *testing.T, reg *prometheus.Registry, name, labels string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var pairs []string
			for _, p := range m.GetLabel() {
				pairs = append(pairs, p.GetName()+"="+p.GetValue())
			}
			if f.GetName() == name && strings.Join(pairs, " ") == labels {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("no metric %s{%s}", name, labels)
	return 0
}
