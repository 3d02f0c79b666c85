package policy

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Share is a part of a whole: 0.05 is written 5% or 0.05.
type Share float64

// UnmarshalText reads "5%" or "0.05".
func (s *Share) UnmarshalText(text []byte) error {
	t := string(text)
	num, percent := strings.CutSuffix(t, "%")
	num = strings.TrimSpace(num)
	if percent {
		num += "e-2" // rounds once, where dividing by 100 rounds twice; a second exponent makes no number
	}
	f, ok := parseNumber(num)
	if !ok {
		return fmt.Errorf("must be a share such as 5%% or 0.05, not %s", quote(t))
	}
	*s = Share(f)
	return nil
}

// String is the share in percent.
func (s Share) String() string {
	return strconv.FormatFloat(math.Round(float64(s)*1e10)/1e8, 'f', -1, 64) + "%"
}

// Ratio is how many times: 2 is written 2x or 2.
type Ratio float64

// UnmarshalText reads "2x" or "2".
func (r *Ratio) UnmarshalText(text []byte) error {
	t := string(text)
	num, _ := strings.CutSuffix(t, "x")
	f, ok := parseNumber(strings.TrimSpace(num))
	if !ok {
		return fmt.Errorf("must be a ratio such as 2x or 1.5, not %s", quote(t))
	}
	*r = Ratio(f)
	return nil
}

// String is the ratio with an x.
func (r Ratio) String() string { return strconv.FormatFloat(float64(r), 'f', -1, 64) + "x" }

var number = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

// parseNumber reads a decimal that is not negative. The pattern keeps out what strconv also takes: signs, NaN, Inf,
// hexadecimal and underscores.
func parseNumber(s string) (float64, bool) {
	if !number.MatchString(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

var days = regexp.MustCompile(`^([0-9]{1,5})d`)

// parseDuration reads a Go duration such as 1h30m, which may begin with whole days: 1d, 1d12h. Zero is refused: no
// duration of the configuration has a meaning for it.
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("must be a duration above 0 such as 30s, 15m or 1d, not %s", quote(s))
	rest, total := s, time.Duration(0)
	if m := days.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		total = time.Duration(n) * 24 * time.Hour
		rest = s[len(m[0]):]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || (total > 0 && strings.ContainsAny(rest[:1], "+-")) {
			return 0, bad
		}
		total += d
	}
	if total <= 0 {
		return 0, bad
	}
	return total, nil
}

// Span is a duration that is written as people read it, also in records.
type Span time.Duration

// UnmarshalText reads a duration as everywhere.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := parseDuration(string(text))
	if err == nil {
		*s = Span(d)
	}
	return err
}

// MarshalText writes what UnmarshalText reads.
func (s Span) MarshalText() ([]byte, error) { return []byte(formatDuration(time.Duration(s))), nil }

// Limit is a span of time that something is held to, or off, which is 0.
type Limit time.Duration

// UnmarshalText reads a duration as everywhere, or "off".
func (l *Limit) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*l = 0
		return nil
	}
	d, err := parseDuration(string(text))
	if err != nil {
		return fmt.Errorf("must be a duration above 0 such as 30s, 15m or 1d, or off, not %s", quote(string(text)))
	}
	*l = Limit(d)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String is the limit as people write it.
func (l Limit) String() string {
	if l == 0 {
		return "off"
	}
	return formatDuration(time.Duration(l))
}

// formatDuration is the duration as people write it: 15m, not 15m0s.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d > day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// quote shows a value in a message, cut to a length that fits on a line.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return strconv.Quote(string(r[:most])) + "…"
	}
	return strconv.Quote(s)
}

// ParseDuration reads a duration as a configuration does.
func ParseDuration(s string) (time.Duration, error) { return parseDuration(s) }
