package revert

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-github/v74/github"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// maxCommits is how far back the commit is looked for that changed the image.
const maxCommits = 30

// branchOf is the branch of a bake's pull request. It names the bake, so that there is one whoever opens it.
func branchOf(bake string) string { return "bakewatch/revert/" + bake }

// pull opens the pull request, unless the bake has one: also one that people have closed.
func (o one) pull(ctx context.Context, p v1alpha1.Proposal) (v1alpha1.Proposal, error) {
	there, err := o.find(ctx, p.Branch)
	if err != nil || there != "" {
		p.URL = there
		return p, err
	}
	base := o.Where.Branch
	if base == "" {
		r, _, err := o.api.Repositories.Get(ctx, o.owner, o.repo)
		if err != nil {
			return p, o.explain("read the repository", err)
		}
		base = r.GetDefaultBranch()
	}
	ref, _, err := o.api.Git.GetRef(ctx, o.owner, o.repo, "heads/"+base)
	if err != nil {
		return p, o.explain("read branch "+base, err)
	}
	head := ref.GetObject().GetSHA()
	c, err := o.changed(ctx, head)
	if err != nil {
		return p, err
	}
	if err := o.branch(ctx, p.Branch, head, c); err != nil {
		return p, err
	}
	title := fmt.Sprintf("Revert %s: put %s in %s back to %s", short(c.sha), o.Ref(), o.Namespace, strings.Join(o.From.Images, ", "))
	body := fmt.Sprintf("This puts `%s` back to what it was before %s, which rolled out rev %d of %s in namespace %s.\n\n> %s\n\nOpened by Bakewatch for the Bake %s. It is opened once: close it if it is not wanted.\n",
		o.Where.Path, c.sha, o.To.Number, escape(o.Ref()), escape(o.Namespace), escape(announce.OneLine(cmp.Or(o.Why, "it regressed"))), escape(o.Bake))
	made, _, err := o.api.PullRequests.Create(ctx, o.owner, o.repo, &github.NewPullRequest{Title: &title, Head: &p.Branch, Base: &base, Body: &body})
	switch {
	case answered(err, http.StatusUnprocessableEntity): // somebody opened it in between
		if p.URL, _ = o.find(ctx, p.Branch); p.URL != "" {
			return p, nil
		}
		return p, o.explain("open a pull request", err)
	case err != nil:
		return p, o.explain("open a pull request", err)
	case made.GetHTMLURL() == "":
		return p, none("the answer to opening a pull request names none; check that git.url is that of GitHub's API")
	}
	p.URL = made.GetHTMLURL()
	return p, nil
}

// find is the address of the branch's pull request, open or not; empty where there is none.
func (o one) find(ctx context.Context, branch string) (string, error) {
	all, _, err := o.api.PullRequests.List(ctx, o.owner, o.repo, &github.PullRequestListOptions{State: "all", Head: o.owner + ":" + branch})
	if err != nil {
		return "", o.explain("look its pull requests up", err)
	}
	for _, pr := range all {
		if pr.GetHead().GetRef() == branch { // a server that does not know the filter answers with all
			return pr.GetHTMLURL(), nil
		}
	}
	return "", nil
}

// change is the commit that changed the image, and the file before and after it.
type change struct {
	sha           string
	before, after string
}

// changed finds the commit that changed the image: the newest one of the file, or it is not for a machine to revert.
func (o one) changed(ctx context.Context, head string) (change, error) {
	commits, _, err := o.api.Repositories.ListCommits(ctx, o.owner, o.repo, &github.CommitsListOptions{SHA: head, Path: o.Where.Path, ListOptions: github.ListOptions{PerPage: maxCommits}})
	if err != nil {
		return change{}, o.explain("list the commits of "+o.Where.Path, err)
	}
	if len(commits) == 0 {
		return change{}, none("%s has no commit in %s/%s", o.Where.Path, o.owner, o.repo)
	}
	marks := marksOf(o.From.Images, o.To.Images)
	if len(marks) == 0 {
		return change{}, none("%s and %s run the same images, and only images are found in Git", rev(o.From), rev(o.To))
	}
	after, there, err := o.file(ctx, head)
	if err != nil {
		return change{}, err
	}
	if !there || !says(after, marks) {
		return change{}, none("%s does not say %s: it was put right, or it is not deployed from there", o.Where.Path, strings.Join(o.To.Images, ", "))
	}
	for i, c := range commits {
		if len(c.Parents) == 0 {
			break
		}
		before, there, err := o.file(ctx, c.Parents[0].GetSHA())
		switch {
		case err != nil:
			return change{}, err
		case there && brings(before, after, marks) && i > 0:
			return change{}, none("%s was changed by %d more since %s: revert that by hand", o.Where.Path, i, short(c.GetSHA()))
		case there && brings(before, after, marks):
			return change{c.GetSHA(), before, after}, nil
		}
		after = before
	}
	return change{}, none("no commit among the newest %d of %s brought %s in place of %s", len(commits), o.Where.Path, strings.Join(o.To.Images, ", "), strings.Join(o.From.Images, ", "))
}

// branch makes the branch, with the one commit on it.
func (o one) branch(ctx context.Context, name, head string, c change) error {
	_, _, err := o.api.Git.CreateRef(ctx, o.owner, o.repo, &github.Reference{Ref: github.Ptr("refs/heads/" + name), Object: &github.GitObject{SHA: &head}})
	if err != nil && !answered(err, http.StatusUnprocessableEntity) { // 422: it is there, from before a crash
		return o.explain("make branch "+name, err)
	}
	file, _, _, err := o.api.Repositories.GetContents(ctx, o.owner, o.repo, o.Where.Path, &github.RepositoryContentGetOptions{Ref: name})
	if err != nil {
		return o.explain("read "+o.Where.Path+" of branch "+name, err)
	}
	content, err := contentOf(file)
	switch {
	case err != nil:
		return none("read %s: %v", o.Where.Path, err)
	case content == c.before: // from before a crash
		return nil
	case content != c.after:
		return none("branch %s is there, and %s is neither old nor new on it", name, o.Where.Path)
	}
	message := fmt.Sprintf("Revert %s: %s\n\nIt rolled out rev %d of %s in %s, which Bakewatch found worse than rev %d.\n", short(c.sha), o.Where.Path, o.To.Number, o.Ref(), o.Namespace, o.From.Number)
	_, _, err = o.api.Repositories.UpdateFile(ctx, o.owner, o.repo, o.Where.Path, &github.RepositoryContentFileOptions{Message: &message, Content: []byte(c.before), SHA: file.SHA, Branch: &name})
	if err != nil {
		return o.explain("write "+o.Where.Path+" on branch "+name, err)
	}
	return nil
}

// file is the file as of a commit; false where it was not there.
func (o one) file(ctx context.Context, sha string) (content string, there bool, err error) {
	file, _, _, err := o.api.Repositories.GetContents(ctx, o.owner, o.repo, o.Where.Path, &github.RepositoryContentGetOptions{Ref: sha})
	switch {
	case answered(err, http.StatusNotFound):
		return "", false, nil
	case err != nil:
		return "", false, o.explain("read "+o.Where.Path, err)
	}
	if content, err = contentOf(file); err != nil {
		return "", false, none("read %s: %v", o.Where.Path, err)
	}
	return content, true, nil
}

func contentOf(file *github.RepositoryContent) (string, error) {
	if file == nil {
		return "", fmt.Errorf("it is a folder")
	}
	if file.GetSize() > 0 && file.Content == nil || file.GetEncoding() == "none" {
		return "", fmt.Errorf("it is too large")
	}
	return file.GetContent()
}

// short is as much of a commit as people read.
func short(sha string) string { return sha[:min(len(sha), 10)] }

func rev(r v1alpha1.Revision) string { return fmt.Sprintf("rev %d", r.Number) }

// escape keeps Markdown from taking a text for markup or for a mention.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "#", `\#`, "@", "@\u2060").Replace(text)
}
