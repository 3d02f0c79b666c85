package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// A process is all that a Loop reaches the world through.

func (p *process) Sight(k Key) Sight { return p.sight(k) }

func (p *process) Detect(_ context.Context, k Key, known Known) (Detection, error) {
	if err := p.gone(); err != nil {
		return Detection{}, err
	}
	return p.detect(k, known)
}

func (p *process) Crew(_ context.Context, k Key, r v1alpha1.Revision) (Crew, error) {
	if err := p.gone(); err != nil {
		return Crew{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	return Crew{Ready: w != nil && w.rolled == r.Hash && time.Since(w.changedAt) >= w.readyAfter}, nil
}

func (p *process) Look(_ context.Context, k Key, _ v1alpha1.Revision) (signals.PodLook, error) {
	if err := p.gone(); err != nil {
		return signals.PodLook{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workloads[k]; w != nil && w.look != nil {
		return w.look()
	}
	return signals.PodLook{At: time.Now()}, nil
}

func (p *process) Collect(_ context.Context, _ Key, r v1alpha1.Revision) ([]v1alpha1.PodEvidence, error) {
	return []v1alpha1.PodEvidence{{Name: r.Name + "-1", State: "ready"}}, errors.New("the events could not be read")
}

func (p *process) migrations(_ context.Context, k Key, to v1alpha1.Revision, _ time.Time) ([]v1alpha1.Migration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workloads[k]; w != nil && w.migrates[to.Hash] != nil {
		return w.migrates[to.Hash](), nil
	}
	return nil, nil
}

func (p *process) Revisions(_ context.Context, k Key, number int64) (current, named v1alpha1.Revision, err error) {
	if err := p.gone(); err != nil {
		return current, named, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	if w == nil {
		return current, named, errors.New("not found")
	}
	for _, s := range w.sets {
		if s.hash == w.rolled && w.rolled == w.template {
			current = s.revision()
		}
		if s.number == number {
			named = s.revision()
		}
	}
	return current, named, nil
}

func (p *process) Undo(_ context.Context, k Key, uid string, judged, target v1alpha1.Revision) error {
	if err := p.gone(); err != nil {
		return err
	}
	if p.undoErr != nil {
		if err := p.undoErr(); err != nil {
			return err
		}
	}
	return p.undo(k, uid, judged, target, p.write)
}

func (p *process) Missing(_ context.Context, _ Key, target v1alpha1.Revision) ([]string, error) {
	if err := p.gone(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missing[target.Hash], p.missingErr
}

func (p *process) Mark(_ context.Context, k Key, uid string, judged v1alpha1.Revision) error {
	return p.write(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		w := p.workloads[k]
		if w == nil || w.uid != uid {
			return ErrGone
		}
		if w.annotations == nil {
			w.annotations = map[string]string{}
		}
		w.annotations[AnnotationRolledBack] = fmt.Sprint(judged.Number)
		return nil
	})
}

func (p *process) HandBack(_ context.Context, k Key, uid string) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.mu.Lock()
	w := p.workloads[k]
	p.mu.Unlock()
	if w == nil || w.uid != uid || !w.owned {
		return nil
	}
	return p.write(func() error { p.mu.Lock(); defer p.mu.Unlock(); w.owned = false; p.releases++; return nil })
}

func (p *process) Unmark(_ context.Context, k Key, uid string) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workloads[k]; w != nil && w.uid == uid {
		delete(w.annotations, AnnotationRolledBack)
	}
	return nil
}

func (p *process) Follow(_ context.Context, k Key, _, target v1alpha1.Revision) (Progress, error) {
	if err := p.gone(); err != nil {
		return Progress{}, err
	}
	s := p.sight(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	if w == nil {
		return Progress{}, ErrGone
	}
	return Progress{OnTarget: w.template == target.Hash, Complete: w.template == target.Hash && s.Complete(), Message: "pods are not available"}, nil
}

func (p *process) Free(context.Context, Key, string, v1alpha1.Revision, v1alpha1.Revision, v1alpha1.FreedPod) (bool, error) {
	return false, errors.New("a Deployment's pods stand in nobody's way")
}

func (p *process) Pause(_ context.Context, k Key, uid string, judged v1alpha1.Revision, bake string) error {
	if err := p.gone(); err != nil {
		return err
	}
	if p.pauseErr != nil {
		return p.pauseErr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	switch {
	case w == nil || w.uid != uid:
		return ErrGone
	case w.template != judged.Hash:
		return ErrNewer
	case w.paused && w.annotations[AnnotationPaused] == bake:
		return nil
	case w.paused && w.annotations[AnnotationPaused] == "":
		return ErrPaused
	case !w.paused && w.annotations[AnnotationPaused] == bake:
		return ErrResumed
	}
	return p.write(func() error {
		w.hold()
		if w.annotations == nil {
			w.annotations = map[string]string{}
		}
		w.annotations[AnnotationPaused] = bake
		p.pauses = append(p.pauses, "pause "+bake)
		go p.told(k)
		return nil
	})
}

func (p *process) Release(_ context.Context, k Key, uid, bake string) (bool, error) {
	if err := p.gone(); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	if w == nil || w.uid != uid || w.annotations[AnnotationPaused] != bake {
		return false, nil
	}
	return true, p.write(func() error {
		delete(w.annotations, AnnotationPaused)
		p.goOn(k, w)
		p.pauses = append(p.pauses, "release "+bake)
		go p.told(k)
		return nil
	})
}

func (p *process) Paused(_ context.Context, k Key) (bool, error) {
	if err := p.gone(); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	return w != nil && w.paused, nil
}

func (p *process) Read(_ context.Context, q signals.Question) ([]signals.Reading, error) {
	if err := p.gone(); err != nil {
		return nil, err
	}
	rs, err := p.read(q)
	if q.From() == signals.Probe {
		for i, r := range rs {
			if r.Window.From.Before(p.remembers) { // it was not counted by this process
				rs[i].Candidate, rs[i].Baseline = signals.Side{Missing: signals.NoSeries}, signals.Side{Missing: signals.NoSeries}
			}
		}
	}
	return rs, err
}

// recordsOf is the process as Records: its method names would collide with the Source's.
type recordsOf struct{ *process }

func (p recordsOf) List(_ context.Context, each func(*v1alpha1.Bake)) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.mu.Lock()
	var all []*v1alpha1.Bake
	for _, b := range p.records {
		all = append(all, b.DeepCopy())
	}
	p.mu.Unlock()
	for _, b := range all {
		each(b)
	}
	return nil
}

func (p recordsOf) Get(_ context.Context, namespace, name string) (*v1alpha1.Bake, error) {
	if err := p.gone(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.records[namespace+"/"+name]; b != nil {
		return b.DeepCopy(), nil
	}
	return nil, ErrNoRecord
}

func (p recordsOf) Create(_ context.Context, b *v1alpha1.Bake) (out *v1alpha1.Bake, err error) {
	err = p.write(func() error { out, err = p.createRecord(b); return err })
	return out, err
}

func (p recordsOf) Update(_ context.Context, b *v1alpha1.Bake) (out *v1alpha1.Bake, err error) {
	err = p.write(func() error { out, err = p.updateRecord(b); return err })
	return out, err
}

func (p recordsOf) Delete(_ context.Context, namespace, name string) error {
	return p.write(func() error { return p.deleteRecord(namespace + "/" + name) })
}

// people are told: by stories, each answered with a receipt a moment later, and by alerts.
type people struct {
	mu       sync.Mutex
	deaf     bool // receipts do not come
	opens    bool // it wants to know when what was found is over
	stories  []announce.Story
	sent     []announce.Alert
	sentAt   []time.Time
	alertErr error
}

type teller struct {
	*people
	p *process
}

func (t teller) Receivers(s announce.Story) []string {
	if s.Stage == announce.Resolved && !t.opens {
		return nil
	}
	return []string{"grafana"}
}

func (t teller) Tell(s announce.Story, told []string) {
	if t.p.gone() != nil || slices.Contains(told, "grafana") {
		return
	}
	time.AfterFunc(100*time.Millisecond, func() {
		if t.p.gone() != nil {
			return // it was killed before the story was delivered
		}
		t.mu.Lock()
		t.stories = append(t.stories, s)
		deaf := t.deaf
		t.mu.Unlock()
		if !deaf {
			t.p.loop.Delivered(s.Bake, v1alpha1.Receipt{Receiver: "grafana", Stage: string(s.Stage), ID: "7", At: micro(time.Now())})
		}
	})
}

func (t teller) Alert(_ context.Context, alerts []announce.Alert) error {
	if err := t.p.gone(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alertErr != nil {
		return t.alertErr
	}
	for _, a := range alerts {
		t.sent, t.sentAt = append(t.sent, a), append(t.sentAt, time.Now())
	}
	return nil
}

// headlines are what was told of a stage.
func (ps *people) headlines(stage announce.Stage) []string {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var out []string
	for _, s := range ps.stories {
		if s.Stage == stage {
			out = append(out, s.Headline)
		}
	}
	return out
}

// alerts are those sent of a name, and when.
func (ps *people) alerts(name string) (sent []announce.Alert, at []time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for i, a := range ps.sent {
		if a.Name == name {
			sent, at = append(sent, a), append(at, ps.sentAt[i])
		}
	}
	return sent, at
}

// world is a cluster, the people told and the policy: what a test under synctest moves.
type world struct {
	*cluster
	people
	t      *testing.T
	config *policy.Config
	since  time.Time
	newest *process

	recorder Recorder
	lag      func(source string) time.Duration
}

const guardPolicy = `
mode: guard
sources: {prometheus: {url: http://prometheus}}
bake: {window: 2m, interval: 15s, verify: 1m, deadline: 5m}
history: 3
`

func parsed(t *testing.T, yaml string) *policy.Config {
	t.Helper()
	cfg, err := policy.Parse("bakewatch.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range cfg.Signals { // one signal, of which it is known what measures it
		switch {
		case name == policy.DefaultSignal && s.Prometheus == nil:
			s.Prometheus = &policy.Queries{Errors: plain.Errors, Requests: plain.Requests, By: "pod"}
			cfg.Signals[name] = s
		case s.Prometheus == nil:
			delete(cfg.Signals, name)
		}
	}
	return cfg
}

// inWorld runs a test under synctest, in a world where web has served template A for an hour.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{cluster: newCluster(), t: t, config: parsed(t, guardPolicy)}
		w.create(web, "A")
		time.Sleep(time.Hour)
		w.since = time.Now()
		t.Cleanup(func() {
			if w.newest != nil {
				w.newest.stop()
			}
		})
		test(t, w)
	})
}

// start starts the daemon. Once the first calls are through it returns.
func (w *world) start(set ...func(*process)) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{cluster: w.cluster, t: w.t, cancel: cancel, ended: make(chan struct{})}
	for _, f := range set {
		f(p)
	}
	p.loop = NewLoop(Options{
		Watcher: p, Undoer: p, Pauser: p,
		Keeper:   p,
		Reverter: p,
		Releases: releaser{p},
		Scaler:   p,
		Source:   p, Finder: p.finder, Records: recordsOf{p}, Teller: teller{&w.people, p}, Recorder: w.recorder, Lag: w.lag,
		Policy: func() *policy.Config { w.cluster.mu.Lock(); defer w.cluster.mu.Unlock(); return w.config }, Log: zap.NewNop(),
		Metrics: NewMetrics(prometheus.NewRegistry()), Since: w.since, Workers: 2, Migrations: p.migrations, Configs: configsFake{p},
		Report: func(b *v1alpha1.Bake) string { return "report of " + b.Name }})
	w.cluster.mu.Lock()
	w.notify = p.loop.Notice
	var keys []Key
	for k := range w.workloads {
		keys = append(keys, k)
	}
	w.cluster.mu.Unlock()
	w.newest = p
	go func() {
		defer close(p.ended)
		if err := p.loop.Run(ctx); err != nil && p.gone() == nil {
			w.t.Errorf("the loop ended: %v", err)
		}
	}()
	for _, k := range keys { // the informer's first list
		p.loop.Notice(k)
	}
	w.pass(time.Second)
	return p
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until lets time go by until the bake of a revision of web is in a phase.
func (w *world) until(number int64, phase v1alpha1.Phase) {
	for range 3600 {
		if b := w.bakes(web)[number]; b != nil && b.Status.Phase == phase {
			return
		}
		w.pass(time.Second)
	}
	w.t.Fatalf("revision %d was never %s: %v", number, phase, w.outcomes())
}

// setPolicy replaces the policy and has every workload looked at, as cmd does.
func (w *world) setPolicy(yaml string) {
	cfg := parsed(w.t, yaml)
	w.cluster.mu.Lock()
	w.config = cfg
	w.cluster.mu.Unlock()
	w.cluster.mu.Lock()
	var keys []Key
	for k := range w.workloads {
		keys = append(keys, k)
	}
	w.cluster.mu.Unlock()
	for _, k := range keys {
		w.told(k)
	}
}
