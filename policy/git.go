package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// Git is how GitHub is reached, and where workloads are deployed from unless something else is said of them.
type Git struct {
	Endpoint
	GitPlace
	TokenFile string `json:"tokenFile"` // may write contents and pull requests, and run workflows again
}

// GitPlace is where a workload is deployed from. What is empty is not set; in an Override that leaves what applied before.
type GitPlace struct {
	Repository string `json:"repository,omitempty"` // owner/name
	Branch     string `json:"branch,omitempty"`     // empty: the repository's own default
	Path       string `json:"path,omitempty"`       // of the file that names the image
	Workflow   string `json:"workflow,omitempty"`   // file of the workflow that deploys, such as deploy.yaml
}

// GitRules are a GitPlace, resolved.
type GitRules = GitPlace

// AnnotationGitPath and AnnotationGitWorkflow say of a workload which file names its image, and which workflow deploys it.
const (
	AnnotationGitPath     = AnnotationPrefix + "git-path"
	AnnotationGitWorkflow = AnnotationPrefix + "git-workflow"
)

// with is g with what o sets in its place.
func (g GitPlace) with(o GitPlace) GitPlace {
	return GitPlace{Repository: cmp.Or(o.Repository, g.Repository), Branch: cmp.Or(o.Branch, g.Branch), Path: cmp.Or(o.Path, g.Path), Workflow: cmp.Or(o.Workflow, g.Workflow)}
}

var (
	branch   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
	workflow = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*\.ya?ml$`)
	filePath = regexp.MustCompile(`^[A-Za-z0-9_.@+-]+(/[A-Za-z0-9_.@+-]+)*$`)
)

func isPath(p string) bool {
	return filePath.MatchString(p) && !strings.Contains("/"+p+"/", "/../") && !strings.Contains("/"+p+"/", "/./")
}

// gitPlace checks what is set of a place.
func (k *checker) gitPlace(path string, g GitPlace) {
	for _, c := range []struct {
		key, value string
		ok         func(string) bool
		want       string
	}{
		{"repository", g.Repository, repository.MatchString, "a repository such as acme/shop"},
		{"branch", g.Branch, branch.MatchString, "the name of a branch such as main"},
		{"path", g.Path, isPath, "the path of a file in the repository such as shop/web.yaml"},
		{"workflow", g.Workflow, workflow.MatchString, "the file name of a workflow such as deploy.yaml"},
	} {
		if c.value != "" && !c.ok(c.value) {
			k.errorf(join(path, c.key), "must be %s, not %s", c.want, quote(c.value))
		}
	}
}

// git checks where reverts are proposed.
func (k *checker) git(c *Config) {
	uses := ""
	if c.GitOps == RevertInGit {
		uses = "gitops"
	}
	for i, o := range c.Workloads {
		at := fmt.Sprintf("workloads[%d]", i)
		k.gitPlace(join(at, "git"), o.Git)
		if o.GitOps == RevertInGit && uses == "" {
			uses = join(at, "gitops")
		}
	}
	if c.Git == nil {
		if uses != "" {
			k.errorf(uses, "needs git.tokenFile and git.repository: where reverts are proposed, and as whom")
		}
		return
	}
	const path = "git"
	if c.Git.TokenFile == "" {
		k.errorf(join(path, "tokenFile"), "is missing; name the file that holds a token with the right to write contents and pull requests")
	}
	if c.Git.Repository == "" {
		k.errorf(join(path, "repository"), "is missing; write the repository that workloads are deployed from, such as acme/shop")
	}
	k.gitPlace(path, c.Git.GitPlace)
	k.endpoint(path, c.Git.Endpoint)
	k.file(join(path, "tokenFile"), c.Git.TokenFile)
}

// ownPlace applies the workload's own annotations. The repository is the ConfigMap's to name: the token is its.
func (r *resolver) ownPlace(a map[string]string) {
	for key, to := range map[string]*string{AnnotationGitPath: &r.git.Path, AnnotationGitWorkflow: &r.git.Workflow} {
		v, ok := a[key]
		switch {
		case !ok:
		case key == AnnotationGitPath && !isPath(v):
			r.problem(key, "must be the path of a file in the repository such as shop/web.yaml, not %s", quote(v))
		case key == AnnotationGitWorkflow && !workflow.MatchString(v):
			r.problem(key, "must be the file name of a workflow such as deploy.yaml, not %s", quote(v))
		default:
			*to = v
		}
	}
}
