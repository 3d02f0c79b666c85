// Package standin stands for the part of GitHub's API that keeps files, branches, pull requests and runs of workflows of one
// repository, for tests. Its answers have the shapes of GitHub's documentation.
package standin

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// GitHub is the stand-in.
type GitHub struct {
	Repository string // owner/name
	Token      string // wanted
	// Fault answers in place of the stand-in where it returns true; nil: it never does.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	commits  []commit
	branches map[string]string // head, by name
	pulls    []Pull
	runs     []Run
	writes   []string // method and path of all that changed something
}

type commit struct {
	sha, parent, message string
	files                map[string]string
}

// Pull is a pull request.
type Pull struct {
	Number             int
	Title, Body, State string
	Head, Base         string
	Files              map[string]string // as of its branch
	Message            string            // of its newest commit
}

// Run is a run of a workflow.
type Run struct {
	ID                        int64
	Workflow, HeadSHA, Branch string
	Status, Conclusion        string
	Attempt                   int
	CreatedAt                 time.Time
}

// Commit puts a commit on main that writes a file, and returns its hash.
func (g *GitHub) Commit(path, content string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.commit("main", path, content, "change "+path)
}

func (g *GitHub) commit(branch, path, content, message string) string {
	if g.branches == nil {
		g.branches = map[string]string{}
	}
	c := commit{sha: fmt.Sprintf("%08x%032x", 0xabc00000+len(g.commits), len(g.commits)), parent: g.branches[branch], message: message, files: map[string]string{}}
	if p := g.at(c.parent); p != nil {
		maps.Copy(c.files, p.files)
	}
	c.files[path] = content
	g.commits = append(g.commits, c)
	g.branches[branch] = c.sha
	return c.sha
}

// AddRun adds a run, older than those added before.
func (g *GitHub) AddRun(r Run) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runs = append(g.runs, r)
}

// Runs are the runs as they are.
func (g *GitHub) Runs() []Run {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.runs)
}

// Pulls are the pull requests, the oldest first.
func (g *GitHub) Pulls() []Pull {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Pull
	for _, p := range g.pulls {
		if c := g.at(g.branches[p.Head]); c != nil {
			p.Files, p.Message = maps.Clone(c.files), c.message
		}
		out = append(out, p)
	}
	return out
}

// ClosePulls closes all of them, as a person does.
func (g *GitHub) ClosePulls() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.pulls {
		g.pulls[i].State = "closed"
	}
}

// Writes are the requests that changed something.
func (g *GitHub) Writes() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.writes)
}

// at is a commit by its hash, or by its branch; nil where there is none.
func (g *GitHub) at(ref string) *commit {
	if sha, ok := g.branches[strings.TrimPrefix(ref, "refs/heads/")]; ok {
		ref = sha
	}
	for i := range g.commits {
		if g.commits[i].sha == ref {
			return &g.commits[i]
		}
	}
	return nil
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int, message string) {
	answer(w, code, map[string]any{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(code)})
}

// ServeHTTP serves …/repos/<repository>.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.Fault != nil && g.Fault(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+g.Token {
		refuse(w, 401, "Bad credentials")
		return
	}
	_, rest, ok := strings.Cut(r.URL.Path, "/repos/"+g.Repository)
	if !ok {
		refuse(w, 404, "Not Found")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Method != http.MethodGet {
		g.writes = append(g.writes, r.Method+" "+rest)
	}
	part := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	switch {
	case rest == "" && r.Method == http.MethodGet:
		answer(w, 200, map[string]any{"full_name": g.Repository, "default_branch": "main"})
	case strings.HasPrefix(rest, "/git/"):
		g.refs(w, r, strings.TrimPrefix(rest, "/git/"))
	case rest == "/commits" && r.Method == http.MethodGet:
		g.list(w, r)
	case part[0] == "contents":
		g.contents(w, r, strings.Join(part[1:], "/"))
	case rest == "/pulls":
		g.pull(w, r)
	case part[0] == "actions":
		g.actions(w, r, part[1:])
	default:
		refuse(w, 404, "Not Found")
	}
}

func (g *GitHub) refs(w http.ResponseWriter, r *http.Request, rest string) {
	ref := func(name, sha string) map[string]any {
		return map[string]any{"ref": "refs/heads/" + name, "object": map[string]any{"type": "commit", "sha": sha}}
	}
	if name, ok := strings.CutPrefix(rest, "ref/heads/"); ok && r.Method == http.MethodGet {
		sha, there := g.branches[name]
		if !there {
			refuse(w, 404, "Not Found")
			return
		}
		answer(w, 200, ref(name, sha))
		return
	}
	var in struct{ Ref, SHA string }
	if rest != "refs" || r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(w, 404, "Not Found")
		return
	}
	name := strings.TrimPrefix(in.Ref, "refs/heads/")
	switch _, there := g.branches[name]; {
	case there:
		refuse(w, 422, "Reference already exists")
	case g.at(in.SHA) == nil:
		refuse(w, 422, "Object does not exist")
	default:
		g.branches[name] = in.SHA
		answer(w, 201, ref(name, in.SHA))
	}
}

// list answers the commits that changed a file, the newest first.
func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("per_page"))
	out := []map[string]any{}
	for c := g.at(q.Get("sha")); c != nil && len(out) < size; c = g.at(c.parent) {
		before, was := "", false
		parents := []map[string]any{}
		if p := g.at(c.parent); p != nil && c.parent != "" {
			before, was = p.files[q.Get("path")]
			parents = append(parents, map[string]any{"sha": p.sha})
		}
		after, is := c.files[q.Get("path")]
		if is != was || before != after {
			out = append(out, map[string]any{"sha": c.sha, "commit": map[string]any{"message": c.message}, "parents": parents})
		}
	}
	answer(w, 200, out)
}

func blob(content string) string { return fmt.Sprintf("%040x", len(content)+1) }

func (g *GitHub) contents(w http.ResponseWriter, r *http.Request, path string) {
	if r.Method == http.MethodGet {
		c := g.at(r.URL.Query().Get("ref"))
		if c == nil {
			refuse(w, 404, "No commit found for the ref "+r.URL.Query().Get("ref"))
			return
		}
		content, there := c.files[path]
		if !there {
			refuse(w, 404, "Not Found")
			return
		}
		answer(w, 200, map[string]any{"type": "file", "encoding": "base64", "size": len(content), "name": path, "path": path, "sha": blob(content), "content": base64.StdEncoding.EncodeToString([]byte(content))})
		return
	}
	var in struct{ Message, Content, SHA, Branch string }
	if r.Method != http.MethodPut || json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(w, 404, "Not Found")
		return
	}
	c := g.at(in.Branch)
	content, err := base64.StdEncoding.DecodeString(in.Content)
	switch {
	case c == nil || err != nil:
		refuse(w, 404, "Branch "+in.Branch+" not found")
	case in.SHA != blob(c.files[path]):
		refuse(w, 409, path+" does not match "+in.SHA)
	default:
		sha := g.commit(in.Branch, path, string(content), in.Message)
		answer(w, 200, map[string]any{"content": map[string]any{"path": path, "sha": blob(string(content))}, "commit": map[string]any{"sha": sha}})
	}
}

func (g *GitHub) pull(w http.ResponseWriter, r *http.Request) {
	owner, _, _ := strings.Cut(g.Repository, "/")
	shape := func(p Pull) map[string]any {
		return map[string]any{"number": p.Number, "state": p.State, "title": p.Title, "body": p.Body, "html_url": fmt.Sprintf("https://github.com/%s/pull/%d", g.Repository, p.Number),
			"head": map[string]any{"ref": p.Head, "label": owner + ":" + p.Head}, "base": map[string]any{"ref": p.Base}}
	}
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		out := []map[string]any{}
		for _, p := range slices.Backward(g.pulls) {
			if (q.Get("head") == "" || q.Get("head") == owner+":"+p.Head) && (q.Get("state") == "all" || q.Get("state") == p.State || q.Get("state") == "" && p.State == "open") {
				out = append(out, shape(p))
			}
		}
		answer(w, 200, out)
		return
	}
	var in struct{ Title, Body, Head, Base string }
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(w, 404, "Not Found")
		return
	}
	there := slices.ContainsFunc(g.pulls, func(p Pull) bool { return p.Head == in.Head && p.State == "open" })
	if there || in.Title == "" || g.branches[in.Head] == "" || g.branches[in.Base] == "" || g.branches[in.Head] == g.branches[in.Base] {
		refuse(w, 422, "Validation Failed")
		return
	}
	p := Pull{Number: len(g.pulls) + 12, State: "open", Title: in.Title, Body: in.Body, Head: in.Head, Base: in.Base}
	g.pulls = append(g.pulls, p)
	answer(w, 201, shape(p))
}

func (g *GitHub) actions(w http.ResponseWriter, r *http.Request, part []string) {
	shape := func(x Run) map[string]any {
		return map[string]any{"id": x.ID, "head_sha": x.HeadSHA, "head_branch": x.Branch, "status": x.Status, "conclusion": x.Conclusion, "run_attempt": x.Attempt,
			"created_at": x.CreatedAt.UTC().Format(time.RFC3339), "html_url": fmt.Sprintf("https://github.com/%s/actions/runs/%d", g.Repository, x.ID)}
	}
	if len(part) == 3 && part[0] == "workflows" && part[2] == "runs" && r.Method == http.MethodGet {
		q := r.URL.Query()
		out := []map[string]any{}
		for _, x := range g.runs {
			if x.Workflow == part[1] && (q.Get("branch") == "" || q.Get("branch") == x.Branch) && (q.Get("status") == "" || q.Get("status") == x.Conclusion || q.Get("status") == x.Status) {
				out = append(out, shape(x))
			}
		}
		answer(w, 200, map[string]any{"total_count": len(out), "workflow_runs": out})
		return
	}
	if len(part) < 2 || part[0] != "runs" {
		refuse(w, 404, "Not Found")
		return
	}
	for i := range g.runs {
		x := &g.runs[i]
		switch {
		case strconv.FormatInt(x.ID, 10) != part[1]:
		case len(part) == 2 && r.Method == http.MethodGet:
			answer(w, 200, shape(*x))
			return
		case len(part) == 3 && part[2] == "rerun" && r.Method == http.MethodPost:
			if x.Status != "completed" {
				refuse(w, 403, "This workflow is already running")
				return
			}
			x.Attempt, x.Status, x.Conclusion = x.Attempt+1, "queued", ""
			answer(w, 201, map[string]any{})
			return
		}
	}
	refuse(w, 404, "Not Found")
}
