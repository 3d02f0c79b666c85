package query

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseCount(t *testing.T) {
	for text, want := range map[string]string{
		"sum:trace.http.request.hits{service:$workload} by {version}.as_count()":         "",
		" sum:a.b{kube_namespace:${namespace},!code:4*} by { pod_name , x }.as_count() ": "",
		"sum:a{*}.as_count()": "",
		"count(v: v>0.25):trace.web.request{service:$workload} by {version}.as_count()": "",
		"count(v:v<=1):a{*}.as_count()":                 "",
		"count(v: v>0.25):a{*}":                         "add .as_count()",
		"count(v: v>x):a{*}.as_count()":                 "must be one plain query",
		"count:a{*}.as_count()":                         "in place of count: write sum:",
		"":                                              "is missing",
		"sum:a{*}":                                      "add .as_count()",
		"avg:a{*}.as_count()":                           "in place of avg: write sum:",
		"sum:a.as_count()":                              "needs a scope behind a.as_count",
		"sum:a by {x}":                                  "needs a scope behind a",
		"sum:a{}.as_count()":                            "is empty",
		"sum:a{x:y.as_count()":                          "never closed",
		"sum:a{*} by {x,}.as_count()":                   "empty tag",
		"sum:a{*}.as_count().rollup(sum, 60)":           "keep .as_count() alone",
		"sum:a{*}.as_count().fill(zero)":                "keep .as_count() alone",
		"default_zero(sum:a{*}.as_count())":             "must be one plain query",
		"sum:a{*}.as_count() + sum:b{*}.as_count()":     `remove " + sum:b{*}.as_count()"`,
		"sum:a{*}.as_count(),sum:b{*}.as_count()":       "remove",
		"http_requests_total{namespace=\"$namespace\"}": "must be one plain query",
	} {
		p, err := ParseCount(text)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		case want == "":
			if again, err := ParseCount(p.String()); err != nil || again.String() != p.String() {
				t.Errorf("%s reads as %s, and that as %s (%v)", text, p, again, err)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	for text, ok := range map[string]bool{
		"sum:kubernetes.containers.restarts{kube_namespace:$namespace} by {pod_name}": true,
		"sum:oom_kill.oom_process.count{*} by {pod_name}.as_count()":                  true,
		"max:kubernetes.containers.restarts{*} by {pod_name}.fill(zero)":              false,
		"max:oom{*} by {pod_name}.as_count()":                                         false,
	} {
		if _, err := ParseEvents(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestValue(t *testing.T) {
	for text, want := range map[string]string{
		"avg:a.b{x:y} by {pod_name}":                                         "avg:a.b{x:y} by {pod_name}.rollup(avg, 15)",
		"100 * max:a{*} by {pod_name} / sum:b{*} by {pod_name,c}.as_count()": "100 * max:a{*} by {pod_name}.rollup(max, 15) / sum:b{*} by {pod_name,c}.as_count().rollup(sum, 15)",
		"p95:trace.http.request{service:web}":                                "p95:trace.http.request{service:web}",
		"per_second(min:a{*})":                                               "per_second(min:a{*}.rollup(min, 15))",
	} {
		v, err := ParseValue(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := v.Every(15); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                         "is missing",
		"42":                       "asks for no metric",
		"default_zero(avg:a{*})":   "must not take what is missing for zero",
		"avg:a{*}.fill(zero)":      "must not take what is missing for zero",
		"avg:a{*}.rollup(avg, 60)": "must not have .rollup",
		"avg:a{*},avg:b{*}":        "must be one query",
		"(avg:a{*}":                "not closed",
		"avg:a":                    "needs a scope",
	} {
		if _, err := ParseValue(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	v, _ := ParseValue("max:a{*} by {pod_name,c} / max:b{*} by {c,pod_name,d}")
	if got := strings.Join(v.By(), " "); got != "pod_name c" {
		t.Error(got)
	}
}

func TestRender(t *testing.T) {
	vars := map[string]string{"namespace": "shop", "workload": "web", PodsCandidate: "web-7d9f-*", VersionCandidate: "V1.2.3-Rc.1", "service": "x} by {host", "kind": ""}
	for text, want := range map[string]string{
		"sum:a{kube_namespace:$namespace,kube_deployment:${workload}x}": "sum:a{kube_namespace:shop,kube_deployment:webx}",
		"sum:a{pod_name:$pods_candidate}":                               "sum:a{pod_name:web-7d9f-*}",
		"sum:a{version:$version_candidate}":                             "sum:a{version:v1.2.3-rc.1}",
	} {
		if got, err := Render(text, vars); err != nil || got != want {
			t.Errorf("%s becomes %s (%v)", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"sum:a{$env}":             "$env is not a variable",
		"sum:a{env:$}":            "begins no variable",
		"sum:a{service:$service}": "which no tag can have",
		"sum:a{x:$kind}":          "has no value here",
	} {
		if _, err := Render(text, vars); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Whatever a variable's value is, it adds nothing to the query but a value.
func TestRenderedStaysPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		text, err := Render("sum:a{service:$service} by {version}.as_count()", map[string]string{"service": value})
		if err != nil {
			return
		}
		p, err := ParseCount(text)
		if err != nil || p.Scope != "service:"+Tag(value) {
			t.Fatalf("%q makes it %s: %v", value, text, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"sum:a{b:c} by {d}.as_count()", "100*avg:a{*}/p95:b{x:$y}", "sum:a{{}}", "max:a.{*}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParsePlain(text); err == nil {
			if again, err := ParsePlain(p.String()); err != nil || again.String() != p.String() {
				t.Errorf("%q reads as %s, and that as %s (%v)", text, p, again, err)
			}
		}
		if v, err := ParseValue(text); err == nil {
			v.Every(15)
			v.By()
		}
	})
}
