package upstream

import (
	"context"
	"io"
	"net/http"
)

// Limiter is a RoundTripper that ends an answer which is larger than allowed, before it fills the memory, and notes the HTTP status
// for the one who asked.
type Limiter struct {
	Next http.RoundTripper
	Max  int64  // bytes of one answer's body
	Hint string // what to do about an answer that is too large: narrow its label matchers
}

// RoundTrip implements http.RoundTripper.
func (l *Limiter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.Next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	if status, ok := req.Context().Value(statusKey{}).(*int); ok {
		*status = resp.StatusCode
	}
	if resp.ContentLength > l.Max {
		_ = resp.Body.Close()
		return nil, l.tooLarge()
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: l.Max, tooLarge: l.tooLarge}
	return resp, nil
}

func (l *Limiter) tooLarge() error {
	return Failed(TooExpensive, nil, "query too expensive: its answer is larger than %d MiB; %s", l.Max>>20, l.Hint)
}

// CloseIdleConnections lets http.Client reach the transport below.
func (l *Limiter) CloseIdleConnections() {
	if c, ok := l.Next.(interface{ CloseIdleConnections() }); ok {
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

type statusKey struct{}

// NotingStatus gives a context whose request writes the HTTP status it received to the returned place.
func NotingStatus(ctx context.Context) (context.Context, *int) {
	status := new(int)
	return context.WithValue(ctx, statusKey{}, status), status
}
