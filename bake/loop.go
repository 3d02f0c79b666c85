package bake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// Options are what a Loop is made of.
type Options struct {
	Watcher  Watcher
	Undoer   Undoer
	Pauser   Pauser
	Keeper   Keeper   // nil: what Argo CD or Flux keeps cannot be suspended
	Reverter Reverter // nil: nothing is proposed where workloads are deployed from
	Scaler   Scaler   // nil: replicas are never touched
	Releases Releaser // nil: no workload goes back with its release
	Source   Source
	Lag      func(source string) time.Duration // how long after it happened a source of that name knows of something; nil: none needs time
	Finder   Finder                            // nil: no preset measures anything
	Records  Records
	Teller   Teller
	Recorder Recorder              // nil: nothing is recorded
	Prepare  func(Key, []string)   // told of each rollout when it begins, and of the signals that it is looked for; it does not block; may be nil
	Policy   func() *policy.Config // the current policy; nil until there is one
	// Migrations are the database migrations that ran with a revision since a time; nil: they are not looked for.
	Migrations func(ctx context.Context, k Key, to v1alpha1.Revision, since time.Time) ([]v1alpha1.Migration, error)
	// Alerts are the names of the alerts of a workload that fired at a time; nil: they are not looked for.
	Alerts func(ctx context.Context, k Key, at time.Time) ([]string, error)
	// Report is the report of a Bake that has ended, for those receivers that take one; nil: there is none.
	Report func(*v1alpha1.Bake) string
	// MemoryUsed is the most that a container was seen to use, in words, empty if that is not known; nil: it is not looked for.
	MemoryUsed func(ctx context.Context, namespace, pod, container string) (string, error)
	Configs    Configs // nil: no ConfigMaps are followed
	Log        *zap.Logger
	Metrics    *Metrics
	Since      time.Time // when guarding began: rollouts before it are the way things were
	Workers    int       // how many workloads are worked on at once
}

// Loop drives every bake: it looks at one workload at a time, takes the steps that are due, and looks again later. There
// is no goroutine for a bake.
type Loop struct {
	Options
	queue          workqueue.TypedRateLimitingInterface[Key]
	ledger         ledger
	budget         budget
	deploys        deploys
	findings       findings
	undoneReleases undoneReleases
	running        context.Context // that of Run, for what may take longer than a look
	restores       restores

	began time.Time // when Run did

	mu       sync.Mutex
	telling  map[string]Key            // whose bake it is that receivers are being told of
	receipts map[Key][]delivered       // what receivers were told, not yet in the records
	alerts   map[string]announce.Alert // firing, by bake
}

type delivered struct {
	bake    string
	receipt v1alpha1.Receipt
}

// work is one bake while there is anything left to do for it.
type work struct {
	bake     *v1alpha1.Bake
	frozen   policy.Resolved
	searched time.Time // when what measures the workload was last looked for in vain
	blind    string    // why it was in vain
	// unaskable are the sources that could not be asked then.
	unaskable unaskable
	found     Findings // of the last search, which are not on record until traffic is among them
	evidence  *evidence
	verdict   *decide.Verdict
	told      map[announce.Stage]bool
	said      string // what the log said last of its verdict
	// unplanned is since when it cannot be found out how its release goes back, and busySince since when that is worked on.
	unplanned, busySince time.Time
	// unasked is since when it cannot be found out what a guard has to know.
	unasked time.Time
	// looked is when its pods were looked at last, stuck what they amounted to, and unseen why they could not be looked at.
	looked   time.Time
	lookTook time.Duration
	stuck    *decide.PodFinding
	old      []signals.PodState // the old pods as they were when they were looked at last
	unseen   string
	used     map[string]string // how much memory its pods were seen to use that were killed for want of it
	// unprobed says that no container of the new pods has a readiness probe.
	unprobed bool
	// notGentle is what keeps a canary from being as gentle as policy says.
	notGentle string
	// sought is when migrations were looked for last, and unsought why they could not be found.
	sought   time.Time
	unsought string
	// waitedSince is when it first waited for another bake to be rolled back first.
	waitedSince time.Time
	// done is how many pods the rollback has brought back at most, and movedAt when it brought back the last of them.
	done    int32
	movedAt time.Time
}

// heartbeat is a key of no workload. It goes through the queue like any other, so that the time of the last tick says
// that the workers are alive also when nothing is rolled out.
var heartbeat = Key{}

// callTimeout bounds one look at a workload, with all the calls it makes.
const callTimeout = time.Minute

// NewLoop makes a Loop.
func NewLoop(o Options) *Loop {
	if o.Workers <= 0 {
		o.Workers = 8
	}
	return &Loop{
		Options:  o,
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[Key](500*time.Millisecond, 30*time.Second)),
		ledger:   ledger{entries: map[Key]*entry{}},
		telling:  map[string]Key{},
		receipts: map[Key][]delivered{},
		alerts:   map[string]announce.Alert{},
	}
}

// Notice asks for a look at a workload soon. It does not block.
func (l *Loop) Notice(k Key) { l.queue.Add(k) }

// Delivered takes the receipt of a delivery of the Bake of that namespace/name; it is recorded at the next look.
func (l *Loop) Delivered(bake string, r v1alpha1.Receipt) {
	l.mu.Lock()
	k, ok := l.telling[bake]
	if !ok {
		l.mu.Unlock()
		return
	}
	l.receipts[k] = append(l.receipts[k], delivered{bake, r})
	l.mu.Unlock()
	l.queue.Add(k)
}

// Run loads the records and drives bakes until ctx ends. It is to be run by the leader only, and once.
func (l *Loop) Run(ctx context.Context) error {
	l.began = time.Now()
	if err := l.Load(ctx); err != nil {
		return err
	}
	l.running = ctx
	var wg sync.WaitGroup
	for range l.Workers {
		wg.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	wg.Go(func() { l.keepAlerts(ctx) })
	wg.Go(func() { l.sweep(ctx) })
	<-ctx.Done()
	l.queue.ShutDown()
	wg.Wait()
	return nil
}

func (l *Loop) next(ctx context.Context) bool {
	k, stop := l.queue.Get()
	if stop {
		return false
	}
	defer l.queue.Done(k)
	if k == heartbeat {
		l.Metrics.lastTick.SetToCurrentTime()
		return true
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	after, err := l.look(callCtx, k)
	if err != nil {
		if ctx.Err() == nil {
			l.Log.Warn("will look again", zap.String("workload", k.String()), zap.Error(err))
			l.queue.AddRateLimited(k)
		}
		return true
	}
	l.queue.Forget(k)
	if after > 0 {
		l.queue.AddAfter(k, after)
	}
	return true
}

// Load rebuilds the ledger from the records: what is known good, which bakes go on, what was spent of the budget.
func (l *Loop) Load(ctx context.Context) error {
	byWorkload := map[Key][]*v1alpha1.Bake{}
	err := l.Records.List(ctx, func(b *v1alpha1.Bake) { byWorkload[keyOf(b)] = append(byWorkload[keyOf(b)], b) })
	if err != nil {
		return fmt.Errorf("read the bakes recorded so far: %w", err)
	}
	for k, bakes := range byWorkload {
		slices.SortFunc(bakes, older)
		e := l.ledger.of(k)
		for i, b := range bakes {
			if b.Spec.Workload.UID != e.uid { // deleted and made anew under the same name
				*e = entry{past: e.past, suspended: e.suspended}
			}
			e.begin(b)
			l.deploys.note(b)
			l.undoneReleases.note(b)
			l.restores.note(b)
			if rb := b.Status.Rollback; rb != nil && rb.PatchedAt != nil {
				e.current = rb.Target // what came later, be it the same template again, is a rollout
			}
			if rb := b.Status.Rollback; rb != nil && (b.Status.Outcome == "" || rb.PatchedAt != nil) {
				l.budget.spend(id(b), b.Namespace, rb.IntendedAt.Time)
			}
			if b.Status.Outcome != "" {
				e.close(b)
			}
			e.noteSuspended(b)
			switch {
			case !l.unfinished(b):
			case i == len(bakes)-1:
				e.work = l.workOn(b)
			default: // only the newest goes on; how an older one ended may not have been told before a crash
				e.retire(b.Name)
				l.tellLate(b)
			}
		}
		l.queue.Add(k)
	}
	l.Log.Info("bakes loaded", zap.Int("workloads", len(byWorkload)))
	return nil
}

// older orders the Bakes of one name: revision numbers only grow, as long as it is the same workload.
func older(a, b *v1alpha1.Bake) int {
	if a.Spec.Workload.UID == b.Spec.Workload.UID {
		return cmp.Or(cmp.Compare(a.Spec.To.Number, b.Spec.To.Number), a.Spec.StartedAt.Compare(b.Spec.StartedAt.Time))
	}
	return a.Spec.StartedAt.Compare(b.Spec.StartedAt.Time)
}

// unfinished reports whether anything is left to do for a bake: steps, an alert to resolve, somebody to tell.
func (l *Loop) unfinished(b *v1alpha1.Bake) bool {
	if b.Status.Outcome == "" || b.Status.EndedAt == nil {
		return true
	}
	if a := b.Status.Alert; a != nil && a.ResolvedAt == nil {
		return true
	}
	return time.Since(lastNews(b)) < tellFor && len(l.untold(b)) > 0
}

// whole takes a record whose phase does not go with what is on it, as only a person's hand makes one, back to the phase
// from which the rest is found again.
func whole(b *v1alpha1.Bake) *v1alpha1.Bake {
	st := b.Status
	switch {
	case st.Phase == v1alpha1.PhaseBaking && st.FirstReadyAt == nil,
		(st.Phase == v1alpha1.PhaseRollingBack || st.Phase == v1alpha1.PhaseVerifying) && st.Rollback == nil:
		b = b.DeepCopy()
		b.Status.Phase = v1alpha1.PhaseRolling
	case st.Phase == v1alpha1.PhaseVerifying && st.Rollback.AvailableAt == nil:
		b = b.DeepCopy()
		b.Status.Phase = v1alpha1.PhaseRollingBack
	}
	return b
}

func (l *Loop) workOn(b *v1alpha1.Bake) *work {
	w := &work{bake: whole(b), told: map[announce.Stage]bool{}}
	if err := json.Unmarshal(b.Spec.Policy.Raw, &w.frozen); err != nil || w.frozen.Interval <= 0 {
		// The record was written by another version, or by hand. The policy of now is the best there is.
		l.Log.Error("the policy in a bake's record cannot be read; taking the policy of now", zap.String("bake", id(b)), zap.Error(err))
		cfg := l.Policy()
		if cfg == nil {
			cfg = policy.Default() // it observes
		}
		w.frozen, _ = cfg.For(policy.Target{Kind: b.Spec.Workload.Kind, Namespace: b.Namespace, Name: b.Spec.Workload.Name})
	}
	return w
}

// look is one look at a workload. It returns when to look again; zero when only a change calls for it.
func (l *Loop) look(ctx context.Context, k Key) (time.Duration, error) {
	after, err := l.attend(ctx, k)
	return after, errors.Join(err, l.freePaused(ctx, k))
}

// attend sees to a workload: is there a new rollout, and what is due for the bake that goes on.
func (l *Loop) attend(ctx context.Context, k Key) (time.Duration, error) {
	cfg := l.Policy()
	if cfg == nil {
		return 2 * time.Second, nil // no policy yet: nothing may be judged
	}
	s := l.Watcher.Sight(k)
	e := l.ledger.of(k)
	if err := l.takeReceipts(ctx, k, e); err != nil {
		return 0, err
	}
	if s.Unknown {
		return 5 * time.Second, nil // not even whether it is there
	}
	live, problems := cfg.For(policy.Target{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, Labels: s.Labels, Annotations: s.Annotations})
	if text := fmt.Sprint(problems); text != e.problems { // told once, not at every look
		e.problems = text
		for _, p := range problems {
			l.Log.Warn("part of the policy for a workload makes no sense and has no effect", zap.String("workload", k.String()), zap.Stringer("problem", p))
		}
	}
	if s.Exists && e.uid != "" && e.uid != s.UID && (e.work == nil || e.work.bake.Status.Outcome != "") {
		l.letGo(e) // deleted and made anew under the same name
		*e = entry{past: e.past, suspended: e.suspended}
	}

	var again time.Duration
	switch {
	case !s.Exists && e.work == nil:
		l.ledger.forget(k)
		l.deploys.forget(k)
		return 0, nil
	case !s.Exists:
	case !live.Watched:
		if e.work == nil {
			wait, err := l.adopt(ctx, k, e, s)
			if err != nil {
				return 0, err
			}
			again = wait
		}
	default:
		wait, err := l.detect(ctx, k, e, s, live)
		if err != nil {
			return 0, err
		}
		again = wait
		if wait, err = l.configure(ctx, k, e, s, live); err != nil {
			return 0, err
		}
		again = sooner(again, wait)
	}
	if err := l.heedResume(ctx, k, e, s); err != nil {
		return 0, err
	}
	again = sooner(again, l.restore(ctx, k, e, s))
	for first := true; ; first = false {
		if live.Watched {
			if err := l.heed(ctx, k, e, s, live); err != nil {
				return 0, err
			}
		}
		if e.work == nil {
			return again, nil
		}
		open := e.work.bake.Status.Outcome == ""
		wait, err := l.drive(ctx, k, e, live)
		if err != nil {
			return 0, err
		}
		if over := e.work == nil || e.work.bake.Status.Outcome != ""; first && open && over {
			continue // it may have made room for what a person asks
		}
		return sooner(again, wait), nil
	}
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// detect asks the watcher whether the workload was rolled out, when there is reason to ask, and begins a bake if so.
func (l *Loop) detect(ctx context.Context, k Key, e *entry, s Sight, live policy.Resolved) (time.Duration, error) {
	e.proveQuietly(s)
	switch {
	case e.digest == s.Digest:
		return 0, nil
	case e.digest == "" && e.seen && e.current.Number == s.Number && s.CaughtUp && !s.Paused:
		e.digest = s.Digest // after a restart: the revision is the one on record
		return 0, nil
	case !e.seen && s.CaughtUp && !s.Paused && s.Number > 0 && !s.SettledAt.IsZero() && s.SettledAt.Before(l.Since):
		e.adopt(s, v1alpha1.Revision{Number: s.Number}) // it was rolled out before guarding began; no need to ask
		return 0, nil
	}
	d, err := l.Watcher.Detect(ctx, k, e.known(l.Since))
	if err != nil {
		return 0, err
	}
	switch d.Finding {
	case Waiting:
		return 500 * time.Millisecond, nil
	case PausedWait:
		if e.waits != d.Digest { // told once, not at every look
			e.waits = d.Digest
			l.Log.Info("changed, and nothing rolls out yet; it will be baked when it does", zap.String("workload", k.String()), zap.Bool("paused", s.Paused), zap.Bool("onDelete", s.OnDelete))
		}
		return 30 * time.Second, nil
	case Backlog:
		e.settle(d)
		e.uid = s.UID
		e.proveQuietly(s)
	case Same, OwnUndo:
		e.settle(d)
		if d.Restart {
			e.configs.restarted = d.Current.Hash
		}
	case Found:
		return 0, l.begin(ctx, k, e, d, s, live)
	}
	return 0, nil
}

// adopt takes what runs of a workload that is not watched as the way things are. Where the watch does not know its revision
// number it is looked up, once for each template.
func (l *Loop) adopt(ctx context.Context, k Key, e *entry, s Sight) (time.Duration, error) {
	switch {
	case s.Number > 0:
		e.adopt(s, v1alpha1.Revision{Number: s.Number})
		return 0, nil
	case e.seen && e.digest == s.Digest:
		e.adopt(s, e.current)
		return 0, nil
	}
	d, err := l.Watcher.Detect(ctx, k, e.known(l.Since))
	switch {
	case err != nil:
		return 0, err
	case d.Finding == Waiting:
		return 500 * time.Millisecond, nil
	case d.Finding == PausedWait:
		return 30 * time.Second, nil
	}
	s.Digest = d.Digest
	e.adopt(s, d.Current)
	return 0, nil
}

// begin ends the bake that went on, if any, and records that of the new rollout.
func (l *Loop) begin(ctx context.Context, k Key, e *entry, d Detection, s Sight, live policy.Resolved) error {
	firstSeen := !e.seen
	e.back = &writing{d.Rollout.ChangedBy, d.Rollout.StartedAt}
	err := l.supersede(ctx, k, e, d.Current, live)
	e.back = nil
	if err != nil {
		return err
	}
	r := d.Rollout
	l.configured(ctx, k, e, s, live, &r)
	d.Current.ConfigMaps = r.To.ConfigMaps
	missed := time.Since(r.StartedAt) > live.Window+patience && s.Complete()
	if missed && firstSeen {
		e.settle(d)
		e.uid = s.UID
		e.proveQuietly(s)
		return nil // it ran before this workload was ever watched
	}
	since, until := e.baseline(r.StartedAt)
	b, err := record(r, live, since, until)
	if err != nil {
		return err
	}
	b.Spec.Again, b.Spec.Labels = e.again(r.To), few(s.Labels)
	if b, err = l.Records.Create(ctx, b); err != nil {
		return fmt.Errorf("record the bake of %s: %w", k, err)
	}
	e.begin(b)
	l.deploys.note(b)
	e.settle(d)
	e.work = l.workOn(b)
	l.Log.Info("rollout", zap.String("workload", k.String()), zap.String("revisions", b.Spec.Revisions), zap.Strings("changes", r.Changes), zap.String("by", r.ChangedBy))
	if b.Spec.Again != nil {
		l.Log.Warn("a version that was rolled back is rolled out again", zap.Bool("writtenBack", writtenBack(b.Spec)), zap.String("workload", k.String()), zap.String("it", itIs(b.Spec, b.Spec.StartedAt.Time)), zap.String("by", r.ChangedBy))
	}
	l.Metrics.rollouts.Inc()
	if l.Prepare != nil {
		l.Prepare(k, e.work.frozen.Unfound())
	}
	if b.Status.Outcome != "" { // it was recorded, and ended, before a restart
		e.close(b)
		return nil
	}
	moved := l.undoneReleases.moved(s.Origin.Release, b.Spec.Ref, r.StartedAt, id(b))
	switch {
	case moved != nil:
		return l.end(ctx, k, e, wentAlong(*moved))
	case missed:
		return l.end(ctx, k, e, end(v1alpha1.OutcomeInconclusive, CodeMissed,
			fmt.Sprintf("%s was rolled out %s ago while Bakewatch was not running: too long ago to judge", rev(r.To), short(time.Since(r.StartedAt)))))
	case r.From != nil && sameRevision(*r.From, r.To):
		step := end(v1alpha1.OutcomePassed, CodeReturn, fmt.Sprintf("%s is the known good %s again", rev(r.To), rev(*r.From)))
		step.Good = true
		return l.end(ctx, k, e, step)
	}
	return nil
}

// supersede ends the bake that went on, if any, and lets go of it, because a newer rollout has come. Until that one is on
// record the old revision stays the current one: whatever fails, the newer one is found again.
func (l *Loop) supersede(ctx context.Context, k Key, e *entry, newer v1alpha1.Revision, live policy.Resolved) error {
	w := e.work
	if w == nil {
		return nil
	}
	defer func(before v1alpha1.Revision) { e.current = before }(e.current)
	e.current = newer
	if w.bake.Status.Outcome == "" {
		if _, err := l.drive(ctx, k, e, live); err != nil { // it ends: its revision is no longer the current one
			return err
		}
		if w.bake.Status.Outcome == "" {
			return fmt.Errorf("%s goes on although %s has come", id(w.bake), rev(newer))
		}
	}
	if err := l.finishTelling(ctx, e, true); err != nil { // guarding does not wait for it
		l.Log.Warn("an alert is not resolved; it lapses by itself", zap.String("bake", id(w.bake)), zap.Error(err))
	}
	l.letGo(e)
	return nil
}

// record makes the Bake of a rollout.
func record(r Rollout, p policy.Resolved, since, until time.Time) (*v1alpha1.Bake, error) {
	frozen, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("freeze the policy for %s: %w", r.Key, err)
	}
	b := &v1alpha1.Bake{
		Spec: v1alpha1.BakeSpec{
			Workload:  v1alpha1.WorkloadReference{Kind: r.Kind, Name: r.Key.Name, UID: r.UID},
			Ref:       r.Ref(),
			Revisions: fmt.Sprintf("- → %d", r.To.Number),
			From:      r.From, To: r.To,
			StartedAt: micro(r.StartedAt), BaselineUntil: micro(until),
			Changes: r.Changes, ChangedBy: r.ChangedBy, RestartOnly: r.RestartOnly, InPlace: r.InPlace,
			Policy: runtime.RawExtension{Raw: frozen},
		},
	}
	if r.From != nil {
		b.Spec.Revisions = fmt.Sprintf("%d → %d", r.From.Number, r.To.Number)
	}
	if !since.IsZero() {
		t := micro(since)
		b.Spec.BaselineSince = &t
	}
	b.Name, b.Namespace = Name(r.Key, r.UID, r.To.Number), r.Namespace
	if r.InPlace {
		mark := sha256.Sum256([]byte(r.Mark))
		b.Name += fmt.Sprintf("-config-%x", mark[:4])
		b.Spec.Revisions = withConfiguration(b.Spec.Revisions, r.To.Configuration)
	}
	b.Labels = map[string]string{LabelKind: r.Kind}
	if len(r.Key.Name) <= 63 {
		b.Labels[LabelWorkload] = r.Key.Name
	}
	return b, nil
}

// maxLabels is how many labels of a workload a Bake keeps.
const maxLabels = 64

// few are the labels, the first ones by name if there are too many to keep.
func few(labels map[string]string) map[string]string {
	if len(labels) <= maxLabels {
		return maps.Clone(labels)
	}
	kept := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(labels))[:maxLabels] {
		kept[name] = labels[name]
	}
	return kept
}

// Labels of a Bake, for selecting: kubectl get bakes -l bakewatch.dev/workload=web.
const (
	LabelKind     = "bakewatch.dev/kind"
	LabelWorkload = "bakewatch.dev/workload"
)
