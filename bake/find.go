package bake

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// searchEvery is in how many intervals it is looked again for what measures a workload, while no traffic of it is found.
const searchEvery = 4

// unfound reports whether it is time to look for what measures the workload.
func (w *work) unfound(now time.Time) bool {
	if w.bake.Status.FoundAt != nil || len(w.frozen.Unfound()) == 0 && !w.frozen.NeedsService() {
		return false
	}
	wait := w.frozen.Interval
	if w.blind == "" {
		wait *= searchEvery
	}
	return w.searched.IsZero() || !now.Before(w.searched.Add(wait))
}

// find looks for what measures the workload. It reports whether that is known now, and is to be recorded. Where no traffic
// of it is measured, that is known only late in the bake: the new version's metrics may just not have been scraped yet. What
// else is found is judged meanwhile.
func (l *Loop) find(ctx context.Context, k Key, w *work, s State, st *v1alpha1.BakeStatus) bool {
	spec := w.bake.Spec
	ask := Search{Key: k, Signals: w.frozen.Unfound(), To: spec.To, Past: historySpan(spec).from, At: s.Now}
	if spec.From != nil {
		ask.From = *spec.From
	}
	var found Findings
	if l.Finder != nil {
		var err error
		found, err = l.Finder.Find(ctx, ask)
		w.unaskable.note(found.Away, s.Now)
		if err != nil {
			w.searched, w.blind = s.Now, "what measures it is not known yet: "+err.Error()
			if len(found.Measured) > 0 { // by a source that could be asked: one that is away does not blind the others
				w.found = found
			}
			l.Log.Warn("cannot find what measures a workload; will look again", zap.String("bake", id(w.bake)), zap.Error(err))
			return false
		}
	}
	late := st.Phase == v1alpha1.PhaseVerifying || st.CompletedAt != nil && !s.Now.Before(st.CompletedAt.Add(w.frozen.Window/2))
	w.blind, w.found = "", found
	if len(ask.Signals) > 0 && !late && !slices.ContainsFunc(w.frozen.Measured(found.Measured).Signals, ofTraffic) {
		w.searched = s.Now
		return false
	}
	w.recordFound(st, s.Now)
	return true
}

// recordFound puts on record what was found.
func (w *work) recordFound(st *v1alpha1.BakeStatus, at time.Time) {
	found := w.found
	st.FoundAt, st.Service = &metav1.MicroTime{Time: at}, found.Service
	st.Measured, st.NotMeasured = nil, found.NotMeasured[:min(len(found.NotMeasured), maxNotMeasured)]
	for _, f := range found.Measured[:min(len(found.Measured), maxMeasured)] {
		m := v1alpha1.Measured{Signal: f.Signal, Source: f.From(), Preset: f.Preset, By: string(f.By), Errors: f.Errors, Good: f.Good, Requests: f.Requests,
			Histogram: f.Histogram, Events: f.Events, Value: f.Value, BaselineValue: f.BaselineValue}
		if f.Over > 0 {
			m.Over = strconv.FormatFloat(f.Over, 'f', -1, 64) + "s"
			if f.Milli {
				m.Over = strconv.FormatFloat(f.Over, 'f', -1, 64) + "ms"
			}
		}
		st.Measured = append(st.Measured, m)
	}
}

// The most that a record holds, as the resource's schema has it.
const maxMeasured, maxNotMeasured = 64, 128

// ofTraffic reports whether a signal counts requests.
func ofTraffic(s policy.Signal) bool { return s.Requests != "" || s.Histogram != "" }

// measured is the policy the bake began with, with what was found of its signals. Until that is recorded, those of which
// nothing is found are blind, and count among those that share the chance of a false alarm: they may be found yet.
func (w *work) measured() policy.Resolved {
	if w.bake.Status.FoundAt != nil {
		return w.frozen.Measured(foundOf(w.bake.Status.Measured))
	}
	r := w.frozen.Measured(w.found.Measured)
	for _, s := range w.frozen.Signals {
		if !s.Known() && !slices.ContainsFunc(w.found.Measured, func(f signals.Found) bool { return f.Signal == s.Name }) {
			r.Signals = append(r.Signals, s)
		}
	}
	return r
}

// unknown says why nothing is known of the signals that are not found.
func (w *work) unknown() string { return cmp.Or(w.blind, "nothing is found yet that measures it") }

func foundOf(measured []v1alpha1.Measured) []signals.Found {
	out := make([]signals.Found, len(measured))
	for i, m := range measured {
		out[i] = signals.Found{Signal: m.Signal, Query: signals.Query{Source: m.Source, Preset: m.Preset, By: signals.By(m.By), Errors: m.Errors, Good: m.Good,
			Requests: m.Requests, Histogram: m.Histogram, Events: m.Events, Value: m.Value, BaselineValue: m.BaselineValue}}
		text, milli := strings.CutSuffix(m.Over, "ms")
		if !milli {
			text = strings.TrimSuffix(m.Over, "s")
		}
		if over, err := strconv.ParseFloat(text, 64); err == nil {
			out[i].Over, out[i].Milli = over, milli
		}
	}
	return out
}
