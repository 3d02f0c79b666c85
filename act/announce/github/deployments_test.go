package github_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

var _ announce.Convergent = (*github.Deployments)(nil)

func deployments(t *testing.T, all ...github.Repository) (*fakes.GitHubDeployments, *fakes.Server, *github.Deployments) {
	t.Helper()
	fake := &fakes.GitHubDeployments{Repository: "acme/shop", Token: token, Refs: []string{"v2", "3f2c1ab", "release/9"}}
	server := fakes.Serve(t, fake)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := github.NewDeployments(github.DeploymentOptions{Repositories: all, TokenFile: file, URL: server.URL + "/api/v3"})
	if err != nil {
		t.Fatal(err)
	}
	return fake, server, d
}

func show(t *testing.T, d *github.Deployments, s announce.Story) string {
	t.Helper()
	id, err := d.Tell(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// statuses are what reviewers saw of a deployment, in order.
func statuses(d fakes.Deployment) string {
	var all []string
	for _, s := range d.Statuses {
		all = append(all, s.State)
	}
	return strings.Join(all, " ")
}

func TestADeploymentFollowsItsBake(t *testing.T) {
	fake, _, d := deployments(t, github.Repository{Repository: "acme/shop"})
	other := fakes.Story(announce.Started) // of the same commit, such as one that is applied again
	other.Bake = "shop/web-7f3a-5"
	show(t, d, other)
	for _, stage := range []announce.Stage{announce.Started, announce.Deciding, announce.Ended} {
		s := fakes.Story(stage)
		s.Headline += " " + string(stage)
		s.Links = []announce.Link{{Title: "Runbook", URL: "https://wiki/x"}}
		for range 2 { // told again, nothing changes
			if id := show(t, d, s); id != "2" {
				t.Errorf("%s: deployment %s, want 2", stage, id)
			}
		}
	}
	show(t, d, fakes.Story(announce.Started)) // late
	show(t, d, fakes.Story(announce.Deciding))
	all := fake.Deployments()
	if len(all) != 2 {
		t.Fatalf("%d deployments, want 2", len(all))
	}
	got := all[1]
	if got.Ref != "v2" || got.Environment != "shop/web" || got.Task != "bakewatch" || string(got.Payload) != `{"bake":"shop/web-7f3a-7"}` || !strings.Contains(got.Description, "rev 7") {
		t.Errorf("got %+v", got)
	}
	if states := statuses(got); states != "in_progress failure failure" {
		t.Errorf("statuses %q", states)
	}
	for _, s := range got.Statuses {
		if s.AutoInactive == nil || *s.AutoInactive || s.LogURL != "https://wiki/x" {
			t.Errorf("got %+v", s)
		}
	}
}

func TestStates(t *testing.T) {
	for outcome, want := range map[string]string{
		"Passed": "success", "RolledBack": "failure", "Held": "failure", "Inconclusive": "error", "Superseded": "inactive", "Abandoned": "inactive",
	} {
		fake, _, d := deployments(t, github.Repository{Repository: "acme/shop"})
		s := fakes.Story(announce.Ended)
		s.Outcome, s.Headline = outcome, strings.Repeat("h", 300)
		show(t, d, s)
		if got := statuses(fake.Deployments()[0]); got != want {
			t.Errorf("%s: got %q, want %q", outcome, got, want)
		}
	}
}

// What was deployed is named by the image, by the version, or by what the policy says; and where nothing names it, nothing is told.
func TestRefs(t *testing.T) {
	for _, c := range []struct {
		image, version, template string
		want                     string
	}{
		{"v2", "2.0.0", "", "v2"},
		{"v2", "3f2c1ab", "", "3f2c1ab"}, // a commit says it best
		{"3f2c1ab", "2.0.0", "", "3f2c1ab"},
		{"", "v2", "", "v2"},
		{"", "", "", ""},
		{"v2", "", `release/{{index .Labels "release"}}`, "release/9"},
		{"v2", "", `{{index .Labels "git"}}`, ""}, // a label that is not there is no commit
		{"v2 && rm", "", "", ""},
	} {
		repository := github.Repository{Repository: "acme/shop"}
		if c.template != "" {
			repository.Ref = wording.Must(c.template)
		}
		fake, _, d := deployments(t, github.Repository{Repository: "acme/other", Holds: func(announce.Story) bool { return false }}, repository)
		s := fakes.Story(announce.Started)
		s.ImageTag, s.Version, s.Labels = c.image, c.version, map[string]string{"release": "9"}
		if wants := d.Wants(s) == announce.Usually; wants != (c.want != "") {
			t.Errorf("%+v: wants it: %t", c, wants)
			continue
		}
		if c.want == "" {
			continue
		}
		show(t, d, s)
		if got := fake.Deployments()[0].Ref; got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	_, _, d := deployments(t, github.Repository{Repository: "acme/shop", Holds: func(s announce.Story) bool { return s.Namespace == "pay" }})
	if d.Wants(fakes.Story(announce.Started)) != announce.Never || d.Wants(fakes.Story(announce.Resolved)) != announce.Never {
		t.Error("wants what is in none of its repositories")
	}
}

func TestEnvironment(t *testing.T) {
	fake, _, d := deployments(t, github.Repository{Repository: "acme/shop", Environment: wording.Must("production-{{.Namespace}}")})
	show(t, d, fakes.Story(announce.Ended))
	if got := fake.Deployments()[0].Environment; got != "production-shop" {
		t.Errorf("got %q", got)
	}
}

func TestACommitThatIsNotThere(t *testing.T) {
	_, _, d := deployments(t, github.Repository{Repository: "acme/shop"})
	s := fakes.Story(announce.Started)
	s.ImageTag = "v3"
	if _, err := d.Tell(t.Context(), s); !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "commit, tag or branch") {
		t.Errorf("got %v", err)
	}
}

// Cut short between the deployment and its status, the next try ends with one of each.
func TestADeploymentCutShort(t *testing.T) {
	fake, server, d := deployments(t, github.Repository{Repository: "acme/shop"})
	server.Fail(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/statuses") && r.Method == http.MethodPost {
			w.WriteHeader(502)
			return
		}
		fake.ServeHTTP(w, r)
	})
	if _, err := d.Tell(t.Context(), fakes.Story(announce.Started)); err == nil || errors.Is(err, announce.ErrFinal) {
		t.Errorf("want an error that is not final, got %v", err)
	}
	server.Fail(nil)
	show(t, d, fakes.Story(announce.Started))
	if all := fake.Deployments(); len(all) != 1 || statuses(all[0]) != "in_progress" {
		t.Errorf("got %+v", all)
	}
}

func TestNewDeployments(t *testing.T) {
	good := []github.Repository{{Repository: "acme/shop"}}
	for _, o := range []github.DeploymentOptions{{Repositories: good}, {TokenFile: "/t"}, {Repositories: []github.Repository{{Repository: "acme"}}, TokenFile: "/t"}, {Repositories: good, TokenFile: "/t", URL: "api"}} {
		if _, err := github.NewDeployments(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
