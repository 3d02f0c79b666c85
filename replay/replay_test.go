package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

func side(requests, errs float64) signals.Side {
	return signals.Side{Counts: signals.Counts{Requests: requests, Errors: errs}}
}

func readAll(t *testing.T, text string) []Line {
	t.Helper()
	r := NewReader(strings.NewReader(text))
	var out []Line
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
}

func TestRead(t *testing.T) {
	got := readAll(t, `{"t": 1700000000, "signals": {"http-errors": {"candidate": {"requests": 812, "errors": 9}, "baseline": {"requests": 2401, "errors": 3}, "history": {"requests": 90210, "errors": 301}}}}

{"t": 1700000015.5, "namespace": "shop", "name": "web", "to": "rev 7", "from": "", "signals": {"a": {"candidate": {"pods": {"x": {"requests": 3, "errors": 1}, "y": {"requests": 4, "errors": 0}, "z": null}}, "baseline": null, "history": {"requests": 10, "errors": 1, "blocks": [{"requests": 1, "errors": 0, "pods": {"x": {"requests": 1, "errors": 0}}}, null]}, "days": [{"requests": 5, "errors": null}], "neighbours": [{"name": "api", "before": {"requests": 1, "errors": 0}, "after": {"requests": 2, "errors": 1}}, {"name": "gone", "before": null}]}, "b": null}}
{"t": 1700000030, "signals": {"a": {"candidate": {"missing": "late", "detail": "newest sample is 40s old"}, "baseline": {"requests": 1e999, "errors": 7}}}}`)
	none := signals.Side{Missing: signals.NoSeries}
	want := []Line{
		{T: 1700000000, Signals: map[string]Signal{"http-errors": {Candidate: side(812, 9), Baseline: side(2401, 3), History: &History{Side: side(90210, 301)}}}},
		{T: 1700000015.5, Namespace: "shop", Name: "web", To: "rev 7", From: new(string), Signals: map[string]Signal{"a": {
			Candidate: signals.Side{Counts: signals.Counts{Requests: 7, Errors: 1}, Pods: map[string]signals.Counts{"x": {Requests: 3, Errors: 1}, "y": {Requests: 4}}},
			Baseline:  none,
			History: &History{Side: side(10, 1), Blocks: []signals.Side{
				{Counts: signals.Counts{Requests: 1}, Pods: map[string]signals.Counts{"x": {Requests: 1}}}, none}},
			Days:       []signals.Side{{Missing: signals.NotNumber}},
			Neighbours: []Neighbour{{Name: "api", Before: signals.Counts{Requests: 1}, After: signals.Counts{Requests: 2, Errors: 1}}},
		}, "b": {Candidate: none, Baseline: none}}},
		{T: 1700000030, Signals: map[string]Signal{"a": {Candidate: signals.Side{Missing: signals.Late, Detail: "newest sample is 40s old"}, Baseline: side(math.Inf(1), 7)}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	const ok = `{"t": 10, "signals": {"a": {"candidate": {"requests": 1, "errors": 0}}}}` + "\n"
	cases := []struct{ line, want string }{
		{`{"t": 11`, `line 2: is not valid JSON: unexpected end of JSON input`},
		{`{"t": 11, "signals": {}} {}`, `line 2: is not valid JSON: invalid character '{' after top-level value`},
		{`{"t": 11, "signals": {"a": {"candidate": {"requests": NaN, "errors": 0}}}}`, `line 2: is not valid JSON: invalid character 'N' looking for beginning of value`},
		{`[]`, `line 2: must be an object, not a list`},
		{`{"signals": {}}`, `line 2: t: is missing; write the end of the tick in seconds since the epoch`},
		{`{"t": 11}`, `line 2: signals: is missing`},
		{`{"t": 10, "signals": {}}`, `line 2: t: must be later than 10, that of the line before, not 10`},
		{`{"t": 9.5, "signals": {}}`, `line 2: t: must be later than 10, that of the line before, not 9.5`},
		{`{"t": 1700000000000, "signals": {}}`, `line 2: t: must be seconds since the epoch, not 1700000000000`},
		{`{"t": "11", "signals": {}}`, `line 2: t: must be a number, not "11"`},
		{`{"t": 11, "t": 12, "signals": {}}`, `line 2: t: is there twice; remove one`},
		{`{"t": 11, "sginals": {}}`, `line 2: sginals: unknown key (known: from, kind, name, namespace, signals, t, to)`},
		{`{"t": 11, "to": null, "signals": {}}`, `line 2: to: must be text, not null`},
		{`{"t": 11, "signals": {"a": {"canidate": {}}}}`, `line 2: signals.a.canidate: unknown key (known: baseline, candidate, days, history, lead, neighbours, query)`},
		{`{"t": 11, "signals": {"a b": {"candidate": {"requests": -1, "errors": 0}}}}`, `line 2: signals."a b".candidate.requests: must be 0 or more, not -1`},
		{`{"t": 11, "signals": {"a": {"candidate": {"pods": {"x": {"requests": 1, "errors": -2}}}}}}`, `line 2: signals.a.candidate.pods.x.errors: must be 0 or more, not -2`},
		{`{"t": 11, "signals": {"a": {"candidate": {"missing": "lost"}}}}`, `line 2: signals.a.candidate.missing: must be one of [no-series late not-number unavailable], not "lost"`},
		{`{"t": 11, "signals": {"a": {"candidate": {"blocks": []}}}}`, `line 2: signals.a.candidate.blocks: unknown key (known: detail, errors, missing, pods, requests, value)`},
		{`{"t": 11, "signals": {"a": {"history": {"blocks": [{"requests": true}]}}}}`, `line 2: signals.a.history.blocks[0].requests: must be a number, not true`},
		{`{"t": 11, "signals": {"a": {"neighbours": [{"weight": "x"}]}}}`, `line 2: signals.a.neighbours[0].weight: unknown key (known: after, before, name)`},
		{strings.Repeat(" ", MaxLine) + `{}`, `line 2: is longer than 10 MiB`},
	}
	for _, c := range cases {
		r := NewReader(strings.NewReader(ok + c.line + "\n" + ok))
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		_, err := r.Next()
		if err == nil || err.Error() != c.want {
			t.Errorf("%.80s\n got %v\nwant %s", c.line, err, c.want)
		}
		if _, again := r.Next(); !errors.Is(again, err) {
			t.Errorf("%.80s: reading goes on after the error: %v", c.line, again)
		}
	}
}

// What is known of the past stays until a later line says otherwise, and ticks have no gaps.
func TestTape(t *testing.T) {
	tape := Tape{Tick: 15 * time.Second}
	for _, l := range readAll(t, `{"t": 100, "to": "rev 7", "signals": {"a": {"candidate": {"requests": 1, "errors": 0}, "history": {"requests": 50, "errors": 1, "blocks": [{"requests": 5, "errors": 0}]}}}}
{"t": 110, "name": "web", "signals": {"a": {"candidate": {"requests": 2, "errors": 0}}, "b": {"candidate": {"requests": 9, "errors": 0}}}}
{"t": 130, "from": "rev 6", "signals": {"b": {"history": null}}}
`) {
		tape.Add(l)
	}
	a, _ := tape.Evidence("a")
	b, _ := tape.Evidence("b")
	if len(a.Ticks) != 3 || len(b.Ticks) != 3 || a.History.Requests != 50 || len(a.Blocks) != 1 || b.History.Missing != signals.NoSeries {
		t.Fatalf("a %+v\nb %+v", a, b)
	}
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	for i, w := range []signals.Window{{From: at(90), To: at(100)}, {From: at(100), To: at(110)}, {From: at(110), To: at(130)}} {
		if a.Ticks[i].Window != w || b.Ticks[i].Window != w {
			t.Errorf("tick %d: %v and %v, want %v", i, a.Ticks[i].Window, b.Ticks[i].Window, w)
		}
	}
	if a.Ticks[2].Candidate.Missing != signals.NoSeries || b.Ticks[0].Candidate.Missing != signals.NoSeries {
		t.Errorf("a line without a signal: %+v, %+v", a.Ticks[2], b.Ticks[0])
	}
	if to, from := tape.Names(); to != "rev 7" || from != "rev 6" || tape.Name != "web" {
		t.Errorf("names %s, %s, %s", to, from, tape.Name)
	}
	if _, ok := tape.Evidence("c"); ok {
		t.Error("a signal that no line names is there")
	}
}

// drawSide draws a side as a source gives it.
func drawSide(t *rapid.T, label string) signals.Side {
	count := rapid.SampledFrom([]float64{0, 1, 3, 0.5, 1e6, 1 << 53, 1e300})
	s := signals.Side{Missing: rapid.SampledFrom([]signals.Missing{"", "", signals.NoSeries, signals.Failed}).Draw(t, label)}
	if s.Missing != "" {
		s.Detail = rapid.SampledFrom([]string{"", "connection <refused>"}).Draw(t, label)
		return s
	}
	s.Counts = signals.Counts{Requests: count.Draw(t, label), Errors: count.Draw(t, label)}
	for _, pod := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"web-1-a", "web-1-b"}), rapid.ID).Draw(t, label) {
		if s.Pods == nil {
			s.Pods = map[string]signals.Counts{}
		}
		s.Pods[pod] = signals.Counts{Requests: count.Draw(t, label), Errors: count.Draw(t, label)}
	}
	return s
}

// What is written is read back as it was, so that its last line has the verdict that was given.
func TestEncodeIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tick := time.Duration(rapid.IntRange(1, 60_000).Draw(t, "tick")) * time.Millisecond
		start := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "start")).UTC()
		in := decide.Input{To: "rev 7", From: rapid.SampledFrom([]string{"", "rev 6"}).Draw(t, "from")}
		n := rapid.IntRange(1, 5).Draw(t, "ticks")
		for _, name := range []string{"a", "b"}[:rapid.IntRange(1, 2).Draw(t, "signals")] {
			e := decide.Evidence{Signal: name, History: drawSide(t, "history")}
			for range rapid.IntRange(0, 3).Draw(t, "blocks") {
				e.Blocks = append(e.Blocks, drawSide(t, "block"))
				e.Days = append(e.Days, drawSide(t, "day"))
				e.Neighbours = append(e.Neighbours, decide.Neighbour{Name: "api", Before: signals.Counts{Requests: 4}})
			}
			for i := range n {
				w := signals.Window{From: start.Add(time.Duration(i) * tick), To: start.Add(time.Duration(i+1) * tick)}
				e.Ticks = append(e.Ticks, signals.Reading{Window: w, Candidate: drawSide(t, "candidate"), Baseline: drawSide(t, "baseline")})
			}
			in.Signals = append(in.Signals, e)
		}
		raw, err := Encode(Line{Namespace: "shop", Kind: "Deployment", Name: "web"}, in)
		if err != nil {
			t.Fatal(err)
		}
		tape := Tape{Tick: tick}
		r := NewReader(strings.NewReader(string(raw)))
		for range n {
			l, err := r.Next()
			if err != nil {
				t.Fatalf("%v in\n%s", err, raw)
			}
			tape.Add(l)
		}
		got := decide.Input{}
		got.To, got.From = tape.Names()
		for _, e := range in.Signals {
			read, _ := tape.Evidence(e.Signal)
			read.Learnt = nil
			got.Signals = append(got.Signals, read)
		}
		if diff := cmp.Diff(in, got); diff != "" || tape.Namespace != "shop" || tape.Kind != "Deployment" || tape.Name != "web" {
			t.Fatalf("read back (-want +got):\n%s\n%s", diff, raw)
		}
	})
}

func TestEncodeSaysWhatIsNoNumber(t *testing.T) {
	in := decide.Input{Signals: []decide.Evidence{{Signal: "a", Ticks: []signals.Reading{{Candidate: side(math.NaN(), 0), Baseline: side(1, math.Inf(1)), Window: signals.Window{To: time.Unix(5, 0)}}}}}}
	raw, err := Encode(Line{}, in)
	if err != nil {
		t.Fatal(err)
	}
	l := readAll(t, string(raw))[0]
	if s := l.Signals["a"]; s.Candidate.Missing != signals.NotNumber || s.Baseline.Missing != signals.NotNumber {
		t.Errorf("%s", raw)
	}
	if raw, err := Encode(Line{}, decide.Input{}); err != nil || len(raw) > 0 {
		t.Errorf("nothing is written as %q, %v", raw, err)
	}
}

// FuzzReader: whatever is read, it is lines that the judge can take and that can be written, or an error with a line.
func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"t": 1700000000, "signals": {"http-errors": {"candidate": {"requests": 812, "errors": 9}, "baseline": {"requests": 2401, "errors": 3}, "history": {"requests": 90210, "errors": 301}}}}`))
	f.Add([]byte(`{"t": 1, "from": "", "signals": {"a": {"candidate": {"pods": {"x": {"requests": 1e400, "errors": 1}}}, "days": [null]}}}` + "\n" + `{"t": 2, "signals": {"a": {"neighbours": [], "history": {"requests": 1, "errors": 9, "blocks": [{}]}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(strings.NewReader(string(data)))
		tape := Tape{Tick: time.Second}
		known := map[string]bool{}
		for range 50 {
			l, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !strings.HasPrefix(err.Error(), fmt.Sprintf("line %d: ", max(r.Number(), 1))) && !strings.Contains(err.Error(), "is longer") {
					t.Fatalf("line %d: error %v", r.Number(), err)
				}
				break
			}
			tape.Add(l)
			in := decide.Input{}
			in.To, in.From = tape.Names()
			for name := range l.Signals {
				known[name] = true
			}
			for name := range known {
				e, ok := tape.Evidence(name)
				if !ok || len(e.Ticks) != len(tape.windows) {
					t.Fatalf("signal %q has %d ticks of %d", name, len(e.Ticks), len(tape.windows))
				}
				in.Signals = append(in.Signals, e)
			}
			if _, err := json.Marshal(decide.Judge(in)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
