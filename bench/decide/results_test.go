package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// The file's keys are read by others.
func TestResultsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results", "decide.json")
	var stdout, stderr bytes.Buffer
	args := []string{"-only", "^step/independent/(1of4|replace)/50rps/1%/(healthy|x10|all-fail)$", "-runs-scale", "0.02", "-seed", "9", "-commit", "abc1234", "-o", file}
	if err := run(args, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	keys(t, got, "machine", "commit", "seed", "tickSeconds", "scenarios")
	if got["commit"] != "abc1234" || got["seed"] != 9.0 || got["tickSeconds"] != 15.0 {
		t.Errorf("made with %v, %v, %v", got["commit"], got["seed"], got["tickSeconds"])
	}
	list := got["scenarios"].([]any)
	if len(list) != 6 {
		t.Fatalf("%d scenarios", len(list))
	}
	for _, item := range list {
		s := item.(map[string]any)
		keys(t, s, "name", "rate", "base", "ratio", "shape", "noise", "control", "runs", "detected", "falseRollback",
			"meanDelaySeconds", "medianDelaySeconds", "failedRequests", "boundSeconds", "rivals")
		name := s["name"].(string)
		if strings.HasSuffix(name, "all-fail") != (s["ratio"] == nil) || strings.HasSuffix(name, "healthy") != (s["boundSeconds"] == nil) {
			t.Errorf("%s: ratio %v, bound %v", name, s["ratio"], s["boundSeconds"])
		}
		of := s["rivals"].(map[string]any)
		keys(t, of, "flagger", "argo", "kayenta")
		keys(t, of["argo"].(map[string]any), "detected", "falseRollback", "meanDelaySeconds", "failedRequests")
	}
	for _, want := range []string{"scenario", "flagger", "healthy runs without noise", "6 scenarios"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the output has no %q:\n%s", want, &stdout)
		}
	}
}

func keys(t *testing.T, object map[string]any, want ...string) {
	t.Helper()
	var got []string
	for k := range object {
		got = append(got, k)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
}

func TestSummarize(t *testing.T) {
	runs := [][]outcome{
		{{rolledBack: true, delay: 30, failed: 5}},
		{{rolledBack: true, delay: 50, failed: 7}},
		{{delay: 900, failed: 90}},
		{{rolledBack: true, early: true, delay: 900}},
	}
	if got, want := summarize(runs, 0, false), (summary{0.5, 0.25, 470, 475, 25.5}); got != want {
		t.Errorf("faulty: %+v, want %+v", got, want)
	}
	if got := summarize(runs, 0, true); got.falseRollback != 0.75 || got.detected != 0 {
		t.Errorf("healthy: %+v", got)
	}
}

// with makes a result with the fields the goals look at.
func (r result) with(s scenario) result {
	r.scenario, r.Name, r.Noise, r.Shape, r.Rate, r.Base = s, s.name, s.noise, s.shape, s.rate, s.base
	r.Ratio, r.Control, r.Bound = finite(s.ratio), s.rollout().control, finite(s.bound(0.001, 1.5))
	if r.Rivals == nil {
		r.Rivals = map[string]rivalResult{}
	}
	return r
}

func TestGoals(t *testing.T) {
	j := judge{falseAlarm: 0.001, margin: 1.5, signal: policy.Signal{Threshold: decide.Threshold{Floor: 0.005, MinRequests: 50, Ticks: 2}}}
	healthy := named("1of4", nil)
	noisy := named("1of4", func(s *scenario) { s.noise = "surge" })
	faulty := named("1of4", func(s *scenario) { s.ratio = 4 }) // bound 57 s, limit 100 s
	dead := named("replace", func(s *scenario) { s.ratio = allFail })
	cases := []struct {
		name    string
		results []result
		goal    func(results) goal
		met     bool
	}{
		{"quiet", []result{result{Runs: 30_000}.with(healthy)}, func(r results) goal { return r.quiet() }, true},
		{"too few runs", []result{result{Runs: 20_000}.with(healthy)}, func(r results) goal { return r.quiet() }, false},
		{"one is one too many", []result{result{Runs: 40_000, FalseRollback: 1.0 / 40_000}.with(healthy)}, func(r results) goal { return r.quiet() }, false},
		{"one in a thousand", []result{result{Runs: 3000, FalseRollback: 0.001}.with(noisy)}, func(r results) goal { return r.quietInNoise() }, true},
		{"more", []result{result{Runs: 3000, FalseRollback: 4.0 / 3000}.with(noisy)}, func(r results) goal { return r.quietInNoise() }, false},
		{"fast", []result{result{MeanDelay: 100}.with(faulty)}, func(r results) goal { return r.fast(j) }, true},
		{"slow", []result{result{MeanDelay: 101}.with(faulty)}, func(r results) goal { return r.fast(j) }, false},
		{"at once", []result{result{MeanDelay: 30, Detected: 1}.with(dead)}, func(r results) goal { return r.instant() }, true},
		{"missed", []result{result{MeanDelay: 40, Detected: 0.99}.with(dead)}, func(r results) goal { return r.instant() }, false},
		{"a fifth", []result{result{}.with(healthy), result{Failed: 10, Rivals: map[string]rivalResult{"argo": {Failed: 50}, "flagger": {Failed: 60}, "kayenta": {Failed: 99}}}.with(faulty)},
			func(r results) goal { return r.harmless(j) }, true},
		{"more than a fifth", []result{result{}.with(healthy), result{Failed: 11, Rivals: map[string]rivalResult{"argo": {Failed: 50}, "flagger": {Failed: 60}, "kayenta": {Failed: 99}}}.with(faulty)},
			func(r results) goal { return r.harmless(j) }, false},
		{"a rival that cries wolf does not count", []result{
			result{Rivals: map[string]rivalResult{"flagger": {FalseRollback: 0.9}}}.with(healthy),
			result{Failed: 10, Rivals: map[string]rivalResult{"argo": {Failed: 50}, "flagger": {Failed: 1}, "kayenta": {Failed: 99}}}.with(faulty)},
			func(r results) goal { return r.harmless(j) }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if g := c.goal(results{Scenarios: c.results}); g.met != c.met {
				t.Errorf("met is %v: %s %v", g.met, g.detail, g.misses)
			}
		})
	}
}

func TestRemark(t *testing.T) {
	j := judge{signal: policy.Signal{Threshold: decide.Threshold{Floor: 0.005, MinRequests: 50, Ticks: 2}}}
	cases := []struct {
		name     string
		scenario scenario
		want     string
	}{
		{"plain", named("1of4", func(s *scenario) { s.ratio = 4 }), ""},
		{"small", named("1of4", func(s *scenario) { s.base, s.ratio = 0.001, 4 }), "; the increase is below the policy's floor"},
		{"slow", named("1of4", func(s *scenario) { s.rate, s.ratio = 1, 10 }), "; the policy waits for 50 requests in 2 ticks, 215s"},
	}
	for _, c := range cases {
		if got := j.remark(c.scenario, 100); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFinite(t *testing.T) {
	if finite(math.NaN()) != nil || finite(math.Inf(1)) != nil || *finite(2) != 2 {
		t.Error("what is not a number is null")
	}
}

// The figures are of the signal that every rollout with requests has, whatever others there are by default.
func TestTheJudgeIsTheDefaultOfHTTPErrors(t *testing.T) {
	if j := defaultJudge(); j.signal.Name != policy.DefaultSignal || j.falseAlarm != 0.001 {
		t.Errorf("got %+v", j)
	}
}
