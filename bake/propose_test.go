package bake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

const pullURL = "https://github.com/acme/deploy/pull/12"

// Plan and Propose are GitHub's part: a branch that exists is not made again.
func (p *process) Plan(_ context.Context, r Revert) (v1alpha1.Proposal, error) {
	if err := p.gone(); err != nil {
		return v1alpha1.Proposal{}, err
	}
	if r.Where.Path == "" {
		return v1alpha1.Proposal{}, fmt.Errorf("%w: policy names no file", ErrNoProposal)
	}
	return v1alpha1.Proposal{Kind: ProposalPull, Repository: r.Where.Repository, Branch: "revert/" + r.Bake}, nil
}

func (p *process) Propose(_ context.Context, r Revert, what v1alpha1.Proposal) (v1alpha1.Proposal, error) {
	if err := p.gone(); err != nil {
		return what, err
	}
	if p.gitErr != nil {
		if err := p.gitErr(); err != nil {
			return what, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	what.URL = pullURL
	if p.pulls[what.Branch] != "" {
		return what, nil
	}
	return what, p.write(func() error {
		p.pulls[what.Branch] = fmt.Sprintf("%s to %s", r.To.Hash, r.From.Hash)
		p.opened++
		return nil
	})
}

const gitPolicy = guardPolicy + "gitops: git\ngit: {repository: acme/deploy, path: shop/web.yaml, tokenFile: /secrets/git}\n"

func (w *world) keptInGit() {
	w.with(web, func(x *workload) { x.owner = argo; x.owner.Kind, x.owner.Object = KindApplication, "shop" })
}

func (w *world) wantPulls(t *testing.T, want map[string]string) {
	t.Helper()
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if diff := cmp.Diff(want, w.pulls); diff != "" || w.opened != len(want) {
		t.Fatalf("%d were opened (-want +got):\n%s", w.opened, diff)
	}
}

func proposedFor(b *v1alpha1.Bake) map[string]string {
	return map[string]string{"revert/" + id(b): "B to A"}
}

// What Argo CD keeps is not touched; the revert is proposed, and what people are told links it.
func TestProposedInPlaceOfARollback(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.setPolicy(gitPolicy)
		w.keptInGit()
		w.start()
		w.deploy(web, "B")
		w.pass(4 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeHeld, decide.CodeThreshold)
		n := len(b.Status.Reasons)
		if b.Status.Reasons[n-1].Code != CodeGitOps || b.Status.Reasons[n-2].Code != CodeProposed || !strings.Contains(b.Status.Reasons[n-2].Sentence, pullURL) || b.Status.Why != b.Status.Reasons[0].Sentence {
			t.Errorf("%+v", b.Status.Reasons)
		}
		wantChanges(t, w)
		w.wantPulls(t, proposedFor(b))
		w.people.mu.Lock()
		defer w.people.mu.Unlock()
		told := w.stories[len(w.stories)-1]
		if diff := cmp.Diff([]announce.Link{{Title: "Pull request", URL: pullURL}}, told.Links); diff != "" || told.Stage != announce.Ended {
			t.Errorf("%s links (-want +got):\n%s", told.Stage, diff)
		}
	})
}

// What nobody keeps is rolled back at once, and the revert proposed beside it.
func TestProposedBesideARollback(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.setPolicy(gitPolicy)
		w.start()
		w.deploy(web, "B")
		w.pass(5 * time.Minute)
		b := w.bake(t, 2)
		wantOutcome(t, b, v1alpha1.OutcomeRolledBack, CodeProposed)
		if b.Status.Rollback.Recovered != "Yes" || b.Status.Proposal.IntendedAt.Before(b.Status.Rollback.PatchedAt) {
			t.Errorf("%+v, %+v", b.Status.Rollback, b.Status.Proposal)
		}
		wantChanges(t, w, "B to A")
		w.wantPulls(t, proposedFor(b))
	})
}

// Nothing is proposed in observe mode, of a restart, or where nothing regressed.
func TestNotProposed(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		rate   float64
	}{
		"observe": {strings.Replace(gitPolicy, "mode: guard", "mode: observe", 1), 0.2},
		"healthy": {gitPolicy, 0},
		"notify":  {strings.Replace(gitPolicy, "gitops: git", "gitops: notify", 1), 0.2},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = c.rate
				w.setPolicy(c.policy)
				w.keptInGit()
				w.start()
				w.deploy(web, "B")
				w.pass(5 * time.Minute)
				w.wantPulls(t, map[string]string{})
				if p := w.bake(t, 2).Status.Proposal; p != nil {
					t.Errorf("%+v", p)
				}
			})
		})
	}
}

// A GitHub that does not answer delays the message for two minutes at most; the alert fires meanwhile.
func TestProposalFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		policy  string
		err     error
		lasts   time.Duration // 0: for ever
		says    string        // by the reason; empty: it is proposed
		atMost  time.Duration // from the alert to the end
		outcome v1alpha1.Outcome
	}{
		{"away", gitPolicy, errors.New("github: connection refused"), 0, "not-proposed: the revert was not proposed in Git: github: connection refused", 3 * time.Minute, v1alpha1.OutcomeHeld},
		{"away for a moment", gitPolicy, errors.New("github: connection refused"), 30 * time.Second, "", 2 * time.Minute, v1alpha1.OutcomeHeld},
		{"refused", gitPolicy, fmt.Errorf("%w: the file was changed since", ErrNoProposal), 0, "the file was changed since", 5 * time.Second, v1alpha1.OutcomeHeld},
		{"no file is named", strings.Replace(gitPolicy, "path: shop/web.yaml, ", "", 1), nil, 0, "policy names no file", 5 * time.Second, v1alpha1.OutcomeHeld},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.setPolicy(c.policy)
				w.keptInGit()
				var first time.Time
				w.start(func(p *process) {
					p.gitErr = func() error {
						if first.IsZero() {
							first = time.Now()
						}
						if c.lasts > 0 && time.Since(first) >= c.lasts {
							return nil
						}
						return c.err
					}
				})
				w.deploy(web, "B")
				w.pass(6 * time.Minute)
				b := w.bake(t, 2)
				wantOutcome(t, b, c.outcome, CodeGitOps)
				if _, at := w.alerts(AlertHeld); len(at) == 0 || b.Status.EndedAt.Sub(at[0]) > c.atMost {
					t.Errorf("from the alert to the end it took more than %s", c.atMost)
				}
				if c.says == "" {
					w.wantPulls(t, proposedFor(b))
					return
				}
				w.wantPulls(t, map[string]string{})
				if r := b.Status.Reasons[len(b.Status.Reasons)-2]; r.Code != CodeNotProposed || !strings.Contains(r.Sentence, c.says) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// Killed at any write, there is one proposal, kept by Argo CD or not.
func TestProposedAndKilledAtEveryWrite(t *testing.T) {
	for _, kept := range []bool{true, false} {
		story := func(t *testing.T, killAt int, before bool) (writes int) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.setPolicy(gitPolicy)
				if kept {
					w.keptInGit()
				}
				p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
				w.deploy(web, "B")
				for range 6 * 60 {
					w.pass(time.Second)
					if w.newest == p && p.gone() != nil {
						w.pass(20 * time.Second)
						w.start()
					}
				}
				b := w.bake(t, 2)
				outcome := map[bool]v1alpha1.Outcome{true: v1alpha1.OutcomeHeld, false: v1alpha1.OutcomeRolledBack}[kept]
				wantOutcome(t, b, outcome, CodeProposed)
				w.wantPulls(t, proposedFor(b))
				if kept {
					wantChanges(t, w)
				} else {
					wantChanges(t, w, "B to A")
				}
				writes = p.writes
			})
			return writes
		}
		total := story(t, 0, false)
		for n := 1; n <= total; n++ {
			for _, before := range []bool{true, false} {
				t.Run(fmt.Sprintf("kept=%v %d before=%v", kept, n, before), func(t *testing.T) { story(t, n, before) })
			}
		}
	}
}
