package policy

import (
	"fmt"

	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const maxRepositories = 100

// DatadogEvents is an organisation in Datadog that gets events.
type DatadogEvents struct {
	Endpoint
	Wording
	Site       string `json:"site"` // of the organisation; empty with URL
	APIKeyFile string `json:"apiKeyFile"`
}

// HTTP is the site, or the address in between, as HTTP.
func (d DatadogEvents) HTTP() HTTP {
	h := d.Endpoint.HTTP()
	if h.URL == "" {
		h.URL = "https://api." + d.Site
	}
	return h
}

func (d *DatadogEvents) fill() {
	d.Endpoint.fill()
	if d.Site == "" && d.URL == "" {
		d.Site = defaultSite
	}
}

func (k *checker) datadogEvents(path string, d DatadogEvents) {
	k.site(path, d.Site, d.URL)
	if d.APIKeyFile == "" {
		k.errorf(join(path, "apiKeyFile"), "is missing; write the absolute path of the file that holds the key, such as /secrets/datadog-api")
	}
	k.endpoint(path, d.Endpoint)
	k.wording(path, d.Wording)
	k.file(join(path, "apiKeyFile"), d.APIKeyFile)
}

// GitHubDeployments is where reviewers see how a commit fares.
type GitHubDeployments struct {
	Endpoint
	TokenFile    string       `json:"tokenFile"`
	Repositories []Repository `json:"repositories"` // the first that matches counts
}

// Repository is where the code of some workloads is, and how a rollout names it.
type Repository struct {
	Match       *Match `json:"match,omitempty"` // whose code it holds; nil: of all
	Repository  string `json:"repository"`      // owner/name
	Ref         string `json:"ref,omitempty"`   // template of the commit, tag or branch; empty: by image and version
	Environment string `json:"environment,omitempty"`
}

// Holds reports whether it holds the workload's code.
func (r Repository) Holds(t Target) bool { return r.Match == nil || r.Match.selects(t) }

func (k *checker) githubDeployments(path string, g GitHubDeployments) {
	if g.TokenFile == "" {
		k.errorf(join(path, "tokenFile"), "is missing; name the file that holds a token with the right to write deployments")
	}
	switch n := len(g.Repositories); {
	case n == 0:
		k.errorf(join(path, "repositories"), "is missing; write whose code is where, such as [{match: {namespace: shop}, repository: acme/shop}]")
	case n > maxRepositories:
		k.errorf(join(path, "repositories"), "at most %d may be written, not %d", maxRepositories, n)
	}
	for i, r := range g.Repositories {
		at := fmt.Sprintf("%s[%d]", join(path, "repositories"), i)
		if r.Match != nil {
			k.match(join(at, "match"), *r.Match)
		}
		if !repository.MatchString(r.Repository) {
			k.errorf(join(at, "repository"), "must be a repository such as acme/shop, not %s", quote(r.Repository))
		}
		if r.Ref != "" {
			if _, err := wording.Parse(r.Ref); err != nil {
				k.errorf(join(at, "ref"), "is not a good template: %v", err)
			}
		}
		if r.Environment != "" {
			if _, err := wording.ParseTitle(r.Environment); err != nil {
				k.errorf(join(at, "environment"), "is not a good template: %v", err)
			}
		}
	}
	k.endpoint(path, g.Endpoint)
	k.file(join(path, "tokenFile"), g.TokenFile)
}
