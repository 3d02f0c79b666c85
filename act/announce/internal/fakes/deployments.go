package fakes

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Deployment is a deployment as GitHub answers it, with its statuses, the oldest first.
type Deployment struct {
	ID          int64           `json:"id"`
	Ref         string          `json:"ref"`
	Task        string          `json:"task"`
	Environment string          `json:"environment"`
	Description string          `json:"description"`
	Payload     json.RawMessage `json:"payload"`

	Statuses []DeploymentStatus `json:"-"`
}

// DeploymentStatus is one of a Deployment's.
type DeploymentStatus struct {
	ID           int64  `json:"id"`
	State        string `json:"state"`
	Description  string `json:"description"`
	LogURL       string `json:"log_url"`
	AutoInactive *bool  `json:"auto_inactive,omitempty"`
}

// GitHubDeployments is a stand-in for the part of GitHub's API that keeps deployments of one repository.
type GitHubDeployments struct {
	Repository string   // owner/name
	Token      string   // wanted
	Refs       []string // that it has

	mu   sync.Mutex
	kept []Deployment
}

// Deployments are those it keeps, the oldest first.
func (g *GitHubDeployments) Deployments() []Deployment {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := slices.Clone(g.kept)
	for i := range all {
		all[i].Statuses = slices.Clone(all[i].Statuses)
	}
	return all
}

var states = []string{"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}

// ServeHTTP serves …/repos/<repository>/deployments.
func (g *GitHubDeployments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	refuse := func(code int, why string) { answer(w, code, map[string]any{"message": why}) }
	_, rest, ok := strings.Cut(r.URL.Path, "/repos/"+g.Repository+"/deployments")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+g.Token:
		refuse(401, "Bad credentials")
	case !ok:
		refuse(404, "Not Found")
	case rest == "" && r.Method == http.MethodGet:
		q, found := r.URL.Query(), []Deployment{}
		for _, d := range slices.Backward(g.kept) { // the newest first
			if is := func(key, value string) bool { return !q.Has(key) || q.Get(key) == value }; is("ref", d.Ref) && is("task", d.Task) && is("environment", d.Environment) {
				found = append(found, d)
			}
		}
		answer(w, 200, found)
	case rest == "" && r.Method == http.MethodPost:
		var d struct {
			Deployment
			AutoMerge        *bool     `json:"auto_merge"`
			RequiredContexts *[]string `json:"required_contexts"`
		}
		switch err := json.NewDecoder(r.Body).Decode(&d); {
		case err != nil:
			refuse(400, "Problems parsing JSON")
		case !slices.Contains(g.Refs, d.Ref) || len([]rune(d.Description)) > 140:
			refuse(422, "No ref found for: "+d.Ref)
		case d.AutoMerge == nil || *d.AutoMerge || d.RequiredContexts == nil || len(*d.RequiredContexts) > 0:
			refuse(409, "Conflict: Commit status checks failed for "+d.Ref)
		default:
			d.ID = int64(len(g.kept)) + 1
			g.kept = append(g.kept, d.Deployment)
			answer(w, 201, d.Deployment)
		}
	default:
		id, of, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		n, _ := strconv.Atoi(id)
		if n < 1 || n > len(g.kept) || of != "statuses" {
			refuse(404, "Not Found")
			return
		}
		d := &g.kept[n-1]
		if r.Method == http.MethodGet {
			newest := slices.Clone(d.Statuses)
			slices.Reverse(newest)
			answer(w, 200, append([]DeploymentStatus{}, newest...))
			return
		}
		var s DeploymentStatus
		if json.NewDecoder(r.Body).Decode(&s) != nil || !slices.Contains(states, s.State) || len([]rune(s.Description)) > 140 {
			refuse(422, "Validation Failed")
			return
		}
		s.ID = int64(n*100 + len(d.Statuses) + 1)
		d.Statuses = append(d.Statuses, s)
		answer(w, 201, s)
	}
}
