package prometheus

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// told is what a source says of throttling, or OOM kills, in which a server answers so about usage.
func told(t *testing.T, signal string, bad float64, status int, series string) (string, string) {
	t.Helper()
	asked := ""
	server := script(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.FormValue("query")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[` + series + `]}}`))
	})
	s := sourceOf(t, Options{URL: server.URL})
	readings := []signals.Reading{{Window: signals.Window{To: time.Now()}, Candidate: signals.Side{
		Counts: signals.Counts{Requests: 200, Errors: bad}, Pods: map[string]signals.Counts{"web-a": {Requests: 100}, "web-b": {Requests: 100, Errors: bad}}}}}
	s.tellUsage(t.Context(), signals.Question{Signal: signal, Query: signals.Query{By: signals.ByPod}, Vars: map[string]string{"namespace": "shop"}}, readings)
	return readings[0].Candidate.Detail, asked
}

func containerSample(container, of, value string) string {
	raw, _ := json.Marshal(map[string]any{"metric": map[string]string{"container": container, "of": of}, "value": []any{1, value}})
	return string(raw)
}

// The sentence names what was used, and of which limit; what is not known is left out.
func TestUsageIsNamed(t *testing.T) {
	app := containerSample("app", "used", "0.2063") + "," + containerSample("app", "limit", "0.2") + "," + containerSample("proxy", "used", "0.5") + "," + containerSample("proxy", "limit", "2")
	for _, c := range []struct {
		name, signal string
		bad          float64
		status       int
		series, want string
	}{
		{"CPU", "cpu-throttling", 90, 200, app, "container app used 0.21 of its limit of 0.2 CPUs"},
		{"memory", "oom-kills", 1, 200, containerSample("app", "used", "66060288") + "," + containerSample("app", "limit", "67108864"), "container app used 63Mi of its limit of 64Mi"},
		{"much memory", "oom-kills", 1, 200, containerSample("app", "used", "12884901888"), "container app used 12Gi"},
		{"no limit known", "cpu-throttling", 90, 200, containerSample("app", "used", "1.5"), "container app used 1.5 CPUs"},
		{"nothing known", "cpu-throttling", 90, 200, "", ""},
		{"no numbers", "cpu-throttling", 90, 200, containerSample("app", "used", "NaN") + "," + containerSample("app", "limit", "+Inf"), ""},
		{"not throttled", "cpu-throttling", 10, 200, app, ""},
		{"another signal", "http-errors", 90, 200, app, ""},
		{"refused", "cpu-throttling", 90, 422, "", ""},
	} {
		got, asked := told(t, c.signal, c.bad, c.status, c.series)
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if asked != "" {
			if _, err := promql.Selectors(asked); err != nil || !strings.Contains(asked, `pod="web-b"`) {
				t.Errorf("%s: asked %s: %v", c.name, asked, err)
			}
		}
	}
}

func TestMemoryUsed(t *testing.T) {
	body := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"63000000"]}]}}`
	server := script(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	})
	s := sourceOf(t, Options{URL: server.URL})
	if got, err := s.MemoryUsed(t.Context(), "shop", "web-a", "app"); got != "60Mi" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	body = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	if got, err := s.MemoryUsed(t.Context(), "shop", "web-a", "app"); got != "" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}
