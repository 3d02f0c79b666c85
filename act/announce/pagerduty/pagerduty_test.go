package pagerduty_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/pagerduty"
)

const routingKey = "0123456789abcdef0123456789abcdef"

func start(t *testing.T, content string) (*fakes.PagerDuty, *pagerduty.Receiver) {
	t.Helper()
	fake := &fakes.PagerDuty{Key: routingKey}
	server := fakes.Serve(t, fake)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := pagerduty.New(pagerduty.Options{RoutingKeyFile: file, URL: server.URL + "/", Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return fake, r
}

// tell delivers those of the stories that the receiver wants.
func tell(t *testing.T, r *pagerduty.Receiver, stories ...announce.Story) {
	t.Helper()
	for _, s := range stories {
		if r.Wants(s) == announce.Never {
			continue
		}
		if id, err := r.Tell(t.Context(), s); err != nil || id == "" {
			t.Fatalf("%s: %q, %v", s.Stage, id, err)
		}
	}
}

func with(stage announce.Stage, change func(*announce.Story)) announce.Story {
	s := fakes.Story(stage)
	change(&s)
	return s
}

// However a bake goes, its alert is open while somebody is needed, and resolved after.
func TestAlerts(t *testing.T) {
	recovered := func(yes string) func(*announce.Story) { return func(s *announce.Story) { s.Recovered = yes } }
	held := func(s *announce.Story) { s.Outcome, s.Recovered, s.Decided = "Held", "", false }
	superseded := func(s *announce.Story) { s.Outcome, s.Severity, s.Recovered = "Superseded", announce.Info, "" }
	passed := func(s *announce.Story) {
		s.Outcome, s.Severity, s.Recovered, s.Decided = "Passed", announce.Info, "", false
	}
	started, deciding := fakes.Story(announce.Started), fakes.Story(announce.Deciding)
	for name, c := range map[string]struct {
		stories []announce.Story
		open    bool
		events  string
	}{
		"passed":                    {[]announce.Story{started, with(announce.Ended, passed)}, false, ""},
		"deciding":                  {[]announce.Story{started, deciding}, true, "trigger"},
		"recovered":                 {[]announce.Story{started, deciding, with(announce.Ended, recovered("Yes")), with(announce.Resolved, recovered("Yes"))}, false, "trigger resolve"},
		"not recovered":             {[]announce.Story{deciding, with(announce.Ended, recovered("No"))}, true, "trigger trigger"},
		"not recovered, then over":  {[]announce.Story{deciding, with(announce.Ended, recovered("No")), with(announce.Resolved, recovered("No"))}, false, "trigger trigger resolve"},
		"held":                      {[]announce.Story{started, with(announce.Ended, held)}, true, "trigger"},
		"held, then a newer":        {[]announce.Story{with(announce.Ended, held), with(announce.Resolved, held)}, false, "trigger resolve"},
		"overtaken while undone":    {[]announce.Story{deciding, with(announce.Ended, superseded)}, false, "trigger resolve"},
		"told again after a crash":  {[]announce.Story{deciding, deciding, with(announce.Ended, recovered("Yes")), with(announce.Ended, recovered("Yes"))}, false, "trigger trigger resolve resolve"},
		"only the end was to reach": {[]announce.Story{with(announce.Ended, recovered("Yes"))}, false, "resolve"},
	} {
		fake, r := start(t, routingKey)
		tell(t, r, c.stories...)
		var events []string
		for _, e := range fake.Events() {
			events = append(events, e.Action)
			if e.DedupKey != "bakewatch/shop/web-7f3a-7" {
				t.Errorf("%s: key %q", name, e.DedupKey)
			}
		}
		if got := len(fake.Open()) > 0; got != c.open || strings.Join(events, " ") != c.events {
			t.Errorf("%s: open %t, events %v; want %t, %s", name, got, events, c.open, c.events)
		}
	}
}

func TestPayload(t *testing.T) {
	fake, r := start(t, routingKey)
	tell(t, r, with(announce.Deciding, func(s *announce.Story) {
		s.Headline, s.Bake = strings.Repeat("long\n", 1000), "shop/"+strings.Repeat("a", 250)
	}), with(announce.Deciding, func(s *announce.Story) { s.Bake = "shop/" + strings.Repeat("a", 250) + "b" }))
	e := fake.Events()
	if p := e[0].Payload; p.Severity != "critical" || p.Source != "shop/Deployment/web" || strings.Contains(p.Summary, "\n") {
		t.Errorf("got %+v", p)
	}
	if d := e[0].Payload.Details; d["why"] != fakes.Story(announce.Deciding).Why+"\nrestarts: 4 on rev 7" || d["from"] != "rev 6 (web-5d9f, app:v1)" || d["outcome"] != "" {
		t.Errorf("got %q", d)
	}
	if e[0].DedupKey == e[1].DedupKey {
		t.Error("two bakes have the same key")
	}
}

func TestWrongKey(t *testing.T) {
	_, r := start(t, "hunter2-hunter2")
	_, err := r.Tell(t.Context(), fakes.Story(announce.Deciding))
	if !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "Invalid routing key") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	for _, content := range []string{"", " "} {
		_, r := start(t, content)
		if _, err := r.Tell(t.Context(), fakes.Story(announce.Deciding)); err == nil || errors.Is(err, announce.ErrFinal) {
			t.Errorf("%q: got %v", content, err)
		}
	}
	if _, err := pagerduty.New(pagerduty.Options{}); err == nil {
		t.Error("no file, no error")
	}
	if _, err := pagerduty.New(pagerduty.Options{RoutingKeyFile: "a", URL: "secret"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
