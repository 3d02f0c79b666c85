package standins

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

// scraped plays a Prometheus with a counter of two pods, scraped each second of the last two minutes: both serve ten requests a
// second, and the new one, which began a minute ago, fails one of them.
func scrapedBy(t *testing.T, now int64) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query().Get("query")
		if r.URL.Path == "/api/v1/rules" {
			var rules []any
			for _, name := range []string{"WebFails", "WebIsSlow", "DiskIsFull"} {
				rules = append(rules, map[string]any{"name": name, "query": "x > 1", "type": "alerting", "labels": map[string]string{"service": strings.ToLower(name[:3]), "severity": "Page"}})
			}
			reply(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"groups": []any{map[string]any{"rules": rules}}}})
			return
		}
		if strings.HasPrefix(query, "ALERTS") {
			alert := func(name string, labels map[string]string, spans ...[2]int64) any {
				var values [][2]any
				for _, span := range spans {
					for at := now + span[0]; at <= now+span[1]; at++ {
						values = append(values, [2]any{float64(at), "1"})
					}
				}
				labels["__name__"], labels["alertname"], labels["alertstate"], labels["service"], labels["severity"] = "ALERTS", name, "firing", "web", "Page"
				return map[string]any{"metric": labels, "values": values}
			}
			reply(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"result": []any{
				alert("WebFails", map[string]string{"path": "/pay"}, [2]int64{-300, -200}, [2]int64{-30, 60}),
				alert("WebFails", map[string]string{"path": "/cart"}, [2]int64{-100, -90}),
			}}})
			return
		}
		if strings.HasPrefix(query, "http_request_duration_seconds_bucket") { // of ten a second nine take up to 0.1 s, and one up to 1 s
			var result []any
			for le, rate := range map[string]float64{"0.1": 9, "0.25": 9, "1": 10, "+Inf": 10} {
				var values [][2]any
				for at := now - 180; at <= now; at++ {
					values = append(values, [2]any{float64(at) + 0.3, fmt.Sprint(rate * float64(at-now+1000))})
				}
				result = append(result, map[string]any{"metric": map[string]string{"__name__": "http_request_duration_seconds_bucket", "namespace": "shop", "pod": "web-aaa-1", "le": le,
					"pod_template_hash": "aaa", "tags_datadoghq_com_version": "V1"}, "values": values})
			}
			reply(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"result": result}})
			return
		}
		if !strings.HasPrefix(query, "http_requests_total") {
			reply(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"result": []any{}}})
			return
		}
		var result []any
		add := func(pod, version, code string, begin int64, rate float64) {
			if code == "200" && strings.Contains(query, "code=~") {
				return
			}
			var values [][2]any
			for at := max(begin, now-180); at <= now; at++ {
				values = append(values, [2]any{float64(at) + 0.3, fmt.Sprint(rate * float64(at-begin))})
			}
			result = append(result, map[string]any{"metric": map[string]string{"__name__": "http_requests_total", "namespace": "shop", "pod": pod, "code": code,
				"pod_template_hash": strings.Split(pod, "-")[1], "tags_datadoghq_com_version": version}, "values": values})
		}
		add("web-aaa-1", "V1", "200", now-1000, 10)
		add("web-bbb-1", "V2", "200", now-60, 9)
		add("web-bbb-1", "V2", "500", now-60, 1)
		reply(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"result": result}})
	}))
	t.Cleanup(s.Close)
	return s
}

type datadogClient struct {
	*datadogV1.MetricsApi
	auth *datadogV1.AuthenticationApi
	ctx  context.Context
	url  string
}

func clientOf(t *testing.T, url, api, app string) datadogClient {
	cfg := datadog.NewConfiguration()
	cfg.Servers = datadog.ServerConfigurations{{URL: url}}
	cfg.RetryConfiguration.EnableRetry = false
	c := datadog.NewAPIClient(cfg)
	ctx := context.WithValue(t.Context(), datadog.ContextAPIKeys, map[string]datadog.APIKey{"apiKeyAuth": {Key: api}, "appKeyAuth": {Key: app}})
	return datadogClient{datadogV1.NewMetricsApi(c), datadogV1.NewAuthenticationApi(c), ctx, url}
}

// put writes to the stand-in's own paths.
func (c datadogClient) put(t *testing.T, path string, body any) {
	t.Helper()
	raw, _ := json.Marshal(body)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, c.url+path, bytes.NewReader(raw))
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %v %v", path, res, err)
	}
	_ = res.Body.Close()
}

// Datadog's own client must be content with the stand-in, and find in it what the pods counted.
func TestDatadogsClient(t *testing.T) {
	now := time.Now().Unix() / 20 * 20
	s := httptest.NewServer(NewDatadog(scrapedBy(t, now).URL))
	defer s.Close()
	c := clientOf(t, s.URL, DatadogAPIKey, DatadogAppKey)
	if got, _, err := c.auth.Validate(c.ctx); err != nil || !got.GetValid() {
		t.Fatal(got, err)
	}
	got, resp, err := c.QueryMetrics(c.ctx, now-120, now, "sum:trace.http.request.errors{service:web} by {version}.as_count().rollup(sum, 20),"+
		"sum:http_requests.count{kube_namespace:shop,pod_name:web-*} by {pod_name}.as_count().rollup(sum, 20),sum:nobody.sends.it{*}.as_count().rollup(sum, 20)")
	if err != nil || got.GetStatus() != "ok" || got.GetError() != "" {
		t.Fatalf("%+v %v", got, err)
	}
	var said []string
	for _, one := range got.Series {
		var b strings.Builder
		for _, p := range one.Pointlist {
			if p[1] == nil {
				b.WriteString(" null")
			} else {
				fmt.Fprintf(&b, " %.0f", *p[1])
			}
		}
		said = append(said, fmt.Sprintf("%d %s%s", one.GetQueryIndex(), strings.Join(one.TagSet, ","), b.String()))
	}
	want := "0 version:v2 null null null 19 20 20\n1 pod_name:web-aaa-1 200 200 200 200 200 200\n1 pod_name:web-bbb-1 null null null 190 200 200"
	if have := strings.Join(said, "\n"); have != want {
		t.Errorf("got\n%s\nwant\n%s", have, want)
	}
	if resp.Header.Get("X-RateLimit-Remaining") != "9999" {
		t.Errorf("%v", resp.Header)
	}
	names, _, err := c.ListActiveMetrics(c.ctx, now-120, *datadogV1.NewListActiveMetricsOptionalParameters().WithTagFilter("service:web"))
	if err != nil || strings.Join(names.Metrics, " ") != "http_requests.count trace.http.request.errors trace.http.request.hits trace.http.request" {
		t.Errorf("%v %v", names.Metrics, err)
	}
}

// A distribution says how many took longer than a limit, and how long 95 of 100 took.
func TestDatadogsDistributions(t *testing.T) {
	now := time.Now().Unix() / 20 * 20
	s := httptest.NewServer(NewDatadog(scrapedBy(t, now).URL))
	defer s.Close()
	c := clientOf(t, s.URL, DatadogAPIKey, DatadogAppKey)
	for text, want := range map[string]float64{
		"count(v: v>=0):trace.http.request{service:web} by {version}.as_count().rollup(sum, 20)":   200,
		"count(v: v>0.2):trace.http.request{service:web} by {version}.as_count().rollup(sum, 20)":  20,
		"count(v: v>0.25):trace.http.request{service:web} by {version}.as_count().rollup(sum, 20)": 20,
		"count(v: v>1):trace.http.request{service:web} by {version}.as_count().rollup(sum, 20)":    0,
		"p95:trace.http.request{service:web} by {version}":                                         1,
	} {
		got, _, err := c.QueryMetrics(c.ctx, now-100, now-20, text)
		if err != nil || len(got.Series) != 1 || strings.Join(got.Series[0].TagSet, " ") != "version:v1" {
			t.Errorf("%s: %v %+v", text, err, got.Series)
			continue
		}
		for _, p := range got.Series[0].Pointlist {
			if p[1] == nil || *p[1] != want {
				t.Errorf("%s: %v, want %g", text, *p[1], want)
			}
		}
	}
	for _, text := range []string{"sum:trace.http.request{*}.as_count()", "count(v: v>1):trace.http.request{*}", "count(v: v>1):trace.http.request.hits{*}.as_count()"} {
		if _, _, err := c.QueryMetrics(c.ctx, now-100, now-20, text); err == nil {
			t.Errorf("%s is answered", text)
		}
	}
}

// The monitors are Prometheus' alert rules, and say when each group last began and ended to alert.
func TestDatadogsMonitors(t *testing.T) {
	now := time.Now().Unix()
	s := httptest.NewServer(NewDatadog(scrapedBy(t, now).URL))
	defer s.Close()
	c := clientOf(t, s.URL, DatadogAPIKey, DatadogAppKey)
	cfg := datadog.NewConfiguration()
	cfg.Servers = datadog.ServerConfigurations{{URL: s.URL}}
	got, _, err := datadogV1.NewMonitorsApi(datadog.NewAPIClient(cfg)).ListMonitors(c.ctx,
		*datadogV1.NewListMonitorsOptionalParameters().WithGroupStates("all").WithMonitorTags("service:web,severity:page"))
	if err != nil || len(got) != 2 || got[0].GetName() != "WebFails" || got[1].GetName() != "WebIsSlow" {
		t.Fatalf("%+v %v", got, err)
	}
	if m := got[0]; m.GetOverallState() != "Alert" || m.UnparsedObject != nil || len(m.State.Groups) != 2 {
		t.Fatalf("%+v", m)
	}
	pay, cart := got[0].State.Groups["path:/pay"], got[0].State.Groups["path:/cart"]
	if pay.GetStatus() != "Alert" || pay.GetLastTriggeredTs() != now-30 || pay.GetLastResolvedTs() != now-199 {
		t.Errorf("%+v", pay)
	}
	if cart.GetStatus() != "OK" || cart.GetLastTriggeredTs() != now-100 || cart.GetLastResolvedTs() != now-89 {
		t.Errorf("%+v", cart)
	}
	if got[1].GetOverallState() != "OK" || len(got[1].State.Groups) != 0 {
		t.Errorf("%+v", got[1])
	}
}

func TestDatadogsFaults(t *testing.T) {
	now := time.Now().Unix() / 20 * 20
	s := httptest.NewServer(NewDatadog(scrapedBy(t, now).URL))
	defer s.Close()
	c := clientOf(t, s.URL, DatadogAPIKey, DatadogAppKey)
	ask := func() string {
		got, resp, err := c.QueryMetrics(c.ctx, now-120, now, "sum:http_requests.count{pod_name:web-aaa-1}.as_count().rollup(sum, 20)")
		status := 0
		if resp != nil {
			status = resp.StatusCode
		}
		points := 0
		for _, one := range got.Series {
			for _, p := range one.Pointlist {
				if p[1] != nil {
					points++
				}
			}
		}
		return fmt.Sprint(status, " ", got.GetStatus(), " ", len(got.Series), " ", points, " ", err != nil)
	}
	const well = "200 ok 1 6 false"
	for kind, want := range map[string]string{
		"error": "200 error 0 0 false", "partial": "200 ok 1 3 false", "empty": "200 ok 0 0 false", "null": "200 ok 1 0 false", "late": "200 ok 1 5 false",
		"garbage": "200  0 0 true", "forbidden": "403  0 0 true", "limited": "429  0 0 true", "down": "503  0 0 true",
	} {
		c.put(t, "/_fault", Fault{Kind: kind, Times: 1, Seconds: 20})
		if got := ask(); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
		if got := ask(); got != well {
			t.Errorf("after %s: %s", kind, got)
		}
	}
	c.put(t, "/_fault", Fault{Kind: "limit", Limit: 2, Period: 60})
	if a, b, three := ask(), ask(), ask(); a != well || b != well || !strings.HasPrefix(three, "429") {
		t.Errorf("with a limit of 2: %s, %s, %s", a, b, three)
	}
	c.put(t, "/_fault", Fault{Kind: "limit", Limit: 100, Period: 60})
	c.put(t, "/_keys", map[string]string{"api": "new-api", "app": "new-app"})
	if got := ask(); !strings.HasPrefix(got, "403") {
		t.Errorf("with the old keys: %s", got)
	}
	c = clientOf(t, s.URL, "new-api", "new-app")
	if got := ask(); got != well {
		t.Errorf("with the new keys: %s", got)
	}
	res, err := http.Get(s.URL + "/_sent")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var sent []Sent
	if err := json.NewDecoder(res.Body).Decode(&sent); err != nil || len(sent) < 20 || sent[0].Path != "/api/v1/query" || strings.Contains(fmt.Sprint(sent), DatadogAppKey) {
		t.Errorf("%v: %+v", err, sent)
	}
}
