package datadog

import (
	"io"
	"net/http"
)

// limiter is a RoundTripper that ends an answer which is larger than allowed, before it fills the memory.
type limiter struct {
	next http.RoundTripper
	max  int64 // bytes of one answer's body
}

func (l *limiter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	if resp.ContentLength > l.max {
		_ = resp.Body.Close()
		return nil, l.tooLarge()
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: l.max, tooLarge: l.tooLarge}
	return resp, nil
}

func (l *limiter) tooLarge() error {
	return failed(tooExpensive, nil, "query too expensive: its answer is larger than %d MiB; narrow its scope", l.max>>20)
}

// CloseIdleConnections lets http.Client reach the transport below.
func (l *limiter) CloseIdleConnections() {
	if c, ok := l.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type limitedBody struct {
	io.ReadCloser
	left     int64
	tooLarge func() error
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLarge()
	}
	// One byte more than allowed is asked for, to tell an answer that just fits from one that does not.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, b.tooLarge()
	}
	return n, err
}
