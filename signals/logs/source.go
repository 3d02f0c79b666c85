// Package logs reads what the containers of workloads write, and counts the seconds in which they wrote of a failure. It is the
// source of the signal log-errors. Lines are read while a workload is rolled out, each once, and are not kept.
package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/bakewatch/bakewatch/signals"
	kube "github.com/bakewatch/bakewatch/signals/kubernetes"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// Signal is the signal that it measures.
const Signal = "log-errors"

const (
	maxPods    = 2000    // that are remembered; those read last
	maxASide   = 8       // pods of one revision that are read
	atOnce     = 4       // logs of a workload that are read at the same time
	allAtOnce  = 24      // likewise of all workloads
	tailLines  = 20_000  // of a pod's past
	maxBytes   = 4 << 20 // of a log that are read at a time
	readFor    = 10 * time.Second
	fresh      = 900 * time.Millisecond // what was read so long ago is not read again
	maxPrepare = 64                     // workloads whose past is waiting to be read
	transient  = time.Minute            // for how long a workload's logs must fail to be called out of reach
)

// Source answers questions about what pods write, by the Kubernetes API.
type Source struct {
	book
	cluster Cluster
	gate    *kube.Gate
	log     *zap.Logger
	room    chan struct{}   // one for each log that is read
	starts  map[string]seen // by the pod's UID and the container
}

// New makes a Source. Metrics may be nil.
func New(cluster Cluster, metrics *upstream.Metrics, log *zap.Logger) *Source {
	return &Source{book: newBook(), cluster: cluster, gate: kube.NewGate(metrics, signals.Logs), log: log, room: make(chan struct{}, allAtOnce), starts: map[string]seen{}}
}

// Find implements discover.Source: a workload is measured by its logs where they may be read.
func (s *Source) Find(ctx context.Context, of signals.Subject) ([]signals.Found, []signals.Absent, error) {
	if !slices.Contains(of.Signals, Signal) {
		return nil, nil, nil
	}
	absent := func(why string) ([]signals.Found, []signals.Absent, error) {
		return nil, []signals.Absent{{Signal: Signal, Preset: "container logs", Why: why}}, nil
	}
	w := Workload{Kind: of.Kind, Namespace: of.Namespace, Name: of.Name}
	switch err := s.look(ctx, w); {
	case errors.Is(err, ErrForbidden):
		return absent(ErrForbidden.Error())
	case err != nil && s.failsFor(w) < transient:
		return nil, nil, fmt.Errorf("find %s: %w", Signal, err) // it is looked for again
	case err != nil:
		return absent(err.Error())
	}
	return []signals.Found{{Signal: Signal, Query: signals.Query{Source: signals.Logs, Preset: "container logs", By: signals.ByPod,
		Errors: "seconds with a line of level error or a stack", Requests: "seconds"}}}, nil, nil
}

// Close leaves the source as it is: a bake that goes on may still ask.
func (s *Source) Close() {}

// Check has nothing to say before there is a workload to be read.
func (s *Source) Check(context.Context) error { return nil }

// Prepare reads what the pods of a workload have written so far, before those of the old version are gone. It does not block.
func (s *Source) Prepare(kind, namespace, name string) {
	w := Workload{Kind: kind, Namespace: namespace, Name: name}
	s.prepare(func(ctx context.Context) {
		if err := s.look(ctx, w); err != nil {
			s.log.Debug("the old pods' logs cannot be read", zap.String("workload", w.String()), zap.Error(err))
		}
	})
}

// Read implements bake.Source.
func (s *Source) Read(ctx context.Context, q signals.Question) ([]signals.Reading, error) {
	return s.answer(ctx, q, s.look)
}

// look reads what a workload's pods have written since they were read last.
func (s *Source) look(ctx context.Context, w Workload) error {
	return s.lookOnce(ctx, w, func(ctx context.Context) error {
		return s.gate.Ask(func() error {
			list, err := s.cluster.Pods(ctx, w)
			if err != nil {
				return err
			}
			return s.readAll(ctx, w, choose(list, w.Kind))
		})
	})
}

// choose are the pods that are read: the oldest of each revision, by what their names begin with, so that they stay the same.
// Where names do not tell, the new ones are the youngest.
func choose(list []Pod, kind string) []Pod {
	slices.SortFunc(list, func(a, b Pod) int {
		if c := a.Born.Compare(b.Born); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	if !signals.NamesTell(kind) {
		if len(list) > 2*maxASide {
			list = slices.Concat(list[:maxASide], list[len(list)-maxASide:])
		}
		return list
	}
	taken := map[string]int{}
	var out []Pod
	for _, p := range list {
		side := p.Name[:max(0, strings.LastIndexByte(p.Name, '-'))]
		if taken[side]++; taken[side] <= maxASide {
			out = append(out, p)
		}
	}
	return out[max(0, len(out)-4*maxASide):] // the newest revisions
}

// readAll reads some pods. It fails when none of those that run can be read.
func (s *Source) readAll(ctx context.Context, w Workload, list []Pod) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	failed := make([]error, len(list))
	for i, p := range list {
		g.Go(func() error {
			failed[i] = s.readPod(ctx, w, p)
			return nil
		})
	}
	_ = g.Wait()
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	if len(failed) == len(list) && len(list) > 0 {
		return failed[0]
	}
	return nil
}

// readPod reads on in the logs of a pod's containers.
func (s *Source) readPod(ctx context.Context, w Workload, p Pod) error {
	s.mu.Lock()
	t := s.meet(p.UID, w, p)
	from := maps.Clone(t.read)
	s.mu.Unlock()

	var firstErr error
	for _, c := range p.Containers {
		since, met := from[c.Name]
		if !met {
			since = s.now().Add(-pastRead)
		}
		got := part{container: c.Name, to: since}
		for _, last := range []bool{true, false} {
			of := c.Now
			if last {
				of = c.Last
			}
			if of.from.IsZero() || last && !of.to.After(since) {
				continue
			}
			if of.to.IsZero() {
				of.to = s.now()
			}
			err := s.readRun(ctx, w.Namespace, p.Name, c.Name, last, of, since, !met, &got)
			if err != nil && !errors.Is(err, ErrNoLog) {
				firstErr = err
				break
			}
		}
		s.mu.Lock()
		got.into(t, s.now())
		s.mu.Unlock()
	}
	return firstErr
}

// part is what was read of one container's log.
type part struct {
	container string
	to        time.Time // up to where
	spans     []run
	failures  []Failure
	said      []time.Time // when it wrote, a time or more in each stretch in which it did
}

func (p part) into(t *tally, now time.Time) {
	for _, f := range p.failures {
		t.failed(f)
	}
	for _, at := range p.said {
		t.said(at)
	}
	for _, r := range p.spans {
		t.ran(r.from, r.to)
	}
	t.read[p.container], t.used = p.to, now
	t.forget(now)
}

// readRun reads what a container wrote in one of its runs since a time. Where that is more than is read at a time, the rest is
// left out, and counts as not read.
func (s *Source) readRun(ctx context.Context, namespace, pod, container string, last bool, of run, since time.Time, first bool, into *part) error {
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	case <-ctx.Done():
		return fmt.Errorf("read the log of container %s of pod %s/%s: %w", container, namespace, pod, ctx.Err())
	}
	tail := int64(0)
	if first {
		tail = tailLines
	}
	started := s.now()
	body, err := s.cluster.Log(ctx, namespace, pod, container, last, since, tail, maxBytes)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()

	folder := Folder{Found: func(f Failure) { into.failures = append(into.failures, f) }}
	var from, to time.Time
	counted := &counter{r: body}
	lines, err := eachLine(counted, func(at time.Time, text string) {
		if !at.After(since) { // since is cut to the second
			return
		}
		if from.IsZero() {
			from = at
		}
		if n := len(into.said); n == 0 || at.Unix()/talkEvery != into.said[n-1].Unix()/talkEvery {
			into.said = append(into.said, at)
		}
		to = at
		folder.Add(at, text)
	})
	folder.Flush()
	if err != nil {
		return fmt.Errorf("read the log of container %s of pod %s/%s: %w", container, namespace, pod, err)
	}
	// What was written is known from where it was asked for, unless only the newest of it was; and up to now, unless there was more.
	begin := later(since, of.from)
	if first && lines >= tailLines {
		begin = later(begin, from)
	}
	end := earlier(started, of.to)
	into.to = end
	if counted.n >= maxBytes {
		end = earlier(end, to)
	}
	into.spans = append(into.spans, run{begin, end})
	return nil
}

// counter counts the bytes that are read.
type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

// eachLine calls add for each line, which begins with its time. Of a line that is longer than is looked at, the rest is left out.
func eachLine(r io.Reader, add func(at time.Time, text string)) (lines int, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		raw, more, err := in.ReadLine()
		switch {
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return lines, err
		}
		text := string(raw)
		for more && err == nil {
			_, more, err = in.ReadLine()
		}
		stamp, said, _ := strings.Cut(text, " ")
		at, bad := time.Parse(time.RFC3339Nano, stamp)
		if bad != nil {
			continue
		}
		lines++
		add(at, said)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
