package bake

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// fakeRelease stands for a release on record: its revisions, oldest first.
type fakeRelease struct {
	revisions []fakeRevision
	since     time.Time // of the operation under way
	planErr   error
	unfit     string
	refuse    error // what rolling it back ends with
	attempts  int
}

type fakeRevision struct {
	templates  map[Key]string
	status, by string
}

var (
	shop = HelmRelease{Namespace: "shop", Name: "shop"}
	api  = Key{Kind: "Deployment", Namespace: "shop", Name: "api"}
)

// releaser is the process as Releaser.
type releaser struct{ *process }

func (p releaser) Plan(_ context.Context, k Key, r HelmRelease, judged, target v1alpha1.Revision) (ReleasePlan, error) {
	if err := p.gone(); err != nil {
		return ReleasePlan{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.helm
	if h == nil || r != shop {
		return ReleasePlan{}, fmt.Errorf("there is no %s", r)
	}
	n := len(h.revisions)
	newest := h.revisions[n-1]
	switch plan := (ReleasePlan{From: int64(n)}); {
	case h.planErr != nil:
		return plan, h.planErr
	case strings.HasPrefix(newest.status, "pending-"):
		plan.Busy, plan.Since = newest.status, h.since
		return plan, nil
	case newest.templates[k] != judged.Hash:
		plan.Apart = true
		return plan, nil
	}
	for i := n - 2; i >= 0; i-- {
		old := h.revisions[i]
		if old.templates[k] != target.Hash || old.status == "failed" {
			continue
		}
		plan := ReleasePlan{From: int64(n), To: int64(i + 1), Unfit: h.unfit}
		for other, t := range old.templates {
			if other != k && t != newest.templates[other] {
				plan.Others = append(plan.Others, other.Ref())
			}
		}
		return plan, nil
	}
	return ReleasePlan{From: int64(n), Unfit: "none makes it"}, nil
}

// RollBack writes as Helm does: the new revision, each workload, and that it is done.
func (p releaser) RollBack(_ context.Context, k Key, uid string, judged, target v1alpha1.Revision, plan v1alpha1.HelmRollback, by string) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h, w := p.helm, p.workloads[k]
	h.attempts++
	if h.refuse != nil {
		return h.refuse
	}
	newest := h.revisions[len(h.revisions)-1]
	switch mine := newest.by == by; {
	case w == nil || w.uid != uid:
		return ErrGone
	case mine && newest.status == "deployed":
		return nil
	case mine:
		if err := p.write(func() error { h.revisions = h.revisions[:len(h.revisions)-1]; return nil }); err != nil {
			return err
		}
	case len(h.revisions) != int(plan.From) && w.template == target.Hash:
		return nil
	case len(h.revisions) != int(plan.From):
		return ErrNewer
	}
	if w.template != judged.Hash && w.template != target.Hash {
		return ErrNewer
	}
	to := h.revisions[plan.To-1]
	if err := p.write(func() error {
		h.revisions = append(h.revisions, fakeRevision{to.templates, "pending-rollback", by})
		return nil
	}); err != nil {
		return err
	}
	for _, other := range []Key{web, api} {
		x, t := p.workloads[other], to.templates[other]
		if x == nil || t == "" || x.template == t {
			continue
		}
		if err := p.write(func() error {
			p.changes = append(p.changes, other.Name+": "+x.template+" to "+t)
			x.template = t
			p.roll(other, x)
			return nil
		}); err != nil {
			return err
		}
		if p.notify != nil {
			go p.told(other)
		}
	}
	return p.write(func() error { h.revisions[len(h.revisions)-1].status = "deployed"; return nil })
}

func (p releaser) LetGo(_ context.Context, _ v1alpha1.HelmRollback, by string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.helm.revisions); p.helm.revisions[n-1].by == by && p.helm.revisions[n-1].status == "pending-rollback" {
		p.helm.revisions[n-1].status = "failed"
	}
	return nil
}

// history is the release's, as helm tells it.
func (w *world) history() []string {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	var out []string
	for _, r := range w.helm.revisions {
		out = append(out, fmt.Sprintf("%s/%s %s", r.templates[web], r.templates[api], r.status))
	}
	return out
}

const helmPolicy = guardPolicy + "rollback: {helm: {enabled: true, timeout: 2m}}\n"

// inRelease is a world where web and api are of a release, and have served template A for an hour.
func inRelease(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(helmPolicy)
		w.create(api, "A")
		for _, k := range []Key{web, api} {
			w.with(k, func(x *workload) { x.origin.Release = shop })
		}
		w.helm = &fakeRelease{revisions: []fakeRevision{{templates: map[Key]string{web: "A", api: "A"}, status: "deployed"}}}
		w.rates["A"], w.rates["B"] = 0.001, 0.2
		w.pass(time.Hour)
		w.since = time.Now()
		test(t, w)
	})
}

// upgrade is the user's helm upgrade.
func (w *world) upgrade(forWeb, forAPI, status string) {
	w.cluster.mu.Lock()
	w.helm.revisions = append(w.helm.revisions, fakeRevision{templates: map[Key]string{web: forWeb, api: forAPI}, status: status})
	w.helm.since = time.Now()
	w.cluster.mu.Unlock()
	w.deploy(web, forWeb)
	w.deploy(api, forAPI)
}

// aftermath is what is on record of the rollback of web's second revision.
func (w *world) aftermath(t *testing.T) string {
	t.Helper()
	rb := w.bake(t, 2).Status.Rollback
	if rb == nil {
		t.Fatalf("there was no rollback: %v", w.outcomes())
	}
	return rb.Aftermath
}
