package fakes_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/alertmanager"
	"github.com/bakewatch/bakewatch/act/announce/datadog"
	"github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/act/announce/grafana"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/pagerduty"
	"github.com/bakewatch/bakewatch/act/announce/slack"
	"github.com/bakewatch/bakewatch/act/announce/webhook"
)

const secret = "secret-token-0123456789"

// TestFaults holds every adapter that speaks HTTP to the same contract: what fails is an error, final only where trying
// again is in vain, and without the secret; what worked before works after.
func TestFaults(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	adapters := []struct {
		name    string
		handler http.Handler
		reads   bool // it reads what is answered, so that garbage with status 200 is an error
		tell    func(t *testing.T, url string, c *http.Client) func(context.Context) error
	}{
		{"grafana", &fakes.Grafana{Prefix: "/mon"}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := grafana.New(url+"/mon", c)
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
		{"alertmanager", ok, false, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := alertmanager.New(url, c)
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				return r.Post(ctx, []announce.Alert{{Name: "BakewatchRolledBack", Story: fakes.Story(announce.Ended)}})
			}
		}},
		{"slack, bot", &fakes.Slack{Token: secret}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := slack.New(slack.Options{TokenFile: file(t, secret), Channel: "deploys", URL: url + "/hooks/" + secret + "/api", Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
		{"slack, webhook", &fakes.Slack{}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := slack.New(slack.Options{WebhookFile: file(t, url+"/services/"+secret), Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
		{"github", &fakes.GitHub{Repository: "acme/shop", Token: secret}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := github.New(github.Options{Repository: "acme/shop", TokenFile: file(t, secret), URL: url + "/hooks/" + secret + "/api/v3", Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
		{"github, deployments", &fakes.GitHubDeployments{Repository: "acme/shop", Token: secret, Refs: []string{"v2"}}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			d, err := github.NewDeployments(github.DeploymentOptions{Repositories: []github.Repository{{Repository: "acme/shop"}}, TokenFile: file(t, secret), URL: url + "/hooks/" + secret + "/api/v3", Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := d.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
		{"pagerduty", &fakes.PagerDuty{Key: secret}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := pagerduty.New(pagerduty.Options{RoutingKeyFile: file(t, secret), URL: url + "/hooks/" + secret, Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Deciding))
				return err
			}
		}},
		{"datadog", &fakes.Datadog{Key: secret}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := datadog.New(datadog.Options{APIKeyFile: file(t, secret), URL: url + "/hooks/" + secret, Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
		{"grafana, dashboards", &fakes.Grafana{Dashboards: []fakes.Dashboard{{UID: "web", Tags: []string{"services"}}}}, true, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := grafana.New(url, c, grafana.Dashboard{Tag: "services"}, grafana.Dashboard{UID: "web", Panel: 2})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
		{"webhook", ok, false, func(t *testing.T, url string, c *http.Client) func(context.Context) error {
			r, err := webhook.New(webhook.Options{URL: url + "/hooks/" + secret + "?key=" + secret, Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				_, err := r.Tell(ctx, fakes.Story(announce.Ended))
				return err
			}
		}},
	}
	for _, adapter := range adapters {
		t.Run(adapter.name, func(t *testing.T) {
			server := fakes.Serve(t, adapter.handler)
			tell := adapter.tell(t, server.URL, &http.Client{Transport: bearer{}})
			if err := tell(t.Context()); err != nil {
				t.Fatalf("before any fault: %v", err)
			}
			for _, fault := range fakes.Faults() {
				t.Run(fault.Name, func(t *testing.T) {
					server.Fail(fault.Serve)
					defer server.Fail(nil)
					deadline := time.Minute
					if fault.Name == "slow" { // what is to be seen is that the call ends with it
						deadline = 200 * time.Millisecond
					}
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					err := tell(ctx)
					if err == nil {
						t.Fatal("no error")
					}
					if got := errors.Is(err, announce.ErrFinal); got != fault.Final {
						t.Errorf("final is %t, want %t: %v", got, fault.Final, err)
					}
					check(t, err)
					var answer *announce.AnswerError
					if fault.Name == "429" && (!errors.As(err, &answer) || answer.RetryAfter() != 7*time.Second) {
						t.Errorf("Retry-After is lost: %v", err)
					}
				})
			}
			if adapter.reads {
				for _, garbage := range []string{"<html>\x00\xff please log in</html>", `{"detail": "` + secret + `"}`, ""} {
					server.Fail(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(garbage)) })
					err := tell(t.Context())
					server.Fail(nil)
					if err == nil {
						t.Errorf("200 with %q: no error", garbage)
						continue
					}
					check(t, err)
				}
			}
			t.Run("echoes the request", func(t *testing.T) {
				server.Fail(func(w http.ResponseWriter, r *http.Request) {
					http.Error(w, "Cannot POST "+r.URL.RequestURI()+" "+r.Header.Get("Authorization")+strings.Repeat(" and so on", 500), 400)
				})
				defer server.Fail(nil)
				check(t, tell(t.Context()))
			})
			if err := tell(t.Context()); err != nil {
				t.Fatalf("after the faults: %v", err)
			}
			server.Close()
			err := tell(t.Context())
			if err == nil || errors.Is(err, announce.ErrFinal) {
				t.Fatalf("nobody listens, want an error that is not final: %v", err)
			}
			check(t, err)
		})
	}
}

// file is a file with the secret.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// check holds an error to its form: no secret, one bounded line, scheme and host at most.
func check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	t.Log(err)
	for _, never := range []string{secret, "/hooks", "?key", "tags="} {
		if strings.Contains(err.Error(), never) {
			t.Errorf("the error shows %q: %v", never, err)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 900 {
		t.Errorf("the error is long or not one line: %d bytes: %q", len(err.Error()), err)
	}
}

// bearer sends the secret as prometheus/common's client does: on a clone of the request.
type bearer struct{}

func (bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+secret)
	return http.DefaultTransport.RoundTrip(r)
}
