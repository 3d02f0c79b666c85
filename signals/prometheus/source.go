// Package prometheus answers Questions from a Prometheus server, or from one that speaks its query API (Thanos, Mimir,
// VictoriaMetrics, managed ones).
//
// Counters are read raw: an instant query for a range selector returns the scraped samples with the times of the
// scrapes, so that nothing is interpolated, no first value is lost and no age is hidden, as increase() and rate() do.
// The counting is done here.
//
// A sample belongs to the time its scrape began, and can be read only once the scrape is done and stored. A window
// that is read before that misses the sample, and the next window begins after it: ask only for windows that ended a
// little ago, longer than a scrape takes.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// Defaults of Options.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultMaxInFlight = 8
	DefaultMaxBytes    = 64 << 20
)

const (
	// maxReach bounds the samples of one request: a longer question is asked in parts.
	maxReach = 40 * time.Minute
	// shortestReach and its doubles are the reaches queries are sent with, so that questions that differ a little
	// in length are the same request.
	shortestReach = 150 * time.Second
	// maxWindows bounds one question: a day of ticks of ten seconds and more.
	maxWindows = 10_000
)

// Auth has requests carry what the server knows the daemon by.
type Auth func(next http.RoundTripper) (http.RoundTripper, error)

// Options say where the source is and how much may be asked of it. Zero values, but for the URL, mean the defaults.
type Options struct {
	URL         string                  // base address, e.g. http://prometheus-server.monitoring
	HTTPClient  config.HTTPClientConfig // authorization, TLS, OAuth2, proxy, headers
	Auth        Auth                    // nil: as HTTPClient says
	Timeout     time.Duration           // time one query may take; as long again it may wait for its turn
	MaxInFlight int                     // queries sent at the same time
	MaxBytes    int64                   // size of one answer, in bytes
	Metrics     *upstream.Metrics       // made once a process; nil: not measured
	Log         *zap.Logger             // nil: silent
}

// Source is a Prometheus server, asked on behalf of many bakes. Use it from any number of goroutines. It is built anew
// for a new configuration; Close the old one.
type Source struct {
	address string // without password, for messages
	client  *http.Client
	api     v1.API
	timeout time.Duration
	meter   upstream.Meter
	log     *zap.Logger

	memo     *memo
	searches singleflight.Group // for metrics' names
	bundles  bundles
	slots    chan struct{}
	breaker  *upstream.Breaker
	ctx      context.Context // ends with Close
	stop     context.CancelFunc

	queries atomic.Int64
	down    atomic.Bool // the last query found the source unavailable
}

// New builds a Source. It asks nothing of the server: see Check.
func New(o Options) (*Source, error) {
	if reflect.ValueOf(o.HTTPClient).IsZero() {
		o.HTTPClient = config.DefaultHTTPClientConfig
	}
	if err := o.HTTPClient.Validate(); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	client, err := config.NewClientFromConfig(o.HTTPClient, "bakewatch")
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	if o.Auth != nil {
		if client.Transport, err = o.Auth(client.Transport); err != nil {
			return nil, fmt.Errorf("prometheus: %w", err)
		}
	}
	return newSource(o, client)
}

func newSource(o Options, client *http.Client) (*Source, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		var parsing *url.Error
		if errors.As(err, &parsing) { // its own text repeats the address, password and all
			err = parsing.Err
		}
		return nil, fmt.Errorf("prometheus: the url is not an address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("prometheus: the url %q is not an address like http://prometheus-server.monitoring:9090", u.Redacted())
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	client.Transport = &upstream.Limiter{Next: client.Transport, Max: o.MaxBytes, Hint: "narrow its label matchers"}
	asker, err := api.NewClient(api.Config{Address: o.URL, Client: client})
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	s := &Source{
		address: u.Redacted(),
		client:  client,
		api:     v1.NewAPI(asker),
		timeout: o.Timeout,
		meter:   o.Metrics.Of(signals.Prometheus),
		log:     o.Log,
		memo:    newMemo(),
		slots:   make(chan struct{}, o.MaxInFlight),
		breaker: upstream.NewBreaker(0),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what is under way and releases connections and memory. Questions asked later find the source unavailable.
func (s *Source) Close() {
	s.stop()
	s.memo.close()
	s.client.CloseIdleConnections()
}

// Queries is how many queries were sent to the server so far, those of Check included.
func (s *Source) Queries() int64 { return s.queries.Load() }

// Read answers a question with one Reading for each window between its bounds. That the source cannot be read, or not
// in full, is said by the Readings; an error means that the question itself cannot be asked. Nothing is asked twice:
// the next tick is the retry.
//
// All questions that come to the same query text, are about the same last bound and reach back about as far share one
// request.
func (s *Source) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	q, err := prepare(q)
	if err != nil {
		return nil, fmt.Errorf("prometheus: signal %s: %w", q.Signal, err)
	}
	if q.Value != "" {
		return s.readValues(ctx, q)
	}
	readings := make([]signals.Reading, 0, len(q.Bounds)-1)
	seen := make(map[string]bool, len(q.Seen))
	for pod, was := range q.Seen {
		seen[pod] = was
	}
	parts := portions(spans(q.Bounds))
	names, failure := s.others(ctx, q, parts[len(parts)-1])
	for _, part := range parts {
		var requests, errs *answer
		if failure == nil { // what failed for one part is not tried for the others: a question ends in good time
			requests, errs, failure = s.askBoth(ctx, q, part)
		}
		var candidates, baselines []signals.Side
		var others []map[string]signals.Counts
		if failure == nil {
			candidates, baselines = tellSides(q, part, requests, errs, seen)
			others = tellOthers(q.Query, names, part, requests, errs)
		}
		for i := range part {
			at := len(readings)
			r := signals.Reading{Window: signals.Window{From: q.Bounds[at], To: q.Bounds[at+1]}}
			if failure != nil {
				blind := signals.Side{Missing: signals.Failed, Detail: "prometheus: " + failure.Error()}
				r.Candidate, r.Baseline = blind, blind
			} else {
				r.Candidate, r.Baseline, r.Others = candidates[i], baselines[i], others[i]
			}
			readings = append(readings, r)
		}
	}
	s.tellUsage(ctx, q, readings)
	return readings, nil
}

// prepare checks a question and replaces the variables of its queries.
func prepare(q signals.Question) (signals.Question, error) {
	switch {
	case len(q.Bounds) < 2:
		return q, errors.New("a question needs two bounds or more")
	case len(q.Bounds)-1 > maxWindows:
		return q, fmt.Errorf("a question of %d windows is too long; at most %d", len(q.Bounds)-1, maxWindows)
	case q.Whole && q.Workload == "":
		return q, errors.New("a question about a whole workload needs its name")
	case q.Lives != nil && q.Workload == "":
		return q, errors.New("a question about pods' lives needs the name of their workload")
	case q.By == signals.ByPod && !q.Whole && q.Lives == nil && q.Candidate == "":
		return q, errors.New("a question by pod needs the prefix of the candidate's pods")
	case q.By == signals.ByPod && !q.Whole && q.Lives == nil && q.Candidate == q.Baseline:
		return q, fmt.Errorf("candidate and baseline have the same pods (%s*)", q.Candidate)
	}
	for i := 1; i < len(q.Bounds); i++ {
		if q.Bounds[i].UnixMilli() <= q.Bounds[i-1].UnixMilli() {
			return q, fmt.Errorf("bounds are not ascending: %s, %s", q.Bounds[i-1], q.Bounds[i])
		}
	}
	if q.Events != "" && q.By != signals.ByPod {
		return q, errors.New("a question about events of pods must tell pods apart")
	}
	for _, query := range []*string{&q.Errors, &q.Good, &q.Requests, &q.Histogram, &q.Events, &q.Value, &q.BaselineValue} {
		if *query == "" {
			continue
		}
		rendered, err := promql.Render(strings.TrimSpace(*query), q.Vars)
		if err != nil {
			return q, err
		}
		*query = rendered
	}
	if q.Value == "" {
		_, err := formOf(q.Query)
		return q, err
	}
	return q, nil
}

// portions are the windows in the parts that are asked for in one request each.
func portions(windows []span) [][]span {
	var parts [][]span
	for len(windows) > 0 {
		n := portion(windows)
		parts = append(parts, windows[:n])
		windows = windows[n:]
	}
	return parts
}

// portion is how many of the windows are asked for in one request: at least one, and as many as maxReach holds.
func portion(windows []span) int {
	since := windows[0].since
	for i, w := range windows {
		since = min(since, w.since)
		if i > 0 && w.to-since > maxReach.Milliseconds() {
			return i
		}
	}
	return len(windows)
}

// askBoth asks for both counters over the samples the windows look at. They are asked with the same time and reach.
func (s *Source) askBoth(ctx context.Context, q signals.Question, windows []span) (requests, errs *answer, err error) {
	at := windows[len(windows)-1].to
	since := windows[0].since
	for _, w := range windows {
		since = min(since, w.since)
	}
	reach := shortestReach.Milliseconds()
	for reach < at-since {
		reach *= 2
	}
	f, err := formOf(q.Query)
	if err != nil {
		return nil, nil, err
	}
	tick := time.Duration(windows[0].to-windows[0].from) * time.Millisecond
	first := s.ask(key{text: f.errors.text, part: f.errors.part, time: at, reach: reach}, tick)
	second := s.ask(key{text: f.requests.text, part: f.requests.part, time: at, reach: reach}, tick)
	if errs, err = first(ctx); err != nil {
		return nil, nil, naming("errors", err)
	}
	if requests, err = second(ctx); err != nil {
		return nil, nil, naming("requests", err)
	}
	return requests, errs, nil
}

// naming says which of the two queries failed, where it is the query's own fault.
func naming(query string, err error) error {
	var failure *upstream.Failure
	if errors.As(err, &failure) && failure.Class != upstream.Unavailable {
		return fmt.Errorf("%s: %w", query, err)
	}
	return err
}

// arriving waits for an answer.
type arriving func(ctx context.Context) (*answer, error)

// ask asks for a key, alone or together with others who ask the same of other workloads. tick is how often it is asked.
func (s *Source) ask(k key, tick time.Duration) arriving {
	text, own, bundled := s.bundles.text(k, tick, time.Now())
	k.text = text
	arrives := s.memo.ask(k, func() result { return s.fetch(k) })
	return func(ctx context.Context) (*answer, error) {
		a, err := s.await(ctx, arrives)
		switch {
		case !bundled:
			return a, err
		case err != nil:
			var failure *upstream.Failure
			if errors.As(err, &failure) && (failure.Class == upstream.TooExpensive || errors.Is(failure.Cause, context.DeadlineExceeded)) {
				s.bundles.tooMuch(own)
			}
			return nil, err
		}
		return a.share(own), nil
	}
}

func (s *Source) await(ctx context.Context, c <-chan singleflight.Result) (*answer, error) {
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("gave up waiting: %w", ctx.Err())
	case r := <-c:
		got := r.Val.(result)
		if got.err != nil {
			return nil, got.err
		}
		return got.answer, nil
	}
}

// fetch sends the query of a key. It belongs to all who wait for it, so that only time and Close end it.
func (s *Source) fetch(k key) result {
	if k.step > 0 {
		end := time.UnixMilli(k.time)
		step := time.Duration(k.step) * time.Millisecond
		matrix, err := s.askRange(s.ctx, k.text, v1.Range{Start: time.UnixMilli(k.time - k.reach), End: end, Step: step})
		if err != nil {
			return result{err: err}
		}
		return result{answer: decode(matrix, k.part)}
	}
	// The selector stands on its own line: a comment at its end then ends before the range.
	text := k.text + "\n[" + strconv.FormatInt(k.reach/1000, 10) + "s]"
	value, err := s.query(s.ctx, text, time.UnixMilli(k.time))
	if err != nil {
		return result{err: err}
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return result{err: upstream.Failed(upstream.Rejected, nil, "query rejected: it must select counters, without functions or operators")}
	}
	return result{answer: decode(matrix, k.part)}
}
