package alertmanager_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/api/v2/models"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/alertmanager"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
)

type posted struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// post sends the alerts to a stand-in that only keeps them; the real Alertmanager is another test's.
func post(t *testing.T, alerts ...announce.Alert) []posted {
	t.Helper()
	var got []posted
	server := fakes.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var generated models.PostableAlerts
		raw := json.RawMessage{}
		if r.Method != http.MethodPost || r.URL.Path != "/am/api/v2/alerts" || json.NewDecoder(r.Body).Decode(&raw) != nil ||
			json.Unmarshal(raw, &generated) != nil || generated.Validate(nil) != nil || json.Unmarshal(raw, &got) != nil {
			http.Error(w, "bad request", 400)
		}
	}))
	c, err := alertmanager.New(server.URL+"/am", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Post(t.Context(), alerts); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPost(t *testing.T) {
	s := fakes.Story(announce.Ended)
	firing := announce.Alert{Name: "BakewatchRolledBack", Severity: "critical", Story: s, StartsAt: s.EndedAt, EndsAt: s.EndedAt.Add(4 * time.Minute), Generator: "https://bakewatch.example/bakes/shop/web"}
	got := post(t, firing)
	want := []posted{{
		Labels: map[string]string{"alertname": "BakewatchRolledBack", "severity": "critical", "namespace": "shop", "workload": "web", "kind": "Deployment", "bake": "shop/web-7f3a-7", "observed": "false"},
		Annotations: map[string]string{
			"summary":     s.Headline,
			"description": "http-errors: 8.1% of 1,240 requests failed on rev 7 against 0.3% of 9,870 on rev 6\nrestarts: 4 on rev 7\nhttp-errors back at 0.3%",
		},
		StartsAt: firing.StartsAt, EndsAt: firing.EndsAt, GeneratorURL: firing.Generator,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again := firing
	again.Story.Headline, again.Story.Recovery, again.EndsAt = "resolved", "", s.EndedAt.Add(time.Hour)
	if diff := cmp.Diff(got[0].Labels, post(t, again)[0].Labels); diff != "" {
		t.Errorf("the labels change while it fires: %s", diff)
	}
}

func TestOneOddAlertDoesNotSpoilTheOthers(t *testing.T) {
	s := fakes.Story(announce.Ended)
	odd := announce.Alert{Name: "BakewatchHeld", StartsAt: s.EndedAt, EndsAt: s.StartedAt, Generator: "not a link\n"}
	odd.Story.Headline, odd.Story.Observed = "bad \xff\ntext", true
	got := post(t, announce.Alert{Name: "BakewatchRolledBack", Story: s}, odd)
	if len(got) != 2 || got[1].GeneratorURL != "" || !got[1].EndsAt.Equal(got[1].StartsAt) ||
		got[1].Annotations["summary"] != "bad � text" || got[1].Labels["observed"] != "true" {
		t.Errorf("got %+v", got)
	}
	if _, ok := got[1].Labels["severity"]; ok {
		t.Error("an empty label is sent")
	}
}

func TestNothingToPost(t *testing.T) {
	c, err := alertmanager.New("http://127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Post(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	server := fakes.Serve(t, http.NotFoundHandler())
	c, err := alertmanager.New(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Post(t.Context(), []announce.Alert{{Name: "a"}})
	if !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "path prefix") {
		t.Errorf("got %v", err)
	}
	for _, address := range []string{"", "alertmanager:9093", "http://u:secret@alertmanager"} {
		if _, err := alertmanager.New(address, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", address, err)
		}
	}
}
