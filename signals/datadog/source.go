// Package datadog answers Questions from Datadog's metrics, through Datadog's own client.
//
// Datadog keeps no counters but how many there were in buckets of time, and sends nothing for a bucket in which there was
// nothing. So a bucket that is null or missing is never a zero by itself. A pod or version that spoke shortly before had no
// requests in it; one that has not for longer is missing, and so is whatever has never spoken.
//
// What is measured arrives in Datadog some time after it happened. A bucket is looked at only when it is over, and Lag after
// that: ask only for windows that ended as long ago.
package datadog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// Defaults of Options.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultLag         = time.Minute
	DefaultMaxInFlight = 4
	DefaultMaxBytes    = 64 << 20
)

// Options say where the source is and how much may be asked of it. Zero values, but for the keys' files and one of Site and
// URL, mean the defaults.
type Options struct {
	Site                   string            // of the organisation, such as datadoghq.eu
	URL                    string            // base address of the API, in place of the site's
	APIKeyFile, AppKeyFile string            // absolute paths; read anew for each request
	Lag                    time.Duration     // how long after it happened something can be read in full
	Timeout                time.Duration     // time one request may take; as long again it may wait for its turn
	MaxInFlight            int               // requests sent at the same time
	MaxBytes               int64             // size of one answer, in bytes
	Budget                 *Budget           // made once a process; nil: its own
	Metrics                *upstream.Metrics // made once a process; nil: not measured
	Log                    *zap.Logger       // nil: silent
}

// Source is an organisation in Datadog, asked on behalf of many bakes. Use it from any number of goroutines. It is built
// anew for a new configuration; Close the old one.
type Source struct {
	address     string
	client      *http.Client
	breaker     *upstream.Breaker
	skew        atomic.Int64 // of the server's clock, in nanoseconds; ahead of ours is positive
	metricsAPI  *datadogV1.MetricsApi
	authAPI     *datadogV1.AuthenticationApi
	monitorsAPI *datadogV1.MonitorsApi
	keys        keyFiles
	lag         time.Duration
	timeout     time.Duration
	budget      *Budget
	meter       upstream.Meter
	log         *zap.Logger

	board     *board
	listed    shelf[[]string]
	monitored shelf[[]monitor]
	slots     chan struct{}
	ctx       context.Context // ends with Close
	stop      context.CancelFunc
	health    health

	requests atomic.Int64
	down     atomic.Bool // the last request found the source unavailable
}

// New builds a Source. It asks nothing: see Check.
func New(o Options) (*Source, error) {
	if o.URL == "" {
		if o.Site == "" {
			return nil, errors.New("datadog: neither site nor url says where the API is")
		}
		o.URL = "https://api." + o.Site
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("datadog: the url is not an address like https://api.datadoghq.eu")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Lag <= 0 {
		o.Lag = DefaultLag
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Budget == nil {
		o.Budget = &Budget{}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	client := newClient(o)
	cfg := datadog.NewConfiguration()
	cfg.HTTPClient = client
	cfg.UserAgent = "bakewatch " + cfg.UserAgent
	cfg.Servers = datadog.ServerConfigurations{{URL: strings.TrimRight(u.String(), "/")}}
	cfg.RetryConfiguration.EnableRetry = false // the next tick is the retry
	api := datadog.NewAPIClient(cfg)
	s := &Source{
		address:     u.Redacted(),
		client:      client,
		metricsAPI:  datadogV1.NewMetricsApi(api),
		authAPI:     datadogV1.NewAuthenticationApi(api),
		monitorsAPI: datadogV1.NewMonitorsApi(api),
		keys:        keyFiles{api: o.APIKeyFile, app: o.AppKeyFile},
		lag:         o.Lag, timeout: o.Timeout, budget: o.Budget, meter: o.Metrics.Of(signals.Datadog), log: o.Log,
		board:   newBoard(),
		slots:   make(chan struct{}, o.MaxInFlight),
		breaker: upstream.NewBreaker(0),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// newClient is an HTTP client that bounds what it reads, and follows no redirect: the keys would go with it.
func newClient(o Options) *http.Client {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   o.Timeout,
		ResponseHeaderTimeout: o.Timeout,
		MaxIdleConnsPerHost:   o.MaxInFlight,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	return &http.Client{
		Transport:     &upstream.Limiter{Next: transport, Max: o.MaxBytes, Hint: "narrow its scope"},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close ends what is under way and releases connections and memory. Questions asked later find the source unavailable.
func (s *Source) Close() {
	s.stop()
	s.board.close()
	s.client.CloseIdleConnections()
}

// Lag is how long after it happened something can be read in full.
func (s *Source) Lag() time.Duration { return s.lag }

// Requests is how many requests were sent so far, those of Check included.
func (s *Source) Requests() int64 { return s.requests.Load() }

const (
	// maxWindows bounds one question.
	maxWindows = 1000
	// maxBuckets bounds the buckets of one answer: of more than 1,500 Datadog makes longer ones.
	maxBuckets = 1400
	// shortest and its doubles are the seconds that are asked for, so that questions that differ a little in length are the
	// same request.
	shortest = 150
)

// Lookback is how far before a window it is looked whether a pod or version spoke at all: two minutes, or four windows.
func Lookback(window time.Duration) time.Duration { return max(2*time.Minute, 4*window) }

// Read answers a question with one Reading for each window between its bounds. That the source cannot be read, or not in
// full, is said by the Readings; an error means that the question itself cannot be asked.
func (s *Source) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	windows, err := windowsOf(q)
	if err == nil {
		q, err = render(q)
	}
	if err != nil {
		return nil, fmt.Errorf("datadog: signal %s: %w", q.Signal, err)
	}
	readings := make([]signals.Reading, len(windows))
	due := 0 // how many windows can be read in full by now
	for i := range readings {
		readings[i].Window = signals.Window{From: q.Bounds[i], To: q.Bounds[i+1]}
		if at := q.Bounds[i+1].Add(s.lag); !time.Now().Before(at) {
			due++
		} else {
			readings[i].Candidate = blind("what was measured may not have arrived before " + at.UTC().Format(time.TimeOnly) + " UTC")
			readings[i].Baseline = readings[i].Candidate
		}
	}
	windows = windows[:due]
	if len(windows) == 0 {
		return readings, nil
	}
	answered := readings[:len(windows)]
	tags, aboutMonitors := query.ParseMonitors(q.Events)
	switch {
	case aboutMonitors:
		s.readMonitors(ctx, tags, q.Born, windows, answered)
	case q.Value != "":
		err = s.readValues(ctx, q, windows, answered)
	default:
		err = s.readCounts(ctx, q, windows, answered)
	}
	if err != nil {
		return nil, fmt.Errorf("datadog: signal %s: %w", q.Signal, err)
	}
	return readings, nil
}

func blind(why string) signals.Side {
	return signals.Side{Missing: signals.Failed, Detail: "datadog: " + why}
}

// window is one window in seconds, open at from, closed at to, with where it is looked from for whether anything spoke.
type window struct{ since, from, to int64 }

// windowsOf checks a question, and gives its windows.
func windowsOf(q signals.Question) ([]window, error) {
	switch {
	case len(q.Bounds) < 2:
		return nil, errors.New("a question needs two bounds or more")
	case len(q.Bounds)-1 > maxWindows:
		return nil, fmt.Errorf("a question of %d windows is too long; at most %d", len(q.Bounds)-1, maxWindows)
	case q.Whole && q.Workload == "":
		return nil, errors.New("a question about a whole workload needs its name")
	case q.Lives != nil && q.Workload == "":
		return nil, errors.New("a question about pods' lives needs the name of their workload")
	case q.By == signals.ByPod && !q.Whole && q.Lives == nil && q.Candidate == "" && q.BaselineValue == "":
		return nil, errors.New("a question by pod needs the prefix of the candidate's pods")
	case q.By == signals.ByPod && !q.Whole && q.Lives == nil && q.Candidate != "" && q.Candidate == q.Baseline:
		return nil, fmt.Errorf("candidate and baseline have the same pods (%s*)", q.Candidate)
	case q.Events != "" && q.By != signals.ByPod && !query.AboutMonitors(q.Events):
		return nil, errors.New("a question about events of pods must tell pods apart")
	}
	windows := make([]window, len(q.Bounds)-1)
	for i := range windows {
		from, to := q.Bounds[i].Unix(), q.Bounds[i+1].Unix()
		if to <= from {
			return nil, fmt.Errorf("bounds are less than a second apart, or not ascending: %s, %s", q.Bounds[i], q.Bounds[i+1])
		}
		windows[i] = window{since: from - int64(Lookback(time.Duration(to-from)*time.Second).Seconds()), from: from, to: to}
	}
	return windows, nil
}

// render replaces the variables of the question's queries.
func render(q signals.Question) (signals.Question, error) {
	vars := make(map[string]string, len(q.Vars)+4)
	for name, value := range q.Vars {
		vars[name] = value
	}
	delete(vars, query.PodsCandidate) // as others write patterns
	delete(vars, query.PodsBaseline)
	if q.Lives == nil && q.Candidate != "" {
		vars[query.PodsCandidate] = q.Candidate + "*"
	}
	if q.Lives == nil && q.Baseline != "" {
		vars[query.PodsBaseline] = q.Baseline + "*"
	}
	vars[query.VersionCandidate], vars[query.VersionBaseline] = q.CandidateVersion, q.BaselineVersion
	for _, text := range []*string{&q.Errors, &q.Good, &q.Requests, &q.Events, &q.Value, &q.BaselineValue} {
		if *text == "" {
			continue
		}
		rendered, err := query.Render(*text, vars)
		if err != nil {
			return q, err
		}
		*text = rendered
	}
	return q, nil
}

// spanOf is the span that is asked for to answer for the windows, in buckets into which the windows can be cut.
func spanOf(windows []window) span {
	since, to := windows[0].since, windows[len(windows)-1].to
	step := windows[0].from
	for _, w := range windows {
		since = min(since, w.since)
		step = gcd(step, w.to)
	}
	long := int64(shortest)
	for long < to-since {
		long *= 2
	}
	step = max(step, (long+maxBuckets-1)/maxBuckets)
	from := to - long
	return span{from: from - from%step, to: to, step: step}
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// urgent reports whether windows are such as a tick asks for.
func (s *Source) urgent(windows []window) bool {
	const aTick = 3
	return len(windows) <= aTick && time.Since(time.Unix(windows[len(windows)-1].to, 0)) < s.lag+5*time.Minute
}
