package revert

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/go-github/v74/github"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

const (
	maxRuns = 100
	// shaPart is how much of a commit a tag must have at least to name it.
	shaPart = 7
)

// findRun finds the run of the workflow that deployed the good version: by the commit that its image's tag names, or else the newest
// successful one that was there before that version served. It changes nothing.
func (o one) findRun(ctx context.Context, p v1alpha1.Proposal) (v1alpha1.Proposal, error) {
	p.Kind, p.Workflow = bake.ProposalRun, o.Where.Workflow
	all, _, err := o.api.Actions.ListWorkflowRunsByFileName(ctx, o.owner, o.repo, p.Workflow, &github.ListWorkflowRunsOptions{Branch: o.Where.Branch, Status: "success", ListOptions: github.ListOptions{PerPage: maxRuns}})
	if err != nil {
		return p, o.explain("list the runs of "+p.Workflow, err)
	}
	var found *github.WorkflowRun
	for _, run := range all.WorkflowRuns { // the newest first
		switch {
		case run.GetConclusion() != "success" || names(o.To.Images, run.GetHeadSHA()):
			continue
		case names(o.From.Images, run.GetHeadSHA()):
			found = run
		case found == nil && !o.Since.IsZero() && run.GetCreatedAt().Before(o.Since):
			found = run
			continue // one whose commit is named is better
		default:
			continue
		}
		break
	}
	if found == nil {
		return p, none("which run of %s deployed %s is not known: no tag of its images (%s) names the commit of one, and no successful one was there before it served", p.Workflow, rev(o.From), strings.Join(o.From.Images, ", "))
	}
	p.Run, p.Attempt, p.URL = found.GetID(), found.GetRunAttempt(), found.GetHTMLURL()
	return p, nil
}

// names reports whether an image's tag names a commit.
func names(images []string, sha string) bool {
	if len(sha) < shaPart {
		return false
	}
	for _, image := range images {
		if tag := tagOf(image); !strings.HasPrefix(tag, "sha256:") && strings.Contains(tag, sha[:shaPart]) {
			return true
		}
	}
	return false
}

// runAgain has the run done again, unless that was done since it was planned.
func (o one) runAgain(ctx context.Context, p v1alpha1.Proposal) (v1alpha1.Proposal, error) {
	run, _, err := o.api.Actions.GetWorkflowRunByID(ctx, o.owner, o.repo, p.Run)
	if err != nil {
		return p, o.explain("read the run", err)
	}
	if run.GetRunAttempt() > p.Attempt || run.GetStatus() != "completed" {
		return p, nil // before a crash, or by a person
	}
	_, err = o.api.Actions.RerunWorkflowByID(ctx, o.owner, o.repo, p.Run)
	if err != nil && !answered(err, http.StatusConflict) { // 409: it was begun in between
		return p, o.explain("run it again", err)
	}
	return p, nil
}
