package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/config"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

const (
	lokiTimeout = 10 * time.Second
	lokiAtOnce  = 4           // requests under way at the same time
	lokiBytes   = 16 << 20    // of one answer
	lokiPage    = 5000        // lines of one answer: what Loki allows unless it is told otherwise
	lokiLeast   = 50          // likewise, of one that allows less, or has very long lines
	lokiNames   = 500         // streams of a workload that are told apart
	lokiMaxRest = time.Minute // for how long it is left alone at most, if it asks for that
)

// lokiClient asks Loki by its HTTP API.
type lokiClient struct {
	base    *url.URL
	http    *http.Client
	timeout time.Duration
	slots   chan struct{}
	breaker *upstream.Breaker
	meter   upstream.Meter

	mu      sync.Mutex
	page    int
	until   time.Time  // it is left alone until then
	resting *lokiError // why
}

func newLokiClient(o LokiOptions) (*lokiClient, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" { // the address may hold a password: it is not shown
		return nil, errors.New("loki: the url is not an address like http://loki-gateway.monitoring")
	}
	if reflect.ValueOf(o.HTTPClient).IsZero() {
		o.HTTPClient = config.DefaultHTTPClientConfig
	}
	if o.Tenant != "" {
		o.HTTPClient.HTTPHeaders = &config.Headers{Headers: map[string]config.Header{"X-Scope-Orgid": {Values: []string{o.Tenant}}}}
	}
	if err := o.HTTPClient.Validate(); err != nil {
		return nil, fmt.Errorf("loki: %w", err)
	}
	client, err := config.NewClientFromConfig(o.HTTPClient, "bakewatch")
	if err != nil {
		return nil, fmt.Errorf("loki: %w", err)
	}
	if o.Timeout <= 0 {
		o.Timeout = lokiTimeout
	}
	return &lokiClient{base: u, http: client, timeout: o.Timeout, slots: make(chan struct{}, lokiAtOnce), breaker: upstream.NewBreaker(0), meter: o.Metrics.Of(signals.Loki), page: lokiPage}, nil
}

// stored is a line as Loki has it.
type stored struct {
	at             time.Time
	pod, container string
	text           string
}

// lines are those that a query finds in [from, to), in the order of their times, and whether they are all of them: no more than
// most are read, the newest first where newest is set.
func (c *lokiClient) lines(ctx context.Context, l layout, query string, from, to time.Time, newest bool, most int) (out []stored, all bool, err error) {
	seen := map[stored]bool{} // at the edge between two answers
	for {
		got, size, err := c.somePage(ctx, l, query, from, to, newest)
		if err != nil {
			return nil, false, err
		}
		fresh := slices.DeleteFunc(slices.Clone(got), func(s stored) bool { return seen[s] })
		out = append(out, fresh...)
		switch {
		case len(got) < size:
			slices.SortStableFunc(out, func(a, b stored) int { return a.at.Compare(b.at) })
			return out, true, nil
		case len(out) >= most:
			slices.SortStableFunc(out, func(a, b stored) int { return a.at.Compare(b.at) })
			return out, false, nil
		}
		edge := got[len(got)-1].at
		if newest {
			edge = got[0].at
		}
		clear(seen)
		for _, s := range got {
			if s.at.Equal(edge) {
				seen[s] = true
			}
		}
		switch {
		case newest && len(fresh) == 0:
			to = edge
		case newest:
			to = edge.Add(1)
		case len(fresh) == 0: // a whole answer of one moment
			from = edge.Add(1)
		default:
			from = edge
		}
	}
}

// somePage asks for as many lines as Loki gives in one answer.
func (c *lokiClient) somePage(ctx context.Context, l layout, query string, from, to time.Time, newest bool) ([]stored, int, error) {
	for {
		c.mu.Lock()
		size := c.page
		c.mu.Unlock()
		got, err := c.queryRange(ctx, l, query, from, to, size, newest)
		var failure *lokiError
		if err == nil || !errors.As(err, &failure) || !failure.less || size <= lokiLeast {
			return got, size, err
		}
		c.mu.Lock()
		c.page = max(lokiLeast, min(c.page, size/5))
		c.mu.Unlock()
	}
}

// queryRange is one request for lines, and what it found, oldest first.
func (c *lokiClient) queryRange(ctx context.Context, l layout, query string, from, to time.Time, limit int, newest bool) ([]stored, error) {
	args := url.Values{"query": {query}, "start": {nanos(from)}, "end": {nanos(to)}, "limit": {strconv.Itoa(limit)}, "direction": {"forward"}}
	if newest {
		args.Set("direction", "backward")
	}
	var data struct {
		Type    string `json:"resultType"`
		Streams []struct {
			Labels map[string]string   `json:"stream"`
			Values [][]json.RawMessage `json:"values"`
		} `json:"result"`
	}
	if err := c.get(ctx, "query_range", args, &data); err != nil {
		return nil, err
	}
	if data.Type != "streams" || data.Streams == nil {
		return nil, unreadable("it holds no streams")
	}
	var out []stored
	for _, s := range data.Streams {
		pod, container := s.Labels[l.pod], s.Labels[l.container]
		if pod == "" {
			return nil, unreadable("a stream has no label " + l.pod)
		}
		for _, v := range s.Values {
			var stamp, text string
			if len(v) < 2 || json.Unmarshal(v[0], &stamp) != nil || json.Unmarshal(v[1], &text) != nil {
				return nil, unreadable("an entry is not a time and a line")
			}
			n, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil {
				return nil, unreadable("an entry's time is not in nanoseconds")
			}
			at := time.Unix(0, n)
			if !at.Before(from) && at.Before(to) {
				out = append(out, stored{at: at, pod: pod, container: container, text: text[:min(len(text), maxLine)]})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b stored) int { return a.at.Compare(b.at) })
	return out, nil
}

// series are the values that a label has in the streams that a selector finds.
func (c *lokiClient) series(ctx context.Context, selector, label string, from, to time.Time) ([]string, error) {
	var data []map[string]string
	if err := c.get(ctx, "series", url.Values{"match[]": {selector}, "start": {nanos(from)}, "end": {nanos(to)}}, &data); err != nil {
		return nil, err
	}
	var out []string
	for _, s := range data {
		if v := s[label]; v != "" && !slices.Contains(out, v) && len(out) < lokiNames {
			out = append(out, v)
		}
	}
	return out, nil
}

// labels are the names of the labels that there are.
func (c *lokiClient) labels(ctx context.Context, from, to time.Time) (out []string, err error) {
	err = c.get(ctx, "labels", url.Values{"start": {nanos(from)}, "end": {nanos(to)}}, &out)
	return out, err
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// get sends one request when its turn comes, and takes the answer's data.
func (c *lokiClient) get(ctx context.Context, what string, args url.Values, data any) error {
	if failure := c.rests(); failure != nil {
		return failure
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return lokiFailed(upstream.Unavailable, ctx.Err(), "no turn within %s", c.timeout)
	}
	tell, refused := c.breaker.Allow()
	if refused != nil {
		return &lokiError{Failure: *refused}
	}
	began := time.Now()
	err := c.send(ctx, what, args, data)
	var failure *lokiError
	if err != nil && !errors.As(err, &failure) {
		failure = lokiFailed(upstream.Unavailable, err, "%s", clause(err.Error()))
	}
	if failure != nil && failure.Class == upstream.Unavailable {
		tell(&failure.Failure)
	} else {
		tell(nil)
	}
	if failure == nil || !errors.Is(failure.Cause, context.Canceled) { // that somebody gave up says nothing of Loki
		c.measure(failure, time.Since(began))
		c.rest(failure)
	}
	if failure != nil {
		return failure
	}
	return nil
}

func (c *lokiClient) send(ctx context.Context, what string, args url.Values, data any) error {
	u := c.base.JoinPath("/loki/api/v1/", what)
	u.RawQuery = args.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return lokiFailed(upstream.Rejected, err, "the request cannot be made")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return onTheWay(err, c.timeout)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, lokiBytes+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return byStatus(resp, string(body))
	case err != nil:
		return onTheWay(err, c.timeout)
	case len(body) > lokiBytes:
		failure := lokiFailed(upstream.TooExpensive, nil, "its answer is larger than %d MiB", lokiBytes>>20)
		failure.less = true
		return failure
	}
	var answer struct {
		Status   string          `json:"status"`
		Data     json.RawMessage `json:"data"`
		Warnings []string        `json:"warnings"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil:
		return unreadable("it is no JSON, or not all of it came")
	case answer.Status != "success":
		return unreadable("its status is not success")
	case len(answer.Warnings) > 0:
		return lokiFailed(upstream.Unavailable, nil, "partial answer: %s", clause(answer.Warnings[0]))
	case len(answer.Data) == 0 || string(answer.Data) == "null":
		if what == "query_range" {
			return unreadable("it holds no data")
		}
		return nil // labels and series are left out where there are none
	}
	if err := json.Unmarshal(answer.Data, data); err != nil {
		return unreadable("its data is of another shape")
	}
	return nil
}

// measure notes how a request went.
func (c *lokiClient) measure(failure *lokiError, took time.Duration) {
	var f *upstream.Failure
	if failure != nil {
		f = &failure.Failure
	}
	c.meter.Asked(f, took)
	c.meter.Found(f)
}

// rests says why Loki is left alone for now; nil: it is not.
func (c *lokiClient) rests() *lokiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		return c.resting
	}
	return nil
}

// rest leaves Loki alone for as long as it has asked for that.
func (c *lokiClient) rest(failure *lokiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
	if failure != nil && failure.wait > 0 {
		c.until, c.resting = time.Now().Add(min(failure.wait, lokiMaxRest)), failure
	}
}

func (c *lokiClient) close() { c.http.CloseIdleConnections() }

// clause is foreign text as it may be quoted: one line, short, without what looks like a secret.
func clause(text string) string {
	return flow.Excerpt(redactor.Redact(text), 200)
}
