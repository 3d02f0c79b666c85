package decide

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

func TestThresholdRules(t *testing.T) {
	clean := spoke(10_000, 0)     // a baseline without errors, and busy: its upper limit is 0.03%
	noisy := spoke(100_000, 2000) // 2%, well known: its upper limit is 2.07%
	bad := spoke(100_000, 8000)   // 8%, above the ceiling itself
	with := func(change func(*Threshold)) Threshold {
		th := usual
		change(&th)
		return th
	}
	for _, c := range []struct {
		name     string
		e        Evidence
		result   Result
		code     string
		sentence string // "" where the golden sentences have it
	}{
		// The ceiling.
		{"above the ceiling", ofHTTP(usual, clean, repeat(2, tick(spoke(100, 6)))...), Regressed, CodeThreshold, ""},
		{"the ceiling is not yet too high", ofHTTP(with(func(th *Threshold) { th.Increase = 1000 }), clean, repeat(2, tick(spoke(100, 5)))...), Healthy, CodeWithin, ""},
		{"above the ceiling, where increase alone would allow it", ofHTTP(with(func(th *Threshold) { th.Increase = 1000 }), clean, repeat(2, tick(spoke(100, 6)))...), Regressed, CodeThreshold, ""},
		{"a baseline above the ceiling too", ofHTTP(usual, bad, repeat(2, tick(spoke(1000, 90)))...), Healthy, CodeWithin, ""},
		{"a baseline above the ceiling, and twice as bad", ofHTTP(usual, bad, repeat(2, tick(spoke(1000, 170)))...), Regressed, CodeThreshold, ""},
		// The increase, under the ceiling.
		{"less than twice", ofHTTP(usual, noisy, repeat(2, tick(spoke(1000, 41)))...), Healthy, CodeWithin, ""},
		{"more than twice", ofHTTP(usual, noisy, repeat(2, tick(spoke(1000, 43)))...), Regressed, CodeThreshold, ""},
		// The floor.
		{"twenty times nothing, but under the floor", ofHTTP(usual, clean, repeat(2, tick(spoke(10_000, 50)))...), Healthy, CodeWithin, ""},
		{"over the floor", ofHTTP(usual, clean, repeat(2, tick(spoke(10_000, 60)))...), Regressed, CodeThreshold, ""},
		{"over the ceiling, but an increase under the floor", ofHTTP(with(func(th *Threshold) { th.Floor = 0.02 }), spoke(1_000_000, 45_000), repeat(2, tick(spoke(10_000, 600)))...), Healthy, CodeWithin, ""},
		{"no error at all with a floor and a ceiling of nothing", ofHTTP(Threshold{Ticks: 1, MinRequests: 1}, clean, tick(spoke(100, 0))), Healthy, CodeWithin, ""},
		// The least number of requests.
		{"too few requests", ofHTTP(usual, clean, tick(spoke(49, 49))), Undecided, CodeTooFewRequests, "http-errors: 49 requests on rev 7, fewer than the 50 needed to judge"},
		{"just enough requests", ofHTTP(with(func(th *Threshold) { th.Ticks = 1 }), clean, tick(spoke(50, 50))), Regressed, CodeThreshold, ""},
		// Ticks in a row.
		{"one tick of two", ofHTTP(usual, clean, tick(spoke(100, 0)), tick(spoke(100, 20))), Undecided, CodeSuspicion,
			"http-errors: 20% of 100 requests failed on rev 7 against 0% of 10,000 on rev 6; over the threshold for 1 tick, 2 ticks needed"},
		{"two ticks of two", ofHTTP(usual, clean, tick(spoke(100, 0)), tick(spoke(100, 20)), tick(spoke(100, 20))), Regressed, CodeThreshold, ""},
		{"two ticks, but not in a row", ofHTTP(usual, clean, tick(spoke(100, 20)), tick(spoke(100, 0)), tick(spoke(100, 20))), Undecided, CodeSuspicion, ""},
		{"it was bad and is well again", ofHTTP(usual, clean, tick(spoke(100, 20)), tick(spoke(100, 0)), tick(spoke(1000, 0))), Healthy, CodeWithin, ""},
		{"three ticks needed", ofHTTP(with(func(th *Threshold) { th.Ticks = 3 }), clean, repeat(2, tick(spoke(100, 20)))...), Undecided, CodeSuspicion,
			"http-errors: 20% of 100 requests failed on rev 7 against 0% of 10,000 on rev 6; over the threshold for 2 ticks, 3 ticks needed"},
		{"ticks in which nothing was served neither add nor end", ofHTTP(usual, clean, concat(
			[]signals.Reading{tick(spoke(100, 20))}, repeat(5, tick(spoke(0, 0))), []signals.Reading{tick(spoke(100, 20))}, repeat(3, tick(spoke(0, 0))))...), Regressed, CodeThreshold,
			"http-errors: 20% of 100 requests failed on rev 7 against 0% of 10,000 on rev 6"},
		{"so that one bad tick stays one", ofHTTP(usual, clean, concat([]signals.Reading{tick(spoke(100, 20))}, repeat(5, tick(spoke(0, 0))))...), Undecided, CodeSuspicion, ""},
		{"nor do blind ones", ofHTTP(usual, clean, tick(spoke(100, 20)), tick(missing(signals.Failed, "connection refused")), tick(missing(signals.Late, "")), tick(spoke(100, 20))), Regressed, CodeThreshold, ""},
		{"half of the ticks are enough", ofHTTP(usual, clean, tick(spoke(100, 0)), tick(missing(signals.Failed, ""))), Healthy, CodeWithin, ""},
		// Looking back as far as it takes.
		{"a quiet service is judged by more ticks", ofHTTP(usual, clean, repeat(50, tick(spoke(2, 1)))...), Regressed, CodeThreshold, "http-errors: 50% of 50 requests failed on rev 7 against 0% of 10,000 on rev 6"},
		{"and not twice by the same requests", ofHTTP(usual, clean, repeat(49, tick(spoke(2, 1)))...), Undecided, CodeSuspicion, ""},
		{"one burst does not count again with the next request", ofHTTP(usual, clean, tick(spoke(50, 10)), tick(spoke(1, 0))), Undecided, CodeSuspicion, ""},
		{"a bake that ends blind has not seen how it ended", ofHTTP(usual, clean, concat(repeat(31, tick(spoke(100, 0))), repeat(29, tick(missing(signals.Failed, ""))))...), Undecided, CodeBlind, ""},
		{"gaps are named", ofHTTP(usual, clean, concat(repeat(3, tick(spoke(100, 0))), repeat(1, tick(missing(signals.Failed, ""))), repeat(3, tick(spoke(100, 0))))...), Healthy, CodeWithin,
			"http-errors: 0% of 600 requests failed on rev 7 against 0% of 10,000 on rev 6; could not be read in 1 of 7 ticks"},
		{"a busy one by its newest", ofHTTP(usual, clean, tick(spoke(100_000, 0)), tick(spoke(50, 20)), tick(spoke(50, 20))), Regressed, CodeThreshold, "http-errors: 40% of 50 requests failed on rev 7 against 0% of 10,000 on rev 6"},
		// The baseline.
		{"old pods that serve beside are the baseline, not their past", ofHTTP(usual, clean, repeat(2, tick(spoke(1000, 90), spoke(1000, 90)))...), Healthy, CodeWithin, ""},
		{"a dependency that fails both", ofHTTP(usual, clean, repeat(10, tick(spoke(1000, 900), spoke(1000, 900)))...), Healthy, CodeWithin, ""},
		{"old pods that serve too little are helped by their past", ofHTTP(usual, clean, repeat(2, tick(spoke(1000, 90), spoke(10, 1)))...), Regressed, CodeThreshold,
			"http-errors: 9% of 1,000 requests failed on rev 7 against 0.02% of 10,020 on rev 6; 451x worse"},
		{"old pods that served in earlier ticks are the baseline when nothing is known of their past", ofHTTP(usual, missing(signals.NoSeries, ""),
			concat(repeat(3, tick(spoke(100, 0), spoke(100, 0))), repeat(3, tick(spoke(100, 40))))...), Regressed, CodeThreshold, "http-errors: 40% of 100 requests failed on rev 7 against 0% of 300 on rev 6"},
		{"and help a past that is known", ofHTTP(usual, spoke(1000, 0),
			concat(repeat(3, tick(spoke(100, 0), spoke(100, 0))), repeat(3, tick(spoke(100, 40))))...), Regressed, CodeThreshold, "http-errors: 40% of 100 requests failed on rev 7 against 0% of 1,300 on rev 6"},
		{"a thin baseline gets the benefit of the doubt", ofHTTP(usual, spoke(10, 0), repeat(2, tick(spoke(1000, 40)))...), Healthy, CodeWithin, ""},
		{"a thicker one less", ofHTTP(usual, spoke(1000, 0), repeat(2, tick(spoke(1000, 40)))...), Regressed, CodeThreshold, ""},
		{"even a thin one does not excuse everything", ofHTTP(usual, spoke(10, 0), repeat(2, tick(spoke(1000, 400)))...), Regressed, CodeThreshold, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			result, reason := judged(t, c.e)
			if result != c.result || reason.Code != c.code {
				t.Errorf("%s (%s), want %s (%s): %s", result, reason.Code, c.result, c.code, reason.Sentence)
			}
			if c.sentence != "" && reason.Sentence != c.sentence {
				t.Errorf("said\n%s, want\n%s", reason.Sentence, c.sentence)
			}
		})
	}
}

func TestWhatCannotBeSeenIsNamed(t *testing.T) {
	gone := missing(signals.NoSeries, "no series for the pods web-7*")
	refused := missing(signals.Failed, "prometheus: connection refused")
	past := spoke(9000, 9)
	for _, c := range []struct {
		name     string
		e        Evidence
		code     string
		sentence string
	}{
		{"nothing yet", ofHTTP(usual, past), CodeBlind, "http-errors: nothing read yet"},
		{"nobody knows the workload", ofHTTP(usual, gone, repeat(4, tick(gone, gone))...), CodeNoSeries, "http-errors: no series for this workload"},
		{"the new pods have no series", ofHTTP(usual, past, repeat(4, tick(gone))...), CodeSilent, "http-errors: the new pods have no series, while the old ones did"},
		{"the new pods have no series any more", ofHTTP(usual, past, concat(repeat(2, tick(spoke(100, 0))), repeat(3, tick(gone)))...), CodeSilent, "http-errors: the new pods have no series in 3 of 5 ticks, while the old ones did"},
		{"the new pods have no series any more, and the source says more", ofHTTP(usual, past, concat(repeat(2, tick(spoke(100, 0))), repeat(3, tick(missing(signals.NoSeries, "they wrote nothing"))))...), CodeSilent, "http-errors: the new pods have no series in 3 of 5 ticks, while the old ones did (they wrote nothing)"},
		{"the new pods have no series any more, and the old ones hardly served", ofHTTP(usual, spoke(3, 0), concat(repeat(2, tick(spoke(100, 0))), repeat(3, tick(gone)))...), CodeBlind, "http-errors: could not be read in 3 of 5 ticks (no series for the pods web-7*)"},
		{"the new pods have no series, the old ones serve on", ofHTTP(usual, gone, repeat(4, tick(gone, spoke(15, 0)))...), CodeSilent, "http-errors: the new pods have no series, while the old ones did"},
		{"the new pods have no series, and the old ones hardly served", ofHTTP(usual, spoke(3, 0), repeat(4, tick(gone))...), CodeNoSeries, "http-errors: no series for this workload"},
		{"nobody knows the workload, and the source fails at the end", ofHTTP(usual, gone, concat(repeat(4, tick(gone, gone)), repeat(1, tick(refused, refused)))...), CodeNoSeries, "http-errors: no series for this workload"},
		{"an idle service stays idle", ofHTTP(usual, spoke(3, 0), repeat(4, tick(spoke(0, 0)))...), CodeTooFewRequests, "http-errors: 0 requests on rev 7, fewer than the 50 needed to judge"},
		{"the new pods serve nothing", ofHTTP(usual, past, repeat(4, tick(spoke(0, 0)))...), CodeSilent, "http-errors: rev 7 served no request, while rev 6 did"},
		{"nobody serves anything", ofHTTP(usual, spoke(0, 0), repeat(4, tick(spoke(0, 0), spoke(0, 0)))...), CodeTooFewRequests, "http-errors: 0 requests on rev 7, fewer than the 50 needed to judge"},
		{"the source is dead", ofHTTP(usual, refused, repeat(4, tick(refused, refused))...), CodeBlind, "http-errors: could not be read in 4 of 4 ticks (prometheus: connection refused)"},
		{"the source died", ofHTTP(usual, past, concat(repeat(2, tick(spoke(100, 0))), repeat(3, tick(refused, refused)))...), CodeBlind, "http-errors: could not be read in 3 of 5 ticks (prometheus: connection refused)"},
		{"no series, and late", ofHTTP(usual, past, tick(gone), tick(gone), tick(missing(signals.Late, "newest sample is 90s old"))), CodeBlind, "http-errors: could not be read in 3 of 3 ticks (newest sample is 90s old)"},
		{"late", ofHTTP(usual, past, tick(missing(signals.Late, "newest sample is 90s old"))), CodeBlind, "http-errors: could not be read in 1 of 1 tick (newest sample is 90s old)"},
		{"not a number", ofHTTP(usual, past, repeat(2, tick(missing(signals.NotNumber, "")))...), CodeBlind, "http-errors: could not be read in 2 of 2 ticks (not-number)"},
		{"not a number, and the source did not say so", ofHTTP(usual, past, repeat(2, tick(spoke(nan, 1)))...), CodeBlind, "http-errors: could not be read in 2 of 2 ticks (not-number)"},
		{"beyond counting", ofHTTP(usual, past, repeat(2, tick(spoke(math.MaxFloat64, 1)))...), CodeBlind, "http-errors: could not be read in 2 of 2 ticks (not-number)"},
		{"under the ceiling with nothing to compare with", ofHTTP(usual, gone, repeat(2, tick(spoke(100, 2)))...), CodeNoBaseline,
			"http-errors: 2% of 100 requests failed on rev 7; nothing is known of rev 6 (no series for the pods web-7*)"},
		{"over the ceiling with nothing to compare with", ofHTTP(usual, gone, repeat(2, tick(spoke(100, 90)))...), CodeSuspicion,
			"http-errors: 90% of 100 requests failed on rev 7; nothing is known of rev 6 (no series for the pods web-7*)"},
		{"the past could not be read", ofHTTP(usual, refused, repeat(2, tick(spoke(100, 90)))...), CodeBlind,
			"http-errors: 90% of 100 requests failed on rev 7; nothing is known of rev 6 (prometheus: connection refused)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			result, reason := judged(t, c.e)
			if result != Undecided || reason.Code != c.code || reason.Sentence != c.sentence {
				t.Errorf("%s (%s)\n%s, want Undecided (%s)\n%s", result, reason.Code, reason.Sentence, c.code, c.sentence)
			}
		})
	}
}

func TestFirstRevisionHasOnlyTheCeiling(t *testing.T) {
	none := missing(signals.NoSeries, "there is no earlier revision")
	for _, c := range []struct {
		name     string
		ticks    []signals.Reading
		result   Result
		code     string
		sentence string
	}{
		{"over it", repeat(2, tick(spoke(100, 6))), Regressed, CodeThreshold, "http-errors: 6% of 100 requests failed on rev 1; the ceiling is 5%, and there is no earlier revision to compare with"},
		{"at it", repeat(2, tick(spoke(100, 5))), Healthy, CodeWithin, "http-errors: 5% of 200 requests failed on rev 1; the ceiling is 5%, and there is no earlier revision to compare with"},
		{"silent", repeat(2, tick(spoke(0, 0))), Undecided, CodeTooFewRequests, "http-errors: 0 requests on rev 1, fewer than the 50 needed to judge"},
		{"no series", repeat(2, tick(none, none)), Undecided, CodeNoSeries, "http-errors: no series for this workload"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(Input{To: "rev 1", Signals: []Evidence{ofHTTP(usual, none, c.ticks...)}})
			if r := v.Reasons[0]; v.Result != c.result || r.Code != c.code || r.Sentence != c.sentence {
				t.Errorf("%s (%s)\n%s, want %s (%s)\n%s", v.Result, r.Code, r.Sentence, c.result, c.code, c.sentence)
			}
		})
	}
}

// Several signals: the worst word is the verdict, and what could not speak is never passed over.
func TestSeveralSignals(t *testing.T) {
	past := spoke(9000, 9)
	named := func(name string, e Evidence) Evidence { e.Signal = name; return e }
	well := named("well", ofHTTP(usual, past, repeat(3, tick(spoke(100, 0)))...))
	worse := named("worse", ofHTTP(usual, past, repeat(3, tick(spoke(100, 50)))...))
	blind := named("blind", ofHTTP(usual, past, repeat(3, tick(missing(signals.Failed, "")))...))
	absent := named("absent", ofHTTP(usual, missing(signals.NoSeries, ""), repeat(3, tick(missing(signals.NoSeries, "")))...))
	for _, c := range []struct {
		name   string
		in     []Evidence
		result Result
		order  []string // signals in the order of the reasons
	}{
		{"none", nil, Undecided, []string{""}},
		{"all well", []Evidence{well, well}, Healthy, []string{"well", "well"}},
		{"one worse", []Evidence{well, worse}, Regressed, []string{"worse"}},
		{"one worse beside a blind one", []Evidence{blind, worse, absent}, Regressed, []string{"worse", "blind"}},
		{"one blind", []Evidence{well, blind}, Undecided, []string{"blind", "well"}},
		{"one that does not belong to this workload", []Evidence{absent, well}, Healthy, []string{"well", "absent"}},
		{"only such", []Evidence{absent}, Undecided, []string{"absent"}},
		{"blind, absent and well", []Evidence{well, absent, blind}, Undecided, []string{"blind", "absent", "well"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(Input{To: "rev 7", From: "rev 6", Signals: c.in})
			var order []string
			for _, r := range v.Reasons {
				order = append(order, r.Signal)
			}
			if v.Result != c.result || !slices.Equal(order, c.order) {
				t.Errorf("%s for reasons %v, want %s for %v", v.Result, order, c.result, c.order)
			}
		})
	}
}

// The upper limits were computed from the formula in Wilson's paper by hand; those at 0 errors are z²/(n+z²).
func TestUpperRate(t *testing.T) {
	for _, c := range []struct{ requests, errors, want float64 }{
		{0, 0, 1},
		{1, 0, 0.7301},
		{10, 0, 0.2129},
		{1000, 0, 0.002698},
		{10, 5, 0.7307},
		{100, 50, 0.5811},
		{100, 100, 1},
		{10, 30, 1}, // more failures than requests: they are counted by different series
	} {
		if got := upperRate(signals.Counts{Requests: c.requests, Errors: c.errors}); math.Abs(got-c.want) > 0.0001 {
			t.Errorf("upper limit of %v errors of %v requests: %.4f, want %.4f", c.errors, c.requests, got, c.want)
		}
	}
}

// TestLimit: what people are shown as the limit is where the threshold begins.
func TestLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th := anyThreshold().Draw(t, "threshold")
		n := rapid.Float64Range(1, 1e6).Draw(t, "requests")
		base := signals.Counts{Requests: n, Errors: n * rapid.Float64Range(0, 1).Draw(t, "share")}
		compared := rapid.Bool().Draw(t, "compared")
		rate := rapid.Float64Range(0, 1).Draw(t, "rate")
		limit := th.Limit(base, compared)
		if math.Abs(rate-limit) < 1e-9 || rate == 0 {
			return
		}
		if over := th.over(signals.Counts{Requests: 1e6, Errors: 1e6 * rate}, base, compared); over != (rate > limit) {
			t.Fatalf("%+v: rate %g, limit %g, over %v", th, rate, limit, over)
		}
		v := ValueThreshold{Max: th.Max, Increase: th.Increase, Floor: th.Floor}
		limit = v.Limit(base.Rate())
		if over := v.over(rate, base.Rate()); math.Abs(rate-limit) > 1e-9 && over != (rate > limit) {
			t.Fatalf("%+v: value %g, limit %g, over %v", v, rate, limit, over)
		}
	})
}
