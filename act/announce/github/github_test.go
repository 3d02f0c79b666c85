package github_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const token = "ghp_0123456789-secret"

func start(t *testing.T) (*fakes.GitHub, *fakes.Server, *github.Receiver) {
	t.Helper()
	fake := &fakes.GitHub{Repository: "acme/shop", Token: token}
	server := fakes.Serve(t, fake)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := github.New(github.Options{Repository: "acme/shop", TokenFile: file, URL: server.URL + "/api/v3"})
	if err != nil {
		t.Fatal(err)
	}
	return fake, server, r
}

func story(outcome string) announce.Story {
	s := fakes.Story(announce.Ended)
	s.Outcome, s.StartedAt, s.EndedAt = outcome, time.Now().Add(-time.Minute), time.Now()
	return s
}

func tell(t *testing.T, r *github.Receiver, s announce.Story) string {
	t.Helper()
	id, err := r.Tell(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A bake has one issue however often it is told, also among many others.
func TestOpenedOnce(t *testing.T) {
	fake, _, r := start(t)
	s := story("RolledBack")
	id := tell(t, r, s)
	for i := range 120 {
		fake.Put(fakes.Issue{State: "open", Title: "other", Body: fmt.Sprint(i), Labels: []fakes.Label{{Name: "bakewatch"}}, UpdatedAt: time.Now()})
	}
	if again := tell(t, r, s); again != id || len(fake.Issues()) != 121 {
		t.Errorf("got issue %s of %d, want %s again", again, len(fake.Issues()), id)
	}
	other := s
	other.Bake = "shop/web-7f3a-77"
	if another := tell(t, r, other); another == id {
		t.Error("another bake has the same issue")
	}
}

// Of two that were opened by two leaders, the older stays.
func TestTwoBecomeOne(t *testing.T) {
	fake, _, r := start(t)
	s := story("RolledBack")
	id := tell(t, r, s)
	second := fake.Issues()[0]
	fake.Put(second)
	if again := tell(t, r, s); again != id {
		t.Errorf("got %s, want %s", again, id)
	}
	if all := fake.Issues(); all[0].State != "open" || all[1].State != "closed" || all[1].StateReason != "not_planned" || !strings.Contains(all[1].Body, "#1") {
		t.Errorf("got %+v", all)
	}
}

// A later rollout that passes closes the workload's issues, and only those that are older than its end.
func TestClosed(t *testing.T) {
	fake, _, r := start(t)
	tell(t, r, story("RolledBack"))
	other := story("Held")
	other.Workload, other.Bake = "web2", "shop/web2-7f3a-7"
	tell(t, r, other)
	passed := story("Passed")
	passed.Bake, passed.Headline = "shop/web-7f3a-8", "shop deployment/web: rev 8 passed"
	before := passed
	before.EndedAt = time.Now().Add(-time.Hour)
	tell(t, r, before)
	if all := fake.Issues(); all[0].State != "open" {
		t.Errorf("closed by a bake that ended before it was opened: %+v", all[0])
	}
	tell(t, r, passed)
	tell(t, r, passed)
	all := fake.Issues()
	if len(all) != 2 || all[0].State != "closed" || all[0].StateReason != "completed" || strings.Count(all[0].Body, "Closed: shop deployment/web: rev 8 passed.") != 1 {
		t.Errorf("got %+v", all)
	}
	if all[1].State != "open" {
		t.Error("the issue of another workload was closed")
	}
}

// The issue has the evidence, and what is in it is text: nobody is mentioned, nothing is marked up.
func TestText(t *testing.T) {
	fake, _, r := start(t)
	s := story("RolledBack")
	s.Headline = strings.Repeat("long ", 100)
	s.To = "rev 7 (app@sha256:12 | <img src=x> [a](https://evil) `x` #12)"
	for range 1000 {
		s.Changes = append(s.Changes, strings.Repeat("change ", 20))
	}
	tell(t, r, s)
	i := fake.Issues()[0]
	for _, want := range []string{"8.1% of 1,240", "back at 0.3%", "bake shop/web-7f3a-7 of Deployment/shop/web -->"} { // though it was cut
		if !strings.Contains(i.Body, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for _, never := range []string{"@sha", "<img", "[a]", "://evil", "`x`", " #12"} {
		if strings.Contains(i.Body, never) {
			t.Errorf("it says %q:\n%s", never, i.Body[:600])
		}
	}
	s.Bake, s.Changes = "shop/web-7f3a-9", nil
	tell(t, r, s)
	body := fake.Issues()[1].Body
	for _, want := range []string{"- restarts: 4 on rev 7", "| http-errors | 100 / 1240 | 30 / 9870 | - |", "| known good | rev 6 (web-5d9f, app:v1) |",
		"<details><summary>web-84bc-x2x7k: not ready: probe &lt;fails>, restarts: 3</summary>", "- Unhealthy: 500", "> panic: \\`x\\`<br>", "> @\u2060here &lt;/details><br>"} {
		if !strings.Contains(body, want) {
			t.Errorf("it does not say %q:\n%s", want, body)
		}
	}
}

// The issue holds the report, unless the user wants another text.
func TestReport(t *testing.T) {
	fake, server, r := start(t)
	s := story("RolledBack")
	s.Report = "It was worse.\n\n## Why\n\n- because\n"
	tell(t, r, s)
	body := fake.Issues()[0].Body
	if !strings.HasPrefix(body, "It was worse.\n\n## Why\n") || !strings.Contains(body, "\nThis issue is closed when") || !strings.Contains(body, "-->") || strings.Contains(body, "### Reasons") {
		t.Errorf("got\n%s", body)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := github.New(github.Options{Repository: "acme/shop", TokenFile: file, URL: server.URL + "/api/v3", Text: wording.Must("Runbook: {{.Workload}}")})
	if err != nil {
		t.Fatal(err)
	}
	s.Bake = "shop/web-8"
	tell(t, own, s)
	if body := fake.Issues()[1].Body; !strings.HasPrefix(body, "Runbook: web\n\n<!--") {
		t.Errorf("the report stands in a text of the user's own:\n%s", body)
	}
	s.Bake, s.Report = "shop/web-9", strings.Repeat("x", 60_001)
	tell(t, r, s)
	if body := fake.Issues()[2].Body; strings.Contains(body, "xxx") || !strings.Contains(body, "### Reasons") {
		t.Errorf("a report that is too long:\n%.500s", body)
	}
}

// GitHub says that there were too many requests with a 403: that mends.
func TestLimits(t *testing.T) {
	_, server, r := start(t)
	for name, c := range map[string]struct {
		header map[string]string
		final  bool
		after  time.Duration
	}{
		"forbidden": {nil, true, 0},
		"secondary": {map[string]string{"Retry-After": "60"}, false, time.Minute},
		"primary":   {map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(time.Now().Add(5*time.Minute).Unix(), 10)}, false, 5 * time.Minute},
	} {
		server.Fail(func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range c.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(http.StatusForbidden)
		})
		_, err := r.Tell(t.Context(), story("RolledBack"))
		answer, ok := errors.AsType[*announce.AnswerError](err)
		if !ok || errors.Is(err, announce.ErrFinal) != c.final || (answer.RetryAfter()-c.after).Abs() > 10*time.Second {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An issue without the label would never be found again: it is not opened a second time.
func TestLabelDropped(t *testing.T) {
	fake, _, r := start(t)
	fake.NoLabels = true
	if _, err := r.Tell(t.Context(), story("RolledBack")); !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "label") {
		t.Errorf("got %v", err)
	}
}

func TestNew(t *testing.T) {
	for _, o := range []github.Options{{}, {Repository: "a/b"}, {Repository: "a", TokenFile: "b"}, {Repository: "a/b/c", TokenFile: "d"}, {Repository: "a/b", TokenFile: "c", URL: "secret"}} {
		if _, err := github.New(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}

func TestWants(t *testing.T) {
	_, _, r := start(t)
	for outcome, want := range map[string]announce.Interest{"RolledBack": announce.Usually, "Held": announce.Usually, "Passed": announce.Closes, "Superseded": announce.Never, "Inconclusive": announce.Never} {
		if got := r.Wants(story(outcome)); got != want {
			t.Errorf("%s: got %d", outcome, got)
		}
	}
	for _, stage := range []announce.Stage{announce.Started, announce.Deciding, announce.Resolved} {
		if got := r.Wants(fakes.Story(stage)); got != announce.Never {
			t.Errorf("%s: got %d", stage, got)
		}
	}
}
