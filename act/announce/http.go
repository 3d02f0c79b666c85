package announce

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxAnswerText = 200     // runes of an error answer that are shown
	maxAnswerBody = 1 << 20 // bytes of any answer that are read
)

// AnswerError is an HTTP answer other than 2xx. It is final (errors.Is ErrFinal) unless trying again may mend it: 408, 425,
// 429 and 5xx. It shows neither the address nor the credentials of the request, even where the answer echoes them.
type AnswerError struct {
	Code  int
	Text  string        // how the answer's body begins, on one line
	After time.Duration // what Retry-After asked for; zero if it did not
}

// Error says what was answered.
func (e *AnswerError) Error() string {
	said := strings.TrimSpace(fmt.Sprintf("answered %d %s", e.Code, http.StatusText(e.Code)))
	if e.Text != "" {
		said += ": " + e.Text
	}
	return said
}

// Is reports whether the answer is final.
func (e *AnswerError) Is(target error) bool { return target == ErrFinal && !e.mayMend() }

// RetryAfter is how long the receiver asks to be left alone.
func (e *AnswerError) RetryAfter() time.Duration { return e.After }

func (e *AnswerError) mayMend() bool {
	switch e.Code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.Code >= 500
}

// StrictClient returns a client like c for which every answer but a 2xx is an AnswerError, redirects included: following
// one turns a POST into a GET, and the login page it leads to answers 200 to a message nobody got.
func StrictClient(c *http.Client) *http.Client {
	strict := &http.Client{}
	if c != nil {
		*strict = *c
	}
	strict.Transport = strictTransport{cmp.Or(strict.Transport, http.DefaultTransport)}
	return strict
}

type strictTransport struct{ next http.RoundTripper }

func (t strictTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		body := res.Body
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, maxAnswerBody), body}
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	begins, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // what could be read is enough for a message
	sent := cmp.Or(res.Request, req)                         // the one that carries the credentials
	return nil, &AnswerError{
		Code:  res.StatusCode,
		Text:  Clip(OneLine(conceal(string(begins), sent)), maxAnswerText),
		After: retryAfter(res.Header.Get("Retry-After"), time.Now()),
	}
}

// conceal takes out of an answer what it may echo of the request: "Cannot POST /services/T0/B0/secret".
func conceal(text string, req *http.Request) string {
	_, credential, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	password, _ := req.URL.User.Password()
	secrets := []string{credential, password, req.URL.RawQuery, req.URL.Path, req.URL.EscapedPath()}
	for _, values := range req.URL.Query() {
		secrets = append(secrets, values...)
	}
	for part := range strings.SplitSeq(req.URL.Path, "/") {
		if len(part) >= 12 { // shorter ones are words such as "annotations"
			secrets = append(secrets, part)
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	for _, secret := range secrets {
		if len(secret) >= 6 {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return text
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// ParseAddress reads the address of a receiver. Its error does not repeat the address, which may hold a secret.
func ParseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the address is not of the form http://host:port/path or https://host:port/path")
	}
	return u, nil
}

// Place is as much of an address as may be shown: scheme and host.
func Place(u *url.URL) string { return u.Scheme + "://" + u.Host }

// WithoutAddress takes off the layer of err in which net/http repeats method and full address.
func WithoutAddress(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// Clip shortens text to at most limit runes, the last of which then is an ellipsis.
func Clip(text string, limit int) string {
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// OneLine makes text valid UTF-8 on one line: every run of white space and control characters is one space.
func OneLine(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
}
