package datadog_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/datadog"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

func setup(t *testing.T, o datadog.Options) (*fakes.Datadog, *datadog.Receiver, string) {
	t.Helper()
	d := &fakes.Datadog{Key: "key-1"}
	server := fakes.Serve(t, d)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("key-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.URL, o.APIKeyFile, o.Client = server.URL, file, server.Client()
	r, err := datadog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d, r, file
}

func TestOneStoryABake(t *testing.T) {
	d, r, _ := setup(t, datadog.Options{})
	for _, stage := range []announce.Stage{announce.Started, announce.Deciding, announce.Ended} {
		s := fakes.Story(stage)
		s.StartedAt = time.Now().Add(-time.Minute).Truncate(time.Second)
		if stage == announce.Ended {
			s.EndedAt = s.StartedAt.Add(30 * time.Second)
		}
		if id, err := r.Tell(t.Context(), s); err != nil || !strings.HasPrefix(id, "700000000") {
			t.Fatalf("%s: id %q, %v", stage, id, err)
		}
	}
	common := []string{"bakewatch", "namespace:shop", "workload:web", "kind:deployment", "version:2.0.0"}
	events := d.Events()
	for i, want := range []fakes.DatadogEvent{
		{Title: "Deployment shop/web: watching rev 7", AlertType: "info", Tags: append(common[:5:5], "stage:started", "severity:info")},
		{Title: "Deployment shop/web: rev 7 is worse than rev 6 & is rolled back", AlertType: "error", Tags: append(common[:5:5], "stage:deciding", "severity:critical")},
		{Title: "Deployment shop/web: rev 7 is worse than rev 6 & is rolled back", AlertType: "error", Tags: append(common[:5:5], "stage:ended", "outcome:rolledback", "severity:critical")},
	} {
		want.AggregationKey = "bakewatch/shop/web-7f3a-7"
		got := events[i]
		if got.DateHappened < time.Now().Add(-2*time.Minute).Unix() || got.DateHappened > time.Now().Unix() {
			t.Errorf("%d: happened at %d", i, got.DateHappened)
		}
		if !strings.HasPrefix(got.Text, "%%% \n") || !strings.HasSuffix(got.Text, "\n %%%") || !strings.Contains(got.Text, "env &lt;LIMIT> changed") {
			t.Errorf("%d: text %q", i, got.Text)
		}
		want.Text, want.DateHappened = got.Text, got.DateHappened
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
	if text := events[2].Text; !strings.Contains(text, "http-errors: 8.1% of 1,240") || !strings.Contains(text, "http-errors back at 0.3%") || !strings.Contains(text, "shop/web-7f3a-7") {
		t.Errorf("the end says too little: %s", text)
	}
}

func TestBounds(t *testing.T) {
	d, r, _ := setup(t, datadog.Options{})
	s := fakes.Story(announce.Ended) // weeks ago: Datadog would refuse it by its own time
	s.Bake = strings.Repeat("n", 63) + "/" + strings.Repeat("b", 253)
	s.Headline, s.Why, s.Version = strings.Repeat("h", 600), strings.Repeat("*@%%%", 5000), "a, b "+strings.Repeat("v", 300)
	other := s
	other.Bake += "x"
	for _, one := range []announce.Story{s, other} {
		if _, err := r.Tell(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	events := d.Events()
	if events[0].AggregationKey == events[1].AggregationKey || events[0].DateHappened != 0 {
		t.Errorf("got %q twice, at %d", events[0].AggregationKey, events[0].DateHappened)
	}
	for _, tag := range events[0].Tags {
		if len(tag) > 200 || strings.ContainsAny(tag, ", ") {
			t.Errorf("tag %q", tag)
		}
	}
	if inner := strings.TrimSuffix(strings.TrimPrefix(events[0].Text, "%%%"), "%%%"); strings.Contains(inner, "%%%") {
		t.Error("the story ends the Markdown")
	}
}

func TestTemplates(t *testing.T) {
	d, r, _ := setup(t, datadog.Options{Title: wording.Must("[{{.Severity}}] {{.Workload}}"), Text: wording.Must("**{{.Why}}**")})
	s := fakes.Story(announce.Deciding)
	s.Why = "more_errors *here*"
	if _, err := r.Tell(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if e := d.Events()[0]; e.Title != "[critical] web" || e.Text != "%%% \n**more\\_errors \\*here\\***\n %%%" {
		t.Errorf("got %+v", e)
	}
}

func TestKeys(t *testing.T) {
	d, r, file := setup(t, datadog.Options{})
	d.Key = "key-2"
	_, err := r.Tell(t.Context(), fakes.Story(announce.Started))
	if !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "check the API key") {
		t.Errorf("got %v", err)
	}
	for content, want := range map[string]string{"key-2": "", "": "one key", "key-2\nkey-3": "one key"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := r.Tell(t.Context(), fakes.Story(announce.Started))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "key-")) {
			t.Errorf("%q: got %v", content, err)
		}
	}
	for _, o := range []datadog.Options{{URL: "https://api.datadoghq.com"}, {APIKeyFile: "/key"}, {APIKeyFile: "/key", URL: "api.datadoghq.com"}} {
		if _, err := datadog.New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestAnAnswerThatIsNotTaken(t *testing.T) {
	for _, body := range []string{`{"status":"error"}`, `{}`, `[]`, `{"status":7}`} {
		server := fakes.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(body))
		}))
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte("key"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := datadog.New(datadog.Options{APIKeyFile: file, URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if id, err := r.Tell(t.Context(), fakes.Story(announce.Started)); err == nil || errors.Is(err, announce.ErrFinal) {
			t.Errorf("%s: id %q, %v; want an error that is not final", body, id, err)
		}
	}
}
