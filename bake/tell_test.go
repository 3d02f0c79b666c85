package bake

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// of are the stories told of a stage.
func (ps *people) of(stage announce.Stage) []announce.Story {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var out []announce.Story
	for _, s := range ps.stories {
		if s.Stage == stage {
			out = append(out, s)
		}
	}
	return out
}

// Who is told how a bad rollout ended is told its report; who is told of anything else is not.
func TestReportIsTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		if got := w.of(announce.Ended); len(got) != 1 || got[0].Report != "report of "+w.bake(t, 2).Name {
			t.Errorf("ended: %+v", got)
		}
		w.rates["C"] = 0
		w.deploy(web, "C")
		w.pass(10 * time.Minute)
		for _, s := range w.stories {
			if s.Report != "" && (s.Stage != announce.Ended || s.Outcome != "RolledBack") {
				t.Errorf("%s %s: %q", s.Stage, s.Outcome, s.Report)
			}
		}
	})
}

// Who keeps something open hears when it is over: once, soon after the rollback helped, with what it called it.
func TestResolvedIsTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.opens = true
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		got := w.of(announce.Resolved)
		if len(got) != 1 || got[0].Recovered != "Yes" || got[0].Severity != announce.Critical || !got[0].Decided || got[0].Earlier["grafana"] != "7" {
			t.Errorf("got %+v", got)
		}
		if receipts := w.bake(t, 2).Status.Announced; len(receipts) != 4 || receipts[3].Stage != string(announce.Resolved) {
			t.Errorf("receipts: %+v", receipts)
		}
		if w.newest.loop.ledger.of(web).work != nil {
			t.Error("it is still worked on although all is told")
		}
	})
}

// What waits for a person is over with the next rollout, be Alertmanager there or not.
func TestHeldIsResolvedByANewerRollout(t *testing.T) {
	for _, outage := range []error{nil, errors.New("alertmanager: connection refused")} {
		inWorld(t, func(t *testing.T, w *world) {
			w.opens = true
			w.rates["B"] = 0.2
			w.setPolicy(guardPolicy + "budget: {perNamespace: 0, perCluster: 0, within: 10m}\n")
			w.start()
			w.deploy(web, "B")
			w.pass(3 * time.Hour)
			wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeBudget)
			if got := w.of(announce.Resolved); len(got) != 0 {
				t.Errorf("told already: %+v", got)
			}
			w.people.mu.Lock()
			w.alertErr = outage
			w.people.mu.Unlock()
			w.deploy(web, "C")
			w.pass(time.Minute)
			if got := w.of(announce.Resolved); len(got) == 0 || got[0].Outcome != "Held" || got[0].Recovered != "" {
				t.Errorf("with alertmanager %v: got %+v", outage, got)
			}
		})
	}
}

// Where nobody keeps anything open, nothing more is told or waited for.
func TestResolvedIsNotToldToOthers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		if got := w.of(announce.Resolved); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestSeverity(t *testing.T) {
	for name, c := range map[string]struct {
		status v1alpha1.BakeStatus
		stage  announce.Stage
		want   string
	}{
		"started":                 {v1alpha1.BakeStatus{}, announce.Started, announce.Info},
		"started, told late":      {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeHeld}, announce.Started, announce.Info},
		"deciding":                {v1alpha1.BakeStatus{Rollback: &v1alpha1.Rollback{}}, announce.Deciding, announce.Critical},
		"passed":                  {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomePassed}, announce.Ended, announce.Info},
		"superseded":              {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeSuperseded, Alert: &v1alpha1.Alert{}}, announce.Ended, announce.Info},
		"rolled back":             {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeRolledBack}, announce.Ended, announce.Critical},
		"held":                    {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeHeld}, announce.Ended, announce.Critical},
		"observed":                {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeHeld, Observed: true}, announce.Ended, announce.Warning},
		"blind":                   {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeInconclusive, Alert: &v1alpha1.Alert{}}, announce.Ended, announce.Warning},
		"too few requests to say": {v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeInconclusive}, announce.Ended, announce.Info},
	} {
		if got := matters(&v1alpha1.Bake{Status: c.status}, c.stage); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// A story has what was measured and how new pods were, but not before there is anything to tell of them.
func TestStoryHasTheEvidence(t *testing.T) {
	b := &v1alpha1.Bake{Status: v1alpha1.BakeStatus{
		Signals:  []v1alpha1.SignalSummary{{Name: "http-errors", Candidate: "1 / 2", Baseline: "0 / 9", History: "3 / 99"}},
		Evidence: []v1alpha1.PodEvidence{{Name: "web-1", State: "not ready", Restarts: 2, Events: []string{"Unhealthy"}, Lines: []string{"panic"}}},
		Rollback: &v1alpha1.Rollback{Recovered: "No", Recovery: "NOT recovered"},
	}}
	s := story(b, announce.Ended)
	if diff := cmp.Diff([]announce.Measure{{Signal: "http-errors", Candidate: "1 / 2", Baseline: "0 / 9", History: "3 / 99"}}, s.Measured); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]announce.Pod{{Name: "web-1", State: "not ready", Restarts: 2, Events: []string{"Unhealthy"}, Lines: []string{"panic"}}}, s.Pods); diff != "" {
		t.Error(diff)
	}
	if s.Recovered != "No" || !s.Decided {
		t.Errorf("got %+v", s)
	}
	if s := story(b, announce.Started); s.Measured != nil || s.Pods != nil || s.Recovered != "" || s.Decided {
		t.Errorf("at the start: %+v", s)
	}
}

// What is told of a bake has the workload's labels as they were when it began.
func TestLabelsAreOnRecord(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.with(web, func(x *workload) { x.labels = map[string]string{"team": "pay"} })
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Second)
		w.with(web, func(x *workload) { x.labels = map[string]string{"team": "shop"} })
		w.pass(5 * time.Minute)
		if got := w.of(announce.Ended); len(got) != 1 || got[0].Labels["team"] != "pay" || w.bake(t, 2).Spec.Labels["team"] != "pay" {
			t.Errorf("got %+v", got)
		}
	})
	many := map[string]string{}
	for i := range 100 {
		many[fmt.Sprint(i)] = ""
	}
	if got := few(many); len(got) != maxLabels {
		t.Errorf("%d labels are kept", len(got))
	}
}
