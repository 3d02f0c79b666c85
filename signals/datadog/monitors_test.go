package datadog

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

var ofMonitors = signals.Query{Source: signals.Datadog, Events: "monitors{service:$workload}"}

// groupState is one group of a monitor, with times in seconds after noon; 0 is never.
type groupState struct {
	status                      string
	triggered, resolved, nodata int64
}

// answering is a fault: monitors, by name, with their groups.
func answering(monitors map[string][]groupState) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/monitor" || r.URL.Query().Get("monitor_tags") != "service:web" || r.URL.Query().Get("group_states") != "all" {
			return false
		}
		at := func(seconds int64) any {
			if seconds == 0 {
				return nil
			}
			return noon.Unix() + seconds
		}
		out := []any{}
		for name, groups := range monitors {
			all := map[string]any{}
			for i, g := range groups {
				all[fmt.Sprint("group:", i)] = map[string]any{"status": g.status, "last_triggered_ts": at(g.triggered), "last_resolved_ts": at(g.resolved), "last_nodata_ts": at(g.nodata)}
			}
			out = append(out, map[string]any{"id": 7, "name": name, "type": "metric alert", "query": "avg(last_5m):sum:x{*} > 1", "created": noon.Add(-24 * time.Hour), "overall_state": "OK", "state": map[string]any{"groups": all}})
		}
		say(w, http.StatusOK, out)
		return true
	}
}

func TestMonitors(t *testing.T) {
	const ever = 1000 // long after the ticks
	for name, c := range map[string]struct {
		monitors map[string][]groupState
		want     string // in the ticks that end 15, 30, 45 and 60 seconds after noon
	}{
		"never alerted":                {map[string][]groupState{"a": {{status: "OK"}}}, "0 of 1, 0 of 1, 0 of 1, 0 of 1"},
		"alerts since":                 {map[string][]groupState{"a": {{status: "Alert", triggered: 35}}}, "0 of 1, 0 of 1, 1 of 1, 1 of 1"},
		"alerts since long":            {map[string][]groupState{"a": {{status: "Alert", triggered: -3000}}}, "1 of 1, 1 of 1, 1 of 1, 1 of 1"},
		"alerted for a while":          {map[string][]groupState{"a": {{status: "OK", triggered: 16, resolved: 29}}}, "?, 1 of 1, 0 of 1, 0 of 1"},
		"alerted before":               {map[string][]groupState{"a": {{status: "OK", triggered: -500, resolved: -100}}}, "0 of 1, 0 of 1, 0 of 1, 0 of 1"},
		"alerts again":                 {map[string][]groupState{"a": {{status: "Alert", triggered: 50, resolved: 20}}}, "?, ?, 0 of 1, 1 of 1"},
		"a warning":                    {map[string][]groupState{"a": {{status: "Warn", triggered: 20}}}, "0 of 1, 0 of 1, 0 of 1, 0 of 1"},
		"no data since":                {map[string][]groupState{"a": {{status: "No Data", nodata: 40}}}, "0 of 1, 0 of 1, ?, ?"},
		"ignored":                      {map[string][]groupState{"a": {{status: "Ignored"}}}, "?, ?, ?, ?"},
		"of a state that is new":       {map[string][]groupState{"a": {{status: "Dreaming"}}}, "?, ?, ?, ?"},
		"any group alerts":             {map[string][]groupState{"a": {{status: "OK"}, {status: "Alert", triggered: 50}, {status: "No Data"}}}, "0 of 1, 0 of 1, 0 of 1, 1 of 1"},
		"one of two":                   {map[string][]groupState{"a": {{status: "OK"}}, "b": {{status: "Alert", triggered: 50}}}, "0 of 2, 0 of 2, 0 of 2, 1 of 2"},
		"one of two does not tell":     {map[string][]groupState{"a": {{status: "Unknown"}}, "b": {{status: "Alert", triggered: 50}}}, "0 of 1, 0 of 1, 0 of 1, 1 of 1"},
		"without groups":               {map[string][]groupState{"a": {}}, "0 of 1, 0 of 1, 0 of 1, 0 of 1"},
		"none":                         {nil, "none, none, none, none"},
		"what comes later is no alarm": {map[string][]groupState{"a": {{status: "Alert", triggered: ever}}}, "0 of 1, 0 of 1, 0 of 1, 0 of 1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{fault: answering(c.monitors)}
			s := newSource(t, a)
			at(2 * time.Minute)
			var got []string
			for _, r := range read(t, s, asking(ofMonitors, 15, 30, 45, 60)) {
				switch text := short(r.Candidate); text {
				case "no-series: the monitors with the tags service:web do not tell how things were":
					got = append(got, "?")
				case "no-series: no monitor has the tags service:web":
					got = append(got, "none")
				default:
					got = append(got, text)
				}
				if r.Baseline.Missing == signals.Present {
					t.Errorf("%s: there is no old side: %s", name, short(r.Baseline))
				}
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("%s: %s; want %s", name, text, c.want)
			}
		})
	}
}

// A group that alerts since before the rollout hides none that does so since, and lets its monitor not be called well.
func TestGroupsThatAlertedBefore(t *testing.T) {
	before, since, well := groupState{status: "Alert", triggered: -100}, groupState{status: "Alert", triggered: 50}, groupState{status: "OK"}
	for name, c := range map[string]struct {
		groups []groupState
		want   string
	}{
		"alone":             {[]groupState{before}, "?"},
		"beside a good one": {[]groupState{before, well}, "?"},
		"beside a new one":  {[]groupState{before, since}, "1 of 1"},
		"ended since":       {[]groupState{{status: "OK", triggered: -100, resolved: 40}}, "0 of 1"},
		"ended before":      {[]groupState{{status: "OK", triggered: -100, resolved: -40}}, "0 of 1"},
		"lost its data":     {[]groupState{{status: "No Data", triggered: -100, nodata: 20}}, "?"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSource(t, &api{fault: answering(map[string][]groupState{"a": c.groups})})
			at(2 * time.Minute)
			ask := asking(ofMonitors, 60)
			ask.Born = noon.Add(10 * time.Second)
			got := read(t, s, ask)[0].Candidate
			if text := short(got); text != c.want && (c.want != "?" || got.Missing != signals.NoSeries) {
				t.Errorf("%s: %s; want %s", name, text, c.want)
			}
		})
	}
}

func TestMonitorsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		many := map[string][]groupState{}
		for i := range maxMonitors + 1 {
			many[fmt.Sprint(i)] = []groupState{{status: "OK"}}
		}
		a := &api{}
		s := newSource(t, a)
		at(2 * time.Minute)
		for says, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
			"access denied (HTTP 403: Forbidden)": answers(403, `{"errors": ["Forbidden"]}`),
			"HTTP 502: …":                         answers(502, ""),
			"unreadable answer: …":                answers(200, `{"monitors": []}`),
			"query too expensive: more than 100 monitors have the tags service:web; narrow them": answering(many),
		} {
			a.faulty(fault)
			time.Sleep(shelvedFor)
			want(t, says, read(t, s, asking(ofMonitors, 60))[0].Candidate, "unavailable: datadog: "+says)
		}
		a.faulty(answering(map[string][]groupState{"a": {{status: "OK"}}}))
		time.Sleep(shelvedFor)
		sent := a.others
		for range 50 { // the bakes of a tick
			want(t, "shared", read(t, s, asking(ofMonitors, 60))[0].Candidate, "0 of 1")
		}
		if a.others != sent+1 {
			t.Errorf("%d requests for 50 bakes", a.others-sent)
		}
	})
}

// A monitor that alerts since the rollout is a regression by the thresholds of the documentation, one that did before is not,
// and says its name.
func TestMonitorsAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		group groupState
		want  decide.Result
	}{
		"alerts since the rollout": {groupState{status: "Alert", triggered: 30}, decide.Regressed},
		"alerted all along":        {groupState{status: "Alert", triggered: -4000}, decide.Undecided},
		"began shortly before":     {groupState{status: "Alert", triggered: -20, resolved: -2000}, decide.Undecided},
		"did so before, and again": {groupState{status: "Alert", triggered: 30, resolved: -1800}, decide.Regressed},
		"never":                    {groupState{status: "OK"}, decide.Healthy},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{fault: answering(map[string][]groupState{"Checkout fails": {c.group}})}
			s := newSource(t, a)
			at(5 * time.Minute)
			ends := func(from, to int64) (out []int64) {
				for at := from; at <= to; at += interval {
					out = append(out, at)
				}
				return out
			}
			began := noon.Add(5 * time.Second)
			before := asking(ofMonitors, ends(-3600, -15)...)
			before.Born = began
			past := read(t, s, before)
			var blocks []signals.Side
			var total signals.Side
			for _, r := range past {
				blocks = append(blocks, r.Candidate)
				total.Counts = total.Add(r.Candidate.Counts)
			}
			if total.Requests == 0 {
				total = past[0].Candidate
			}
			ask := asking(ofMonitors, ends(15, 240)...)
			ask.Born = began
			e := decide.Evidence{Signal: "alerts", Query: ofMonitors, Wording: decide.Wording{Counted: "looks at monitors", Bad: "found an alert"},
				Threshold: decide.Threshold{Max: 0.5, Increase: 3, Floor: 0.05, MinRequests: 2, Ticks: 2},
				Ticks:     read(t, s, ask), History: total, Blocks: blocks}
			v := decide.Judge(decide.Input{To: "rev 7", From: "rev 6", FalseAlarm: 0.001, Margin: 1.5, Signals: []decide.Evidence{e}})
			if v.Result != c.want || c.want == decide.Undecided && v.Reasons[0].Code != decide.CodeNoSeries { // as if it were not there
				t.Errorf("%s: %s, %+v", name, v.Result, v.Reasons)
			}
			if c.want == decide.Regressed && !strings.Contains(v.Reasons[0].Sentence, `found an alert (monitor "Checkout fails")`) {
				t.Error(v.Reasons[0].Sentence)
			}
		})
	}
}

func FuzzMonitors(f *testing.F) {
	f.Add(`[{"name":"a","query":"x","type":"metric alert","state":{"groups":{"*":{"status":"Alert","last_triggered_ts":1777636835,"last_resolved_ts":1777630000}}}}]`)
	f.Add(`[{"query":"x","type":"log alert","overall_state":"No Data"}]`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		a := &api{fault: answers(200, text)}
		s := newSource(t, a)
		all, failure := s.monitors(context.Background(), "service:web", true)
		if failure != nil {
			return
		}
		n := noon.Unix()
		if got := stand(all, window{n - 150, n, n + 15}, "service:web", noon); got.Errors > got.Requests || got.Requests > maxMonitors || got.Missing == signals.Present && !got.Spoke() {
			t.Errorf("%s: %+v", text, got)
		}
	})
}
