package datadog

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// serving is an API where the pods of both sides serve ten requests a second for ten minutes after noon.
func serving() *api {
	a := &api{}
	n := noon.Unix()
	a.serves("kube_namespace:shop,service:web,pod_name:web-a-1,version:v1", n-600, n+600, 10, 0)
	a.serves("kube_namespace:shop,service:web,pod_name:web-b-1,version:v2", n-600, n+600, 10, 1)
	return a
}

const well = "15 of 150"

// Each way in which an answer is none says what it was, and is never a zero.
func TestAnswersThatAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a)
		at(time.Minute)
		for i, c := range []struct {
			status int
			body   string
			says   string
		}{
			{200, `{"status": "error", "error": "Internal error, please try again"}`, "no answer: Internal error, please try again"},
			{200, `{"status": "error", "error": "Rate limit exceeded"}`, "no answer: Rate limit exceeded"},
			{200, `{"status": "error", "error": "The query has too many groups, the limit is 1000"}`, "query too expensive: The query has too many groups…"},
			{200, `{"status": "error", "error": "Rule 'scope_expr' didn't match"}`, "requests: query rejected: Rule 'scope_expr' didn't match"},
			{200, `{"status": "ok", "error": "1 of 2 shards did not answer", "series": []}`, "partial answer: 1 of 2 shards did not answer"},
			{200, `{"status": "warning", "series": []}`, `unreadable answer: its status is "warning", not ok`},
			{200, `{"series": []}`, `unreadable answer: its status is "", not ok`},
			{200, `{"status": "ok", "series": 7}`, "unreadable answer: …"},
			{200, `<html>Sign in</html>`, "unreadable answer: …"},
			{200, ``, "unreadable answer: …"},
			{200, `null`, "unreadable answer: …"},
			{206, `{"status": "ok", "series": []}`, "partial answer (HTTP 206)"},
			{400, `{"errors": ["Error parsing query: unexpected token"]}`, "requests: query rejected: Error parsing query: unexpected token"},
			{401, `{"errors": ["Unauthorized"]}`, "access denied (HTTP 401: Unauthorized)"},
			{403, `{"errors": ["Forbidden"]}`, "access denied (HTTP 403: Forbidden)"},
			{404, `{"errors": ["Not found"]}`, "no query API at this address (HTTP 404)"},
			{414, ``, "query too expensive (HTTP 414…"},
			{500, `{"errors": ["oops"]}`, "HTTP 500: oops"},
			{503, "<html>no</html>", "HTTP 503: …"},
		} {
			a.faulty(answers(c.status, c.body))
			at(time.Duration(i+2) * 2 * time.Minute) // what was refused is not asked for a minute
			q := asking(byPod, int64(i+2)*120-30)
			r := read(t, s, q)[0]
			says := "unavailable: datadog: " + c.says
			if strings.HasPrefix(c.says, "query too") {
				says = "unavailable: datadog: requests: " + c.says
			}
			want(t, fmt.Sprint(c.status, " ", c.body), r.Candidate, says)
			want(t, fmt.Sprint(c.status, " ", c.body), r.Baseline, says)
		}
		a.faulty(nil)
		a.serves("kube_namespace:shop,pod_name:web-b-1", noon.Unix()+3600-120, noon.Unix()+3600, 10, 1)
		at(time.Hour + time.Minute)
		want(t, "well again", read(t, s, asking(byPod, 3600))[0].Candidate, well)
	})
}

// An answer about less time than was asked for, or in coarser buckets than a tick, does not count.
func TestAnswersInPart(t *testing.T) {
	point := func(at time.Duration, v any) string { return fmt.Sprintf("[%d, %v]", noon.Add(at).UnixMilli(), v) }
	series := func(more string, points ...string) string {
		return `{"metric": "hits", "scope": "pod_name:web-b-1", "tag_set": ["pod_name:web-b-1"], "query_index": 0, ` + more + ` "pointlist": [` + strings.Join(points, ",") + "]}"
	}
	ok := func(all ...string) string { return `{"status": "ok", "series": [` + strings.Join(all, ",") + "]}" }
	from, to := noon.Add(-time.Hour).UnixMilli(), noon.Add(time.Hour).UnixMilli()
	for body, says := range map[string]string{
		fmt.Sprintf(`{"status": "ok", "from_date": %d, "to_date": %d, "series": []}`, noon.UnixMilli(), to):                                                "unavailable: datadog: partial answer: it covers less time than was asked for",
		fmt.Sprintf(`{"status": "ok", "from_date": %d, "to_date": %d, "series": []}`, from, noon.UnixMilli()):                                              "unavailable: datadog: partial answer: it covers less time than was asked for",
		fmt.Sprintf(`{"status": "ok", "from_date": %d, "to_date": %d, "series": []}`, from, to):                                                            "no-series: no series for …",
		ok(series(`"interval": 60,`, point(0, 5))):                                                                                                         "unavailable: datadog: answered in buckets of 60s, which are longer than a tick of 15s; set bake.interval to as much",
		ok(series(`"interval": 15,`, point(45*time.Second, 5))):                                                                                            "0 of 5",
		ok(series(`"interval": 15000,`, point(45*time.Second, 5))):                                                                                         "0 of 5", // in milliseconds, as the documentation has it
		ok(series("", point(45*time.Second, 5), point(45*time.Second, 5))):                                                                                 "0 of 5", // the same bucket twice
		ok(series("", point(45*time.Second, "null"))):                                                                                                      "no-series: …",
		ok(series("", point(45*time.Second, -5))):                                                                                                          "not-number: the requests are negative, or beyond counting",
		ok(series("", point(45*time.Second, "1e300"))):                                                                                                     "not-number: …",
		ok(series("", "[null, 5]")):                                                                                                                        "unavailable: datadog: unreadable answer: a point is not a time and a value",
		ok(series("", "[1]")):                                                                                                                              "unavailable: datadog: unreadable answer: a point is not a time and a value",
		ok(strings.Replace(series("", point(45*time.Second, 5)), `"query_index": 0`, `"query_index": 9`, 1)):                                               "unavailable: datadog: unreadable answer: a series does not say which query it answers",
		ok(strings.Replace(series("", point(45*time.Second, 5)), `"query_index": 0`, `"query_index": -1`, 1)):                                              "unavailable: datadog: unreadable answer: a series does not say which query it answers",
		ok(strings.Replace(series("", point(45*time.Second, 5)), `"query_index": 0,`, "", 1)):                                                              "unavailable: datadog: unreadable answer: a series does not say which query it answers",
		ok(strings.Replace(series("", point(45*time.Second, 5)), `"tag_set": ["pod_name:web-b-1"]`, `"tag_set": null`, 1)):                                 "0 of 5", // the scope says it, too
		`{"status": "ok", "series": [{"query_index": 0, "tag_set": ["pod_name:web-b-1"], "pointlist": [[` + fmt.Sprint(noon.UnixMilli()) + `, "many"]]}]}`: "unavailable: datadog: unreadable answer: …",
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{fault: answers(200, body)}
			s := newSource(t, a)
			at(2 * time.Minute)
			want(t, body, read(t, s, asking(byPod, 60))[0].Candidate, says)
		})
	}
}

func TestTooLargeAndTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a, func(o *Options) { o.MaxBytes, o.Timeout = 500, 3*time.Second })
		at(2 * time.Minute)
		want(t, "too large", read(t, s, asking(byPod, 60))[0].Candidate, "unavailable: datadog: requests: query too expensive: its answer is larger than 0 MiB; narrow its scope")
		s = newSource(t, a, func(o *Options) { o.Timeout = 3 * time.Second })
		a.faulty(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		want(t, "too slow", read(t, s, asking(byPod, 60))[0].Candidate, "unavailable: datadog: no answer within 3s")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		rs, err := s.Read(ctx, asking(byPod, 75))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "given up", rs[0].Candidate, "unavailable: datadog: gave up waiting: context deadline exceeded")
		s.Close()
		a.faulty(nil)
		want(t, "closed", read(t, s, asking(byPod, 45))[0].Candidate, "unavailable: datadog: the source was replaced")
		synctest.Wait()
	})
}

// One query that is rejected does not spoil the others that went with it, and is not asked again for a minute.
func TestOneBadQueryAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a)
		at(2 * time.Minute)
		bad := byPod
		bad.Requests = "sum:hits{kube_namespace:$namespace} by {bad}.as_count()"
		a.faulty(func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Contains(r.URL.Query().Get("query"), "by {bad}") && answers(400, `{"errors": ["no such tag"]}`)(w, r)
		})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { want(t, "a good one", read(t, s, asking(byPod, 60))[0].Candidate, well) })
			wg.Go(func() {
				want(t, "the bad one", read(t, s, asking(bad, 60))[0].Candidate, "unavailable: datadog: requests: query rejected: no such tag")
			})
		}
		wg.Wait()
		sent := len(a.requests())
		at(2*time.Minute + 15*time.Second)
		want(t, "the bad one again", read(t, s, asking(bad, 75))[0].Candidate, "unavailable: datadog: requests: query rejected: no such tag")
		for _, text := range a.requests()[sent:] {
			if strings.Contains(text, "by {bad}") {
				t.Errorf("it was asked again: %s", text)
			}
		}
	})
}

// The files of the keys are read for each request, one that is refused is sent again with keys that are new, and no key is
// ever shown.
func TestKeysAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		var o Options
		core, logged := observer.New(zap.DebugLevel)
		s := newSource(t, a, func(set *Options) { set.Log = zap.New(core); o = *set })
		at(2 * time.Minute)
		want(t, "the first keys", read(t, s, asking(byPod, 60))[0].Candidate, well)
		writeKeys(t, o, "api-key-2", "app-key-2")
		want(t, "the second keys", read(t, s, asking(byPod, 75))[0].Candidate, well)
		a.faulty(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("DD-API-KEY") == "api-key-3" {
				return false
			}
			writeKeys(t, o, "api-key-3", "app-key-3") // just now
			return answers(403, `{"errors": ["Forbidden"]}`)(w, r)
		})
		want(t, "rotated under way", read(t, s, asking(byPod, 90))[0].Candidate, well)
		a.faulty(answers(403, `{"errors": ["Forbidden"]}`))
		at(3 * time.Minute)
		want(t, "refused", read(t, s, asking(byPod, 120))[0].Candidate, "unavailable: datadog: access denied (HTTP 403: Forbidden)")
		got := strings.Join(a.keys, "\n")
		if want := "api-key-1 app-key-1\napi-key-2 app-key-2\napi-key-2 app-key-2\napi-key-3 app-key-3\napi-key-3 app-key-3"; got != want {
			t.Errorf("sent with\n%s\nwant\n%s", got, want)
		}
		sent := len(a.keys)
		for i, c := range []struct{ file, text, says string }{
			{o.APIKeyFile, "", "sources.datadog.apiKeyFile: the file " + o.APIKeyFile + " is empty"},
			{o.AppKeyFile, "secret one\nsecret two\n", "sources.datadog.appKeyFile: the file " + o.AppKeyFile + " holds what no key has, such as spaces or several lines"},
			{o.APIKeyFile, strings.Repeat("secret", 100), "sources.datadog.apiKeyFile: the file " + o.APIKeyFile + " is longer than 512 bytes, as no key is"},
			{o.AppKeyFile, "-", "read sources.datadog.appKeyFile: open "},
		} {
			writeKeys(t, o, "api-key-4", "app-key-4")
			if err := os.WriteFile(c.file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.text == "-" {
				_ = os.Remove(c.file)
			}
			end := int64(150 + 15*i)
			at(time.Duration(end+30) * time.Second)
			r := read(t, s, asking(byPod, end))[0]
			if !strings.HasPrefix(r.Candidate.Detail, "datadog: "+c.says[:min(len(c.says), 150)]) || strings.Contains(r.Candidate.Detail, "secret") {
				t.Errorf("%q: %s", c.text, r.Candidate.Detail)
			}
		}
		if len(a.keys) != sent {
			t.Error("requests were sent without good keys")
		}
		for _, e := range logged.All() {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "-key-") || strings.Contains(text, "secret") {
				t.Errorf("the log shows a key: %s", text)
			}
		}
	})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a)
		at(2 * time.Minute)
		a.faulty(func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
			return true
		})
		want(t, "redirected", read(t, s, asking(byPod, 60))[0].Candidate, "unavailable: datadog: redirected elsewhere (HTTP 302), where the keys are not sent")
		if len(a.keys) != 1 {
			t.Errorf("sent %d requests", len(a.keys))
		}
	})
}

// What is found of the source is a metric, and its coming and going is logged once.
func TestHowTheSourceIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		core, logged := observer.New(zap.InfoLevel)
		reg := prometheus.NewRegistry()
		m, err := upstream.NewMetrics(reg)
		if err != nil {
			t.Fatal(err)
		}
		s := newSource(t, a, func(o *Options) { o.Log, o.Metrics = zap.New(core), m })
		up := func() float64 {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "bakewatch_source_up" {
					return f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			return -1
		}
		at(2 * time.Minute)
		for i, fault := range []func(http.ResponseWriter, *http.Request) bool{nil, answers(503, ""), answers(503, ""), answers(400, `{"errors": ["bad"]}`), nil} {
			a.faulty(fault)
			time.Sleep(interval * time.Second)
			read(t, s, asking(byPod, int64(75+15*i)))
			if want := map[bool]float64{true: 0, false: 1}[i == 1 || i == 2]; up() != want {
				t.Errorf("%d: up is %g", i, up())
			}
		}
		var said []string
		for _, e := range logged.All() {
			said = append(said, e.Message)
		}
		if got := strings.Join(said, "; "); got != "datadog is unavailable: signals read from it are missing until it answers; datadog answers again" {
			t.Error(got)
		}
	})
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		says  string
	}{
		"well":           {nil, ""},
		"invalid key":    {answers(200, `{"valid": false}`), "access denied (the API key is not valid); is the key in sources.datadog.apiKeyFile of this site's organisation"},
		"forbidden":      {answers(403, `{"errors": ["Forbidden"]}`), "must be of the same organisation on this site, and the application key must have the scopes timeseries_query and metrics_read"},
		"limited":        {answers(429, ""), "have Datadog raise the limit"},
		"something else": {answers(200, "<html>"), "does not lead to Datadog's API"},
		"not there":      {answers(404, ""), "sources.datadog.url must be the address to which /api/v1/query is appended"},
		"down":           {answers(500, ""), "https://status.datadoghq.com"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{fault: c.fault}
			s := newSource(t, a)
			err := s.Check(context.Background())
			switch {
			case c.says == "" && err != nil:
				t.Errorf("%s: %v", name, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "datadog at https://api.datadoghq.eu: ")):
				t.Errorf("%s: %v", name, err)
			}
			sent := len(a.keys)
			for range 40 { // every 15 seconds it is asked; most of it is answered by what was heard last
				time.Sleep(15 * time.Second)
				_ = s.Check(context.Background())
			}
			if more := len(a.keys) - sent; c.fault == nil && more > 2 || more > 20 {
				t.Errorf("%s: %d requests in ten minutes", name, more)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{}, {URL: "datadog"}, {URL: "ftp://datadog"}, {URL: "https://user:hunter2@datadog"}} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	s, err := New(Options{URL: "https://proxy.example/datadog/"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var path string
	s.client.Transport.(*upstream.Limiter).Next = roundTrip(func(r *http.Request) { path = r.URL.Path })
	dir := t.TempDir()
	o := Options{APIKeyFile: dir + "/api", AppKeyFile: dir + "/app"}
	writeKeys(t, o, "a", "b")
	s.keys = keyFiles{o.APIKeyFile, o.AppKeyFile}
	if _, err := s.Read(context.Background(), signals.Question{Query: signals.Query{Errors: "sum:e{*}.as_count()", Requests: "sum:r{*}.as_count()"}, Bounds: []time.Time{noon, noon.Add(15 * time.Second)}}); err != nil {
		t.Fatal(err)
	}
	if path != "/datadog/api/v1/query" {
		t.Errorf("asked at %s", path)
	}
}

type roundTrip func(*http.Request)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return nil, http.ErrHandlerTimeout
}

// TestBreaker: an API that answers nothing is left alone for a while; what it refuses it has answered.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a)
		over := span{from: noon.Unix() - 60, to: noon.Unix(), step: 60}
		ask := func(i int) *upstream.Failure {
			_, err := s.query(t.Context(), []string{fmt.Sprintf("sum:x%d{a:b}.rollup(sum, 60)", i)}, over, true)
			return err
		}
		a.faulty(answers(http.StatusForbidden, `{"errors": ["Forbidden"]}`))
		for i := range 2 * upstream.TripAfter {
			if err := ask(i); err == nil || err.Status != http.StatusForbidden {
				t.Fatalf("refused: %v", err)
			}
		}
		a.faulty(answers(http.StatusServiceUnavailable, "no"))
		for i := range upstream.TripAfter {
			if err := ask(i); err == nil || err.Status != http.StatusServiceUnavailable {
				t.Fatalf("down: %v", err)
			}
		}
		before := len(a.requests())
		if err := ask(0); err == nil || !strings.HasPrefix(err.Text, "not asked: the last 5 queries were not answered, the last one with HTTP 503") || len(a.requests()) != before {
			t.Errorf("%v, after %d requests more", err, len(a.requests())-before)
		}
		a.faulty(nil)
		time.Sleep(upstream.RestFor + time.Second)
		if err := ask(0); err != nil {
			t.Errorf("after a rest: %v", err)
		}
	})
}

// TestClockSkew: by the date of an answer.
func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serving()
		s := newSource(t, a)
		ahead := time.Duration(0)
		a.faulty(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			return false
		})
		for by, want := range map[time.Duration]string{0: "", 4 * time.Second: "", time.Minute: "its clock is 1m0s ahead of this daemon's", -time.Hour: "its clock is 1h0m0s behind this daemon's"} {
			ahead = by
			time.Sleep(2 * checkEvery)
			err := s.Check(t.Context())
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", by, err, want)
			}
		}
	})
}
