// Package revert has a workload put right where it is deployed from: a pull request on GitHub that reverts the commit which
// changed its image, or the last good run of a workflow once more. Each is done once a bake.
package revert

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-github/v74/github"

	"github.com/bakewatch/bakewatch/act/announce"
	limits "github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// Options say how GitHub is reached.
type Options struct {
	TokenFile string // read at each call, so that it may be rotated
	URL       string // of the API, for others than github.com's
	Client    *http.Client
}

// Reverter implements bake.Reverter.
type Reverter struct {
	Options func() (Options, bool) // those of the policy of now; false: there are none
}

// one is what one call works with.
type one struct {
	api         *github.Client
	owner, repo string
	bake.Revert
}

// with runs f with a client.
func (r *Reverter) with(v bake.Revert, f func(one) error) error {
	o, ok := r.Options()
	if !ok {
		return fmt.Errorf("%w: the policy of now has no git", bake.ErrNoProposal)
	}
	owner, repo, ok := strings.Cut(v.Where.Repository, "/")
	if !ok || owner == "" || repo == "" {
		return fmt.Errorf("%w: policy names no repository for it (git.repository)", bake.ErrNoProposal)
	}
	content, err := os.ReadFile(o.TokenFile)
	if err != nil {
		return fmt.Errorf("read the token of git: %w; mount the secret that holds it", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return fmt.Errorf("read the token of git: %s is empty", o.TokenFile)
	}
	inner := &http.Client{}
	if o.Client != nil {
		*inner = *o.Client
	}
	inner.Transport = limits.Limits(inner.Transport)
	api := github.NewClient(announce.StrictClient(inner)).WithAuthToken(token)
	if o.URL != "" {
		if api.BaseURL, err = announce.ParseAddress(strings.TrimRight(o.URL, "/") + "/"); err != nil {
			return fmt.Errorf("read git.url: %w", err)
		}
	}
	return announce.Conceal(f(one{api, owner, repo, v}), token)
}

// Plan implements bake.Reverter.
func (r *Reverter) Plan(ctx context.Context, v bake.Revert) (v1alpha1.Proposal, error) {
	p := v1alpha1.Proposal{Repository: v.Where.Repository}
	switch {
	case v.Where.Path != "":
		p.Kind, p.Branch = bake.ProposalPull, branchOf(v.Bake)
		return p, nil
	case v.Where.Workflow == "":
		return p, fmt.Errorf("%w: policy names neither the file nor the workflow that deploys it (git.path, git.workflow; annotations bakewatch.dev/git-path, bakewatch.dev/git-workflow)", bake.ErrNoProposal)
	}
	err := r.with(v, func(o one) (err error) {
		p, err = o.findRun(ctx, p)
		return err
	})
	return p, err
}

// Propose implements bake.Reverter.
func (r *Reverter) Propose(ctx context.Context, v bake.Revert, p v1alpha1.Proposal) (v1alpha1.Proposal, error) {
	err := r.with(v, func(o one) (err error) {
		if p.Kind == bake.ProposalRun {
			p, err = o.runAgain(ctx, p)
		} else {
			p, err = o.pull(ctx, p)
		}
		return err
	})
	return p, err
}

// explain words an error of GitHub's and adds what to do about it. What trying again cannot mend is final.
func (o one) explain(doing string, err error) error {
	answer, ok := errors.AsType[*announce.AnswerError](err)
	if !ok {
		return fmt.Errorf("%s in %s/%s: %w", doing, o.owner, o.repo, announce.WithoutAddress(err))
	}
	advice := ""
	switch c := answer.Code; {
	case c == http.StatusUnauthorized:
		advice = "; check the file git.tokenFile"
	case c == http.StatusForbidden:
		advice = "; give the token the right to write contents and pull requests, or actions for a workflow, of that repository"
	case c == http.StatusNotFound:
		advice = "; check the repository, the branch, and that the token may see them"
	case c >= 300 && c < 400:
		advice = "; the repository may have been renamed, or git.url is not that of the API"
	}
	err = fmt.Errorf("%s in %s/%s: %w%s", doing, o.owner, o.repo, announce.WithoutAddress(err), advice)
	if errors.Is(err, announce.ErrFinal) {
		return fmt.Errorf("%w: %w", bake.ErrNoProposal, err)
	}
	return err
}

// answered reports whether GitHub answered with that code.
func answered(err error, code int) bool {
	answer, ok := errors.AsType[*announce.AnswerError](err)
	return ok && answer.Code == code
}

func none(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{bake.ErrNoProposal}, args...)...)
}
