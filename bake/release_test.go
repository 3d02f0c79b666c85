package bake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

// TestKilledAtEveryWriteOfAReleasesRollback kills the daemon before and after each of its writes. Whatever the moment: the
// release goes back once, each workload changes once, and both bakes end as if nothing had happened.
func TestKilledAtEveryWriteOfAReleasesRollback(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int) {
		inRelease(t, func(t *testing.T, w *world) {
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			w.rates["G"] = 0.001
			w.upgrade("B", "G", "deployed")
			for range 10 * 60 {
				if p.gone() != nil {
					w.pass(5 * time.Second)
					w.start()
					break
				}
				w.pass(time.Second)
			}
			w.pass(10 * time.Minute)
			b := w.bake(t, 2)
			wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
			wantChanges(t, w, "web: B to A", "api: G to A")
			if got := w.history(); !slices.Equal(got, []string{"A/A deployed", "B/G deployed", "A/A deployed"}) {
				t.Errorf("history: %v", got)
			}
			if h := b.Status.Rollback.Helm; h == nil || h.From != 2 || h.To != 1 || h.Release != "shop" || !slices.Equal(h.Others, []string{"deployment/api"}) {
				t.Errorf("on record is %+v", h)
			}
			if w.sight(web).Annotations[AnnotationRolledBack] != "2" {
				t.Errorf("web is not marked: %v", w.sight(web).Annotations)
			}
			bakes := w.bakes(api)
			if bakes[2] == nil || bakes[2].Status.Outcome != v1alpha1.OutcomePassed && !has(bakes[2].Status.Reasons, CodeWithRelease) {
				t.Errorf("api's bake: %v", w.outcomes())
			}
			if back := bakes[3]; back == nil || back.Status.Outcome != v1alpha1.OutcomeAbandoned || !has(back.Status.Reasons, CodeWithRelease) || !back.Status.KnownGood {
				t.Errorf("the rollout that the rollback made of api: %v", w.outcomes())
			}
			if e := w.newest.loop.ledger.of(api); e.good.Hash != "A" || e.current.Hash != "A" {
				t.Errorf("remembered of api: %+v", *e)
			}
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0, false)
	if total < 12 {
		t.Fatalf("only %d writes without a kill", total)
	}
	for n := 1; n <= total; n++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %d of %d, before=%v", n, total, before), func(t *testing.T) { story(t, n, before) })
		}
	}
}

// A release that is worse in two workloads goes back once.
func TestAReleaseGoesBackOnce(t *testing.T) {
	inRelease(t, func(t *testing.T, w *world) {
		w.start()
		w.upgrade("B", "B", "deployed")
		w.pass(15 * time.Minute)
		if got := w.history(); !slices.Equal(got, []string{"A/A deployed", "B/B deployed", "A/A deployed"}) {
			t.Errorf("history: %v; %v", got, w.outcomes())
		}
		back := 0
		for _, b := range []*v1alpha1.Bake{w.bakes(web)[2], w.bakes(api)[2]} {
			switch {
			case b.Status.Outcome == v1alpha1.OutcomeRolledBack:
				back++
			case b.Status.Outcome != v1alpha1.OutcomeAbandoned || !has(b.Status.Reasons, CodeWithRelease):
				t.Errorf("%s: %s by %+v", b.Spec.Ref, b.Status.Outcome, b.Status.Reasons)
			}
		}
		if back == 0 {
			t.Errorf("nobody says that it was rolled back: %v", w.outcomes())
		}
		w.rates["C"] = 0.001
		w.upgrade("C", "C", "deployed")
		w.pass(10 * time.Minute)
		for _, k := range []Key{web, api} {
			if b := w.bakes(k)[4]; b == nil || b.Status.Outcome != v1alpha1.OutcomePassed || b.Spec.From.Hash != "A" {
				t.Errorf("the fix of %s: %v", k, w.outcomes())
			}
		}
	})
}

// An operation on the release that is under way is waited for, as long as policy says.
func TestAReleaseThatIsWorkedOn(t *testing.T) {
	for _, c := range []struct {
		name, more string
		ends       time.Duration // 0: never
		outcome    v1alpha1.Outcome
		code       string
		history    string
	}{
		{"and is done in time", "", 100 * time.Second, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, "A/A deployed"},
		{"for ever", "", 0, v1alpha1.OutcomeHeld, CodeHelm, "B/A pending-upgrade"},
		{"for ever, and policy has the template put back", "fallback: patch, ", 0, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, "B/A pending-upgrade"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRelease(t, func(t *testing.T, w *world) {
				w.setPolicy(strings.Replace(helmPolicy, "timeout: 2m", c.more+"timeout: 2m", 1))
				w.start()
				w.upgrade("B", "A", "pending-upgrade")
				if c.ends > 0 {
					w.pass(c.ends)
					if w.workloads[web].template != "B" {
						t.Error("it did not wait")
					}
					w.cluster.mu.Lock()
					w.helm.revisions[1].status = "deployed"
					w.cluster.mu.Unlock()
				}
				w.pass(10 * time.Minute)
				b := w.bake(t, 2)
				if b.Status.Outcome != c.outcome || !has(b.Status.Reasons, c.code) {
					t.Errorf("%s by %+v", b.Status.Outcome, b.Status.Reasons)
				}
				if got := w.history(); got[len(got)-1] != c.history {
					t.Errorf("history: %v", got)
				}
				if want := map[v1alpha1.Outcome]string{v1alpha1.OutcomeHeld: "B", v1alpha1.OutcomeRolledBack: "A"}[c.outcome]; w.workloads[web].template != want {
					t.Errorf("web has template %s", w.workloads[web].template)
				}
			})
		})
	}
}

// Where the release cannot go back, or not after all, policy says what happens; without the switch all is as with any other workload.
func TestAReleaseThatCannotGoBack(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		set          func(*fakeRelease)
		outcome      v1alpha1.Outcome
		code         string
		says         string // the aftermath, or what it is held for
	}{
		{"it is not fit", helmPolicy, func(h *fakeRelease) { h.unfit = "it would delete persistentvolumeclaim/data" }, v1alpha1.OutcomeHeld, CodeHelm,
			"held: deployment/web belongs to release shop in namespace shop, which cannot be rolled back: it would delete persistentvolumeclaim/data; see helm history shop -n shop, and choose: helm rollback shop 1 -n shop"},
		{"it is not fit, and policy has the template put back", helmPolicy + "workloads: [{match: {name: web}, rollback: {helm: {fallback: patch}}}]\n",
			func(h *fakeRelease) { h.unfit = "it would delete persistentvolumeclaim/data" }, v1alpha1.OutcomeRolledBack, decide.CodeThreshold,
			"only the template of deployment/web is put back (it would delete persistentvolumeclaim/data), and helm history shop -n shop goes on"},
		{"its record cannot be read", helmPolicy, func(h *fakeRelease) { h.planErr = errors.New("secrets is forbidden") }, v1alpha1.OutcomeHeld, CodeHelm, "secrets is forbidden"},
		{"it is refused after all", helmPolicy, func(h *fakeRelease) { h.refuse = fmt.Errorf("%w: a hook failed", ErrRelease) }, v1alpha1.OutcomeHeld, CodeRollbackFailed, "a hook failed"},
		{"it is refused after all, and policy has the template put back", helmPolicy + "workloads: [{match: {name: web}, rollback: {helm: {fallback: patch}}}]\n",
			func(h *fakeRelease) { h.refuse = fmt.Errorf("%w: a hook failed", ErrRelease) }, v1alpha1.OutcomeRolledBack, decide.CodeThreshold, "goes back from revision 2 to 1"},
		{"somebody was faster", helmPolicy, func(h *fakeRelease) { h.refuse = fmt.Errorf("%w: revision 3", ErrNewer) }, v1alpha1.OutcomeSuperseded, CodeNewer, "revision 3"},
		{"policy leaves releases alone", guardPolicy, func(*fakeRelease) {}, v1alpha1.OutcomeRolledBack, decide.CodeThreshold,
			"only the template of deployment/web is put back, and helm history shop -n shop goes on to tell of the version that was rolled back; helm rollback shop REVISION -n shop makes it true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRelease(t, func(t *testing.T, w *world) {
				w.setPolicy(c.policy)
				c.set(w.helm)
				w.start()
				w.upgrade("B", "A", "deployed")
				w.pass(15 * time.Minute)
				b := w.bake(t, 2)
				if b.Status.Outcome != c.outcome || !has(b.Status.Reasons, c.code) {
					t.Fatalf("%s by %+v", b.Status.Outcome, b.Status.Reasons)
				}
				said := fmt.Sprint(b.Status.Reasons)
				if c.outcome == v1alpha1.OutcomeRolledBack {
					said = w.aftermath(t)
					wantChanges(t, w, "B to A")
					if h := b.Status.Rollback.Helm; h != nil && !strings.Contains(h.Failed, "a hook failed") {
						t.Errorf("on record is %+v", h)
					}
				}
				if !strings.Contains(said, c.says) {
					t.Errorf("said\n%s\nwant\n%s", said, c.says)
				}
			})
		})
	}
}

// What something else than Helm changed is put back by the template; the release has nothing to do with it.
func TestAWorkloadChangedBesideItsRelease(t *testing.T) {
	inRelease(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.pass(15 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		if got := w.history(); len(got) != 1 {
			t.Errorf("history: %v", got)
		}
		if got := w.aftermath(t); !strings.HasPrefix(got, "something else than Helm changed deployment/web") {
			t.Errorf("aftermath: %s", got)
		}
	})
}

func TestAftermath(t *testing.T) {
	with := func(o Origin, by string, owner Owner) State {
		s := in(v1alpha1.PhaseBaking, changed("image of app: app:v1 → app:v2"))
		s.Sight.Origin, s.Sight.Owner, s.Bake.Spec.ChangedBy = o, owner, by
		return s
	}
	for _, c := range []struct {
		name, want string
		state      State
	}{
		{"kubectl apply", "the next apply brings rev 7 of deployment/web back; revert in what it is applied from: image of app: app:v1 → app:v2", with(Origin{}, "kubectl-client-side-apply", Owner{})},
		{"Kustomize", "the next apply brings rev 7 of deployment/web back; revert in the kustomization that makes it: image of app: app:v1 → app:v2", with(Origin{Kustomize: true}, "kubectl", Owner{})},
		{"Kustomize, with the file", "the next apply brings rev 7 of deployment/web back; revert in base/web.yaml: image of app: app:v1 → app:v2", with(Origin{Kustomize: true, File: "base/web.yaml"}, "kubectl", Owner{})},
		{"kubectl set image", "", with(Origin{}, "kubectl-set", Owner{})},
		{"Argo CD, and the guard is off", "Argo CD application shop brings rev 7 of deployment/web back; revert in the Git repository that the application follows: image of app: app:v1 → app:v2", with(Origin{Release: shop}, "argocd-controller", argo)},
	} {
		if got := c.state.aftermath(); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestWhatWentWithARelease(t *testing.T) {
	b := in(v1alpha1.PhaseRollingBack).Bake
	start := time.Now()
	b.Status.Rollback = &v1alpha1.Rollback{IntendedAt: micro(start), Helm: &v1alpha1.HelmRollback{Release: "shop", Namespace: "shop", From: 2, To: 1}}
	var rs undoneReleases
	rs.note(b)
	moved := func(r HelmRelease, at time.Time, bake string) bool {
		return rs.moved(r, "deployment/api", at, bake) != nil
	}
	for _, c := range []struct {
		name  string
		r     HelmRelease
		after time.Duration
		bake  string
		want  bool
	}{
		{"while it is under way", shop, time.Minute, "shop/other", true},
		{"in the very second, as Kubernetes tells it", shop, -time.Duration(start.Nanosecond()), "shop/other", true},
		{"before", shop, -2 * time.Second, "shop/other", false},
		{"its own", shop, time.Minute, id(b), false},
		{"another release", HelmRelease{"shop", "other"}, time.Minute, "shop/other", false},
		{"no release", HelmRelease{}, time.Minute, "shop/other", false},
	} {
		if got := moved(c.r, start.Add(c.after), c.bake); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	done := micro(start.Add(10 * time.Second))
	b.Status.Rollback.PatchedAt = &done
	rs.note(b)
	rs.note(b)
	if len(rs.by[shop]) != 1 {
		t.Errorf("it is remembered %d times", len(rs.by[shop]))
	}
	if !moved(shop, done.Add(2*time.Second), "shop/other") || moved(shop, done.Add(settling+time.Second), "shop/other") {
		t.Error("what came a moment after it went back with it, and what came later did not")
	}
	old := b.DeepCopy()
	old.Name, old.Status.Rollback.IntendedAt = "old", micro(start.Add(-2*rememberFor))
	rs.note(old)
	if len(rs.by[shop]) != 1 {
		t.Error("what is old is remembered")
	}
	if policy.Default().Rollback.Helm.Enabled == nil || *policy.Default().Rollback.Helm.Enabled {
		t.Error("releases are rolled back although nobody asked for it")
	}
}
