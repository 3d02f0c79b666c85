package decide

import (
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

func TestContest(t *testing.T) {
	bad := func(n int) []signals.Reading { return repeat(n, tick(spoke(100, 20), spoke(300, 1))) }
	good := func(n int, requests float64) []signals.Reading {
		return repeat(n, tick(spoke(requests, 0), spoke(300, 1)))
	}
	past := spoke(9000, 20)
	for _, c := range []struct {
		name  string
		other []signals.Reading
		want  Result
		code  string
		yet   bool // the sentence says that the other source has not reported yet
	}{
		{"the other source sees it, too", bad(8), Regressed, CodeThreshold, false},
		{"the other source denies it", good(8, 100), Undecided, CodeDisagree, false},
		{"half as many requests deny it", good(8, 50), Undecided, CodeDisagree, false},
		{"a source that saw little denies nothing", good(8, 20), Regressed, CodeThreshold, false},
		{"a source that is late denies nothing", concat(good(3, 100), repeat(5, tick(missing(signals.Late, ""), missing(signals.Late, "")))), Regressed, CodeThreshold, false},
		{"a source that is to report only later denies nothing", good(3, 100), Regressed, CodeThreshold, true},
		{"a source that has not reported at all denies nothing", nil, Regressed, CodeThreshold, true},
		{"a source that reports later, and saw enough", good(5, 100), Undecided, CodeDisagree, false},
		{"a source that reports later, and sees it, too", bad(5), Regressed, CodeThreshold, false},
		{"a source that cannot be read denies nothing", repeat(8, tick(missing(signals.Failed, "down"), missing(signals.Failed, "down"))), Regressed, CodeThreshold, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(
				Evidence{Signal: "http-errors", Source: "datadog", Threshold: defaults, History: past, Ticks: c.other},
				Evidence{Signal: "http-errors", Source: "prometheus", Threshold: defaults, History: past, Ticks: bad(8)},
			)
			v := Judge(in)
			if v.Result != c.want || v.Reasons[0].Code != c.code {
				t.Fatalf("%s %+v, want %s %s", v.Result, v.Reasons, c.want, c.code)
			}
			sentence := v.Reasons[0].Sentence
			for _, r := range v.Reasons {
				if r.Code == CodeThreshold && strings.HasPrefix(r.Sentence, "http-errors (prometheus)") {
					sentence = r.Sentence
				}
			}
			if yet := strings.HasSuffix(sentence, "; datadog has not reported for this time yet"); yet != c.yet {
				t.Errorf("the source that knows late: %s", sentence)
			}
			if s := sentence; c.code == CodeDisagree && (!strings.HasPrefix(s, "http-errors (prometheus): 20% of ") || !strings.Contains(s, "; but http-errors (datadog): 0% of ")) {
				t.Errorf("it does not name both: %s", s)
			}
		})
	}
}

// Another signal denies nothing, however well it is.
func TestContestIsOfOneSignal(t *testing.T) {
	bad := repeat(8, tick(spoke(100, 20), spoke(300, 1)))
	good := repeat(8, tick(spoke(100, 0), spoke(300, 1)))
	past := spoke(9000, 20)
	v := Judge(input(
		Evidence{Signal: "http-errors", Threshold: defaults, History: past, Ticks: bad},
		Evidence{Signal: "ingress-errors", Source: "datadog", Threshold: defaults, History: past, Ticks: good},
	))
	if v.Result != Regressed {
		t.Errorf("%+v", v)
	}
}

func TestWords(t *testing.T) {
	c := signals.Counts{Requests: 1240, Errors: 124}
	for _, e := range []struct {
		Evidence
		want string
	}{
		{Evidence{Signal: "http-errors"}, "http-errors: 10% of 1,240 requests failed"},
		{Evidence{Signal: "http-latency", Query: signals.Query{Histogram: "h", Over: 0.25}}, "http-latency: 10% of 1,240 requests took over 250ms"},
		{Evidence{Signal: "http-latency", Source: "datadog", Query: signals.Query{Histogram: "h", Over: 2.5}}, "http-latency (datadog): 10% of 1,240 requests took over 2.5s"},
		{Evidence{Signal: "http-latency", Query: signals.Query{Errors: "count(v: v>0.25):x{*}.as_count()", Over: 0.25}}, "http-latency: 10% of 1,240 requests took over 250ms"},
		{Evidence{Signal: "restarts", Query: signals.Query{Events: "r"}}, "restarts: 10% of 1,240 looks at pods found such an event"},
		{Evidence{Signal: "cpu", Wording: Wording{"CPU periods", "were throttled"}}, "cpu: 10% of 1,240 CPU periods were throttled"},
	} {
		if got := e.rate(c); got != e.want {
			t.Errorf("%q, want %q", got, e.want)
		}
	}
}

// A value that is missing is not zero.
func TestValuesOfEvidence(t *testing.T) {
	value := func(x float64) signals.Side { return signals.Side{Value: x} }
	late := missing(signals.Late, "")
	e := Evidence{Signal: "memory", Blocks: []signals.Side{value(1), late}, Ticks: []signals.Reading{tick(value(0), late), tick(late, value(3))}}
	v := e.Values(ValueThreshold{Increase: 2}, "MiB")
	if v.History[0] != 1 || v.History[1] == v.History[1] || v.Ticks[0].Candidate != 0 || v.Ticks[0].Baseline == v.Ticks[0].Baseline || v.Ticks[1].Baseline != 3 {
		t.Errorf("%+v", v)
	}
}
