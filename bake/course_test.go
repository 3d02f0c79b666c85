package bake

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// TestCoursesOfARollback: what the signal showed before the rollout, on both sides of it, and after the rollback is kept.
func TestCoursesOfARollback(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["A"], w.rates["B"] = 0.01, 0.25
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		st := w.bake(t, 2).Status
		if len(st.Courses) != 1 {
			t.Fatalf("%+v", st.Courses)
		}
		c := st.Courses[0]
		if c.Signal != policy.DefaultSignal || c.Unit != "%" || c.What != "requests that failed" {
			t.Errorf("%+v", c)
		}
		limit, err := strconv.ParseFloat(c.Limit, 64)
		if err != nil || limit <= 1 || limit >= 25 {
			t.Errorf("limit %q", c.Limit)
		}
		want := []struct {
			side         string
			least, value float64
		}{{sideBefore, pastPoints, 1}, {sideNew, 2, 25}, {sideOld, 1, 1}, {sideRestored, 3, 1}}
		if len(c.Lines) != len(want) {
			t.Fatalf("%+v", c.Lines)
		}
		for i, x := range want {
			l := c.Lines[i]
			values := strings.Split(l.Values, ",")
			last, err := strconv.ParseFloat(strings.TrimRight(values[len(values)-1], ","), 64)
			if l.Side != x.side || float64(len(values)) < x.least || err == nil && (last < 0.7*x.value || last > 1.3*x.value) || l.Step.Duration != 15*time.Second {
				t.Errorf("%+v, want %+v", l, x)
			}
		}
		if restored := c.Lines[3]; restored.From.Before(&c.Lines[1].From) || restored.From.After(st.EndedAt.Time) {
			t.Errorf("restored from %s", restored.From)
		}
	})
}

// TestCoursesAreSmall: all that a Bake may keep of its signals is a few kilobytes.
func TestCoursesAreSmall(t *testing.T) {
	const most = 14 << 10 // bytes; etcd takes 1.5 MiB
	v := newEvidence(time.Unix(0, 0), 15*time.Second)
	p := policy.Resolved{Interval: 15 * time.Second}
	span := past{time.Unix(0, 0), time.Unix(3600, 0)}
	for i := range 20 {
		s := policy.Signal{Name: "signal-of-a-long-name-" + strconv.Itoa(i), Query: signals.Query{Errors: "e", Requests: "r", By: signals.ByPod}}
		s.Wording = decide.Wording{Counted: strings.Repeat("c", 200), Bad: "b"}
		p.Signals = append(p.Signals, s)
		side := signals.Side{Counts: signals.Counts{Requests: 33_333, Errors: 0.0712}}
		tr := &track{history: &history{total: side}}
		for range 240 {
			tr.history.blocks = append(tr.history.blocks, side)
			tr.ticks = append(tr.ticks, signals.Reading{Candidate: side, Baseline: side})
		}
		tr.ticks = append(tr.ticks, tr.ticks...)
		v.signals[s.Key()] = tr
	}
	verdict := &decide.Verdict{Reasons: []decide.Reason{{Signal: "signal-of-a-long-name-19"}}}
	got := v.restored(p, v.courses(p, span, verdict))
	text, err := json.Marshal(got)
	if err != nil || len(text) > most {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if len(got) != maxCourses || got[0].Signal != "signal-of-a-long-name-19" || len(got[0].Lines) != 4 {
		t.Errorf("%d: %+v", len(got), got[0])
	}
	t.Logf("%d signals are %d bytes", len(got), len(text))
}

// TestLine: any line is short, covers all its time, and has numbers or nothing.
func TestLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sides := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) signals.Side {
			return signals.Side{
				Missing: rapid.SampledFrom([]signals.Missing{signals.Present, signals.Present, signals.NoSeries, signals.Failed}).Draw(t, "missing"),
				Counts:  signals.Counts{Requests: rapid.Float64().Draw(t, "requests"), Errors: rapid.Float64().Draw(t, "errors")}, Value: rapid.Float64().Draw(t, "value"),
			}
		}), 0, 500).Draw(t, "sides")
		s := policy.Signal{Name: "s"}
		if rapid.Bool().Draw(t, "value") {
			s.Value = "v"
		}
		l := line(sideNew, time.Unix(0, 0), time.Second, maxPoints, sides, sideOf(s))
		if l == nil {
			for _, x := range sides {
				if x.Spoke() && x.Requests > 0 && s.Value == "" {
					t.Fatalf("nothing of %+v", x)
				}
			}
			return
		}
		values := strings.Split(l.Values, ",")
		each := int(l.Step.Duration / time.Second)
		first := int(l.From.Sub(time.Unix(0, 0)) / l.Step.Duration)
		if len(values) > maxPoints || len(l.Values) > 1000 || values[0] == "" || values[len(values)-1] == "" {
			t.Fatalf("%d values, %d bytes, of %d", len(values), len(l.Values), len(sides))
		}
		for i := 0; i*each < len(sides); i++ { // what is left out at the ends was not measured
			want := ""
			if x := sideOf(s)(sides[i*each : min((i+1)*each, len(sides))]); x != absent {
				want = figure(x)
			}
			if at := i - first; (at < 0 || at >= len(values)) && want != "" || at >= 0 && at < len(values) && values[at] != want {
				t.Fatalf("value %d is not %q in %+v", i, want, l)
			}
		}
		for _, text := range values {
			if x, err := strconv.ParseFloat(text, 64); text != "" && (err != nil || x < 0) {
				t.Fatalf("%q", text)
			}
		}
	})
}

// TestNothingMeasured: what was not measured has no course.
func TestNothingMeasured(t *testing.T) {
	w := &work{bake: &v1alpha1.Bake{}}
	if got := w.courses(); got != nil {
		t.Errorf("%+v", got)
	}
}
