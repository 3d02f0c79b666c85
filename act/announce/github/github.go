// Package github opens an issue with the evidence for each rollout that was rolled back or held, and closes it once a later
// rollout of the workload has passed.
package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v74/github"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	label    = "bakewatch" // on each issue; by it they are found
	perPage  = 100
	maxPages = 5
	skew     = time.Hour // by which GitHub's clock may be behind ours
)

// Options says where to write and as whom.
type Options struct {
	Name       string // the receiver's name; "github" if empty
	Repository string // owner/name
	TokenFile  string // holds a token that may write issues; read at each call, so that it may be rotated
	URL        string // of the API, for others than github.com's

	Title, Text *wording.Template // nil: our own
	Client      *http.Client
}

// Receiver tells GitHub. An issue is found by a marker in its text, so that telling twice, or by two, converges to one.
type Receiver struct {
	options     Options
	owner, repo string
	base        string
	client      *http.Client
}

// New returns a Receiver.
func New(o Options) (*Receiver, error) {
	o.Name = cmp.Or(o.Name, "github")
	owner, repo, ok := strings.Cut(o.Repository, "/")
	if !ok || owner == "" || repo == "" || strings.Contains(repo, "/") || o.TokenFile == "" {
		return nil, fmt.Errorf("setting up %s: it needs a repository, as owner/name, and a token's file", o.Name)
	}
	base, client, err := address(o.Name, o.URL, o.Client)
	if err != nil {
		return nil, err
	}
	o.Title, o.Text = cmp.Or(o.Title, defaultTitle), cmp.Or(o.Text, defaultText)
	return &Receiver{options: o, owner: owner, repo: repo, base: base, client: client}, nil
}

// address is that of the API, and a client for it.
func address(name, url string, client *http.Client) (string, *http.Client, error) {
	u, err := announce.ParseAddress(cmp.Or(url, "https://api.github.com"))
	if err != nil {
		return "", nil, fmt.Errorf("setting up %s: %w", name, err)
	}
	inner := &http.Client{}
	if client != nil {
		*inner = *client
	}
	inner.Transport = Limits(inner.Transport)
	return strings.TrimRight(u.String(), "/") + "/", announce.StrictClient(inner), nil
}

// connect is the API as whoever the token is of, and the token, which no error may show.
func connect(name, base, tokenFile string, client *http.Client) (*github.Client, string, error) {
	content, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, "", fmt.Errorf("reading the token of %s: %w; mount the secret that holds it", name, err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return nil, "", fmt.Errorf("reading the token of %s: %s is empty", name, tokenFile)
	}
	api := github.NewClient(client).WithAuthToken(token)
	if api.BaseURL, err = announce.ParseAddress(base); err != nil {
		return nil, "", fmt.Errorf("reading the address of %s: %w", name, err)
	}
	return api, token, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return r.options.Name }

// Wants takes the ends of bakes that leave work for people, and of those that show that it is done.
func (r *Receiver) Wants(s announce.Story) announce.Interest {
	if s.Stage != announce.Ended {
		return announce.Never
	}
	switch s.Outcome {
	case "RolledBack", "Held":
		return announce.Usually
	case "Passed":
		return announce.Closes
	}
	return announce.Never
}

// Tell opens the bake's issue, or closes those of the workload. It returns the issue's number.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	api, token, err := connect(r.Name(), r.base, r.options.TokenFile, r.client)
	if err != nil {
		return "", err
	}
	var id string
	if s.Outcome == "Passed" {
		err = r.close(ctx, api, s)
	} else {
		id, err = r.open(ctx, api, s)
	}
	return id, announce.Conceal(err, token)
}

// open opens the bake's issue unless it is there. Of several, the oldest stays.
func (r *Receiver) open(ctx context.Context, api *github.Client, s announce.Story) (string, error) {
	found, err := r.find(ctx, api, s, &github.IssueListByRepoOptions{State: "all", Since: s.StartedAt.Add(-skew)})
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		first := strconv.Itoa(found[0].GetNumber())
		for _, extra := range found[1:] {
			if extra.GetState() != "open" {
				continue
			}
			change := &github.IssueRequest{State: github.Ptr("closed"), StateReason: github.Ptr("not_planned"), Body: github.Ptr(extra.GetBody() + "\n\nClosed: the same as #" + first + ".")}
			if _, _, err := api.Issues.Edit(ctx, r.owner, r.repo, extra.GetNumber(), change); err != nil {
				return "", r.explain("closing a second issue of the same bake", err)
			}
		}
		return first, nil
	}
	title, text := r.words(s)
	issue, _, err := api.Issues.Create(ctx, r.owner, r.repo, &github.IssueRequest{Title: &title, Body: &text, Labels: &[]string{label}})
	if err != nil {
		return "", r.explain("opening an issue", err)
	}
	if issue.GetNumber() == 0 {
		return "", fmt.Errorf("opening an issue in %s: the answer names no issue, so it may not have been opened; check that the address is that of GitHub's API", r.Name())
	}
	if !slices.ContainsFunc(issue.Labels, func(l *github.Label) bool { return l.GetName() == label }) {
		return "", fmt.Errorf("opening an issue in %s: #%d was opened without the label %s, by which it would be found again (%w); give the token the right to write issues, with push access to the repository",
			r.Name(), issue.GetNumber(), label, announce.ErrFinal)
	}
	return strconv.Itoa(issue.GetNumber()), nil
}

// close closes the open issues of the workload that are older than the end of the bake, which passed.
func (r *Receiver) close(ctx context.Context, api *github.Client, s announce.Story) error {
	found, err := r.find(ctx, api, s, &github.IssueListByRepoOptions{State: "open"})
	if err != nil {
		return err
	}
	for _, issue := range found {
		if !issue.GetCreatedAt().Before(s.EndedAt) {
			continue
		}
		change := &github.IssueRequest{State: github.Ptr("closed"), StateReason: github.Ptr("completed"), Body: github.Ptr(issue.GetBody() + "\n\nClosed: " + escape(announce.OneLine(s.Headline)) + ".")}
		if _, _, err := api.Issues.Edit(ctx, r.owner, r.repo, issue.GetNumber(), change); err != nil {
			return r.explain(fmt.Sprintf("closing issue #%d", issue.GetNumber()), err)
		}
	}
	return nil
}

// find returns the issues of the bake, or of its workload where they are to be closed, the oldest first.
func (r *Receiver) find(ctx context.Context, api *github.Client, s announce.Story, query *github.IssueListByRepoOptions) ([]*github.Issue, error) {
	mark := marker(s)
	if s.Outcome == "Passed" {
		mark = workloadMarker(s)
	}
	query.Labels, query.ListOptions.PerPage = []string{label}, perPage
	var found []*github.Issue
	for page := 1; page <= maxPages; page++ {
		query.ListOptions.Page = page
		issues, _, err := api.Issues.ListByRepo(ctx, r.owner, r.repo, query)
		if err != nil {
			return nil, r.explain("looking its issues up", err)
		}
		for _, issue := range issues {
			if !issue.IsPullRequest() && strings.Contains(issue.GetBody(), mark) {
				found = append(found, issue)
			}
		}
		if len(issues) < perPage {
			break
		}
	}
	slices.SortFunc(found, func(a, b *github.Issue) int { return cmp.Compare(a.GetNumber(), b.GetNumber()) })
	return found, nil
}

// explain words an error and adds what to do about it.
func (r *Receiver) explain(doing string, err error) error {
	advice := ""
	if answer, ok := errors.AsType[*announce.AnswerError](err); ok {
		switch c := answer.Code; {
		case c == http.StatusUnauthorized:
			advice = "; check the token file"
		case c == http.StatusForbidden:
			advice = "; give the token the right to read and write issues of " + r.options.Repository
		case c == http.StatusNotFound:
			advice = "; check that " + r.options.Repository + " is there and that the token may see it"
		case c == http.StatusGone:
			advice = "; turn issues on in the settings of " + r.options.Repository
		case c >= 300 && c < 400:
			advice = "; the repository may have been renamed, or the address is not that of the API"
		}
	}
	return fmt.Errorf("%s in %s: %w%s", doing, r.Name(), announce.WithoutAddress(err), advice)
}

// Limits is next with the answers by which GitHub says that there were too many requests as 429, which says when to come again.
func Limits(next http.RoundTripper) http.RoundTripper {
	return limits{cmp.Or(next, http.DefaultTransport)}
}

// limits turns the answers by which GitHub says that there were too many requests into a 429 that says when to come again:
// they are 403s, too, and would be final.
type limits struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t limits) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusTooManyRequests {
		return res, err
	}
	spent := res.Header.Get("X-Ratelimit-Remaining") == "0"
	if !spent && res.Header.Get("Retry-After") == "" {
		return res, nil
	}
	res.StatusCode = http.StatusTooManyRequests
	if res.Header.Get("Retry-After") == "" {
		if reset, err := strconv.ParseInt(res.Header.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
			res.Header.Set("Retry-After", strconv.Itoa(max(1, int(time.Until(time.Unix(reset, 0)).Seconds())+1)))
		}
	}
	return res, nil
}
