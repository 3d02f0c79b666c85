package policy

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// MaxSignals is the most signals a configuration may name, overrides included.
const MaxSignals = 30

// The bounds of what may be set.
const (
	minInterval, maxInterval = time.Second, 5 * time.Minute
	minDeadline, maxDeadline = 10 * time.Second, 24 * time.Hour
	minWithin, maxWithin     = time.Second, 7 * 24 * time.Hour
	minTimeout, maxTimeout   = 100 * time.Millisecond, 2 * time.Minute
	maxBake                  = 24 * time.Hour // of window and verify
	maxHistory               = 100
	maxTicks                 = 100
	maxMargin                = 100
)

// kinds are the kinds of workload this version watches.
var kinds = []string{"Deployment", "StatefulSet", "DaemonSet"}

// checker collects what is wrong, by path.
type checker struct{ errs Errors }

func (k *checker) errorf(path, format string, args ...any) {
	k.errs = append(k.errs, Error{Path: path, Message: fmt.Sprintf(format, args...)})
}

// validate returns all that is wrong with c, with paths and without lines.
func (c *Config) validate() Errors {
	var k checker
	k.mode("mode", c.Mode)
	for i, p := range c.Watch.Namespaces {
		k.pattern(fmt.Sprintf("watch.namespaces[%d]", i), p)
	}
	for i, p := range c.Watch.ExcludeNamespaces {
		k.pattern(fmt.Sprintf("watch.excludeNamespaces[%d]", i), p)
	}
	k.selector("watch.selector", c.Watch.Selector)

	if len(c.Flows) == 0 || c.Sources.any() { // flows measure without a source
		k.sources(c.Sources)
	}
	k.bake("bake", c.Bake, Bake{})
	if c.FalseAlarm <= 0 || c.FalseAlarm > 0.5 {
		k.errorf("falseAlarm", "must be above 0 and at most 0.5, not %g", float64(c.FalseAlarm))
	}
	if c.Margin <= 1 || c.Margin > maxMargin {
		k.errorf("margin", "must be above 1x and at most %s, not %s; at 1x two sides that are the same are told apart in the end", Ratio(maxMargin), c.Margin)
	}
	if !c.Layers.Threshold && !c.Layers.Evidence {
		k.errorf("layers", "leaves nothing that judges; one of threshold and evidence must be true")
	}
	if c.Budget.PerNamespace < 0 {
		k.errorf("budget.perNamespace", "must be 0 or more, not %d; 0 means no rollback at all", c.Budget.PerNamespace)
	}
	if c.Budget.PerCluster < 0 {
		k.errorf("budget.perCluster", "must be 0 or more, not %d; 0 means no rollback at all", c.Budget.PerCluster)
	}
	k.between("budget.within", c.Budget.Within, minWithin, maxWithin)
	k.guards("guards", c.Guards)
	k.canary("canary", c.Canary, "")
	k.strategy("gitops", c.GitOps)
	k.git(c)
	k.rollback("rollback", c.Rollback)
	k.configuration("configuration", c.Configuration)
	if c.History < 1 || c.History > maxHistory {
		k.errorf("history", "must be from 1 to %d, not %d", maxHistory, c.History)
	}

	known := map[string]bool{} // signals that have queries from somewhere
	for _, name := range slices.Sorted(maps.Keys(c.Signals)) {
		k.signal(join("signals", name), name, c.Signals[name], known)
	}
	k.askable("signals", c.Sources, c.Signals)
	k.announce(c.Announce)
	for i, o := range c.Workloads {
		k.override(fmt.Sprintf("workloads[%d]", i), o, c.Bake, known)
		k.askable(fmt.Sprintf("workloads[%d].signals", i), c.Sources, o.Signals)
	}
	k.flows(c)
	names := map[string]SignalRule{}
	maps.Copy(names, c.Signals)
	for _, f := range c.Flows {
		names[f.Signal()] = SignalRule{}
	}
	for _, o := range c.Workloads {
		maps.Copy(names, o.Signals)
	}
	if len(names) > MaxSignals {
		k.errorf("signals", "at most %d signals may be named, those in workloads included, not %d", MaxSignals, len(names))
	}
	return k.errs
}

func (k *checker) mode(path string, m Mode) {
	if m != Observe && m != Guard {
		k.errorf(path, "must be observe or guard, not %s", quote(string(m)))
	}
}

var pattern = regexp.MustCompile(`^[a-z0-9.*?-]+$`)

func (k *checker) pattern(path, p string) {
	if !pattern.MatchString(p) {
		k.errorf(path, "must be a name in lower case, or a pattern with * and ?, not %s", quote(p))
	}
}

func (k *checker) selector(path, s string) {
	if _, err := labels.Parse(s); err != nil {
		k.errorf(path, "must be a label selector such as tier=web,team!=core: %v", err)
	}
}

func (k *checker) between(path string, d, least, most time.Duration) {
	if d < least || d > most {
		k.errorf(path, "must be from %s to %s, not %s", formatDuration(least), formatDuration(most), formatDuration(d))
	}
}

// bake checks b as it applies over base.
func (k *checker) bake(path string, b, base Bake) {
	if b.Interval != nil && (*b.Interval < minInterval || *b.Interval > maxInterval) {
		k.between(join(path, "interval"), *b.Interval, minInterval, maxInterval)
		return // the others are counted in intervals
	}
	if b.Deadline != nil {
		k.between(join(path, "deadline"), *b.Deadline, minDeadline, maxDeadline)
	}
	all := base.with(b)
	if all.Interval == nil || all.Window == nil || all.Verify == nil || *all.Interval < minInterval {
		return // base is wrong, and was reported
	}
	span := func(key string, set *time.Duration, d time.Duration) {
		switch least := 2 * *all.Interval; {
		case set == nil && b.Interval == nil: // neither is set here
		case d > maxBake:
			k.errorf(join(path, key), "must be at most %s, not %s", formatDuration(maxBake), formatDuration(d))
		case d < least && set == nil:
			k.errorf(join(path, "interval"), "must be at most half the %s, which is %s", key, formatDuration(d))
		case d < least:
			k.errorf(join(path, key), "must be at least two intervals, %s, not %s", formatDuration(least), formatDuration(d))
		}
	}
	span("window", b.Window, *all.Window)
	span("verify", b.Verify, *all.Verify)
}

var signalName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// signal checks one signal; known are the signals that have queries so far, and gains this one if it brings some.
func (k *checker) signal(path, name string, r SignalRule, known map[string]bool) {
	if !signalName.MatchString(name) {
		k.errorf(path, "a signal's name must be lower-case letters, digits and dashes, at most 63, such as http-errors")
	}
	value := presets[name].value
	if q := r.Prometheus; q != nil {
		known[name], value = true, q.Value != ""
		k.queries(join(path, "prometheus"), *q)
	}
	if q := r.Datadog; q != nil {
		if p := r.Prometheus; p != nil && (p.Value != "") != (q.Value != "") {
			k.errorf(join(path, "datadog"), "must measure what prometheus does: one of both is a value, and the other counts")
		}
		known[name], value = true, q.Value != ""
		k.datadogQueries(join(path, "datadog"), *q)
	}
	if _, preset := presets[name]; !preset && !known[name] {
		k.errorf(join(path, "prometheus"), "is missing: signal %s has no queries; write prometheus: {errors: …, requests: …}", quote(name))
	}
	if value {
		k.level(join(path, "threshold"), r.Threshold)
		return
	}
	k.threshold(join(path, "threshold"), r.Threshold)
}

// queries checks that a signal is measured in one way, and each query of it.
func (k *checker) queries(path string, q Queries) {
	counter := func(key, text string) { k.query(join(path, key), text, checkQuery) }
	switch {
	case q.Value != "":
		k.query(join(path, "value"), q.Value, checkExpression)
		if q.Baseline != "" {
			k.query(join(path, "baseline"), q.Baseline, checkExpression)
		}
	case q.Histogram != "":
		counter("histogram", q.Histogram)
		if q.Over <= 0 {
			k.errorf(join(path, "over"), "is missing; write the duration above which a request is slow, a bound of the histogram's buckets such as 250ms")
		}
	case q.Events != "":
		counter("events", q.Events)
		if q.Requests != "" {
			counter("requests", q.Requests)
		}
		if q.By != "pod" {
			k.errorf(join(path, "by"), "must be pod: events are those of a pod")
		}
	case q.Good != "":
		counter("good", q.Good)
		counter("requests", q.Requests)
	default:
		counter("errors", q.Errors)
		counter("requests", q.Requests)
	}
	ways := 0
	for _, way := range []string{q.Value, q.Histogram, q.Events, q.Good, q.Errors} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		k.errorf(path, "measures in more than one way; keep one of errors with requests, good with requests, histogram, events, value")
	case q.Requests != "" && (q.Value != "" || q.Histogram != ""):
		k.errorf(join(path, "requests"), "goes with errors, good or events; remove it")
	case q.Over > 0 && q.Histogram == "":
		k.errorf(join(path, "over"), "goes with histogram; remove it")
	case q.Baseline != "" && q.Value == "":
		k.errorf(join(path, "baseline"), "goes with value; remove it")
	}
	if q.By != "" && q.By != "pod" {
		k.errorf(join(path, "by"), "must be pod, or be left out for counters of the whole service, not %s", quote(q.By))
	}
}

func (k *checker) query(path, q string, check func(string) error) {
	if err := check(q); err != nil {
		k.errorf(path, "%v", err)
	}
}

// level checks the threshold of a value, which may be of any size.
func (k *checker) level(path string, t Threshold) {
	if t.Max != nil && *t.Max > 1 {
		t.Max = nil
	}
	if t.Floor != nil && *t.Floor > 1 {
		t.Floor = nil
	}
	t.MinRequests = nil
	k.threshold(path, t)
}

func (k *checker) threshold(path string, t Threshold) {
	if t.Max != nil && (*t.Max <= 0 || *t.Max > 1) {
		k.errorf(join(path, "max"), "must be above 0%% and at most 100%%, not %s", *t.Max)
	}
	if t.Increase != nil && *t.Increase < 1 {
		k.errorf(join(path, "increase"), "must be at least 1x, not %s", *t.Increase)
	}
	if t.Floor != nil && (*t.Floor < 0 || *t.Floor > 1) {
		k.errorf(join(path, "floor"), "must be from 0%% to 100%%, not %s", *t.Floor)
	}
	if t.MinRequests != nil && *t.MinRequests < 1 {
		k.errorf(join(path, "minRequests"), "must be at least 1, not %d", *t.MinRequests)
	}
	if t.Ticks != nil && (*t.Ticks < 1 || *t.Ticks > maxTicks) {
		k.errorf(join(path, "ticks"), "must be from 1 to %d, not %d", maxTicks, *t.Ticks)
	}
}

func (k *checker) match(at string, m Match) {
	if m == (Match{}) {
		k.errorf(at, "selects nothing; name at least one of namespace, kind, name, selector")
	}
	if m.Namespace != "" {
		k.pattern(join(at, "namespace"), m.Namespace)
	}
	if m.Name != "" {
		k.pattern(join(at, "name"), m.Name)
	}
	if m.Kind != "" && !slices.Contains(kinds, m.Kind) {
		k.errorf(join(at, "kind"), "must be one of %s, not %s", strings.Join(kinds, ", "), quote(m.Kind))
	}
	k.selector(join(at, "selector"), m.Selector)
}

func (k *checker) override(path string, o Override, base Bake, known map[string]bool) {
	k.match(join(path, "match"), o.Match)
	if o.Mode != "" {
		k.mode(join(path, "mode"), o.Mode)
	}
	k.bake(join(path, "bake"), o.Bake, base)
	k.guards(join(path, "guards"), o.Guards)
	k.canary(join(path, "canary"), o.Canary, o.Match.Kind)
	if o.GitOps != "" {
		k.strategy(join(path, "gitops"), o.GitOps)
	}
	k.rollback(join(path, "rollback"), o.Rollback)
	k.configuration(join(path, "configuration"), o.Configuration)
	for _, name := range slices.Sorted(maps.Keys(o.Signals)) {
		k.signal(join(join(path, "signals"), name), name, o.Signals[name], known)
	}
}

// sources checks those that are configured. One must be: where none is, Prometheus is what is missing.
func (k *checker) sources(s Sources) {
	if s.Prometheus.configured() || !s.any() {
		k.prometheus(s.Prometheus)
	}
	if s.Datadog != nil {
		k.datadog(*s.Datadog)
	}
	if s.Loki != nil {
		k.loki(*s.Loki)
	}
}

// any reports whether any source is configured.
func (s Sources) any() bool { return s.Prometheus.configured() || s.Datadog != nil || s.Loki != nil }

// configured reports whether anything was written of it.
func (p Prometheus) configured() bool { return !reflect.DeepEqual(p, Default().Sources.Prometheus) }

func (k *checker) announce(a Announce) {
	if g := a.Grafana; g != nil {
		const path = "announce.grafana"
		if g.URL == "" {
			k.errorf(path+".url", "is missing; write the address of Grafana, such as http://grafana.monitoring")
		}
		k.http(path, g.HTTP, g.TokenFile != "")
		k.file(path+".tokenFile", g.TokenFile)
		k.dashboards(path+".dashboards", g.Dashboards)
	}
	if m := a.Alertmanager; m != nil {
		const path = "announce.alertmanager"
		if m.URL == "" {
			k.errorf(path+".url", "is missing; write the address of Alertmanager, such as http://alertmanager.monitoring:9093")
		}
		k.http(path, m.HTTP, m.BearerTokenFile != "")
		k.file(path+".bearerTokenFile", m.BearerTokenFile)
	}
	k.outlets("announce", a.Outlets)
	k.routes(a)
	k.links(a.Links)
}

// http checks h; token says that a bearer token goes with it. The URL itself is never shown: it may hold a secret.
func (k *checker) http(path string, h HTTP, token bool) {
	at := join(path, "url")
	if h.URL != "" {
		switch u, err := url.Parse(h.URL); {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
			k.errorf(at, "must be an address such as http://host:port")
		case u.User != nil:
			k.errorf(at, "must not hold a user or password; use basicAuth: {username: …, passwordFile: …}")
		case u.Fragment != "":
			k.errorf(at, "must not hold a #")
		case u.RawQuery != "" && !strings.HasSuffix(path, ".webhook"):
			k.errorf(at, "must not hold a query, the part from the ?")
		case h.TLS != nil && u.Scheme == "http":
			k.errorf(join(path, "tls"), "has no effect on an http:// address; write https:// or remove tls")
		}
	}
	if a := h.BasicAuth; a != nil {
		at := join(path, "basicAuth")
		if a.Username == "" || a.PasswordFile == "" {
			k.errorf(at, "needs both username and passwordFile")
		}
		if token {
			k.errorf(at, "cannot go together with a token; remove one")
		}
		k.file(join(at, "passwordFile"), a.PasswordFile)
	}
	if t := h.TLS; t != nil {
		at := join(path, "tls")
		if (t.CertFile == "") != (t.KeyFile == "") {
			k.errorf(at, "needs both certFile and keyFile, or neither")
		}
		k.file(join(at, "caFile"), t.CAFile)
		k.file(join(at, "certFile"), t.CertFile)
		k.file(join(at, "keyFile"), t.KeyFile)
	}
	k.between(join(path, "timeout"), h.Timeout, minTimeout, maxTimeout)
}

// file refuses what is not an absolute path, and does not show it: a secret is easily pasted where its file belongs.
func (k *checker) file(path, name string) {
	if name != "" && !filepath.IsAbs(name) {
		k.errorf(path, "must be the absolute path of a file, such as /secrets/token; the secret itself does not belong here")
	}
}
