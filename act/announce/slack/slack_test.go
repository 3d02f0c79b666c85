package slack_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/slack"
)

const token = "xoxb-0123456789-secret"

func bot(t *testing.T) (*fakes.Slack, *slack.Receiver) {
	t.Helper()
	fake := &fakes.Slack{Token: token}
	server := fakes.Serve(t, fake)
	r, err := slack.New(slack.Options{TokenFile: write(t, token), Channel: "deploys", URL: server.URL + "/api"})
	if err != nil {
		t.Fatal(err)
	}
	return fake, r
}

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func tell(t *testing.T, r *slack.Receiver, s announce.Story) string {
	t.Helper()
	id, err := r.Tell(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// One message is kept up to date, and what is new answers it.
func TestThread(t *testing.T) {
	fake, r := bot(t)
	id := tell(t, r, fakes.Story(announce.Deciding))
	ended := fakes.Story(announce.Ended)
	ended.Earlier = map[string]string{"slack": id, "grafana": "7"}
	if again := tell(t, r, ended); again != id {
		t.Errorf("the bake's message became %q, was %q", again, id)
	}
	ended.Recovered, ended.Headline = "No", "NOT recovered"
	tell(t, r, ended)
	posts := fake.Posts()
	if len(posts) != 5 {
		t.Fatalf("got %+v", posts)
	}
	first := posts[0]
	if first.Method != "postMessage" || first.Thread != "" || id != first.Channel+"/"+first.At {
		t.Errorf("first: %+v", first)
	}
	if p := posts[1]; p.Method != "update" || p.At != first.At || p.Channel != first.Channel || !strings.Contains(p.Blocks, "back at 0.3%") {
		t.Errorf("update: %+v", p)
	}
	if p := posts[2]; p.Method != "postMessage" || p.Thread != first.At || p.Broadcast {
		t.Errorf("answer: %+v", p)
	}
	if p := posts[4]; !p.Broadcast || p.Thread != first.At || !strings.Contains(p.Text, "NOT recovered") {
		t.Errorf("what did not help is not shown to the channel: %+v", p)
	}
}

// A message that was deleted is posted anew.
func TestDeleted(t *testing.T) {
	fake, r := bot(t)
	id := tell(t, r, fakes.Story(announce.Deciding))
	fake.Forget()
	ended := fakes.Story(announce.Ended)
	ended.Earlier = map[string]string{"slack": id}
	if again := tell(t, r, ended); again == id || again == "" {
		t.Errorf("got %q, want another than %q", again, id)
	}
}

// What a story says is text to Slack: no mention, no link; and it is cut to what Slack takes.
func TestMessage(t *testing.T) {
	fake := &fakes.Slack{}
	server := fakes.Serve(t, fake)
	r, err := slack.New(slack.Options{WebhookFile: write(t, server.URL+"/services/T0/B0/secret")})
	if err != nil {
		t.Fatal(err)
	}
	s := fakes.Story(announce.Ended)
	s.Headline = "web: <!channel> & <https://evil|click>"
	for range 100 {
		s.Reasons = append(s.Reasons, strings.Repeat("a reason that goes on ", 5))
	}
	if id, err := r.Tell(t.Context(), s); err != nil || id != "" {
		t.Fatalf("got %q, %v", id, err)
	}
	p := fake.Posts()[0]
	if strings.Contains(p.Text, "<") || strings.Contains(p.Blocks, "<") || !strings.Contains(p.Text, "&lt;!channel&gt; &amp;") {
		t.Errorf("not escaped: %+v", p)
	}
	if len([]rune(p.Text)) > 3500 || len([]rune(p.Blocks)) > 8000 {
		t.Errorf("too long: %d, %d", len(p.Text), len(p.Blocks))
	}
	for _, want := range []string{"8.1% of 1,240", "restarts: 4 on rev 7", "shop/web-7f3a-7", "rev 6 (web-5d9f, app:v1)"} {
		if !strings.Contains(p.Blocks, want) {
			t.Errorf("it does not say %q: %s", want, p.Blocks)
		}
	}
}

// Slack refuses with status 200: what cannot mend is final, and says what to do.
func TestRefused(t *testing.T) {
	fake, r := bot(t)
	for code, final := range map[string]bool{"channel_not_found": true, "invalid_auth": true, "msg_too_long": true, "ratelimited": false, "internal_error": false} {
		fake.Refuse(code)
		_, err := r.Tell(t.Context(), fakes.Story(announce.Ended))
		if err == nil || errors.Is(err, announce.ErrFinal) != final || !strings.Contains(err.Error(), code) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: final should be %t: %v", code, final, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	for name, o := range map[string]slack.Options{
		"nothing":         {},
		"both":            {WebhookFile: "a", TokenFile: "b", Channel: "c"},
		"no channel":      {TokenFile: "b"},
		"webhook channel": {WebhookFile: "a", Channel: "c"},
		"address":         {TokenFile: "b", Channel: "c", URL: "secret"},
	} {
		if _, err := slack.New(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, file := range map[string]string{"missing": "/nonexistent", "empty": write(t, " "), "no address": write(t, "hunter2")} {
		r, err := slack.New(slack.Options{WebhookFile: file})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Tell(t.Context(), fakes.Story(announce.Ended)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWants(t *testing.T) {
	r, err := slack.New(slack.Options{WebhookFile: "/secrets/slack"})
	if err != nil {
		t.Fatal(err)
	}
	passed := fakes.Story(announce.Started)
	passed.Stage, passed.Outcome = announce.Ended, "Passed"
	for want, stories := range map[announce.Interest][]announce.Story{
		announce.Never:   {fakes.Story(announce.Resolved)},
		announce.IfAsked: {fakes.Story(announce.Started), passed},
		announce.Usually: {fakes.Story(announce.Deciding), fakes.Story(announce.Ended)},
	} {
		for _, s := range stories {
			if got := r.Wants(s); got != want {
				t.Errorf("%s %s: got %d, want %d", s.Stage, s.Outcome, got, want)
			}
		}
	}
}
