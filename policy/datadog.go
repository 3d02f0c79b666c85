package policy

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
)

// Datadog is the organisation in Datadog whose metrics answer queries.
type Datadog struct {
	Site       string        `json:"site"`          // of the organisation; empty with URL
	URL        string        `json:"url,omitempty"` // base address of the API, in place of the site's
	APIKeyFile string        `json:"apiKeyFile"`
	AppKeyFile string        `json:"appKeyFile"`
	Lag        time.Duration `json:"lag"`     // how long after it happened something can be read in full
	Timeout    time.Duration `json:"timeout"` // of one request
}

const (
	defaultSite    = "datadoghq.com"
	defaultLag     = time.Minute
	minLag, maxLag = time.Second, 15 * time.Minute
)

// DatadogQueries measure a signal in Datadog: by two counts, events, or a value.
type DatadogQueries struct {
	Errors   string `json:"errors,omitempty"`   // count of failed requests; with requests
	Good     string `json:"good,omitempty"`     // in place of errors: count of those that did not fail
	Requests string `json:"requests,omitempty"` // count of all requests
	Events   string `json:"events,omitempty"`   // how many events there were, by pod, or what goes up with each
	Monitors string `json:"monitors,omitempty"` // tags of monitors: each is looked at in each tick, and alerts or does not
	Value    string `json:"value,omitempty"`    // query of which more is worse
	Baseline string `json:"baseline,omitempty"` // the baseline's, where value is only the candidate's
	By       string `json:"by,omitempty"`       // "pod" or "version": by what the sides are told apart; empty: they are not
}

func (d *Datadog) fill() {
	if d.Site == "" && d.URL == "" {
		d.Site = defaultSite
	}
	if d.Lag == 0 { // cannot be written: durations are above 0
		d.Lag = defaultLag
	}
	if d.Timeout == 0 {
		d.Timeout = defaultTimeout
	}
}

// site is the name of one of Datadog's sites, those that are yet to come included.
var site = regexp.MustCompile(`^([a-z]{2}[0-9]+\.)?(datadoghq\.com|datadoghq\.eu|ddog-gov\.com)$`)

// site checks where Datadog is: one of its sites, or an address in between.
func (k *checker) site(path, name, address string) {
	switch {
	case name != "" && address != "":
		k.errorf(path, "needs either site, or url for an address in between such as a proxy's, and not both")
	case address == "" && !site.MatchString(name):
		k.errorf(join(path, "site"), "must be one of Datadog's sites, such as datadoghq.com, datadoghq.eu, us3.datadoghq.com, us5.datadoghq.com, ap1.datadoghq.com or ddog-gov.com, not %s; it is in the address of Datadog's pages, behind app. where there is one", quote(name))
	}
}

func (k *checker) datadog(d Datadog) {
	const path = "sources.datadog"
	k.site(path, d.Site, d.URL)
	k.http(path, HTTP{URL: d.URL, Timeout: d.Timeout}, false)
	for _, key := range []struct{ name, file string }{{"apiKeyFile", d.APIKeyFile}, {"appKeyFile", d.AppKeyFile}} {
		if key.file == "" {
			k.errorf(join(path, key.name), "is missing; write the absolute path of the file that holds the key, such as /secrets/datadog-%s", key.name[:3])
		}
		k.file(join(path, key.name), key.file)
	}
	k.between(path+".lag", d.Lag, minLag, maxLag)
}

// askable checks that the sources are configured which own queries are for.
func (k *checker) askable(path string, s Sources, rules map[string]SignalRule) {
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		at := join(path, name)
		if rules[name].Datadog != nil && s.Datadog == nil {
			k.errorf(join(at, "datadog"), "cannot be asked: sources.datadog is missing; configure it, or remove the queries")
		}
		if rules[name].Prometheus != nil && (s.Datadog != nil || s.Loki != nil) && !s.Prometheus.configured() {
			k.errorf(join(at, "prometheus"), "cannot be asked: sources.prometheus is missing; configure it, or remove the queries")
		}
	}
}

// datadogSample are values to try a query with.
var datadogSample = map[string]string{"namespace": "n", "workload": "w", "kind": "Deployment", "service": "s",
	query.PodsCandidate: "w-1-*", query.PodsBaseline: "w-0-*", query.VersionCandidate: "2", query.VersionBaseline: "1"}

// datadogQueries checks that a signal is measured in one way, and each query of it.
func (k *checker) datadogQueries(path string, q DatadogQueries) {
	check := func(key, text string, parse func(string) error) {
		rendered, err := query.Render(text, datadogSample)
		if err == nil {
			err = parse(rendered)
		}
		if err != nil {
			k.errorf(join(path, key), "%v", err)
		}
	}
	apart := q.By // the tag by which queries must be told apart
	if apart == "pod" {
		apart = "pod_name"
	}
	grouped := func(by []string) error {
		if q.By != "pod" && q.By != "version" || slices.Contains(by, apart) {
			return nil
		}
		return errors.New("must tell the sides apart, since by is " + q.By + "; add by {" + apart + "}")
	}
	plain := func(parse func(string) (query.Plain, error)) func(string) error {
		return func(text string) error {
			p, err := parse(text)
			if err != nil {
				return err
			}
			return grouped(p.By)
		}
	}
	value := func(text string) error {
		v, err := query.ParseValue(text)
		if err != nil || q.Baseline != "" {
			return err
		}
		return grouped(v.By())
	}
	count, events := plain(query.ParseCount), plain(query.ParseEvents)
	switch {
	case q.Value != "":
		check("value", q.Value, value)
		if q.Baseline != "" {
			check("baseline", q.Baseline, value)
		}
	case q.Monitors != "":
		check("monitors", q.Monitors, query.CheckMonitors)
		if q.By != "" {
			k.errorf(join(path, "by"), "must be left out: monitors are of the whole service, and are compared with how they were before")
		}
	case q.Events != "":
		check("events", q.Events, events)
		if q.Requests != "" {
			check("requests", q.Requests, events)
		}
		if q.By != "pod" {
			k.errorf(join(path, "by"), "must be pod: events are those of a pod")
		}
	case q.Good != "":
		check("good", q.Good, count)
		check("requests", q.Requests, count)
	default:
		check("errors", q.Errors, count)
		check("requests", q.Requests, count)
	}
	ways := 0
	for _, way := range []string{q.Value, q.Monitors, q.Events, q.Good, q.Errors} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		k.errorf(path, "measures in more than one way; keep one of errors with requests, good with requests, events, monitors, value")
	case q.Requests != "" && (q.Value != "" || q.Monitors != ""):
		k.errorf(join(path, "requests"), "goes with errors, good or events; remove it")
	case q.Baseline != "" && q.Value == "":
		k.errorf(join(path, "baseline"), "goes with value; remove it")
	}
	if q.By != "" && q.By != "pod" && q.By != "version" {
		k.errorf(join(path, "by"), "must be pod or version, or be left out for counts of the whole service, not %s", quote(q.By))
	}
}

// query is the queries as sources are asked; the zero Query unless people wrote any.
func (p *DatadogQueries) query() signals.Query {
	if p == nil {
		return signals.Query{}
	}
	if p.Monitors != "" {
		return signals.Query{Source: signals.Datadog, Events: query.Monitors(p.Monitors)}
	}
	return signals.Query{Source: signals.Datadog, By: signals.By(p.By), Errors: p.Errors, Good: p.Good, Requests: p.Requests, Events: p.Events, Value: p.Value, BaselineValue: p.Baseline}
}

// queries are those that people wrote for a signal, one for each source; the zero Query, to be found, where there is none.
func (s SignalRule) queries() []signals.Query {
	var out []signals.Query
	for _, q := range []signals.Query{s.Prometheus.query(), s.Datadog.query()} {
		if q.Known() {
			out = append(out, q)
		}
	}
	if len(out) == 0 {
		return []signals.Query{{}}
	}
	return out
}
