package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/signals"
)

const datadogAlone = "sources: {datadog: {apiKeyFile: /secrets/api, appKeyFile: /secrets/app}}\n"

func TestDatadogDefaults(t *testing.T) {
	got := parse(t, datadogAlone).Sources
	want := &Datadog{Site: "datadoghq.com", APIKeyFile: "/secrets/api", AppKeyFile: "/secrets/app", Lag: time.Minute, Timeout: 10 * time.Second}
	if diff := cmp.Diff(want, got.Datadog); diff != "" || got.Prometheus.configured() {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := parse(t, "sources: {datadog: {url: 'http://proxy', apiKeyFile: /a, appKeyFile: /b}}\n").Sources.Datadog; d.Site != "" {
		t.Errorf("with an address of its own, the site is %s", d.Site)
	}
}

func TestDatadogSites(t *testing.T) {
	for name, ok := range map[string]bool{
		"datadoghq.com": true, "us3.datadoghq.com": true, "us5.datadoghq.com": true, "ap1.datadoghq.com": true, "ap2.datadoghq.com": true,
		"datadoghq.eu": true, "ddog-gov.com": true, "us2.ddog-gov.com": true,
		"app.datadoghq.com": false, "api.datadoghq.eu": false, "https://datadoghq.com": false, "datadoghq.com.evil.example": false, "evildatadoghq.com": false,
	} {
		_, err := Parse("x", []byte("sources: {datadog: {site: '"+name+"', apiKeyFile: /a, appKeyFile: /b}}"))
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestDatadogQueries(t *testing.T) {
	for text, want := range map[string]signals.Query{
		`{errors: 'sum:e{a:$namespace} by {version}.as_count()', requests: 'sum:r{*} by {version}.as_count()', by: version}`: {
			By: signals.ByVersion, Errors: "sum:e{a:$namespace} by {version}.as_count()", Requests: "sum:r{*} by {version}.as_count()"},
		`{good: 'sum:g{*}.as_count()', requests: 'sum:r{*}.as_count()'}`: {Good: "sum:g{*}.as_count()", Requests: "sum:r{*}.as_count()"},
		`{monitors: 'service:$workload,team:shop'}`:                      {Events: "monitors{service:$workload,team:shop}"},
		`{events: 'max:restarts{*} by {pod_name}', by: pod}`:             {By: signals.ByPod, Events: "max:restarts{*} by {pod_name}"},
		`{value: 'max:x{pod_name:$pods_candidate}', baseline: 'max:x{pod_name:$pods_baseline}'}`: {
			Value: "max:x{pod_name:$pods_candidate}", BaselineValue: "max:x{pod_name:$pods_baseline}"},
	} {
		r, _ := parse(t, datadogAlone+"signals: {a: {datadog: "+text+"}}").For(api)
		want.Source = signals.Datadog
		if got := r.Signals[0].Query; got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
		if (want.Value != "") != (r.Signals[0].Level.Increase > 0) {
			t.Errorf("%s: %+v", text, r.Signals[0])
		}
	}
}

// A signal with queries for both sources is measured by both, and under workloads each is replaced by itself.
func TestMeasuredTwice(t *testing.T) {
	r, problems := parse(t, `
sources:
  prometheus: {url: http://prometheus}
  datadog: {apiKeyFile: /secrets/api, appKeyFile: /secrets/app}
signals:
  a:
    prometheus: {errors: e, requests: r}
    datadog: {errors: 'sum:e{*}.as_count()', requests: 'sum:r{*}.as_count()'}
workloads:
- match: {name: api-1}
  signals: {a: {datadog: {errors: 'sum:other{*}.as_count()', requests: 'sum:r{*}.as_count()'}}}
`).For(api)
	if len(problems) > 0 {
		t.Error(problems)
	}
	var got []string
	for _, s := range r.Signals {
		if s.Name == "a" {
			got = append(got, s.Key()+" "+s.Errors)
		}
	}
	if diff := cmp.Diff([]string{"a e", "a@datadog sum:other{*}.as_count()"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
