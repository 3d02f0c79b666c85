package flow

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Duration is written as 5s or 500ms.
type Duration time.Duration

// UnmarshalText reads a duration above zero.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("must be a duration above 0 such as 500ms or 5s, not %s", quote(string(text)))
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Port is a port by its number, or by the name it is declared with; empty: the only one there is.
type Port string

var portName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// UnmarshalText reads a number or a name.
func (p *Port) UnmarshalText(text []byte) error {
	s := string(text)
	if n, err := strconv.Atoi(s); err == nil && (n < 1 || n > 65535) || !portName.MatchString(s) {
		return fmt.Errorf("must be a port's number from 1 to 65535, or its name, not %s", quote(s))
	}
	*p = Port(s)
	return nil
}

// Number is the port's number, if it is written as one.
func (p Port) Number() (uint16, bool) {
	n, err := strconv.ParseUint(string(p), 10, 16)
	return uint16(n), err == nil && n > 0
}

func (p Port) or(other string) string {
	if p == "" {
		return other
	}
	return string(p)
}

// Status is an HTTP status, such as 200, or a class of them, such as 2xx.
type Status string

var status = regexp.MustCompile(`^[1-5]([0-9][0-9]|xx)$`)

// UnmarshalText reads a status or a class.
func (s *Status) UnmarshalText(text []byte) error {
	if !status.Match(text) {
		return fmt.Errorf("must be an HTTP status such as 200, or a class such as 2xx, not %s", quote(string(text)))
	}
	*s = Status(text)
	return nil
}

// covers reports whether a status is the one, or of the class.
func (s Status) covers(code int) bool {
	n := strconv.Itoa(code)
	return n == string(s) || len(n) == 3 && len(s) == 3 && s[1:] == "xx" && n[0] == s[0]
}

// quote shows a value in a message, cut to a length that fits on a line.
func quote(s string) string { return strconv.Quote(cut(s, 60)) }
