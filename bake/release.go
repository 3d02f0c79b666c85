package bake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// Codes of reasons about Helm releases.
const (
	CodeHelm        = "helm"         // the release that it belongs to cannot be rolled back
	CodeWithRelease = "with-release" // it went back with its release, which another workload's bake rolled back
)

// HelmRelease is a Helm release.
type HelmRelease struct{ Namespace, Name string }

// String is the release as messages call it.
func (r HelmRelease) String() string { return "release " + r.Name + " in namespace " + r.Namespace }

// Releaser rolls releases back.
type Releaser interface {
	// Plan says how a workload goes back from judged to target with its release. It changes nothing.
	Plan(ctx context.Context, k Key, r HelmRelease, judged, target v1alpha1.Revision) (ReleasePlan, error)
	// RollBack rolls the release back as planned, if it is still at the planned revision and the workload at judged or target. by is
	// the bake's id, which the release's history tells, and by which a rollback that was begun before a crash is recognised, so
	// that it may be repeated. It returns nil when the release has been rolled back for this bake, or the workload went back
	// with somebody else's rollback. ErrGone, ErrNewer, ErrPaused, ErrNoRevision and ErrRelease are final; any other error may be tried again.
	RollBack(ctx context.Context, k Key, uid string, judged, target v1alpha1.Revision, plan v1alpha1.HelmRollback, by string) error
	// LetGo ends what a rollback that is not gone on with left under way, so that others may work on the release.
	LetGo(ctx context.Context, plan v1alpha1.HelmRollback, by string) error
}

// ErrRelease says that a release cannot be rolled back. It is final.
var ErrRelease = errors.New("the release cannot be rolled back")

// ReleasePlan is how a workload goes back with its release.
type ReleasePlan struct {
	From, To int64    // revisions of the release: the newest, and the one to go back to; 0 where that is not known
	Others   []string // the other workloads whose templates that changes, as kind/name
	Unfit    string   // why the release cannot be rolled back, as a clause; empty: it can
	Busy     string   // the status of an operation that is under way, such as pending-upgrade; empty: none is
	Since    time.Time
	// Apart says that the release's newest revision does not make the template that was judged: something else than Helm did.
	Apart bool
}

// planRelease finds out how the workload goes back with its release, if policy wants that. It is asked when a rollback is
// about to be intended.
func (l *Loop) planRelease(ctx context.Context, k Key, w *work, s *State) error {
	r := s.Sight.Origin.Release
	if l.Releases == nil || !s.Live.Helm.Enabled || r == (HelmRelease{}) || s.Bake.Spec.InPlace {
		return nil
	}
	p, err := l.Releases.Plan(ctx, k, r, s.Bake.Spec.To, *s.Bake.Spec.From)
	if err == nil {
		w.unplanned = time.Time{}
	} else {
		if w.unplanned.IsZero() {
			w.unplanned = s.Now
		}
		if s.Now.Sub(w.unplanned) < forbiddenFor {
			return fmt.Errorf("see how %s goes back: %w", r, err)
		}
		p = ReleasePlan{Unfit: announce.Clip(err.Error(), 500)}
	}
	s.Plan = &p
	if p.Busy == "" {
		w.busySince = time.Time{}
		return nil
	}
	if w.busySince.IsZero() || p.Since.Before(w.busySince) {
		w.busySince = s.Now
		if !p.Since.IsZero() && p.Since.Before(s.Now) { // the clock of whoever works on it may be ahead
			w.busySince = p.Since
		}
	}
	s.BusyUntil = w.busySince.Add(time.Duration(s.Live.Helm.Timeout))
	return nil
}

// onceFree has a rollback wait for the operation on its release that is under way.
func (s State) onceFree(step Step) Step {
	if step.Do != Intend || s.Plan == nil || s.Plan.Busy == "" || !s.Now.Before(s.BusyUntil) {
		return step
	}
	return Step{Do: Wait, Until: s.Now.Add(soon), Why: fmt.Sprintf("%s is %s, which is waited for until %s", s.Sight.Origin.Release, s.Plan.Busy, clock(s.BusyUntil))}
}

// unfit is why the release cannot be rolled back; empty where it can, and where that is not asked.
func (s State) unfit() string {
	switch p := s.Plan; {
	case p == nil || p.Apart:
		return ""
	case p.Busy != "" && !s.Now.Before(s.BusyUntil):
		return fmt.Sprintf("it is %s, and somebody may be at work on it", p.Busy)
	default:
		return p.Unfit
	}
}

// heldByRelease leaves it to a person where the release cannot be rolled back, unless policy has the template put back then.
func (s State) heldByRelease() *v1alpha1.Reason {
	why := s.unfit()
	if why == "" || s.Live.Helm.Fallback == policy.FallbackPatch {
		return nil
	}
	r, to := s.Sight.Origin.Release, "REVISION"
	if s.Plan.To != 0 {
		to = fmt.Sprint(s.Plan.To)
	}
	return held(CodeHelm, "%s belongs to %s, which cannot be rolled back: %s; see helm history %s -n %s, and choose: helm rollback %s %s -n %s, or mend it and helm upgrade",
		s.Bake.Spec.Ref, r, why, r.Name, r.Namespace, r.Name, to, r.Namespace)
}

// helm is the release that is rolled back; nil where only the workload's template is put back.
func (s State) helm() *v1alpha1.HelmRollback {
	p := s.Plan
	if p == nil || p.Apart || s.unfit() != "" {
		return nil
	}
	const most = 100 // as the resource's schema has it
	r := s.Sight.Origin.Release
	return &v1alpha1.HelmRollback{Release: r.Name, Namespace: r.Namespace, From: p.From, To: p.To,
		SkipHooks: s.Live.Helm.Hooks == policy.SkipHooks, Others: p.Others[:min(len(p.Others), most)]}
}

// ofRelease says what becomes of the release of a workload that is rolled back.
func (s State) ofRelease(r HelmRelease) string {
	spec := s.Bake.Spec
	if h := s.helm(); h != nil {
		with := ""
		if n := len(h.Others); n > 0 {
			const few = 5
			with = "; with it go " + strings.Join(h.Others[:min(n, few)], ", ")
			if n > few {
				with += fmt.Sprintf(" and %d more", n-few)
			}
		}
		return fmt.Sprintf("%s goes back from revision %d to %d%s; mend the chart or its values before the next helm upgrade", r, h.From, h.To, with)
	}
	if s.Plan != nil && s.Plan.Apart {
		return fmt.Sprintf("something else than Helm changed %s, so that only its template is put back; revision %d of %s is as it was", spec.Ref, s.Plan.From, r)
	}
	to, why := "REVISION", ""
	if s.Plan != nil {
		if why = " (" + s.unfit() + ")"; s.Plan.To != 0 {
			to = fmt.Sprint(s.Plan.To)
		}
	}
	return fmt.Sprintf("only the template of %s is put back%s, and helm history %s -n %s goes on to tell of the version that was rolled back; helm rollback %s %s -n %s makes it true, with the revision that it lists for the version before; the next helm upgrade brings %s back unless the chart or its values are mended",
		spec.Ref, why, r.Name, r.Namespace, r.Name, to, r.Namespace, rev(spec.To))
}

// putBack carries an undo out: with the workload's release if that is on record, or by the workload's template alone.
func (l *Loop) putBack(ctx context.Context, k Key, b *v1alpha1.Bake, live policy.Resolved) error {
	rb := b.Status.Rollback
	h := rb.Helm
	if h == nil || h.Failed != "" || l.Releases == nil {
		return l.Undoer.Undo(ctx, k, b.Spec.Workload.UID, b.Spec.To, rb.Target)
	}
	patient, stop := l.patient(ctx, time.Duration(live.Helm.Timeout))
	defer stop()
	err := l.Releases.RollBack(patient, k, b.Spec.Workload.UID, b.Spec.To, rb.Target, *h, id(b))
	switch {
	case err == nil:
		return l.Undoer.Mark(ctx, k, b.Spec.Workload.UID, b.Spec.To)
	case errors.Is(err, ErrRelease) && live.Helm.Fallback == policy.FallbackPatch:
		l.Log.Warn("the release could not be rolled back; the template is put back", zap.String("workload", k.String()), zap.String("release", h.Release), zap.Error(err))
		h.Failed = announce.Clip(err.Error(), 900)
		return l.Undoer.Undo(ctx, k, b.Spec.Workload.UID, b.Spec.To, rb.Target)
	}
	return err
}

// letReleaseGo has nothing of a bake that ends be under way on its release.
func (l *Loop) letReleaseGo(ctx context.Context, b *v1alpha1.Bake) {
	rb := b.Status.Rollback
	if rb == nil || rb.Helm == nil || l.Releases == nil {
		return
	}
	if err := l.Releases.LetGo(ctx, *rb.Helm, id(b)); err != nil {
		l.Log.Warn("a rollback of a release that is not gone on with may still be on record as pending; helm rollback ends it", zap.String("release", rb.Helm.Release), zap.String("namespace", rb.Helm.Namespace), zap.Error(err))
	}
}

// patient is a context for what may take longer than a look does, and ends with the loop.
func (l *Loop) patient(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if l.running == nil {
		return context.WithTimeout(ctx, d)
	}
	return context.WithTimeout(l.running, d)
}

// undoneReleases are the releases that were rolled back of late, for the bakes of the other workloads in them.
type undoneReleases struct {
	mu sync.Mutex
	by map[HelmRelease][]releaseUndo
}

// releaseUndo is one rollback of a release.
type releaseUndo struct {
	bake, ref    string
	from, to     int64
	since, until time.Time // until is zero while it is under way
}

// rememberFor is how long a rollback of a release is remembered. A workload that it changed is looked at within seconds.
const rememberFor = 24 * time.Hour

// note takes down what a bake's record says of its release.
func (rs *undoneReleases) note(b *v1alpha1.Bake) {
	rb := b.Status.Rollback
	if rb == nil || rb.Helm == nil || time.Since(rb.IntendedAt.Time) > rememberFor {
		return
	}
	u := releaseUndo{bake: id(b), ref: b.Spec.Ref, from: rb.Helm.From, to: rb.Helm.To, since: rb.IntendedAt.Time}
	switch {
	case rb.PatchedAt != nil:
		u.until = rb.PatchedAt.Time
	case b.Status.EndedAt != nil:
		u.until = b.Status.EndedAt.Time
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.by == nil {
		rs.by = map[HelmRelease][]releaseUndo{}
	}
	for r, us := range rs.by { // what is old is of no use
		kept := us[:0]
		for _, x := range us {
			if x.bake != u.bake && time.Since(x.since) <= rememberFor {
				kept = append(kept, x)
			}
		}
		if rs.by[r] = kept; len(kept) == 0 {
			delete(rs.by, r)
		}
	}
	r := HelmRelease{rb.Helm.Namespace, rb.Helm.Release}
	rs.by[r] = append(rs.by[r], u)
}

// settling is by how much the rollout that a rollback of a release causes may begin later than that ends: a controller takes
// its time to make a ReplicaSet.
const settling = 5 * time.Second

// moved is the reason for a rollout that began at a time in a workload of the release, if another bake's rollback of the release caused it.
func (rs *undoneReleases) moved(r HelmRelease, ref string, at time.Time, bake string) *v1alpha1.Reason {
	if r == (HelmRelease{}) || at.IsZero() {
		return nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, u := range rs.by[r] {
		begun := !at.Before(u.since.Truncate(time.Second)) // Kubernetes' times have whole seconds
		over := !u.until.IsZero() && at.After(u.until.Add(settling))
		if u.bake != bake && u.ref != ref && begun && !over {
			return &v1alpha1.Reason{Code: CodeWithRelease, Sentence: fmt.Sprintf("%s: %s went back with %s, which was rolled back from revision %d to %d because of %s (bake %s)",
				CodeWithRelease, ref, r, u.from, u.to, u.ref, u.bake)}
		}
	}
	return nil
}

// wentAlong ends the bake of a rollout that a rollback of the workload's release caused: it is nobody's new version. What runs
// now served before, and is what the next one is compared with.
func wentAlong(r v1alpha1.Reason) Step {
	return Step{Do: End, Outcome: v1alpha1.OutcomeAbandoned, Reasons: []v1alpha1.Reason{r}, Good: true}
}
