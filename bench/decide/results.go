package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// results is what is written: the figures, and what they were made with.
type results struct {
	Machine     string   `json:"machine"`
	Commit      string   `json:"commit"`
	Seed        uint64   `json:"seed"`
	TickSeconds float64  `json:"tickSeconds"`
	Scenarios   []result `json:"scenarios"`
}

// result is one scenario's figures. Shares are 0 to 1. A delay is counted from the onset of the fault, and a miss counts as
// the rest of the window. A ratio of null means that every request fails; a bound of null that there is none.
type result struct {
	Name          string                 `json:"name"`
	Rate          float64                `json:"rate"`
	Base          float64                `json:"base"`
	Ratio         *float64               `json:"ratio"`
	Shape         string                 `json:"shape"`
	Noise         string                 `json:"noise"`
	Control       string                 `json:"control"`
	Runs          int                    `json:"runs"`
	Detected      float64                `json:"detected"`
	FalseRollback float64                `json:"falseRollback"`
	MeanDelay     float64                `json:"meanDelaySeconds"`
	MedianDelay   float64                `json:"medianDelaySeconds"`
	Failed        float64                `json:"failedRequests"`
	Bound         *float64               `json:"boundSeconds"`
	Rivals        map[string]rivalResult `json:"rivals"`

	scenario scenario
}

// rivalResult is what a rival did on the same draws.
type rivalResult struct {
	Detected      float64 `json:"detected"`
	FalseRollback float64 `json:"falseRollback"`
	MeanDelay     float64 `json:"meanDelaySeconds"`
	Failed        float64 `json:"failedRequests"`
}

func newResult(s scenario, runs [][]outcome, j judge) result {
	own := summarize(runs, 0, s.healthy(j.margin))
	r := result{
		Name: s.name, Rate: s.rate, Base: s.base, Ratio: finite(s.ratio), Shape: s.shape, Noise: s.noise,
		Control: s.rollout().control, Runs: s.runs,
		Detected: own.detected, FalseRollback: own.falseRollback, MeanDelay: round(own.meanDelay), MedianDelay: round(own.medianDelay),
		Failed: round(own.failed), Bound: finite(round(s.bound(j.falseAlarm, j.margin))),
		Rivals: map[string]rivalResult{}, scenario: s,
	}
	for i, v := range rivals {
		o := summarize(runs, i+1, s.healthy(j.margin))
		r.Rivals[v.name] = rivalResult{o.detected, o.falseRollback, round(o.meanDelay), round(o.failed)}
	}
	return r
}

// finite is x, or nil where it is not a number.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// round keeps four digits behind the point: more would be noise.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// write writes a line a scenario, so that two files can be compared.
func (r results) write(path string) error {
	var out bytes.Buffer
	head, err := json.Marshal(results{Machine: r.Machine, Commit: r.Commit, Seed: r.Seed, TickSeconds: r.TickSeconds, Scenarios: []result{}})
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	out.Write(bytes.TrimSuffix(head, []byte("]}")))
	for i, s := range r.Scenarios {
		line, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("write results: %w", err)
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		out.Write(line)
	}
	out.WriteString("\n]}\n")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// table has a line a scenario.
func (r results) table() string {
	var rows strings.Builder
	rows.WriteString("scenario\truns\tdetected\tfalse\tmean\tmedian\tbound\tfailed\tflagger\targo\tkayenta\t\n")
	for _, s := range r.Scenarios {
		bound := "-"
		if s.Bound != nil {
			bound = seconds(*s.Bound)
		}
		fmt.Fprintf(&rows, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%.1f\t", s.Name, s.Runs, percent(s.Detected), percent(s.FalseRollback),
			seconds(s.MeanDelay), seconds(s.MedianDelay), bound, s.Failed)
		for _, v := range rivals {
			o := s.Rivals[v.name]
			if s.healthyIn() {
				fmt.Fprintf(&rows, "%s false\t", percent(o.FalseRollback))
			} else {
				fmt.Fprintf(&rows, "%s %s\t", percent(o.Detected), seconds(o.MeanDelay))
			}
		}
		rows.WriteByte('\n')
	}
	var out strings.Builder // writing to it never fails
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = io.WriteString(t, rows.String())
	_ = t.Flush()
	return out.String()
}

func (r result) healthyIn() bool { return r.Ratio != nil && *r.Ratio == 1 }

func percent(x float64) string { return fmt.Sprintf("%.4g%%", x*100) }
func seconds(x float64) string { return fmt.Sprintf("%.3gs", x) }
