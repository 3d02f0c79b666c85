package policy

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/bad/*.err from what is reported now")

func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", dir, err)
	}
	m := map[string][]byte{}
	for _, p := range paths {
		if m[p], err = os.ReadFile(p); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestGood(t *testing.T) {
	for path, data := range files(t, "good") {
		if _, err := Parse("bakewatch.yaml", data); err != nil {
			t.Errorf("%s:\n%v", path, err)
		}
	}
}

func TestBad(t *testing.T) {
	for path, data := range files(t, "bad") {
		c, err := Parse("bakewatch.yaml", data)
		if err == nil || c != nil {
			t.Errorf("%s is accepted", path)
			continue
		}
		var es Errors
		if !errors.As(err, &es) {
			t.Errorf("%s: %T is not Errors", path, err)
		}
		if !sort.SliceIsSorted(es, func(i, j int) bool { return es[i].Line < es[j].Line }) {
			t.Errorf("%s: not sorted by line:\n%v", path, err)
		}
		for _, e := range es {
			if e.Line < 1 || e.Line > 1+strings.Count(string(data), "\n") || e.Message == "" || strings.Contains(e.Error(), "\n") {
				t.Errorf("%s: %#v", path, e)
			}
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "123456") {
			t.Errorf("%s shows a secret:\n%v", path, err)
		}
		golden := strings.TrimSuffix(path, ".yaml") + ".err"
		if *update {
			if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := os.ReadFile(golden)
		if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestTooLarge(t *testing.T) {
	data := []byte(smallest + "#" + strings.Repeat("x", MaxSize))
	if _, err := Parse("f", data); err == nil || !strings.Contains(err.Error(), "f:1: is ") {
		t.Errorf("got %v", err)
	}
	if _, err := Parse("f", data[:MaxSize]); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

// A file that is wrong throughout and deeply nested is refused in reasonable time, with a bounded message.
func TestHostile(t *testing.T) {
	for name, data := range map[string]string{
		"unknown keys": strings.Repeat("bake: {windw: 1}\n", MaxSize/17),
		"open flow":    strings.Repeat("[", MaxSize),
		"deep flow":    strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"long line":    "mode: " + strings.Repeat("g", MaxSize-10),
		"late error":   strings.Repeat("# comment\n", MaxSize/10-2) + "a: b: c",
		"long key":     strings.Repeat("k", 1000) + ": 1",
	} {
		start := time.Now()
		_, err := Parse("f", []byte(data))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 64<<10 {
			t.Errorf("%s: message of %d bytes", name, len(err.Error()))
		}
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%s: took %s", name, d)
		}
	}
}

const smallest = "sources: {prometheus: {url: http://prometheus}}\n"

func parse(t testing.TB, text string) *Config {
	t.Helper()
	c, err := Parse("bakewatch.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// With nothing but an address, all defaults apply.
func TestDefaults(t *testing.T) {
	want := Default()
	want.Sources.Prometheus.URL = "http://prometheus"
	if diff := cmp.Diff(want, parse(t, smallest)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if errs := want.validate(); len(errs) > 0 {
		t.Errorf("the defaults are not valid: %v", errs)
	}
	if want.Mode != Observe {
		t.Errorf("a config that names no mode must observe, not %s", want.Mode)
	}
}

// What the design shows is what the defaults are, where it does not differ on purpose.
func TestDesign(t *testing.T) {
	data, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Mode = Guard
	want.Sources.Prometheus.URL = "http://prometheus-server.monitoring"
	want.Announce.Grafana = &Grafana{HTTP: HTTP{URL: "http://grafana", Timeout: 10 * time.Second}, TokenFile: "/secrets/grafana"}
	want.Announce.Alertmanager = &Alertmanager{HTTP: HTTP{URL: "http://alertmanager:9093", Timeout: 10 * time.Second}}
	rule := want.Signals[DefaultSignal] // the design had no evidence layer yet, and asked for more traffic and a larger increase
	rule.Threshold.Floor, rule.Threshold.MinRequests = new(Share(0.005)), new(50)
	rule.Prometheus = &Queries{Errors: `http_requests_total{namespace="$namespace",code=~"5.."}`, Requests: `http_requests_total{namespace="$namespace"}`, By: "pod"}
	want.Signals[DefaultSignal] = rule
	want.Workloads = []Override{{
		Match:   Match{Namespace: "pay-*"},
		Bake:    Bake{Window: new(30 * time.Minute)},
		Signals: map[string]SignalRule{DefaultSignal: {Threshold: Threshold{Max: new(Share(0.01))}}},
	}}
	if diff := cmp.Diff(want, parse(t, string(data))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHash(t *testing.T) {
	a := parse(t, smallest)
	same := parse(t, "# a comment\nhistory: 5\nsources:\n  prometheus:\n    url: http://prometheus\nbake: {window: 0.25h}\nsignals: {http-errors: {threshold: {max: 0.05}}}\n")
	other := parse(t, smallest+"history: 6\n")
	if a.Hash() != same.Hash() || a.Hash() == other.Hash() || len(a.Hash()) != 16 {
		t.Errorf("hashes %s, %s, %s", a.Hash(), same.Hash(), other.Hash())
	}
}

func TestUnits(t *testing.T) {
	shares := map[string]float64{"5%": 0.05, "0.05": 0.05, ".5 %": 0.005, "0.7%": 0.007, "8.1%": 0.081, "100%": 1, "1e-3": 0.001, "0": 0, "5": 5}
	for in, want := range shares {
		var s Share
		if err := s.UnmarshalText([]byte(in)); err != nil || float64(s) != want {
			t.Errorf("share %q: %v, %v", in, float64(s), err)
		}
	}
	for in, want := range map[Share]string{0.05: "5%", 0.007: "0.7%", 1: "100%", 0: "0%"} {
		if in.String() != want {
			t.Errorf("%v is shown as %s", float64(in), in)
		}
	}
	for in, want := range map[string]float64{"2x": 2, "2": 2, "1.5 x": 1.5, "1e1": 10} {
		var r Ratio
		if err := r.UnmarshalText([]byte(in)); err != nil || float64(r) != want {
			t.Errorf("ratio %q: %v, %v", in, float64(r), err)
		}
	}
	for in, want := range map[string]time.Duration{"15m": 15 * time.Minute, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "1.5s": 1500 * time.Millisecond} {
		if d, err := parseDuration(in); err != nil || d != want {
			t.Errorf("duration %q: %v, %v", in, d, err)
		}
	}
	for _, in := range []string{"", "-1", "+1", "5%%", "%", "x", "NaN", "Inf", "0x5", "1_000", "1e999", "1e1%", "5 percent", "1,5", "٥"} {
		var s Share
		var r Ratio
		if s.UnmarshalText([]byte(in)) == nil || r.UnmarshalText([]byte(in)) == nil {
			t.Errorf("%q is taken for a number", in)
		}
	}
	for _, in := range []string{"", "0", "0s", "-1s", "15", "1d-1h", "1d+1h", "1w", "d", "99999999d", "1.5d", "9999999h"} {
		if d, err := parseDuration(in); err == nil {
			t.Errorf("%q is taken for the duration %s", in, d)
		}
	}
	for in, want := range map[time.Duration]string{90 * time.Second: "1m30s", time.Hour: "1h", 10 * time.Minute: "10m", 20 * time.Second: "20s", 70 * time.Minute: "1h10m"} {
		if got := formatDuration(in); got != want {
			t.Errorf("%s is shown as %s", in, got)
		}
	}
}
