package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Program is a flow that is ready to be run. It is never changed.
type Program struct {
	Flow    Flow
	Every   time.Duration
	Timeout time.Duration
	Steps   []Stage
}

// Stage is a step that is ready to be run.
type Stage struct {
	Step
	Title string // what messages call it

	method   string
	base     string // scheme and host, where the step goes to neither pod nor Service
	path     template
	headers  []header
	body     template
	matches  *regexp.Regexp // nil: any body
	holds    *expression    // nil: nothing
	captures []capture
}

type header struct {
	name  string
	value template
}

type capture struct {
	name    string
	cel     *expression
	header  string
	pattern *regexp.Regexp
}

// Miss is an expectation that did not come true.
type Miss struct {
	Expected string
	Got      string // may hold what must not be shown: see Redactor
}

// Request is an HTTP request as it is sent.
type Request struct {
	Method string
	Base   string // scheme and host; empty: the pod's, or the Service's
	Path   string // with the query, escaped
	Header http.Header
	Body   string
}

// Request puts values into the step's request. A value that cannot stand where it is to stand is a Miss.
func (s *Stage) Request(values map[string]string) (Request, *Miss) {
	r := Request{Method: s.method, Base: s.base, Path: s.path.escaped(values), Header: make(http.Header, len(s.headers)), Body: s.body.verbatim(values)}
	for _, h := range s.headers {
		value := h.value.verbatim(values)
		if unfitHeader(value) != "" {
			return r, &Miss{Expected: "a captured value that fits into the header " + h.name, Got: "one that spans lines"}
		}
		r.Header.Set(h.name, value)
	}
	return r, nil
}

// unfitHeader says why a value cannot be that of a header; empty if it can.
func unfitHeader(value string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return "a header is one line of printable text"
	}
	return ""
}

// Wants reports whether the step expects an answer of that status.
func (s *Stage) Wants(code int) bool {
	if s.Expect == nil || len(s.Expect.Status) == 0 {
		return Status("2xx").covers(code)
	}
	for _, want := range s.Expect.Status {
		if want.covers(code) {
			return true
		}
	}
	return false
}

// maxCaptured is how long a captured value may be, in bytes.
const maxCaptured = 8 << 10

// Judge holds an answer against what the step expects, and adds what it captures to values. It returns nil if all is as it
// should be.
func (s *Stage) Judge(ctx context.Context, got Answer, values map[string]string) *Miss {
	a := &answer{Answer: got, values: values}
	if !s.Wants(got.Status) {
		return &Miss{Expected: s.wanted(), Got: a.shown()}
	}
	if s.matches != nil && !s.matches.Match(got.Body) {
		return &Miss{Expected: "a body that matches " + quote(s.Expect.Body), Got: a.shown()}
	}
	if s.holds != nil {
		switch ok, err := s.holds.holds(ctx, a); {
		case err != nil:
			return &Miss{Expected: cut(oneLine(s.holds.text), 120), Got: why(err) + "; " + a.shown()}
		case !ok:
			return &Miss{Expected: cut(oneLine(s.holds.text), 120), Got: a.shown()}
		}
	}
	if miss := s.Slow(got.Took); miss != nil {
		return miss
	}
	found := make(map[string]string, len(s.captures))
	for _, c := range s.captures {
		value, err := c.find(ctx, a)
		if err == nil && len(value) > maxCaptured {
			err = fmt.Errorf("it is longer than %d KiB", maxCaptured>>10)
		}
		if err != nil {
			return &Miss{Expected: "a value to capture as " + c.name, Got: why(err) + "; " + a.shown()}
		}
		found[c.name] = value
	}
	for name, value := range found {
		values[name] = value
	}
	return nil
}

// Slow is the Miss of a step that took too long, if it did.
func (s *Stage) Slow(took time.Duration) *Miss {
	if s.Expect == nil || s.Expect.Within == 0 || took <= time.Duration(s.Expect.Within) {
		return nil
	}
	return &Miss{Expected: "an answer within " + time.Duration(s.Expect.Within).String(), Got: "one after " + round(took).String()}
}

// round keeps three digits or so.
func round(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d > 100*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

func (s *Stage) wanted() string {
	if s.Expect == nil || len(s.Expect.Status) == 0 {
		return "status 2xx"
	}
	var all []string
	for _, one := range s.Expect.Status {
		all = append(all, string(one))
	}
	return "status " + strings.Join(all, " or ")
}

// shown is the answer in a few words.
func (a *answer) shown() string {
	status := fmt.Sprintf("status %d", a.Status)
	if to := a.Header.Get("Location"); to != "" && a.Status >= 300 && a.Status < 400 {
		status += " to " + bounded(to)
	}
	text := excerpt(a.Body, a.Header.Get("Content-Type"))
	if text == "" {
		return status + ", no body"
	}
	return fmt.Sprintf("%s, body %q", status, text)
}

// why is what an expression or a capture found wrong.
func why(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(err.Error(), "operation interrupted"):
		return "it takes too long to work out"
	case strings.Contains(err.Error(), "actual cost limit exceeded"):
		return "it is too much to work out"
	}
	return bounded(err.Error())
}

func (c capture) find(ctx context.Context, a *answer) (string, error) {
	switch {
	case c.cel != nil:
		return c.cel.single(ctx, a)
	case c.header != "":
		values := a.Header.Values(c.header)
		if len(values) == 0 {
			return "", fmt.Errorf("there is no header %s", c.header)
		}
		if c.pattern == nil {
			return values[0], nil
		}
		for _, v := range values {
			if m := c.pattern.FindStringSubmatch(v); m != nil {
				return m[1], nil
			}
		}
		return "", fmt.Errorf("no header %s matches %s", c.header, quote(c.pattern.String()))
	}
	m := c.pattern.FindSubmatch(a.Body)
	if m == nil {
		return "", fmt.Errorf("nothing in the body matches %s", quote(c.pattern.String()))
	}
	return string(m[1]), nil
}

// Base is the scheme and host of the step's URL; empty where it goes to the pod or a Service.
func (s *Stage) Base() string { return s.base }
