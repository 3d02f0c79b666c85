package bake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/signals"
)

// cluster stands for the API server, the deployment controller, the pods and Prometheus: what survives a restart of the
// daemon. It follows the clock it is run under, so a test under synctest can move it.
type cluster struct {
	mu         sync.Mutex
	notify     func(Key) // the newest process' watch
	workloads  map[Key]*workload
	rates      map[string]float64 // share of requests that fail, by template
	rps        float64            // requests per second and revision
	broken     time.Time          // from then on three of ten requests fail, whatever the template; zero: never
	down       bool               // Prometheus does not answer
	records    map[string]*v1alpha1.Bake
	missing    map[string][]string // what templates refer to, and is not there
	missingErr error               // that this cannot be told
	deleted    []string            // records deleted, in order
	version    int
	changes    []string       // template changes made by an undo, in order
	writer     string         // who writes templates; kubectl if empty
	keptOff    map[Key]string // workloads that what keeps them leaves alone, and for which bake
	keptBy     []string       // what was done to that: off, on
	writesBack time.Duration  // how soon after an undo something writes the bad template back; 0: nothing does
	releases   int
	pulls      map[string]string // what pull requests undo, by branch
	opened     int               // how many were
	pauses     []string          // pauses and releases of them by the daemon, in order

	scaled        []string                  // how replicas went by our own doing, in order
	autoscaler    string                    // what sets the replicas by itself
	autoscalerErr error                     // that this cannot be told
	helm          *fakeRelease              // of all workloads that say so
	configs       map[string]*configMapFake // of the namespace shop, by name
}

// workload is a Deployment with its ReplicaSets. A template is named by its hash.
type workload struct {
	uid                       string
	annotations, labels       map[string]string
	template, rolled          string // as it is, and as the controller rolled it out; they differ while it is paused
	paused                    bool
	heldAt                    time.Time     // since when a rollout stands still that is paused part-way; zero: it does not
	heldFor                   time.Duration // how long it stood still before
	replicas                  int32
	sets                      []*set
	changedAt                 time.Time
	readyAfter, completeAfter time.Duration
	stuck                     string
	owned                     bool // managedFields hold an entry of ours
	look                      func() (signals.PodLook, error)
	migrates                  map[string]func() []v1alpha1.Migration // by the revision's hash
	missing                   int32                                  // pods that are not available
	mostNew                   map[string]int32                       // how many pods there were at most of a template
	owner                     Owner
	origin                    Origin
	reborn                    time.Time // when a pod was made anew under the same template
	restartedAt               string    // restart annotation of the template
	reads                     []string  // ConfigMaps: mounted, or with a $ before the name as variables
}

type set struct {
	hash    string
	number  int64
	created time.Time
	served  []span
}

// span is when a revision's pods served; an open one has no end.
type span struct{ from, to time.Time }

var web = Key{Kind: "Deployment", Namespace: "shop", Name: "web"}

func newCluster() *cluster {
	return &cluster{workloads: map[Key]*workload{}, records: map[string]*v1alpha1.Bake{}, keptOff: map[Key]string{}, pulls: map[string]string{}, rates: map[string]float64{}, rps: 20}
}

// create makes a Deployment that rolls out a template.
func (c *cluster) create(k Key, template string) {
	c.mu.Lock()
	c.version++
	c.workloads[k] = &workload{uid: fmt.Sprintf("uid-%04d", c.version), mostNew: map[string]int32{}, replicas: 2, readyAfter: 5 * time.Second, completeAfter: 20 * time.Second}
	c.mu.Unlock()
	c.deploy(k, template)
}

func (c *cluster) remove(k Key) {
	c.mu.Lock()
	delete(c.workloads, k)
	c.mu.Unlock()
	c.told(k)
}

// with changes a workload under the lock, and has the watch tell of it.
func (c *cluster) with(k Key, change func(*workload)) {
	c.mu.Lock()
	change(c.workloads[k])
	c.mu.Unlock()
	c.told(k)
}

// most is how many pods of a template there were at most.
func (c *cluster) most(k Key, template string) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.workloads[k].mostNew[template]
}

// restoresOf are the contents of a ConfigMap that were put back, in order.
func (c *cluster) restoresOf(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.configs[name].restores)
}

func (c *cluster) told(k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.notify != nil {
		c.notify(k)
	}
}

// deploy changes the template as a user does.
func (c *cluster) deploy(k Key, template string) {
	c.with(k, func(w *workload) { w.template = template; c.roll(k, w) })
}

func (c *cluster) resume(k Key) {
	c.with(k, func(w *workload) { c.goOn(k, w) })
}

// roll does what the controller does.
func (c *cluster) roll(k Key, w *workload) {
	if w.paused || w.rolled == w.template {
		return
	}
	now := time.Now()
	var highest int64
	for _, s := range w.sets {
		highest = max(highest, s.number)
		for i := range s.served {
			if s.served[i].to.IsZero() {
				s.served[i].to = now.Add(w.completeAfter)
			}
		}
	}
	s := w.set(w.template)
	if s == nil {
		s = &set{hash: w.template, created: now}
		w.sets = append(w.sets, s)
	}
	s.number, s.served = highest+1, append(s.served, span{from: now.Add(w.readyAfter)})
	w.rolled, w.changedAt, w.stuck, w.heldAt, w.heldFor = w.template, now, "", time.Time{}, 0
	time.AfterFunc(w.readyAfter, func() { c.told(k) })
	time.AfterFunc(w.completeAfter, func() { c.told(k) })
}

// hold pauses the rollout. The pods there are serve on.
func (w *workload) hold() {
	if w.paused {
		return
	}
	w.paused = true
	if w.age() >= w.completeAfter {
		return
	}
	w.heldAt = time.Now()
	for _, s := range w.sets {
		for i := range s.served {
			if s.served[i].to.After(w.heldAt) {
				s.served[i].to = time.Time{}
			}
		}
	}
}

// goOn takes a pause away.
func (c *cluster) goOn(k Key, w *workload) {
	w.paused = false
	if now := time.Now(); !w.heldAt.IsZero() && w.rolled == w.template {
		w.heldFor, w.heldAt = w.heldFor+now.Sub(w.heldAt), time.Time{}
		left := w.completeAfter - w.age()
		for _, s := range w.sets {
			for i := range s.served {
				if s.hash != w.rolled && s.served[i].to.IsZero() {
					s.served[i].to = now.Add(left)
				}
			}
		}
		time.AfterFunc(left, func() { c.told(k) })
	}
	c.roll(k, w)
}

// age is for how long its rollout went on.
func (w *workload) age() time.Duration {
	age := time.Since(w.changedAt) - w.heldFor
	if !w.heldAt.IsZero() {
		age -= time.Since(w.heldAt)
	}
	return age
}

func (w *workload) set(hash string) *set {
	for _, s := range w.sets {
		if s.hash == hash {
			return s
		}
	}
	return nil
}

func (s *set) revision() v1alpha1.Revision {
	return v1alpha1.Revision{Number: s.number, Hash: s.hash, Name: "web-" + s.hash, Images: []string{"app:" + s.hash}}
}

func (c *cluster) sight(k Key) Sight {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.workloads[k]
	if w == nil {
		return Sight{Key: k}
	}
	s := Sight{Key: k, Exists: true, UID: w.uid, Labels: maps.Clone(w.labels), Annotations: maps.Clone(w.annotations), Digest: "digest of " + w.template, Paused: w.paused, CaughtUp: true,
		Origin: w.origin, Replicas: w.replicas, Total: w.replicas, Available: w.replicas - w.missing, Stuck: w.stuck, SettledAt: w.changedAt}
	s.Number, s.Owner = w.set(w.rolled).number, w.owner
	s.Configs = c.configsOf(w)
	switch age := w.age(); {
	case age >= w.completeAfter:
		s.Updated, s.SettledAt = w.replicas, w.changedAt.Add(w.completeAfter)
	case time.Since(w.changedAt) >= w.readyAfter:
		s.Updated, s.SettledAt = 1, w.changedAt.Add(w.readyAfter)
	default:
		s.Updated = min(1, w.replicas)
	}
	w.mostNew[w.rolled] = max(w.mostNew[w.rolled], s.Updated)
	return s
}

// detect does what the watcher's own does, on templates that are names.
func (c *cluster) detect(k Key, known Known) (Detection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.workloads[k]
	if w == nil {
		return Detection{}, errors.New("not found")
	}
	d := Detection{Digest: "digest of " + w.template}
	if w.rolled != w.template {
		d.Finding = PausedWait
		return d, nil
	}
	cur := w.set(w.rolled)
	d.Current = cur.revision()
	var good, previous *set
	for _, s := range w.sets {
		if known.Good != "" && s.hash == known.Good || known.Good == "" && known.GoodNumber > 0 && s.number == known.GoodNumber {
			good = s
		}
		if s.number < cur.number && (previous == nil || s.number > previous.number) {
			previous = s
		}
	}
	switch {
	case !known.Seen && !cur.created.After(known.Since):
		d.Finding = Backlog
		return d, nil
	case !known.Seen:
		good = previous
	case known.Hash == cur.hash, known.Hash == "" && known.Number == cur.number:
		d.Finding = Same
		return d, nil
	case known.Restarted != "" && known.Restarted == w.restartedAt && cur.hash == known.Hash+"-again":
		d.Finding, d.Restart = OwnUndo, true
		return d, nil
	case known.Undoing != "" && known.Undoing == cur.hash:
		d.Finding = OwnUndo
		return d, nil
	}
	d.Finding = Found
	d.Rollout = Rollout{Key: k, UID: w.uid, To: d.Current, StartedAt: w.changedAt, Digest: d.Digest, Changes: []string{"image of app"}, ChangedBy: cmp.Or(c.writer, "kubectl")}
	if good != nil {
		from := good.revision()
		d.Rollout.From = &from
	}
	return d, nil
}

// undo is the conditional patch; write stands between it and the cluster.
func (c *cluster) undo(k Key, uid string, judged, target v1alpha1.Revision, write func(func() error) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	release := func() error {
		if w := c.workloads[k]; w.owned {
			return write(func() error { w.owned = false; c.releases++; return nil })
		}
		return nil
	}
	w := c.workloads[k]
	switch {
	case w == nil || w.uid != uid:
		return ErrGone
	case w.template == target.Hash:
		return release()
	case w.template != judged.Hash:
		return ErrNewer
	case w.paused && w.annotations[AnnotationPaused] == "":
		return ErrPaused
	case w.set(target.Hash) == nil:
		return ErrNoRevision
	}
	err := write(func() error {
		c.changes = append(c.changes, w.template+" to "+target.Hash)
		w.template, w.owned = target.Hash, true
		if w.annotations[AnnotationPaused] != "" {
			w.paused = false
			delete(w.annotations, AnnotationPaused)
		}
		if w.annotations == nil {
			w.annotations = map[string]string{}
		}
		w.annotations[AnnotationRolledBack] = fmt.Sprintf("%d at %s", judged.Number, time.Now().UTC().Format(time.RFC3339))
		c.roll(k, w)
		if c.writesBack > 0 && c.keptOff[k] == "" {
			time.AfterFunc(c.writesBack, func() { c.deploy(k, judged.Hash) })
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.notify != nil {
		c.notify(k)
	}
	return release()
}

// read is Prometheus: it counts what the pods of a revision served and failed in each window.
func (c *cluster) read(q signals.Question) ([]signals.Reading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errors.New("prometheus: connection refused")
	}
	w := c.workloads[Key{Kind: q.Vars["kind"], Namespace: q.Vars["namespace"], Name: q.Vars["workload"]}]
	side := func(prefix string, from, to time.Time) signals.Side {
		var s *set
		if w != nil {
			s = w.set(strings.TrimSuffix(strings.TrimPrefix(prefix, "web-"), "-"))
		}
		if s == nil {
			return signals.Side{Missing: signals.NoSeries, Detail: "no series"}
		}
		var served time.Duration
		heard := false
		for _, sp := range s.served {
			a, b := sp.from, sp.to
			if b.IsZero() || b.After(to) {
				b = to
			}
			if a.Before(from) {
				a = from
			}
			if a.Before(b) {
				served, heard = served+b.Sub(a), true
			}
		}
		if !heard {
			return signals.Side{Missing: signals.NoSeries, Detail: "no series"}
		}
		requests := served.Seconds() * c.rps
		rate := c.rates[s.hash]
		if w != nil {
			rate = max(rate, c.configured(w, s, from))
		}
		if !c.broken.IsZero() && !from.Before(c.broken) {
			rate = 0.3
		}
		return signals.Side{Counts: signals.Counts{Requests: requests, Errors: requests * rate},
			Pods: map[string]signals.Counts{s.hash + "-1": {Requests: requests}}}
	}
	var out []signals.Reading
	for i := range len(q.Bounds) - 1 {
		from, to := q.Bounds[i], q.Bounds[i+1]
		out = append(out, signals.Reading{Window: signals.Window{From: from, To: to}, Candidate: side(q.Candidate, from, to), Baseline: side(q.Baseline, from, to)})
	}
	return out, nil
}

// The records: each call is one request.

func (c *cluster) put(b *v1alpha1.Bake) *v1alpha1.Bake {
	c.version++
	b = b.DeepCopy()
	b.ResourceVersion = fmt.Sprint(c.version)
	c.records[id(b)] = b
	return b.DeepCopy()
}

func (c *cluster) createRecord(b *v1alpha1.Bake) (*v1alpha1.Bake, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.records[id(b)]; old != nil {
		return old.DeepCopy(), nil
	}
	b = b.DeepCopy()
	b.Status = v1alpha1.BakeStatus{} // as the API server does with a status subresource
	return c.put(b), nil
}

func (c *cluster) updateRecord(b *v1alpha1.Bake) (*v1alpha1.Bake, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.records[id(b)]
	switch {
	case old == nil:
		return nil, ErrNoRecord
	case old.ResourceVersion != b.ResourceVersion:
		return nil, ErrConflict
	}
	next := old.DeepCopy()
	next.Status = *b.Status.DeepCopy()
	return c.put(next), nil
}

func (c *cluster) deleteRecord(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records[name] == nil {
		return ErrNoRecord
	}
	delete(c.records, name)
	c.deleted = append(c.deleted, name)
	return nil
}

// bakes are the records of a workload, by revision number.
func (c *cluster) bakes(k Key) map[int64]*v1alpha1.Bake {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[int64]*v1alpha1.Bake{}
	for _, b := range c.records {
		if keyOf(b) == k {
			out[b.Spec.To.Number] = b.DeepCopy()
		}
	}
	return out
}

// bake is the record of one revision of web.
func (c *cluster) bake(t *testing.T, number int64) *v1alpha1.Bake {
	t.Helper()
	b := c.bakes(web)[number]
	if b == nil {
		t.Fatalf("no bake of revision %d; there are %v", number, c.outcomes())
	}
	return b
}

// outcomes is what each record came to, by name.
func (c *cluster) outcomes() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]string{}
	for name, b := range c.records {
		out[name] = string(b.Status.Phase) + string(b.Status.Outcome) + ": " + b.Status.Why
	}
	return out
}

var errKilled = errors.New("this process was killed")

// process is one run of the daemon over the cluster. It dies before or after its nth write; every later call of it fails.
type process struct {
	remembers time.Time // since when it has counted runs of flows
	*cluster
	t      *testing.T
	loop   *Loop
	cancel context.CancelFunc
	ended  chan struct{}
	finder Finder // nil: nothing is left to presets

	state     sync.Mutex
	dead      bool
	writes    int
	killAt    int // 0: it lives on
	before    bool
	failWrite func(n int) error // nil: no write fails
	undoErr   func() error      // nil: an undo is carried out
	pauseErr  error             // of every pause
	gitErr    func() error      // nil: a revert can be proposed
	keeperErr func() error      // nil: what keeps the workload can be suspended
}

func (p *process) gone() error {
	p.state.Lock()
	defer p.state.Unlock()
	if p.dead {
		return errKilled
	}
	return nil
}

func (p *process) write(apply func() error) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.state.Lock()
	p.writes++
	n, now := p.writes, p.writes == p.killAt
	fail := p.failWrite
	p.state.Unlock()
	if fail != nil {
		if err := fail(n); err != nil {
			return err
		}
	}
	if now && p.before {
		p.kill()
		return errKilled
	}
	err := apply()
	if now {
		p.kill()
		return errKilled
	}
	return err
}

func (p *process) kill() {
	p.state.Lock()
	p.dead = true
	p.state.Unlock()
	p.cancel()
}

// stop ends it in good order.
func (p *process) stop() {
	p.cancel()
	<-p.ended
	p.kill()
}
