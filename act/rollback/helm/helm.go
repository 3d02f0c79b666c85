// Package helm rolls Helm releases back with Helm's own code, so that helm history tells what runs. Helm's locks and records are
// used as they are: no other Helm works on a release while Bakewatch does, and the other way round.
package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	v1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// Releases rolls Helm releases back.
type Releases struct {
	Config *rest.Config
	Client kubernetes.Interface
	Log    *zap.Logger
}

// maxTries is how often a rollback that the API server refuses is tried.
const maxTries = 5

// RollBack implements bake.Releaser. The release's record is Helm's lock: a rollback is a new revision of it, which only one
// writer can make. It is made only as the one right after the planned revision, so that a newer release is never undone.
func (r *Releases) RollBack(ctx context.Context, k bake.Key, uid string, judged, target v1alpha1.Revision, plan v1alpha1.HelmRollback, by string) error {
	s, err := r.open(ctx, plan.Namespace, false)
	if err != nil {
		return err
	}
	called := bake.HelmRelease{Namespace: plan.Namespace, Name: plan.Release}.String()
	history, err := s.history(plan.Release)
	switch {
	case err != nil:
		return explain(err, "read the record of "+called)
	case len(history) == 0:
		return fmt.Errorf("%w: %s has no record any more", bake.ErrRelease, called)
	}
	newest := history[0]
	tries, mine := triedBy(newest, by)
	mine = mine && newest.Version == int(plan.From)+1
	try := 1
	switch st := newest.Info.Status; {
	case mine && st == common.StatusDeployed:
		return nil
	case mine && st == common.StatusFailed && tries >= maxTries:
		return fmt.Errorf("%w: %s", bake.ErrRelease, oneLine(newest.Info.Description))
	case mine && st == common.StatusFailed:
		try = tries + 1
	case mine:
		try = tries // whoever began it was killed
	}
	live, err := r.fit(ctx, k, uid, judged, target)
	switch {
	case !mine && newest.Version != int(plan.From) && live.onTarget:
		return nil // it went back with somebody else's rollback
	case !mine && newest.Info.Status.IsPending():
		return fmt.Errorf("%s is %s; will try again", called, newest.Info.Status)
	case !mine && newest.Version != int(plan.From):
		return fmt.Errorf("%w: %s is at revision %d, and was at %d", bake.ErrNewer, called, newest.Version, plan.From)
	case err != nil:
		return err
	}
	if mine {
		// What is half done is begun anew, from the same revision: with the half of it as the start, Helm would forget what
		// only the bad revision has. What it did so far it finds done.
		if _, err := s.secrets.Delete(key(plan.Release, newest.Version)); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
			return explain(err, fmt.Sprintf("take revision %d of %s away, which was begun before", newest.Version, called))
		}
		history = history[1:]
	}
	if !slices.ContainsFunc(history, func(rel *v1.Release) bool { return rel.Version == int(plan.To) }) {
		return fmt.Errorf("%w: revision %d of %s is no longer on record", bake.ErrRelease, plan.To, called)
	}
	fits := func() error {
		_, err := r.fit(ctx, k, uid, judged, target)
		return err
	}
	return r.run(ctx, s, plan, by, try, fits)
}

// standing is how a workload stands to a rollback.
type standing struct{ onTarget bool }

// fit reads the workload live, and says whether it may be rolled back: it is the one that was judged, or back already.
func (r *Releases) fit(ctx context.Context, k bake.Key, uid string, judged, target v1alpha1.Revision) (standing, error) {
	live, err := watcher.Read(ctx, r.Client, k)
	switch {
	case apierrors.IsNotFound(err):
		return standing{}, bake.ErrGone
	case err != nil:
		return standing{}, explain(err, "read "+k.String())
	case live.UID != uid:
		return standing{}, bake.ErrGone
	}
	to, cur := live.Find(target.Hash), live.Current()
	switch {
	case to != nil && watcher.SameTemplate(&to.Template, &live.Template):
		return standing{onTarget: true}, nil
	case cur == nil || cur.Hash != judged.Hash:
		return standing{}, bake.ErrNewer
	case live.Paused && live.Meta.Annotations[bake.AnnotationPaused] == "": // what Bakewatch paused it lets go on afterwards
		return standing{}, bake.ErrPaused
	case to == nil:
		return standing{}, bake.ErrNoRevision
	}
	return standing{}, nil
}

// run is Helm's rollback.
func (r *Releases) run(ctx context.Context, s *session, plan v1alpha1.HelmRollback, by string, try int, fits func() error) error {
	says := fmt.Sprintf("Rollback to %d by Bakewatch, %s, try %d", plan.To, marker(by), try)
	hand := &hand{Client: s.kube, fits: fits}
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	cfg.RESTClientGetter, cfg.KubeClient = s.getter, hand
	cfg.Releases = storage.Init(&journal{Driver: s.secrets, next: int(plan.From) + 1, says: says})
	rollback := action.NewRollback(cfg)
	rollback.Version, rollback.Description, rollback.DisableHooks = int(plan.To), says, plan.SkipHooks
	rollback.WaitStrategy, rollback.WaitOptions = kube.HookOnlyStrategy, []kube.WaitOption{kube.WithWaitContext(ctx)}
	rollback.Timeout = time.Minute
	if until, ok := ctx.Deadline(); ok {
		rollback.Timeout = time.Until(until)
	}
	err := rollback.Run(plan.Release)
	doing := fmt.Sprintf("roll release %s in namespace %s back to revision %d", plan.Release, plan.Namespace, plan.To)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotNext), errors.Is(err, driver.ErrReleaseExists):
		return fmt.Errorf("%w: release %s in namespace %s was changed a moment ago", bake.ErrNewer, plan.Release, plan.Namespace)
	case errors.Is(ctx.Err(), context.Canceled):
		return explain(err, doing) // the process ends; whoever comes next goes on
	}
	// Helm leaves a rollback whose hook failed pending, which would lock the release.
	r.fail(ctx, plan, by, err)
	switch {
	case hand.updated: // only what comes after is amiss: a hook
		r.Log.Warn("the release went back, and a hook after it failed; helm history says so", zap.String("release", plan.Release), zap.String("namespace", plan.Namespace), zap.Error(err))
		return nil
	case hand.built && !hand.asked:
		return fmt.Errorf("%w: a hook before it failed: %w", bake.ErrRelease, err) // a hook is not run again and again
	}
	return explain(err, doing)
}

// fail records that a rollback which was begun has failed, where Helm does not.
func (r *Releases) fail(ctx context.Context, plan v1alpha1.HelmRollback, by string, why error) {
	if ctx.Err() != nil { // its time is over; the record still is to be told
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
	}
	if err := r.letGo(ctx, plan, by, oneLine(why.Error())); err != nil {
		r.Log.Warn("a rollback of a release that failed is still on record as pending", zap.String("release", plan.Release), zap.String("namespace", plan.Namespace), zap.Error(err))
	}
}

// LetGo implements bake.Releaser.
func (r *Releases) LetGo(ctx context.Context, plan v1alpha1.HelmRollback, by string) error {
	return r.letGo(ctx, plan, by, "it was not gone on with")
}

func (r *Releases) letGo(ctx context.Context, plan v1alpha1.HelmRollback, by, why string) error {
	s, err := r.open(ctx, plan.Namespace, false)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("record that revision %d of release %s in namespace %s has failed", plan.From+1, plan.Release, plan.Namespace)
	name := key(plan.Release, int(plan.From)+1)
	found, err := s.secrets.Get(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil
	}
	if err != nil {
		return explain(err, doing)
	}
	rel, ok := found.(*v1.Release)
	if !ok || rel.Info == nil {
		return nil
	}
	if _, mine := triedBy(rel, by); !mine || !rel.Info.Status.IsPending() {
		return nil
	}
	rel.SetStatus(common.StatusFailed, rel.Info.Description+": "+why)
	return explain(s.secrets.Update(name, rel), doing)
}

// hand is Helm's client, which looks at the workload once more right before it changes anything.
type hand struct {
	*kube.Client
	fits                  func() error
	built, asked, updated bool
}

// Update implements kube.Interface.
func (h *hand) Update(original, target kube.ResourceList, options ...kube.ClientUpdateOption) (*kube.Result, error) {
	h.asked = true
	if err := h.fits(); err != nil {
		return &kube.Result{}, err
	}
	result, err := h.Client.Update(original, target, options...)
	h.updated = err == nil
	return result, err
}

// Build implements kube.Interface. Helm builds both revisions, once the new one is on record, and then comes to the hooks.
func (h *hand) Build(manifest io.Reader, validate bool) (kube.ResourceList, error) {
	list, err := h.Client.Build(manifest, validate)
	h.built = validate || err == nil // it validates hooks alone
	return list, err
}

// journal is Helm's record of releases, in which one rollback may make one revision.
type journal struct {
	driver.Driver
	next int
	says string // what the revision says of itself
}

// errNotNext says that the release is not at the planned revision any more.
var errNotNext = errors.New("the release is at another revision")

// Create implements driver.Driver.
func (j *journal) Create(key string, rls release.Releaser) error {
	if rel, ok := rls.(*v1.Release); !ok || rel.Version != j.next {
		return errNotNext
	}
	return j.Driver.Create(key, rls)
}

// Update implements driver.Driver. What Helm says of a failure does not tell whose rollback it was.
func (j *journal) Update(key string, rls release.Releaser) error {
	if rel, ok := rls.(*v1.Release); ok && rel.Version == j.next && !strings.HasPrefix(rel.Info.Description, j.says) {
		rel.Info.Description = j.says + ": " + oneLine(rel.Info.Description)
	}
	return j.Driver.Update(key, rls)
}

// marker names a bake in a release's history. Helm allows 256 characters.
func marker(by string) string {
	const most = 150
	if len(by) > most {
		sum := sha256.Sum256([]byte(by))
		by = by[:most] + "~" + hex.EncodeToString(sum[:6])
	}
	return "bake " + by
}

var tried = regexp.MustCompile(`^Rollback to \d+ by Bakewatch, (bake \S+), try (\d+)`)

// triedBy is which try of a bake's rollback a revision is; false when it is not that bake's.
func triedBy(rel *v1.Release, by string) (n int, mine bool) {
	m := tried.FindStringSubmatch(rel.Info.Description)
	if m == nil || m[1] != marker(by) {
		return 0, false
	}
	n, _ = strconv.Atoi(m[2])
	return n, true
}

// key is what a revision's Secret is called.
func key(name string, revision int) string {
	return fmt.Sprintf("%s.%s.v%d", storage.HelmStorageType, name, revision)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
