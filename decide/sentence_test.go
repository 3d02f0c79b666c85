package decide

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// These sentences are on the wire: people and their tools read them in the Bake, the Event, the annotation and the message.
func TestGoldenSentences(t *testing.T) {
	pods := func(requests, errors float64, names ...string) signals.Side {
		s := spoke(requests, errors)
		s.Pods = map[string]signals.Counts{}
		for _, n := range names {
			s.Pods[n] = signals.Counts{Requests: requests / float64(len(names)), Errors: errors / float64(len(names))}
		}
		return s
	}
	for _, c := range []struct {
		name, sentence, from string
		e                    Evidence
	}{
		{"regressed", "http-errors: 8.1% of 1,240 requests failed on rev 7 (2 pods) against 0.3% of 9,870 on rev 6; 27x worse", "rev 6",
			ofHTTP(usual, spoke(9870, 30), repeat(2, tick(pods(1240, 100, "a", "b")))...)},
		{"one pod", "http-errors: 50% of 1,000 requests failed on rev 7 (1 pod) against 10% of 1,234,567 on rev 6; 5x worse", "rev 6",
			ofHTTP(usual, spoke(1_234_567, 123_457), repeat(2, tick(pods(1000, 500, "a")))...)},
		{"not much worse in words", "http-errors: 7% of 10,000 requests failed on rev 7 against 4.9% of 100,000 on rev 6; over the ceiling of 5%", "rev 6",
			ofHTTP(usual, spoke(100_000, 4900), repeat(2, tick(spoke(10_000, 700)))...)},
		{"from nothing", "http-errors: 100% of 60 requests failed on rev 7 against 0% of 500 on rev 6", "rev 6",
			ofHTTP(usual, spoke(500, 0), repeat(2, tick(spoke(60, 60)))...)},
		{"healthy counts the whole bake", "http-errors: 0.2% of 3,000 requests failed on rev 7 (2 pods) against 0.3% of 10,870 on rev 6", "rev 6",
			ofHTTP(usual, spoke(9870, 30), tick(pods(1000, 2, "a", "b"), spoke(1000, 3)), tick(spoke(1000, 2)), tick(spoke(1000, 2)))},
		{"first revision", "http-errors: 8% of 100 requests failed on rev 7; the ceiling is 5%, and there is no earlier revision to compare with", "",
			ofHTTP(usual, signals.Side{}, repeat(2, tick(spoke(100, 8)))...)},
		{"pods that served nothing are not counted", "http-errors: 50% of 1,000 requests failed on rev 7 (1 pod) against 0% of 1,000 on rev 6", "rev 6",
			ofHTTP(usual, spoke(1000, 0), repeat(2, tick(signals.Side{Counts: signals.Counts{Requests: 1000, Errors: 500},
				Pods: map[string]signals.Counts{"a": {Requests: 1000, Errors: 500}, "b": {}}}))...)},
		{"a user flow says what failed", `flow-pay: 75% of 8 runs failed (step "pay": expected status 2xx, got status 500) on rev 7 against 0% of 100 on rev 6`, "rev 6",
			flowEvidence()},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(Input{To: "rev 7", From: c.from, Signals: []Evidence{c.e}})
			if got := v.Reasons[0].Sentence; got != c.sentence {
				t.Errorf("said\n%s, want\n%s", got, c.sentence)
			}
		})
	}
}

// flowEvidence is that of a user flow that fails, and passed before.
func flowEvidence() Evidence {
	e := ofHTTP(Threshold{Max: 0.2, Increase: 2, Floor: 0.1, MinRequests: 5, Ticks: 1}, spoke(100, 0), tick(spoke(8, 6)))
	e.Signal, e.Query = "flow-pay", signals.Query{Source: signals.Probe, Flow: "{}"}
	e.Ticks[0].Candidate.Detail = `step "pay": expected status 2xx, got status 500`
	return e
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{
		0: "0%", 0.00001: "under 0.01%", 0.00009: "under 0.01%", 0.0001: "0.01%", 0.0004: "0.04%", 0.0005: "0.05%", 0.003: "0.3%", 0.0304: "3%",
		0.0306: "3.1%", 0.081: "8.1%", 0.5: "50%", 1: "100%", 1.5: "150%",
	} {
		if got := percent(share); got != want {
			t.Errorf("percent(%v) is %s, want %s", share, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.4: "0", 7: "7", 99.6: "100", 999: "999", 1000: "1,000", 1240: "1,240", 9870: "9,870", 99_999: "99,999", 123_456: "123,456",
		1_000_000: "1,000,000", 1_234_567_890: "1,234,567,890",
	} {
		if got := number(x); got != want {
			t.Errorf("number(%v) is %s, want %s", x, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	for x, want := range map[float64]string{1.5: "1.5x", 2: "2x", 5.04: "5x", 9.94: "9.9x", 9.96: "10x", 26.5: "27x", 901: "901x", 12_000: "12,000x"} {
		if got := times(x); got != want {
			t.Errorf("times(%v) is %s, want %s", x, got, want)
		}
	}
}

// A bake's evidence may be written down and judged again elsewhere: the verdict is the same, byte for byte.
func TestReplay(t *testing.T) {
	in := Input{To: "rev 7", From: "rev 6", Signals: []Evidence{
		ofHTTP(usual, spoke(9870, 30), tick(signals.Side{Counts: signals.Counts{Requests: 1240, Errors: 100},
			Pods: map[string]signals.Counts{"c": {Requests: 240}, "a": {Requests: 500, Errors: 100}, "b": {Requests: 500}}}, spoke(2, 1)), tick(spoke(1240, 99.5))),
		{Signal: "grpc-errors", Threshold: usual, History: missing(signals.Failed, "refused"), Ticks: repeat(3, tick(missing(signals.Late, "late")))},
	}}
	first := encode(t, Judge(in))
	raw := encode(t, in)
	for range 20 {
		var again Input
		if err := json.Unmarshal(raw, &again); err != nil {
			t.Fatal(err)
		}
		if got := encode(t, Judge(again)); !bytes.Equal(got, first) {
			t.Fatalf("judged again\n%s, at first\n%s", got, first)
		}
	}
}

func encode(t testing.TB, x any) []byte {
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
