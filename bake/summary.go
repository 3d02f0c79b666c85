package bake

import (
	"slices"
	"strconv"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// summaries say what each signal measured over the whole bake, for its record.
func (v *evidence) summaries(p policy.Resolved) []v1alpha1.SignalSummary {
	var out []v1alpha1.SignalSummary
	for _, s := range p.Signals {
		t := v.signals[s.Key()]
		if t == nil {
			continue
		}
		sum := v1alpha1.SignalSummary{Name: s.Name, Source: s.Source}
		if s.Value != "" {
			t.medians(&sum, s.Unit)
		} else {
			t.totals(&sum)
		}
		out = append(out, sum)
	}
	return out
}

func (t *track) totals(sum *v1alpha1.SignalSummary) {
	var candidate, baseline signals.Counts
	for _, r := range t.ticks {
		if r.Candidate.Spoke() {
			candidate = candidate.Add(r.Candidate.Counts)
		}
		if r.Baseline.Spoke() {
			baseline = baseline.Add(r.Baseline.Counts)
		}
	}
	sum.Candidate, sum.Baseline = ratio(candidate), ratio(baseline)
	if t.history != nil {
		sum.History = string(t.history.total.Missing)
		if t.history.total.Spoke() {
			sum.History = ratio(t.history.total.Counts)
		}
	}
}

func ratio(c signals.Counts) string {
	return strconv.FormatFloat(c.Errors, 'f', 0, 64) + " / " + strconv.FormatFloat(c.Requests, 'f', 0, 64)
}

func (t *track) medians(sum *v1alpha1.SignalSummary, unit string) {
	var candidate, baseline, history []float64
	for _, r := range t.ticks {
		candidate, baseline = present(candidate, r.Candidate), present(baseline, r.Baseline)
	}
	if t.history != nil {
		for _, b := range t.history.blocks {
			history = present(history, b)
		}
	}
	sum.Candidate, sum.Baseline, sum.History = median(candidate, unit), median(baseline, unit), median(history, unit)
}

func present(to []float64, s signals.Side) []float64 {
	if s.Missing != signals.Present {
		return to
	}
	return append(to, s.Value)
}

func median(values []float64, unit string) string {
	if len(values) == 0 {
		return ""
	}
	slices.Sort(values)
	return strconv.FormatFloat(values[len(values)/2], 'g', 3, 64) + " " + unit
}
