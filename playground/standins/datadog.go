package standins

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The keys that the Datadog stand-in lets in until others are set.
const (
	DatadogAPIKey = "playground-api-key"
	DatadogAppKey = "playground-app-key"
)

// Datadog plays the metrics part of Datadog's HTTP API. Its samples are those of Prometheus: each metric below is one that
// pods or the ingress really have, under the name and with the tags that Datadog's Agent would give it.
//
//	GET /api/v1/validate   is the API key good?
//	GET /api/v1/query      metrics, as buckets; needs both keys
//	GET /api/v1/metrics    names of the metrics that had points, by tag_filter; needs both keys
//	GET /api/v1/monitor    a monitor for each alert rule of Prometheus, by monitor_tags; needs both keys
//	POST /api/v1/events    an event, which is kept in /_sent; needs the API key
//	GET, DELETE /_sent     the requests
//	PUT, DELETE /_fault    what is to go wrong, see Fault
//	PUT /_keys             {"api": …, "app": …}: keys that were rotated
type Datadog struct {
	samples samples
	began   time.Time // when it was started
	mux     *http.ServeMux
	journal journal

	mu       sync.Mutex
	api, app string
	fault    Fault
	allowed  allowance
}

// allowance is how many queries there may be in a period, and how many there were in this one.
type allowance struct {
	limit, used int
	period      time.Duration
	began       time.Time // of this period
}

// Fault is what goes wrong with queries until it is taken back, or Times is used up.
type Fault struct {
	// Kind is one of those in faults.
	Kind  string `json:"kind"`
	Times int    `json:"times,omitempty"` // how many queries it is for; 0: all
	// Seconds are how long it takes ("slow"), or how much of the newest is missing ("late").
	Seconds int `json:"seconds,omitempty"`
	// Limit is how many queries there may be in a period of Period seconds ("limit").
	Limit  int `json:"limit,omitempty"`
	Period int `json:"period,omitempty"`
}

// faults are the kinds of fault, and what each does.
var faults = map[string]string{
	"error":     "200, with status error in the body",
	"partial":   "200, of half the time that was asked for",
	"empty":     "200, without any series",
	"null":      "200, with null for each value",
	"late":      "200, without the newest seconds",
	"garbage":   "200, with a page of HTML",
	"forbidden": "403, as for a key without the right scope",
	"limited":   "429, for the rest of the period",
	"limit":     "no fault by itself: another limit of queries a period",
	"down":      "503",
	"slow":      "an answer that takes seconds",
}

// Datadog allows so many queries a period, unless a fault says otherwise.
const (
	usualLimit  = 10_000
	usualPeriod = time.Minute
)

// NewDatadog returns one whose samples are those of the Prometheus at an address.
func NewDatadog(prometheus string) *Datadog {
	d := &Datadog{samples: samples{prometheus: prometheus, client: &http.Client{Timeout: 10 * time.Second}}, began: time.Now(), mux: http.NewServeMux(),
		api: DatadogAPIKey, app: DatadogAppKey, allowed: allowance{limit: usualLimit, period: usualPeriod}}
	d.mux.HandleFunc("GET /api/v1/validate", d.validate)
	d.mux.HandleFunc("GET /api/v1/query", d.guard(d.query))
	d.mux.HandleFunc("GET /api/v1/metrics", d.guard(d.metrics))
	d.mux.HandleFunc("GET /api/v1/monitor", d.guard(d.monitors))
	d.mux.HandleFunc("POST /api/v1/events", d.event)
	d.mux.HandleFunc("/_sent", d.journal.show)
	d.mux.HandleFunc("PUT /_fault", d.setFault)
	d.mux.HandleFunc("DELETE /_fault", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		d.fault, d.allowed = Fault{}, allowance{limit: usualLimit, period: usualPeriod}
		d.mu.Unlock()
		reply(w, http.StatusOK, message("all is well"))
	})
	d.mux.HandleFunc("PUT /_keys", d.setKeys)
	d.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "Not Found") })
	return d
}

func (d *Datadog) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// refuse answers as Datadog does when it will not.
func refuse(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string][]string{"errors": {text}})
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (d *Datadog) setFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&f); err != nil || faults[f.Kind] == "" {
		reply(w, http.StatusBadRequest, map[string]any{"message": "write {\"kind\": …}", "kinds": faults})
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.Kind == "limit" {
		d.allowed = allowance{limit: f.Limit, period: time.Duration(max(1, f.Period)) * time.Second, began: time.Now()}
	} else {
		d.fault = f
	}
	reply(w, http.StatusOK, message(faults[f.Kind]))
}

func (d *Datadog) setKeys(w http.ResponseWriter, r *http.Request) {
	var keys struct{ API, App string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&keys); err != nil || keys.API == "" || keys.App == "" {
		reply(w, http.StatusBadRequest, message("write {\"api\": …, \"app\": …}"))
		return
	}
	d.mu.Lock()
	d.api, d.app = keys.API, keys.App
	d.mu.Unlock()
	reply(w, http.StatusOK, message("others are let in no more"))
}

func (d *Datadog) keys() (api, app string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.api, d.app
}

func (d *Datadog) validate(w http.ResponseWriter, r *http.Request) {
	api, _ := d.keys()
	if !same(r.Header.Get("DD-API-KEY"), api) {
		refuse(w, http.StatusForbidden, "Forbidden")
		return
	}
	reply(w, http.StatusOK, map[string]bool{"valid": true})
}

// guard asks for both keys, counts, lets go wrong what is to go wrong, and keeps a record.
func (d *Datadog) guard(handle func(w http.ResponseWriter, r *http.Request, f Fault)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			s := entry(r, nil)
			s.Status = seen.code
			d.journal.add(s)
		}()
		api, app := d.keys()
		if !same(r.Header.Get("DD-API-KEY"), api) || !same(r.Header.Get("DD-APPLICATION-KEY"), app) {
			refuse(seen, http.StatusForbidden, "Forbidden")
			return
		}
		f, c := d.take()
		seen.Header().Set("X-RateLimit-Limit", strconv.Itoa(c.limit))
		seen.Header().Set("X-RateLimit-Period", strconv.Itoa(int(c.period.Seconds())))
		seen.Header().Set("X-RateLimit-Remaining", strconv.Itoa(max(0, c.limit-c.used)))
		seen.Header().Set("X-RateLimit-Reset", strconv.Itoa(int(math.Ceil(time.Until(c.began.Add(c.period)).Seconds()))))
		seen.Header().Set("X-RateLimit-Name", "metrics_query")
		switch {
		case c.used > c.limit || f.Kind == "limited":
			refuse(seen, http.StatusTooManyRequests, "Rate limit of "+strconv.Itoa(c.limit)+" requests in "+c.period.String()+" reached. Please try again later.")
		case f.Kind == "forbidden":
			refuse(seen, http.StatusForbidden, "Failed permission authorization checks")
		case f.Kind == "down":
			refuse(seen, http.StatusServiceUnavailable, "Service Unavailable")
		case f.Kind == "garbage":
			seen.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(seen, "<html><body>Sign in to the proxy</body></html>")
		default:
			if f.Kind == "slow" && !wait(r.Context(), time.Duration(f.Seconds)*time.Second) {
				return
			}
			handle(seen, r, f)
		}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// take counts a request, and says what is to go wrong with it.
func (d *Datadog) take() (f Fault, c allowance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if now.Sub(d.allowed.began) >= d.allowed.period {
		d.allowed.began, d.allowed.used = now, 0
	}
	d.allowed.used++
	if f = d.fault; f.Times > 0 {
		if d.fault.Times--; d.fault.Times == 0 {
			d.fault = Fault{}
		}
	}
	return f, d.allowed
}

// status remembers the status that was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// point is a time in milliseconds and a value, or null.
type point [2]any

// group is one series of an answer, as Datadog names its parts.
type group struct {
	Metric      string   `json:"metric"`
	DisplayName string   `json:"display_name"`
	Expression  string   `json:"expression"`
	Scope       string   `json:"scope"`
	TagSet      []string `json:"tag_set"`
	Aggr        string   `json:"aggr"`
	Interval    int64    `json:"interval"` // seconds
	Start       int64    `json:"start"`
	End         int64    `json:"end"`
	Length      int      `json:"length"`
	Points      []point  `json:"pointlist"`
	QueryIndex  int      `json:"query_index"`
}

func (d *Datadog) query(w http.ResponseWriter, r *http.Request, f Fault) {
	args := r.URL.Query()
	from, err1 := strconv.ParseInt(args.Get("from"), 10, 64)
	to, err2 := strconv.ParseInt(args.Get("to"), 10, 64)
	text := args.Get("query")
	if err1 != nil || err2 != nil || to <= from || text == "" {
		refuse(w, http.StatusBadRequest, "from, to and query are required")
		return
	}
	out := map[string]any{"status": "ok", "res_type": "time_series", "resp_version": 1, "query": text, "from_date": from * 1000, "to_date": to * 1000, "series": []group{}, "message": ""}
	if f.Kind == "error" {
		out["status"], out["error"] = "error", "Internal error, please try again"
		reply(w, http.StatusOK, out)
		return
	}
	if f.Kind == "partial" {
		to = from + (to-from)/2
		out["to_date"] = to * 1000
	}
	series := []group{}
	for i, one := range split(text) {
		q, err := parse(one)
		if err != nil {
			refuse(w, http.StatusBadRequest, "Error parsing query: "+one+": "+err.Error())
			return
		}
		groups, err := d.samples.groups(r.Context(), q, from, to)
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		for _, g := range groups {
			g.QueryIndex = i
			series = append(series, g)
		}
	}
	out["series"] = spoilt(series, f, to)
	reply(w, http.StatusOK, out)
}

// spoilt are the series with what is to go wrong with them.
func spoilt(series []group, f Fault, to int64) []group {
	if f.Kind == "empty" {
		return []group{}
	}
	for i := range series {
		for p := range series[i].Points {
			at := series[i].Points[p][0].(int64) / 1000 //nolint:forcetypeassert // it was put there
			if f.Kind == "null" || f.Kind == "late" && at >= min(to, time.Now().Unix())-int64(f.Seconds) {
				series[i].Points[p][1] = nil
			}
		}
	}
	return series
}

func (d *Datadog) metrics(w http.ResponseWriter, r *http.Request, f Fault) {
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil {
		refuse(w, http.StatusBadRequest, "from is required")
		return
	}
	scope := strings.TrimSpace(r.URL.Query().Get("tag_filter"))
	if scope == "" {
		scope = "*"
	}
	names := []string{}
	for _, name := range metricNames() {
		aggregator := "sum"
		if _, distribution := durations[name]; distribution {
			aggregator = anyDuration
		}
		q := request{aggregator: aggregator, metric: name, scope: scope, count: true, step: max(1, time.Now().Unix()-from)}
		groups, err := d.samples.groups(r.Context(), q, from, time.Now().Unix())
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		if len(groups) > 0 && f.Kind != "empty" {
			names = append(names, name)
		}
	}
	reply(w, http.StatusOK, map[string]any{"from": strconv.FormatInt(from, 10), "metrics": names})
}
