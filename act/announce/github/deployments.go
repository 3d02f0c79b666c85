package github

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-github/v74/github"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	task           = "bakewatch" // of our deployments, by which they are told from others'
	inProgress     = "in_progress"
	maxDescription = 140 // characters; GitHub's limit
	maxEnvironment = 255
	maxDeployments = 100 // of one ref and environment that are looked at
	maxRef         = 250
)

// Repository is where deployments of some workloads are shown.
type Repository struct {
	Repository  string            // owner/name
	Environment *wording.Template // nil: namespace/name of the workload
	Ref         *wording.Template // what was deployed: a commit, a tag or a branch; nil: by image and version

	Holds func(s announce.Story) bool // whether it holds the workload's code; nil: of all
}

// DeploymentOptions says where to write and as whom.
type DeploymentOptions struct {
	Name         string       // the receiver's name; "githubDeployments" if empty
	Repositories []Repository // the first that holds the workload counts
	TokenFile    string       // holds a token that may write deployments; read at each call, so that it may be rotated
	URL          string       // of the API, for others than github.com's
	Client       *http.Client
}

// Deployments shows reviewers how a commit fared: a bake is a deployment of it, whose status follows the bake. The deployment is
// found by the Bake in its payload, so that telling twice converges to one.
type Deployments struct {
	options DeploymentOptions
	base    string
	client  *http.Client
}

// NewDeployments returns Deployments.
func NewDeployments(o DeploymentOptions) (*Deployments, error) {
	o.Name = cmp.Or(o.Name, "githubDeployments")
	if o.TokenFile == "" || len(o.Repositories) == 0 {
		return nil, fmt.Errorf("setting up %s: it needs repositories and a token's file", o.Name)
	}
	for _, r := range o.Repositories {
		if owner, repo, ok := strings.Cut(r.Repository, "/"); !ok || owner == "" || repo == "" || strings.Contains(repo, "/") {
			return nil, fmt.Errorf("setting up %s: a repository is given as owner/name", o.Name)
		}
	}
	base, client, err := address(o.Name, o.URL, o.Client)
	if err != nil {
		return nil, err
	}
	return &Deployments{options: o, base: base, client: client}, nil
}

// Name is the receiver's name.
func (d *Deployments) Name() string { return d.options.Name }

// Converges says that only the newest story of a bake counts.
func (d *Deployments) Converges() {}

// Wants takes the bakes of workloads whose code is in one of the repositories, if what was deployed names a commit.
func (d *Deployments) Wants(s announce.Story) announce.Interest {
	if _, ok := d.where(s); !ok || s.Stage == announce.Resolved {
		return announce.Never
	}
	return announce.Usually
}

// spot is where a bake is shown.
type spot struct{ owner, repo, ref, environment string }

var (
	sha      = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	spelling = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+-]*$`) // of a commit, a tag or a branch
)

// where says where a bake is shown; false if nowhere.
func (d *Deployments) where(s announce.Story) (spot, bool) {
	for _, r := range d.options.Repositories {
		if r.Holds != nil && !r.Holds(s) {
			continue
		}
		at := spot{ref: refOf(s)}
		at.owner, at.repo, _ = strings.Cut(r.Repository, "/")
		if r.Ref != nil {
			at.ref, _ = r.Ref.Write(s, nil)
		}
		at.environment = s.Namespace + "/" + s.Workload
		if r.Environment != nil {
			if text, err := r.Environment.Write(s, nil); err == nil && text != "" {
				at.environment = announce.Clip(announce.OneLine(text), maxEnvironment)
			}
		}
		return at, len(at.ref) <= maxRef && spelling.MatchString(at.ref)
	}
	return spot{}, false
}

// refOf is what was deployed: the commit, if the image's tag or the pods' version looks like one, else that tag, else that version.
func refOf(s announce.Story) string {
	for _, name := range []string{s.ImageTag, s.Version} {
		if sha.MatchString(name) {
			return name
		}
	}
	return cmp.Or(s.ImageTag, s.Version)
}

// Tell makes the bake's deployment, and gives it the status that says how it is. It returns the deployment's id.
func (d *Deployments) Tell(ctx context.Context, s announce.Story) (string, error) {
	at, ok := d.where(s)
	if !ok {
		return "", fmt.Errorf("showing a deployment in %s: no repository is configured for the workload, or nothing names the commit (%w)", d.Name(), announce.ErrFinal)
	}
	api, token, err := connect(d.Name(), d.base, d.options.TokenFile, d.client)
	if err != nil {
		return "", err
	}
	id, err := d.deploy(ctx, api, at, s)
	if err == nil {
		err = d.status(ctx, api, at, id, s)
	}
	if err != nil {
		return "", announce.Conceal(err, token)
	}
	return strconv.FormatInt(id, 10), nil
}

// payload is what our deployments carry.
type payload struct {
	Bake string `json:"bake"`
}

// deploy finds the bake's deployment, or makes it. Of several, the oldest counts.
func (d *Deployments) deploy(ctx context.Context, api *github.Client, at spot, s announce.Story) (int64, error) {
	query := &github.DeploymentsListOptions{Ref: at.ref, Task: task, Environment: at.environment, ListOptions: github.ListOptions{PerPage: maxDeployments}}
	list, _, err := api.Repositories.ListDeployments(ctx, at.owner, at.repo, query)
	if err != nil {
		return 0, d.explain("looking deployments up", at, err)
	}
	var oldest int64
	for _, one := range list {
		if id := one.GetID(); id != 0 && bakeOf(one) == s.Bake && (oldest == 0 || id < oldest) {
			oldest = id
		}
	}
	if oldest != 0 {
		return oldest, nil
	}
	made, _, err := api.Repositories.CreateDeployment(ctx, at.owner, at.repo, &github.DeploymentRequest{
		Ref: &at.ref, Task: github.Ptr(task), Environment: &at.environment, Payload: payload{s.Bake},
		Description:      github.Ptr(announce.Clip("Bakewatch: "+announce.OneLine(s.To), maxDescription)),
		AutoMerge:        github.Ptr(false),
		RequiredContexts: &[]string{}, // it is deployed, whatever its checks say
	})
	if err != nil {
		return 0, d.explain("making a deployment of "+at.ref, at, err)
	}
	if made.GetID() == 0 {
		return 0, fmt.Errorf("making a deployment in %s: the answer names none, so it may not have been made; check that the address is that of GitHub's API", d.Name())
	}
	return made.GetID(), nil
}

// bakeOf is the Bake that a deployment is of. The payload is an object, or a text that holds one.
func bakeOf(one *github.Deployment) string {
	raw := []byte(one.Payload)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = []byte(text)
	}
	var p payload
	if json.Unmarshal(raw, &p) != nil {
		return ""
	}
	return p.Bake
}

// status gives the deployment the status of the story, unless it has it.
func (d *Deployments) status(ctx context.Context, api *github.Client, at spot, id int64, s announce.Story) error {
	state, description := stateOf(s), announce.Clip(announce.OneLine(s.Headline), maxDescription)
	list, _, err := api.Repositories.ListDeploymentStatuses(ctx, at.owner, at.repo, id, &github.ListOptions{PerPage: maxDeployments})
	if err != nil {
		return d.explain("looking a deployment's statuses up", at, err)
	}
	var newest *github.DeploymentStatus
	for _, one := range list {
		if newest == nil || one.GetID() > newest.GetID() {
			newest = one
		}
	}
	switch {
	case newest == nil:
	case newest.GetState() == state && newest.GetDescription() == description:
		return nil
	case s.Stage != announce.Ended && (s.Stage == announce.Started || newest.GetState() != inProgress): // told late
		return nil
	}
	request := &github.DeploymentStatusRequest{
		State: &state, Description: &description,
		AutoInactive: github.Ptr(false), // others may share the environment
	}
	if len(s.Links) > 0 {
		request.LogURL = &s.Links[0].URL
	}
	made, _, err := api.Repositories.CreateDeploymentStatus(ctx, at.owner, at.repo, id, request)
	if err != nil {
		return d.explain("giving a deployment the status "+state, at, err)
	}
	if made.GetID() == 0 {
		return fmt.Errorf("giving a deployment a status in %s: the answer names none; check that the address is that of GitHub's API", d.Name())
	}
	return nil
}

// stateOf is the story in GitHub's words.
func stateOf(s announce.Story) string {
	switch {
	case s.Stage != announce.Ended && s.Stage != announce.Deciding:
		return inProgress
	case s.Stage == announce.Deciding:
		return "failure"
	}
	switch s.Outcome {
	case "Passed":
		return "success"
	case "RolledBack", "Held":
		return "failure"
	case "Inconclusive":
		return "error"
	}
	return "inactive" // something else took its place, or nobody looks any more
}

// explain words an error and adds what to do about it.
func (d *Deployments) explain(doing string, at spot, err error) error {
	advice := ""
	if answer, ok := errors.AsType[*announce.AnswerError](err); ok {
		switch c := answer.Code; {
		case c == http.StatusUnauthorized:
			advice = "; check the token file"
		case c == http.StatusForbidden:
			advice = "; give the token the right to read and write deployments of " + at.owner + "/" + at.repo
		case c == http.StatusNotFound:
			advice = "; check that " + at.owner + "/" + at.repo + " is there and that the token may write its deployments"
		case c == http.StatusUnprocessableEntity, c == http.StatusConflict:
			advice = "; check that the repository has a commit, tag or branch of that name, or say with ref what names it"
		case c >= 300 && c < 400:
			advice = "; the repository may have been renamed, or the address is not that of the API"
		}
	}
	return fmt.Errorf("%s in %s: %w%s", doing, d.Name(), announce.WithoutAddress(err), advice)
}
