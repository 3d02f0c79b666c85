package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// Where policy says git, what is rolled back is also asked to be put right where it is deployed from: a revert as a pull request, or
// the last good run of a workflow once more. What Argo CD or Flux keeps is put right by nothing else.
const (
	CodeProposed    = "proposed"     // the revert was proposed, or the workflow is run again
	CodeNotProposed = "not-proposed" // that could not be done
)

// proposeFor is for how long, since it was intended, a proposal is tried. People wait for the message that is to link it.
const proposeFor = 2 * time.Minute

// Revert is what is to be put right, and where.
type Revert struct {
	Key
	Bake     string // namespace/name: the key by which it is proposed once
	From, To v1alpha1.Revision
	Where    policy.GitRules
	Why      string
	Since    time.Time // when From began to serve alone; zero: not known
	Until    time.Time // when To was rolled out
}

func revertOf(b *v1alpha1.Bake, where policy.GitRules) Revert {
	r := Revert{Key: keyOf(b), Bake: id(b), To: b.Spec.To, Where: where, Why: b.Status.Why, Until: b.Spec.StartedAt.Time}
	if b.Spec.From != nil {
		r.From = *b.Spec.From
	}
	if b.Spec.BaselineSince != nil {
		r.Since = b.Spec.BaselineSince.Time
	}
	return r
}

// proposes reports whether a revert is to be proposed, and is not yet.
func (s State) proposes() bool {
	spec := s.Bake.Spec
	return s.strategy() == policy.RevertInGit && s.Bake.Status.Proposal == nil && spec.From != nil && !spec.RestartOnly && !spec.InPlace && !s.observed() && s.Live.Watched
}

// inGit is the way of a regression of what Argo CD or Flux keeps, where a guard holds the rollback for just that: a proposal first,
// so that what people are told links it.
func (s State) inGit(why []v1alpha1.Reason, held *v1alpha1.Reason) (Step, bool) {
	if held.Code != CodeGitOps || !s.proposes() {
		return Step{}, false
	}
	return Step{Do: Plan, Reasons: append(slices.Clone(why), *held)}, true
}

// proposing carries a proposal out, and says when that is over. Only a proposal that is planned is.
func (s State) proposing() (Step, bool) {
	p := s.Bake.Status.Proposal
	if p == nil {
		return Step{}, false
	}
	return Step{Do: Propose}, p.DoneAt == nil && p.Error == ""
}

// proposed ends a bake that is held, once the proposal is over.
func (s State) proposed() (Step, bool) {
	if s.Bake.Status.Proposal == nil || s.Bake.Status.Rollback != nil {
		return Step{}, false
	}
	if step, goesOn := s.proposing(); goesOn {
		return step, true
	}
	why := s.Bake.Status.Reasons
	i := slices.IndexFunc(why, func(r v1alpha1.Reason) bool { return r.Code == CodeGitOps })
	if i < 0 { // written by hand
		return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(slices.Clone(why), *held(CodeGitOps, "%s is put right in Git", s.Bake.Spec.Ref))}, true
	}
	why = slices.Insert(slices.Clone(why), i, proposalReason(s.Bake)...) // the guard is named last
	return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: why}, true
}

// proposalReason says what was proposed, and where it is, or why not; empty where nothing was to be.
func proposalReason(b *v1alpha1.Bake) []v1alpha1.Reason {
	p := b.Status.Proposal
	switch {
	case p == nil:
		return nil
	case p.DoneAt == nil:
		return []v1alpha1.Reason{{Code: CodeNotProposed, Sentence: fmt.Sprintf("%s: the revert was not proposed in Git: %s", CodeNotProposed, p.Error)}}
	case p.Kind == ProposalRun:
		return []v1alpha1.Reason{{Code: CodeProposed, Sentence: fmt.Sprintf("%s: the last good run of workflow %s in %s is run again: %s", CodeProposed, p.Workflow, p.Repository, p.URL)}}
	}
	return []v1alpha1.Reason{{Code: CodeProposed, Sentence: fmt.Sprintf("%s: a pull request in %s puts %s back; merge it: %s", CodeProposed, p.Repository, b.Spec.Ref, p.URL)}}
}

// proposalLink leads people to what was proposed.
func proposalLink(b *v1alpha1.Bake) []announce.Link {
	p := b.Status.Proposal
	switch {
	case p == nil || p.DoneAt == nil || p.URL == "":
		return nil
	case p.Kind == ProposalRun:
		return []announce.Link{{Title: "Workflow run", URL: p.URL}}
	}
	return []announce.Link{{Title: "Pull request", URL: p.URL}}
}

// The kinds of proposal, as they are recorded.
const (
	ProposalPull = "pull-request"
	ProposalRun  = "workflow-run"
)

// plan records the intent of a proposal. Finding out what to propose changes nothing.
func (l *Loop) plan(ctx context.Context, e *entry, s State, step Step) error {
	b := e.work.bake.DeepCopy()
	st := &b.Status
	p := v1alpha1.Proposal{IntendedAt: micro(s.Now)}
	if len(step.Reasons) > 0 { // it is held: from now on people may be alarmed
		e.work.recordEvidence(st, s.Now)
		st.Evidence = l.collect(ctx, keyOf(b), b)
		st.Reasons, st.Why = step.Reasons, step.Reasons[0].Sentence
		st.Alert = fire(AlertHeld, s.Now)
	}
	if l.Reverter == nil {
		p.Error = "this daemon knows no repository"
	} else if planned, err := l.Reverter.Plan(ctx, revertOf(b, s.Frozen.Git)); err == nil {
		planned.IntendedAt = p.IntendedAt
		p = planned
	} else {
		// People do not wait for it: what cannot be looked up now is tried once, and told.
		p.Error = clip(err.Error(), maxLeft)
		l.Log.Warn("no revert is proposed", zap.String("bake", id(b)), zap.Error(err))
	}
	st.Proposal = &p
	if err := l.save(ctx, e, b); err != nil {
		return err
	}
	l.tell(e)
	return nil
}

// propose carries a proposal out; its intent is on record. Then it records the receipt, or why it was given up.
func (l *Loop) propose(ctx context.Context, k Key, e *entry, s State) error {
	b := e.work.bake.DeepCopy()
	p := *b.Status.Proposal
	done, err := p, ErrNoProposal
	if l.Reverter != nil {
		done, err = l.Reverter.Propose(ctx, revertOf(b, s.Frozen.Git), p)
	}
	switch {
	case err == nil:
		done.DoneAt = &metav1.MicroTime{Time: time.Now()}
		l.Log.Info("proposed", zap.String("workload", k.String()), zap.String("what", done.Kind), zap.String("url", done.URL))
	case errors.Is(err, ErrNoProposal), time.Since(p.IntendedAt.Time) > proposeFor:
		done = p
		done.Error = clip(err.Error(), maxLeft)
		l.Log.Warn("no revert is proposed", zap.String("bake", id(b)), zap.Error(err))
	default:
		return fmt.Errorf("propose the revert of %s: %w", k, err)
	}
	b.Status.Proposal = &done
	return l.save(ctx, e, b)
}
