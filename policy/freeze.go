package policy

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones have the same names on every machine

	"github.com/robfig/cron/v3"
)

// maxFreezes is the most windows a list may have, maxFreeze how long one may be.
const (
	maxFreezes = 50
	maxFreeze  = 31 * 24 * time.Hour
)

// Freeze is a window that comes again and again, in which nothing is rolled back.
type Freeze struct {
	Start    string `json:"start"`              // when one begins: cron's minute, hour, day of month, month and day of week
	For      Span   `json:"for"`                // how long it lasts
	TimeZone string `json:"timeZone,omitempty"` // whose clock: a name such as Europe/Vienna; empty: UTC
	Why      string `json:"why,omitempty"`      // for people
}

var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// schedule reads when the window begins.
func (f Freeze) schedule() (*cron.SpecSchedule, error) {
	if strings.Contains(f.Start, "=") { // the library would take a zone from here, and panics where nothing follows it
		return nil, fmt.Errorf("must be five fields such as 0 18 * * FRI; the time zone goes into timeZone")
	}
	parsed, err := fiveFields.Parse(f.Start)
	if err != nil {
		return nil, fmt.Errorf("must be five fields of cron, minute, hour, day of month, month and day of week, such as 0 18 * * FRI: %w", err)
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("must be five fields such as 0 18 * * FRI")
	}
	s.Location, err = f.zone()
	return s, err
}

func (f Freeze) zone() (*time.Location, error) {
	if f.TimeZone == "Local" { // not the same on every machine
		return nil, fmt.Errorf("must be a time zone such as Europe/Vienna or UTC, not %s", quote(f.TimeZone))
	}
	loc, err := time.LoadLocation(f.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("must be a time zone such as Europe/Vienna or UTC, not %s", quote(f.TimeZone))
	}
	return loc, nil
}

// At reports whether a moment is in the window, and when the window ends then, by the clock of its zone. It ends when the
// one that began last does.
func (f Freeze) At(now time.Time) (until time.Time, in bool) {
	s, err := f.schedule()
	if err != nil {
		return time.Time{}, false // it was validated
	}
	span := time.Duration(f.For)
	for began := s.Next(now.Add(-span)); !began.IsZero() && !began.After(now); began = s.Next(began) {
		until, in = began.Add(span), true
	}
	return until.In(s.Location), in
}

// Frozen is the window that a moment is in, the one that ends last, and when that is; false when it is in none.
func (g GuardRules) Frozen(now time.Time) (f Freeze, until time.Time, in bool) {
	for _, one := range g.Freeze {
		if end, ok := one.At(now); ok && end.After(until) {
			f, until, in = one, end, true
		}
	}
	return f, until, in
}

// freezes checks a list of windows.
func (k *checker) freezes(path string, all []Freeze) {
	if len(all) > maxFreezes {
		k.errorf(path, "at most %d windows may be listed, not %d", maxFreezes, len(all))
		return
	}
	for i, f := range all {
		at := fmt.Sprintf("%s[%d]", path, i)
		_, noZone := f.zone()
		s, err := f.schedule()
		switch {
		case f.Start == "":
			k.errorf(join(at, "start"), "is missing; write when the window begins, such as 0 18 * * FRI")
		case noZone != nil:
			k.errorf(join(at, "timeZone"), "%v", noZone)
		case err != nil:
			k.errorf(join(at, "start"), "%v", err)
		case s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero():
			k.errorf(join(at, "start"), "never comes: no year has such a day")
		}
		if d := time.Duration(f.For); d == 0 {
			k.errorf(join(at, "for"), "is missing; write how long the window lasts, such as 62h")
		} else {
			k.between(join(at, "for"), d, time.Minute, maxFreeze)
		}
	}
}

// String is the window as people name it.
func (f Freeze) String() string {
	return cmp.Or(f.Why, f.Start+" for "+formatDuration(time.Duration(f.For)))
}
