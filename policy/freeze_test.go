package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func clock(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestFreeze(t *testing.T) {
	weekend := Freeze{Start: "0 18 * * FRI", For: Span(62 * time.Hour), TimeZone: "Europe/Vienna"}
	nightly := Freeze{Start: "30 1 * * *", For: Span(2 * time.Hour), TimeZone: "Europe/Vienna"}
	skipped := Freeze{Start: "30 2 * * *", For: Span(2 * time.Hour), TimeZone: "Europe/Vienna"}
	holidays := Freeze{Start: "0 0 24 12 *", For: Span(72 * time.Hour)}
	dense := Freeze{Start: "* * * * *", For: Span(90 * time.Second)}
	for _, c := range []struct {
		name   string
		window Freeze
		now    string
		until  string // empty: not in it
	}{
		{"a second early", weekend, "2026-05-01T15:59:59Z", ""},
		{"as it begins", weekend, "2026-05-01T16:00:00Z", "2026-05-04T06:00:00Z"},
		{"on Sunday", weekend, "2026-05-03T12:00:00Z", "2026-05-04T06:00:00Z"},
		{"its last moment", weekend, "2026-05-04T05:59:59Z", "2026-05-04T06:00:00Z"},
		{"as it ends", weekend, "2026-05-04T06:00:00Z", ""},
		{"in winter, by the clock of the zone", weekend, "2026-01-02T16:59:59Z", ""},
		{"in winter, an hour later in UTC", weekend, "2026-01-02T17:00:00Z", "2026-01-05T07:00:00Z"},
		{"the night the clocks go forward", nightly, "2026-03-29T01:59:00Z", "2026-03-29T02:30:00Z"},
		{"a start that the clock skips does not come", skipped, "2026-03-29T02:00:00Z", ""},
		{"it comes the day after", skipped, "2026-03-30T00:30:00Z", "2026-03-30T02:30:00Z"},
		{"the night the clocks go back, 1:30 comes once", nightly, "2026-10-25T01:29:59Z", "2026-10-25T01:30:00Z"},
		{"over the holidays", holidays, "2026-12-26T23:59:59Z", "2026-12-27T00:00:00Z"},
		{"windows that overlap", dense, "2026-05-01T12:00:30Z", "2026-05-01T12:01:30Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			until, in := c.window.At(clock(t, c.now))
			if in != (c.until != "") || in && !until.Equal(clock(t, c.until)) {
				t.Errorf("in it %v, until %s; want until %q", in, until, c.until)
			}
		})
	}
}

// Whatever is accepted tells of every moment whether it is in the window, and a window that has ended is over.
func TestFreezeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Freeze{
			Start:    rapid.SampledFrom([]string{"0 18 * * 5", "*/7 * * * *", "0 0 1 * *", "15,45 9-17 * * MON-FRI", "0 0 29 2 *"}).Draw(t, "start"),
			For:      Span(time.Duration(rapid.Int64Range(60, 31*24*3600).Draw(t, "seconds")) * time.Second),
			TimeZone: rapid.SampledFrom([]string{"", "UTC", "Europe/Vienna", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"}).Draw(t, "zone"),
		}
		var k checker
		if k.freezes("x", []Freeze{f}); len(k.errs) > 0 {
			t.Fatalf("refused: %v", k.errs)
		}
		now := time.Unix(rapid.Int64Range(1.6e9, 2.2e9).Draw(t, "now"), 0)
		until, in := f.At(now)
		if !in {
			return
		}
		if !until.After(now) || until.Sub(now) > time.Duration(f.For) {
			t.Fatalf("at %s it is frozen until %s", now, until)
		}
		if _, still := f.At(until.Add(-time.Second)); !still {
			t.Fatalf("a second before its end at %s it is over", until)
		}
	})
}

func FuzzFreeze(f *testing.F) {
	for _, s := range []string{"0 18 * * FRI", "TZ=", "CRON_TZ=UTC 0 0 * * *", "@daily", "@every 1s", "* * * *", "0 0 30 2 *", "60 0 * * *", "*/0 * * * *", ""} {
		f.Add(s, "Europe/Vienna")
	}
	f.Fuzz(func(t *testing.T, start, zone string) {
		one := Freeze{Start: start, TimeZone: zone, For: Span(time.Hour)}
		var k checker
		if k.freezes("x", []Freeze{one}); len(k.errs) > 0 {
			return
		}
		one.At(time.Unix(1.8e9, 0))
	})
}
