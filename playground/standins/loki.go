package standins

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Loki plays the query part of Loki's HTTP API. Its lines are those that the pods of the playground write, with the labels that
// an agent would give them: namespace, pod and container. It keeps those of pods that are gone.
//
//	GET /loki/api/v1/query_range   lines, by a selector and label filters; limit, start, end, direction
//	GET /loki/api/v1/series        streams, by match[]
//	GET /loki/api/v1/labels        names of the labels
//	GET /ready                     ready
//	GET, DELETE /_sent             the requests
//	PUT, DELETE /_fault            what is to go wrong, see Fault
//	PUT /_tenant                   {"tenant": …}: let in no other, as a Loki with tenants does
type Loki struct {
	mux     *http.ServeMux
	journal journal

	mu      sync.Mutex
	streams map[lokiStream][]lokiLine
	tenant  string
	fault   Fault
}

type lokiStream struct{ namespace, pod, container string }

func (s lokiStream) labels() map[string]string {
	return map[string]string{"namespace": s.namespace, "pod": s.pod, "container": s.container}
}

type lokiLine struct {
	at   time.Time
	text string
}

// lokiFaults are the kinds of fault, and what each does.
var lokiFaults = map[string]string{
	"partial": "200, with a part of the answer only",
	"warning": "200, with a warning that it is not whole",
	"empty":   "200, without any line",
	"late":    "200, without the lines of the newest seconds",
	"garbage": "200, with a page of HTML",
	"limited": "429, for as many seconds",
	"entries": "400, as for more lines than it gives at a time",
	"timeout": "504",
	"down":    "503",
	"slow":    "an answer that takes seconds",
}

const (
	lokiMaxStreams = 2000
	lokiMaxLines   = 5000 // of a stream that are kept, and of one answer
)

// NewLoki returns one without lines.
func NewLoki() *Loki {
	l := &Loki{mux: http.NewServeMux(), streams: map[lokiStream][]lokiLine{}}
	l.mux.HandleFunc("GET /loki/api/v1/query_range", l.guard(l.queryRange))
	l.mux.HandleFunc("GET /loki/api/v1/series", l.guard(l.series))
	l.mux.HandleFunc("GET /loki/api/v1/labels", l.guard(func(w http.ResponseWriter, _ *http.Request, _ Fault) {
		reply(w, http.StatusOK, map[string]any{"status": "success", "data": []string{"container", "namespace", "pod"}})
	}))
	l.mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ready") })
	l.mux.HandleFunc("/_sent", l.journal.show)
	l.mux.HandleFunc("PUT /_fault", l.setFault)
	l.mux.HandleFunc("DELETE /_fault", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		l.fault = Fault{}
		l.mu.Unlock()
		reply(w, http.StatusOK, message("all is well"))
	})
	l.mux.HandleFunc("PUT /_tenant", func(w http.ResponseWriter, r *http.Request) {
		var set struct{ Tenant string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&set); err != nil {
			reply(w, http.StatusBadRequest, message("write {\"tenant\": …}"))
			return
		}
		l.mu.Lock()
		l.tenant = set.Tenant
		l.mu.Unlock()
		reply(w, http.StatusOK, message("others are let in no more"))
	})
	return l
}

func (l *Loki) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.mux.ServeHTTP(w, r) }

// Add takes a line that a container wrote.
func (l *Loki) Add(namespace, pod, container string, at time.Time, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := lokiStream{namespace, pod, container}
	lines, known := l.streams[s]
	if !known && len(l.streams) >= lokiMaxStreams {
		l.forgetOne()
	}
	if len(lines) >= lokiMaxLines {
		lines = slices.Delete(lines, 0, lokiMaxLines/10)
	}
	l.streams[s] = append(lines, lokiLine{at, text})
}

// forgetOne drops the stream that has had no line for the longest time. The lock is held.
func (l *Loki) forgetOne() {
	var oldest lokiStream
	var at time.Time
	for s, lines := range l.streams {
		if last := lines[len(lines)-1].at; at.IsZero() || last.Before(at) {
			oldest, at = s, last
		}
	}
	delete(l.streams, oldest)
}

func (l *Loki) setFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&f); err != nil || lokiFaults[f.Kind] == "" {
		reply(w, http.StatusBadRequest, map[string]any{"message": "write {\"kind\": …}", "kinds": lokiFaults})
		return
	}
	l.mu.Lock()
	l.fault = f
	l.mu.Unlock()
	reply(w, http.StatusOK, message(lokiFaults[f.Kind]))
}

// guard asks for the tenant, lets go wrong what is to go wrong, and keeps a record. Loki says in plain text what is wrong.
func (l *Loki) guard(handle func(w http.ResponseWriter, r *http.Request, f Fault)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			s := entry(r, nil)
			s.Status = seen.code
			l.journal.add(s)
		}()
		l.mu.Lock()
		f, tenant := l.fault, l.tenant
		if f.Times > 0 {
			if l.fault.Times--; l.fault.Times == 0 {
				l.fault = Fault{}
			}
		}
		l.mu.Unlock()
		switch {
		case tenant != "" && r.Header.Get("X-Scope-OrgID") != tenant:
			http.Error(seen, "no org id", http.StatusUnauthorized)
		case f.Kind == "limited":
			seen.Header().Set("Retry-After", strconv.Itoa(max(1, f.Seconds)))
			http.Error(seen, "too many outstanding requests", http.StatusTooManyRequests)
		case f.Kind == "down":
			http.Error(seen, "empty ring", http.StatusServiceUnavailable)
		case f.Kind == "timeout":
			http.Error(seen, "context deadline exceeded", http.StatusGatewayTimeout)
		case f.Kind == "garbage":
			seen.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(seen, "<html><body>Sign in to the proxy</body></html>")
		case f.Kind == "slow" && !wait(r.Context(), time.Duration(f.Seconds)*time.Second):
		default:
			handle(seen, r, f)
		}
	}
}

func (l *Loki) queryRange(w http.ResponseWriter, r *http.Request, f Fault) {
	args := r.URL.Query()
	from, err1 := nanoseconds(args.Get("start"))
	to, err2 := nanoseconds(args.Get("end"))
	limit, err3 := strconv.Atoi(args.Get("limit"))
	want, err4 := parseLogQL(args.Get("query"))
	switch {
	case err1 != nil || err2 != nil || err3 != nil:
		http.Error(w, "start, end and limit must be numbers", http.StatusBadRequest)
		return
	case err4 != nil:
		http.Error(w, "parse error at line 1, col 1: "+err4.Error(), http.StatusBadRequest)
		return
	case limit > lokiMaxLines || f.Kind == "entries" && limit > 100:
		http.Error(w, fmt.Sprintf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", limit, lokiMaxLines), http.StatusBadRequest)
		return
	}
	if f.Kind == "late" {
		if newest := time.Now().Add(-time.Duration(f.Seconds) * time.Second); to.After(newest) {
			to = newest
		}
	}
	result := l.find(want, from, to, limit, args.Get("direction") != "forward")
	if f.Kind == "empty" {
		result = []any{}
	}
	out := map[string]any{"status": "success", "data": map[string]any{"resultType": "streams", "result": result, "stats": map[string]any{"summary": map[string]any{}}}}
	if f.Kind == "warning" {
		out["warnings"] = []string{"some ingesters did not answer"}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if f.Kind == "partial" {
		raw = raw[:len(raw)/2]
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write(raw)
}

// find are the streams of an answer: so many lines of [from, to), the newest first if so asked.
func (l *Loki) find(want []lokiMatch, from, to time.Time, limit int, newest bool) []any {
	type found struct {
		of lokiStream
		lokiLine
	}
	var all []found
	l.mu.Lock()
	for s, lines := range l.streams {
		if !allHold(want, s.labels()) {
			continue
		}
		for _, line := range lines {
			if !line.at.Before(from) && line.at.Before(to) {
				all = append(all, found{s, line})
			}
		}
	}
	l.mu.Unlock()
	slices.SortStableFunc(all, func(a, b found) int {
		if newest {
			a, b = b, a
		}
		return a.at.Compare(b.at)
	})
	values := map[lokiStream][][2]string{}
	for _, line := range all[:min(len(all), limit)] {
		values[line.of] = append(values[line.of], [2]string{strconv.FormatInt(line.at.UnixNano(), 10), line.text})
	}
	out := []any{}
	for s, v := range values {
		out = append(out, map[string]any{"stream": s.labels(), "values": v})
	}
	return out
}

func (l *Loki) series(w http.ResponseWriter, r *http.Request, f Fault) {
	want, err := parseLogQL(r.URL.Query().Get("match[]"))
	from, err1 := nanoseconds(r.URL.Query().Get("start"))
	to, err2 := nanoseconds(r.URL.Query().Get("end"))
	if err != nil || err1 != nil || err2 != nil {
		http.Error(w, "match[], start and end are required", http.StatusBadRequest)
		return
	}
	out := []map[string]string{}
	l.mu.Lock()
	for s, lines := range l.streams {
		if f.Kind != "empty" && allHold(want, s.labels()) && lines[0].at.Before(to) && !lines[len(lines)-1].at.Before(from) {
			out = append(out, s.labels())
		}
	}
	l.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"status": "success", "data": out})
}

func nanoseconds(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(0, n), err
}

// lokiMatch is a condition of a label: = and =~.
type lokiMatch struct {
	label string
	value *regexp.Regexp
}

func allHold(want []lokiMatch, labels map[string]string) bool {
	return !slices.ContainsFunc(want, func(m lokiMatch) bool { return !m.value.MatchString(labels[m.label]) })
}

var (
	lokiQuery   = regexp.MustCompile(`^\s*\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\}((?:\s*\|\s*\w+\s*=~?\s*"(?:[^"\\]|\\.)*")*)\s*$`)
	lokiMatcher = regexp.MustCompile(`(\w+)\s*(=~?)\s*("(?:[^"\\]|\\.)*")`)
)

// parseLogQL reads the LogQL that is played: {label="value",label=~"regexp"} | label=~"regexp".
func parseLogQL(text string) ([]lokiMatch, error) {
	parts := lokiQuery.FindStringSubmatch(text)
	if parts == nil {
		return nil, fmt.Errorf("only a selector and label filters are played here, not %q", text)
	}
	var out []lokiMatch
	for _, m := range lokiMatcher.FindAllStringSubmatch(parts[1]+parts[2], -1) {
		value, err := strconv.Unquote(m[3])
		if err != nil {
			return nil, err
		}
		if m[2] == "=" {
			value = regexp.QuoteMeta(value)
		}
		re, err := regexp.Compile("^(?:" + value + ")$")
		if err != nil {
			return nil, err
		}
		out = append(out, lokiMatch{m[1], re})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("queries require at least one regexp or equality matcher")
	}
	return out, nil
}
