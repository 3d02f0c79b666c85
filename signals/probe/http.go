package probe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// userAgent says in other people's logs who asks.
const userAgent = "bakewatch-flow"

// maxHeader bounds an answer's header, in bytes.
const maxHeader = 64 << 10

// http sends a step's request and judges the answer.
func (v *visit) http(ctx context.Context, s *flow.Stage, to place) (*flow.Miss, error) {
	r, miss := s.Request(v.values)
	if miss != nil {
		return miss, nil
	}
	base := r.Base
	if base == "" {
		base = v.scheme() + "://" + to.at.String()
	}
	var body io.Reader = http.NoBody
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, base+r.Path, body)
	if err != nil {
		return nil, errors.New("the request cannot be made: " + cause(err).Error())
	}
	req.Header = r.Header
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	} else if to.own() && to.name != "" {
		req.Host = to.name
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", userAgent)
	}
	began := time.Now()
	transport := v.transport(to, nil)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		return v.failed(cause(err), to, "an answer")
	}
	defer func() { _ = res.Body.Close() }()
	got := flow.Answer{Status: res.StatusCode, Header: res.Header}
	got.Body, err = io.ReadAll(io.LimitReader(res.Body, flow.MaxBody+1))
	got.Took = time.Since(began)
	if err != nil {
		return v.failed(cause(err), to, "an answer")
	}
	if len(got.Body) > flow.MaxBody {
		got.Body, got.Cut = got.Body[:flow.MaxBody], true
	}
	return s.Judge(ctx, got, v.values), nil
}

func (v *visit) scheme() string {
	if v.tls != nil {
		return "https"
	}
	return "http"
}

// transport carries one request over a connection of its own. It follows no redirect: the step's answer is what the place itself
// says. No proxy is asked.
func (v *visit) transport(to place, protocols *http.Protocols) *http.Transport {
	return &http.Transport{DialContext: to.dialHTTP, TLSClientConfig: v.tls.config(to), DisableKeepAlives: protocols == nil, MaxResponseHeaderBytes: maxHeader, Protocols: protocols}
}

// cause is an error without the URL, which may hold a secret.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
