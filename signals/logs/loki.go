package logs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

const (
	// DefaultLag is how long a line takes to reach Loki at most, as agents are usually set up.
	DefaultLag = 10 * time.Second
	// lokiLines is how many lines of a workload are read at a time.
	lokiLines = 20_000
	// overlap is how much of what was read last is read once more: lines that came late, and what was cut in its middle.
	overlap = 30 * time.Second
	// unsure is how much of the end of what is read may be the beginning of more.
	unsure = 2 * time.Second
	// quietFor is how long a pod that has written may write nothing until its silence is no longer taken for a good sign: its lines may
	// no longer reach Loki.
	quietFor = 10 * time.Minute
	// goneFor is how long it is still looked for what a pod wrote last that is gone.
	goneFor = time.Minute
	// lateFor is how long it is told that lines came too late.
	lateFor = 10 * time.Minute
)

// LokiOptions say where Loki is, and how it is asked. Zero values, but for URL and Cluster, mean the defaults.
type LokiOptions struct {
	URL        string                  // base address, e.g. http://loki-gateway.monitoring
	HTTPClient config.HTTPClientConfig // authorization, TLS
	Tenant     string                  // sent as X-Scope-OrgID; empty: none
	Lag        time.Duration           // how long after it was written a line can be read for sure
	Timeout    time.Duration           // of one request
	Cluster    interface {             // which pods there are
		Pods(ctx context.Context, w Workload) ([]Pod, error)
	}
	Metrics *upstream.Metrics // nil: not measured
	Log     *zap.Logger       // nil: silent
}

// layout is how agents name what Kubernetes names.
type layout struct {
	name                      string
	namespace, pod, container string
	filtered                  bool // the pod may stand beside each line, not with the stream
}

// The layouts that are known, in the order in which they are tried.
var layouts = []layout{
	{name: "labels namespace and pod", namespace: "namespace", pod: "pod", container: "container"},                                              // Alloy, Promtail
	{name: "OpenTelemetry's attributes", namespace: "k8s_namespace_name", pod: "k8s_pod_name", container: "k8s_container_name", filtered: true}, // Loki's OTLP endpoint
}

// query finds the lines of some pods.
func (l layout) query(namespace string, pods []string) string {
	quoted := make([]string, len(pods))
	for i, p := range pods {
		quoted[i] = regexp.QuoteMeta(p)
	}
	names := strconv.Quote(strings.Join(quoted, "|"))
	if l.filtered {
		return fmt.Sprintf("{%s=%q} | %s=~%s", l.namespace, namespace, l.pod, names)
	}
	return fmt.Sprintf("{%s=%q,%s=~%s}", l.namespace, namespace, l.pod, names)
}

// Loki answers the same questions as a Source, from lines that agents have sent to Loki. It knows those of pods that are gone, too.
type Loki struct {
	book
	client  *lokiClient
	cluster interface {
		Pods(ctx context.Context, w Workload) ([]Pod, error)
	}
	lag time.Duration
	log *zap.Logger

	// With the lock held:
	progress map[Workload]*progress
	late     time.Duration // by how much a line came too late
	lateAt   time.Time
}

// progress is how far a workload's lines were read.
type progress struct {
	layout *layout
	to     time.Time
	known  map[string]int // lines in the last of it, by pod: when it is read once more there must not be more of them
}

// NewLoki makes a Loki. It asks nothing of the server: see Check.
func NewLoki(o LokiOptions) (*Loki, error) {
	if o.Lag <= 0 {
		o.Lag = DefaultLag
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	client, err := newLokiClient(o)
	if err != nil {
		return nil, err
	}
	return &Loki{book: newBook(), client: client, cluster: o.Cluster, lag: o.Lag, log: o.Log, progress: map[Workload]*progress{}}, nil
}

// Lag is how long after it happened Loki knows of something.
func (s *Loki) Lag() time.Duration { return s.lag }

// Close releases connections.
func (s *Loki) Close() { s.client.close() }

// lokiPreset is what measures a workload by Loki.
const lokiPreset = "logs in Loki"

// Find implements discover.Source: a workload is measured where Loki has lines of its pods.
func (s *Loki) Find(ctx context.Context, of signals.Subject) ([]signals.Found, []signals.Absent, error) {
	if !slices.Contains(of.Signals, Signal) {
		return nil, nil, nil
	}
	w := Workload{Kind: of.Kind, Namespace: of.Namespace, Name: of.Name}
	if err := s.look(ctx, w); err != nil {
		return nil, nil, fmt.Errorf("find %s: %w", Signal, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progress[w]
	if p == nil || p.layout == nil {
		return nil, []signals.Absent{{Signal: Signal, Preset: lokiPreset, Why: "it has no line of the workload's pods in the last hour, by " + layouts[0].name + " or by " + layouts[1].name}}, nil
	}
	return []signals.Found{{Signal: Signal, Query: signals.Query{Source: signals.Loki, Preset: lokiPreset + ", " + p.layout.name, By: signals.ByPod,
		Errors: "seconds with a line of level error or a stack", Requests: "seconds"}}}, nil, nil
}

// Check asks Loki for the names of its labels. Its error says what is wrong and what to do about it.
func (s *Loki) Check(ctx context.Context) error {
	now := s.now()
	_, err := s.client.labels(ctx, now.Add(-5*time.Minute), now)
	var failure *lokiError
	if errors.As(err, &failure) {
		return fmt.Errorf("%w; %s", err, failure.advice())
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.lateAt) < lateFor {
		return fmt.Errorf("loki: lines came %s after they were written, later than sources.loki.lag allows; set it to more, or see why the agents are slow", s.late.Round(time.Second))
	}
	return nil
}

// Prepare has the past of a workload's pods read while nobody waits for it. It does not block.
func (s *Loki) Prepare(kind, namespace, name string) {
	w := Workload{Kind: kind, Namespace: namespace, Name: name}
	s.prepare(func(ctx context.Context) {
		if err := s.look(ctx, w); err != nil {
			s.log.Debug("the old pods' lines cannot be read", zap.String("workload", w.String()), zap.Error(err))
		}
	})
}

// Read implements bake.Source.
func (s *Loki) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	return s.answer(ctx, q, s.look)
}

// look reads the lines of a workload that have come since it was looked at last.
func (s *Loki) look(ctx context.Context, w Workload) error {
	return s.lookOnce(ctx, w, func(ctx context.Context) error {
		list, err := s.cluster.Pods(ctx, w)
		if err != nil {
			return err
		}
		list = choose(list, w.Kind)
		s.mu.Lock()
		maps.DeleteFunc(s.progress, func(w Workload, p *progress) bool { return s.now().Sub(p.to) > keptFor })
		p := s.progress[w]
		s.mu.Unlock()
		if p != nil && p.layout != nil {
			_, err := s.readOn(ctx, w, list, *p)
			return err
		}
		for i := range layouts {
			heard, err := s.readOn(ctx, w, list, progress{layout: &layouts[i]})
			if heard || err != nil {
				return err
			}
		}
		return nil
	})
}

// readOn reads on from where it was read to, and reports whether there was a line.
func (s *Loki) readOn(ctx context.Context, w Workload, list []Pod, was progress) (heard bool, err error) {
	end := s.now().Add(-s.lag)
	begin := end.Add(-pastRead)
	first := was.to.Before(begin)
	names, err := s.names(ctx, w, list, *was.layout, first, begin, end)
	if err != nil || len(names) == 0 {
		return false, err
	}
	if !first {
		begin = was.to
	}
	from := begin
	if !first {
		from = begin.Add(-overlap)
	}
	lines, all, err := s.client.lines(ctx, *was.layout, was.layout.query(w.Namespace, names), from, end, first, lokiLines)
	if err != nil {
		return false, err
	}
	lines = slices.DeleteFunc(lines, func(l stored) bool { return !signals.PodOf(l.pod, w.Kind, w.Name) })
	sure := run{begin, end} // of what all lines are known
	if !all && len(lines) > 0 {
		if first {
			sure.from = lines[0].at
		} else {
			sure.to = lines[len(lines)-1].at
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(w, list, lines, from, sure, first)
	if len(lines) > 0 || !first {
		s.note(w, was, lines, end)
	}
	return len(lines) > 0, nil
}

// names are the pods whose lines are asked for: those that there are, those that were there a moment ago, and at first those that
// Loki has lines of.
func (s *Loki) names(ctx context.Context, w Workload, list []Pod, l layout, first bool, begin, end time.Time) ([]string, error) {
	var out []string
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, p := range list {
		add(p.Name)
	}
	s.mu.Lock()
	for _, t := range s.pods {
		if t.of == w && s.now().Sub(t.used) < goneFor {
			add(t.name)
		}
	}
	s.mu.Unlock()
	if first {
		selector := fmt.Sprintf("{%s=%q,%s=~%q}", l.namespace, w.Namespace, l.pod, regexp.QuoteMeta(signals.PodPrefix(w.Name))+".+")
		past, err := s.client.series(ctx, selector, l.pod, begin, end)
		if err != nil {
			return nil, err
		}
		slices.Sort(past)
		gone := map[string]int{}
		for _, name := range past {
			side := name[:max(0, strings.LastIndexByte(name, '-'))]
			if !signals.PodOf(name, w.Kind, w.Name) || slices.Contains(out, name) || gone[side] >= maxASide {
				continue
			}
			gone[side]++
			add(name)
		}
	}
	return out[:min(len(out), 8*maxASide)], nil
}

// note remembers how far a workload was read, and notices lines of before that were not there then. The lock is held.
func (s *Loki) note(w Workload, was progress, lines []stored, end time.Time) {
	again, known := map[string]int{}, map[string]int{}
	var newest time.Time // of those that came late
	for _, l := range lines {
		if l.at.Before(was.to) {
			again[l.pod]++
			if n, asked := was.known[l.pod]; asked && again[l.pod] > n {
				newest = l.at
			}
		}
		if !l.at.Before(end.Add(-overlap)) {
			known[l.pod]++
		}
	}
	if !newest.IsZero() {
		s.late, s.lateAt = s.now().Sub(newest), s.now()
		s.log.Warn("lines reach Loki later than sources.loki.lag allows", zap.String("workload", w.String()), zap.Duration("after", s.late))
	}
	s.progress[w] = &progress{layout: was.layout, to: end, known: known}
}
