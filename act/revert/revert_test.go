package revert_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/revert"
	"github.com/bakewatch/bakewatch/act/revert/standin"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
)

const (
	token    = "ghp_0123456789-secret"
	path     = "shop/web.yaml"
	manifest = "apiVersion: apps/v1\nspec:\n  replicas: 2\n  image: registry.example.com/web:%s\n"
	kustom   = "images:\n- name: web\n  newName: registry.example.com/web\n  newTag: %s\n"
)

func start(t *testing.T) (*standin.GitHub, *revert.Reverter) {
	t.Helper()
	g := &standin.GitHub{Repository: "acme/deploy", Token: token}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return g, &revert.Reverter{Options: func() (revert.Options, bool) {
		return revert.Options{TokenFile: file, URL: server.URL + "/api/v3"}, true
	}}
}

func image(tag string) []string { return []string{"registry.example.com/web:" + tag} }

// wanted is a revert of v2 to v1.
func wanted(where policy.GitRules) bake.Revert {
	where.Repository = "acme/deploy"
	return bake.Revert{
		Key: bake.Key{Kind: bake.KindDeployment, Namespace: "shop", Name: "web"}, Bake: "shop/deployment-web-0a1b2c3d-7",
		From: v1alpha1.Revision{Number: 6, Images: image("v1")}, To: v1alpha1.Revision{Number: 7, Images: image("v2")}, Where: where,
		Why: "http-errors: 8.1% of 1,240 requests failed on rev 7 @channel", Since: time.Unix(2000, 0), Until: time.Unix(3000, 0),
	}
}

func propose(t *testing.T, r *revert.Reverter, v bake.Revert) v1alpha1.Proposal {
	t.Helper()
	p, err := r.Plan(t.Context(), v)
	if err == nil {
		p, err = r.Propose(t.Context(), v, p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// One pull request a bake, however often it is proposed, and whatever became of it; its branch has the old file and nothing else.
func TestPullRequest(t *testing.T) {
	for name, text := range map[string]string{"the whole name": manifest, "the tag alone": kustom} {
		t.Run(name, func(t *testing.T) {
			g, r := start(t)
			g.Commit("other.yaml", "a")
			g.Commit(path, fmt.Sprintf(text, "v1"))
			sha := g.Commit(path, fmt.Sprintf(text, "v2"))
			g.Commit("other.yaml", "b")
			first := propose(t, r, wanted(policy.GitRules{Path: path}))
			if first.URL != "https://github.com/acme/deploy/pull/12" || first.Kind != bake.ProposalPull {
				t.Errorf("%+v", first)
			}
			g.ClosePulls()
			if again := propose(t, r, wanted(policy.GitRules{Path: path})); again != first {
				t.Errorf("the second time: %+v", again)
			}
			pulls := g.Pulls()
			if len(pulls) != 1 || len(g.Writes()) != 3 {
				t.Fatalf("%d pull requests by %v", len(pulls), g.Writes())
			}
			p := pulls[0]
			if diff := cmp.Diff(map[string]string{"other.yaml": "b", path: fmt.Sprintf(text, "v1")}, p.Files); diff != "" {
				t.Errorf("files of the branch (-want +got):\n%s", diff)
			}
			if p.Base != "main" || p.Head != "bakewatch/revert/shop/deployment-web-0a1b2c3d-7" || p.Title != "Revert "+sha[:10]+": put deployment/web in shop back to registry.example.com/web:v1" {
				t.Errorf("%+v", p)
			}
			for _, want := range []string{sha, "8.1% of 1,240", "rev 7 of deployment/web"} {
				if !strings.Contains(p.Body, want) {
					t.Errorf("the text lacks %q: %s", want, p.Body)
				}
			}
			if strings.Contains(p.Body, " @channel") || !strings.HasPrefix(p.Message, "Revert "+sha[:10]) {
				t.Errorf("text and message: %s\n%s", p.Body, p.Message)
			}
			other := wanted(policy.GitRules{Path: path})
			other.Bake = "shop/deployment-web-0a1b2c3d-9"
			if p := propose(t, r, other); p.URL == first.URL {
				t.Error("another bake has the same pull request")
			}
		})
	}
}

// Whatever is lost on the way, the request or the answer, there is one branch, one commit and one pull request in the end.
func TestPullRequestDespiteEachFault(t *testing.T) {
	for n := 1; n <= 12; n++ {
		for _, lost := range []string{"request", "answer"} {
			t.Run(fmt.Sprintf("%s %d", lost, n), func(t *testing.T) {
				g, r := start(t)
				g.Commit(path, fmt.Sprintf(manifest, "v1"))
				g.Commit(path, fmt.Sprintf(manifest, "v2"))
				count, in := 0, false
				g.Fault = func(w http.ResponseWriter, req *http.Request) bool {
					if in {
						return false
					}
					if count++; count != n {
						return false
					}
					if lost == "answer" {
						in = true
						g.ServeHTTP(httptest.NewRecorder(), req)
						in = false
					}
					w.WriteHeader(http.StatusBadGateway)
					return true
				}
				v := wanted(policy.GitRules{Path: path})
				p, err := r.Plan(t.Context(), v)
				if err != nil {
					t.Fatal(err)
				}
				done, err := r.Propose(t.Context(), v, p)
				switch {
				case count < n: // there are not as many requests
				case err == nil || errors.Is(err, bake.ErrNoProposal):
					t.Fatalf("a fault that passes is taken for final, or for none: %v", err)
				default:
					if done, err = r.Propose(t.Context(), v, p); err != nil {
						t.Fatal(err)
					}
				}
				if pulls := g.Pulls(); len(pulls) != 1 || done.URL == "" || pulls[0].Files[path] != fmt.Sprintf(manifest, "v1") {
					t.Errorf("%+v, %+v", done, pulls)
				}
				writes := 0
				for _, w := range g.Writes() {
					if strings.HasPrefix(w, "PUT") {
						writes++
					}
				}
				if writes != 1 {
					t.Errorf("%d commits: %v", writes, g.Writes())
				}
			})
		}
	}
}

// What a machine should not revert it does not touch, and says why.
func TestNoPullRequest(t *testing.T) {
	v1, v2 := fmt.Sprintf(manifest, "v1"), fmt.Sprintf(manifest, "v2")
	for _, c := range []struct {
		name    string
		commits []string
		change  func(*bake.Revert)
		says    string
	}{
		{"the file was changed since", []string{v1, v2, v2 + "# more\n"}, nil, "shop/web.yaml was changed by 1 more since abc00002"},
		{"it was put right", []string{v1, v2, v1}, nil, "does not say registry.example.com/web:v2: it was put right, or it is not deployed from there"},
		{"it was added beside the other", []string{v1, v1 + v2}, nil, "no commit among the newest 2"},
		{"it was another version before", []string{fmt.Sprintf(manifest, "v0"), v2}, nil, "no commit among the newest 2 of shop/web.yaml brought registry.example.com/web:v2 in place of registry.example.com/web:v1"},
		{"it was not there before", []string{v2}, nil, "no commit among the newest 1 of shop/web.yaml brought registry.example.com/web:v2"},
		{"no such file", nil, nil, "shop/web.yaml has no commit in acme/deploy"},
		{"the images are the same", []string{v1, v2}, func(v *bake.Revert) { v.From.Images = v.To.Images }, "run the same images"},
		{"another repository is named by none", []string{v1, v2}, func(v *bake.Revert) { v.Where.Repository = "" }, "policy names no repository"},
		{"no such repository", []string{v1, v2}, func(v *bake.Revert) { v.Where.Repository = "acme/other" }, "answered 404"},
		{"no such branch", []string{v1, v2}, func(v *bake.Revert) { v.Where.Branch = "prod" }, "read branch prod in acme/deploy"},
		{"neither file nor workflow", []string{v1, v2}, func(v *bake.Revert) { v.Where.Path = "" }, "names neither the file nor the workflow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, r := start(t)
			g.Commit("other.yaml", "a")
			for _, content := range c.commits {
				g.Commit(path, content)
			}
			v := wanted(policy.GitRules{Path: path})
			if c.change != nil {
				c.change(&v)
			}
			p, err := r.Plan(t.Context(), v)
			if err == nil {
				_, err = r.Propose(t.Context(), v, p)
			}
			if !errors.Is(err, bake.ErrNoProposal) || !strings.Contains(err.Error(), c.says) || len(g.Writes()) != 0 {
				t.Errorf("%v; written: %v", err, g.Writes())
			}
		})
	}
}

// The documented refusals: which of them mend, and what to do about the others. None shows the token.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		code   int
		header map[string]string
		body   string
		final  bool
		says   string
	}{
		"bad credentials": {401, nil, `{"message":"Bad credentials ` + token + `"}`, true, "check the file git.tokenFile"},
		"no right":        {403, nil, `{"message":"Resource not accessible by personal access token"}`, true, "give the token the right to write contents"},
		"moved":           {301, map[string]string{"Location": "https://api.github.com/repositories/1"}, `{}`, true, "renamed"},
		"primary limit":   {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4000000000"}, `{"message":"API rate limit exceeded"}`, false, "429"},
		"secondary limit": {403, map[string]string{"Retry-After": "60"}, `{"message":"You have exceeded a secondary rate limit"}`, false, "429"},
		"away":            {503, nil, `<html>Unicorn</html>`, false, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			g, r := start(t)
			g.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.code)
				_, _ = w.Write([]byte(c.body))
				return true
			}
			v := wanted(policy.GitRules{Path: path})
			p, err := r.Plan(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Propose(t.Context(), v, p)
			if err == nil || errors.Is(err, bake.ErrNoProposal) != c.final || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), token) {
				t.Errorf("%v", err)
			}
		})
	}
	r := &revert.Reverter{Options: func() (revert.Options, bool) { return revert.Options{}, false }}
	if _, err := r.Propose(t.Context(), wanted(policy.GitRules{Path: path}), v1alpha1.Proposal{}); !errors.Is(err, bake.ErrNoProposal) {
		t.Errorf("without options: %v", err)
	}
}

// The run that deployed the good version, once.
func TestRunAgain(t *testing.T) {
	const good, bad, middle = "1111111aaa", "2222222bbb", "3333333ccc"
	run := func(id int64, sha string, at int64, conclusion string) standin.Run {
		return standin.Run{ID: id, Workflow: "deploy.yaml", Branch: "main", HeadSHA: sha, Status: "completed", Conclusion: conclusion, Attempt: 1, CreatedAt: time.Unix(at, 0)}
	}
	for _, c := range []struct {
		name     string
		from, to string // tags
		since    time.Time
		runs     []standin.Run
		want     int64 // 0: none
	}{
		{"by the commit in the tag", good[:7], bad[:7], time.Time{}, []standin.Run{run(5, bad, 2900, "success"), run(4, middle, 2500, "success"), run(3, good, 1900, "success")}, 3},
		{"the newest of that commit", "main-" + good[:7], bad[:7], time.Unix(2000, 0), []standin.Run{run(5, bad, 2900, "success"), run(4, good, 2500, "success"), run(3, good, 1900, "success")}, 4},
		{"by when it served", "v1", "v2", time.Unix(2000, 0), []standin.Run{run(5, bad, 2900, "success"), run(4, middle, 2500, "success"), run(3, good, 1900, "success")}, 3},
		{"one that failed does not count", "v1", "v2", time.Unix(2000, 0), []standin.Run{run(4, middle, 1950, "failure"), run(3, good, 1900, "success")}, 3},
		{"that of the bad one does not", "v1", bad[:7], time.Unix(3000, 0), []standin.Run{run(5, bad, 2900, "success"), run(3, good, 1900, "success")}, 3},
		{"it is not known when it served", "v1", "v2", time.Time{}, []standin.Run{run(3, good, 1900, "success")}, 0},
		{"none was there", "v1", "v2", time.Unix(2000, 0), []standin.Run{run(5, bad, 2900, "success")}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, r := start(t)
			for _, one := range c.runs {
				g.AddRun(one)
			}
			v := wanted(policy.GitRules{Workflow: "deploy.yaml", Branch: "main"})
			v.From.Images, v.To.Images, v.Since = image(c.from), image(c.to), c.since
			p, err := r.Plan(t.Context(), v)
			if c.want == 0 {
				if !errors.Is(err, bake.ErrNoProposal) || !strings.Contains(err.Error(), "which run of deploy.yaml deployed rev 6 is not known") {
					t.Errorf("%+v, %v", p, err)
				}
				return
			}
			if err != nil || p.Run != c.want || p.Attempt != 1 || len(g.Writes()) != 0 {
				t.Fatalf("%+v, %v; written: %v", p, err, g.Writes())
			}
			for range 2 {
				if p, err = r.Propose(t.Context(), v, p); err != nil || p.URL != fmt.Sprintf("https://github.com/acme/deploy/actions/runs/%d", c.want) {
					t.Fatalf("%+v, %v", p, err)
				}
			}
			for _, one := range g.Runs() {
				if want := map[bool]int{true: 2, false: 1}[one.ID == c.want]; one.Attempt != want {
					t.Errorf("run %d was run %d times", one.ID, one.Attempt)
				}
			}
		})
	}
}

// Whatever of it is lost, the run is done again once.
func TestRunAgainDespiteEachFault(t *testing.T) {
	for n := 1; n <= 2; n++ {
		for _, lost := range []string{"request", "answer"} {
			g, r := start(t)
			g.AddRun(standin.Run{ID: 3, Workflow: "deploy.yaml", HeadSHA: "1111111aaa", Status: "completed", Conclusion: "success", Attempt: 4, CreatedAt: time.Unix(1900, 0)})
			v := wanted(policy.GitRules{Workflow: "deploy.yaml"})
			p, err := r.Plan(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			count, in := 0, false
			g.Fault = func(w http.ResponseWriter, req *http.Request) bool {
				if in {
					return false
				}
				if count++; count != n {
					return false
				}
				if lost == "answer" {
					in = true
					g.ServeHTTP(httptest.NewRecorder(), req)
					in = false
				}
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			if _, err := r.Propose(t.Context(), v, p); err == nil || errors.Is(err, bake.ErrNoProposal) {
				t.Errorf("%s %d: %v", lost, n, err)
			}
			if _, err := r.Propose(t.Context(), v, p); err != nil {
				t.Errorf("%s %d: %v", lost, n, err)
			}
			if got := g.Runs()[0].Attempt; got != 5 {
				t.Errorf("%s %d: attempt %d", lost, n, got)
			}
		}
	}
}
