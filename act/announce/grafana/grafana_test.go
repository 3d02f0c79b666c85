package grafana_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/config"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/grafana"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
)

var _ announce.Convergent = (*grafana.Receiver)(nil)

func setup(t *testing.T) (*fakes.Grafana, *fakes.Server, *grafana.Receiver) {
	t.Helper()
	g := &fakes.Grafana{Prefix: "/monitoring/grafana"}
	server := fakes.Serve(t, g)
	r, err := grafana.New(server.URL+"/monitoring/grafana/", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return g, server, r
}

func tell(t *testing.T, r *grafana.Receiver, s announce.Story) string {
	t.Helper()
	id, err := r.Tell(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestOneRegionABake(t *testing.T) {
	g, _, r := setup(t)
	other := fakes.Story(announce.Started)
	other.Bake = "shop/web-7f3a-8"
	if id := tell(t, r, other); id != "1" {
		t.Errorf("id %q, want 1", id)
	}
	const begin = 1793700000250
	key := []string{"bakewatch", "bake:shop/web-7f3a-7", "namespace:shop", "workload:Deployment/web"}
	for _, step := range []struct {
		stage announce.Stage
		want  fakes.Annotation
	}{
		{announce.Started, fakes.Annotation{ID: 2, Time: begin, TimeEnd: begin, Tags: append(slices.Clone(key), "outcome:baking"),
			Text: "<b>Deployment shop/web: watching rev 7</b><br>from rev 6 (web-5d9f, app:v1) to rev 7 (web-84bc, app:v2)<br>changed: image app:v1 → app:v2; env &lt;LIMIT&gt; changed<br>by kubectl-client-side-apply"}},
		{announce.Deciding, fakes.Annotation{ID: 2, Time: begin, TimeEnd: begin, Tags: append(slices.Clone(key), "outcome:baking"),
			Text: "<b>Deployment shop/web: rev 7 is worse than rev 6 &amp; is rolled back</b><br>http-errors: 8.1% of 1,240 requests failed on rev 7 against 0.3% of 9,870 on rev 6<br>from rev 6 (web-5d9f, app:v1) to rev 7 (web-84bc, app:v2)<br>changed: image app:v1 → app:v2; env &lt;LIMIT&gt; changed<br>by kubectl-client-side-apply"}},
		{announce.Ended, fakes.Annotation{ID: 2, Time: begin, TimeEnd: begin + 95_000, Tags: append(slices.Clone(key), "outcome:RolledBack"),
			Text: "<b>Deployment shop/web: rev 7 is worse than rev 6 &amp; is rolled back</b><br>http-errors: 8.1% of 1,240 requests failed on rev 7 against 0.3% of 9,870 on rev 6<br>http-errors back at 0.3%<br>from rev 6 (web-5d9f, app:v1) to rev 7 (web-84bc, app:v2)<br>changed: image app:v1 → app:v2; env &lt;LIMIT&gt; changed<br>by kubectl-client-side-apply"}},
	} {
		for range 2 { // told again, nothing changes
			if id := tell(t, r, fakes.Story(step.stage)); id != "2" {
				t.Errorf("%s: id %q, want 2", step.stage, id)
			}
			all := g.Annotations()
			if len(all) != 2 {
				t.Fatalf("%s: %d annotations, want 2", step.stage, len(all))
			}
			if diff := cmp.Diff(step.want, all[1]); diff != "" {
				t.Errorf("%s: %s", step.stage, diff)
			}
		}
	}
	closed := g.Annotations()[1]
	tell(t, r, fakes.Story(announce.Started)) // by a leader that does not know how far the last one came
	tell(t, r, fakes.Story(announce.Deciding))
	if diff := cmp.Diff(closed, g.Annotations()[1]); diff != "" {
		t.Errorf("a closed annotation is opened again: %s", diff)
	}
}

func TestAStartToldLateDoesNotTakeBackTheDecision(t *testing.T) {
	g, _, r := setup(t)
	tell(t, r, fakes.Story(announce.Started))
	tell(t, r, fakes.Story(announce.Deciding))
	decided := g.Annotations()
	tell(t, r, fakes.Story(announce.Started))
	if diff := cmp.Diff(decided, g.Annotations()); diff != "" {
		t.Error(diff)
	}
}

func TestEndedAloneIsAWholeRegion(t *testing.T) {
	g, _, r := setup(t)
	s := fakes.Story(announce.Ended)
	s.Observed = true
	tell(t, r, s)
	a := g.Annotations()[0]
	if a.TimeEnd-a.Time != 95_000 || !slices.Contains(a.Tags, "outcome:RolledBack") || !slices.Contains(a.Tags, "observed") {
		t.Errorf("got %+v", a)
	}
}

func TestSeveralBecomeTheOldest(t *testing.T) {
	for _, stage := range []announce.Stage{announce.Started, announce.Ended} {
		g, _, r := setup(t)
		key := []string{"bakewatch", "bake:shop/web-7f3a-7", "outcome:baking"}
		foreign := g.Put(fakes.Annotation{Text: "not ours", Tags: []string{"bake:shop/web-7f3a-7"}})
		oldest := g.Put(fakes.Annotation{Text: "one", Tags: key})
		g.Put(fakes.Annotation{Text: "two", Tags: key})
		g.Put(fakes.Annotation{Text: "three", Tags: key})
		tell(t, r, fakes.Story(stage))
		all := g.Annotations()
		if len(all) != 2 || all[0].ID != foreign || all[1].ID != oldest {
			t.Errorf("%s: left %+v", stage, all)
		}
	}
}

// TestAServerThatIgnoresTagsLosesNothing: what is deleted is chosen by the answer's tags, not by trust in the query.
func TestAServerThatIgnoresTagsLosesNothing(t *testing.T) {
	g := &fakes.Grafana{}
	server := fakes.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.URL.RawQuery = ""
		g.ServeHTTP(w, q)
	}))
	r, err := grafana.New(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Put(fakes.Annotation{Text: "not ours", Tags: []string{"deploy"}})
	g.Put(fakes.Annotation{Text: "another bake's", Tags: []string{"bakewatch", "bake:shop/other"}})
	tell(t, r, fakes.Story(announce.Started))
	tell(t, r, fakes.Story(announce.Ended))
	if all := g.Annotations(); len(all) != 3 || all[0].Text != "not ours" || all[1].Text != "another bake's" {
		t.Errorf("left %+v", all)
	}
}

func TestDeletedMeanwhileIsTriedAgain(t *testing.T) {
	g, server, r := setup(t)
	tell(t, r, fakes.Story(announce.Started))
	server.Fail(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPatch {
			http.Error(w, `{"message":"Annotation not found"}`, 404)
			return
		}
		g.ServeHTTP(w, q)
	})
	if _, err := r.Tell(t.Context(), fakes.Story(announce.Ended)); err == nil || errors.Is(err, announce.ErrFinal) {
		t.Errorf("want an error that is not final, got %v", err)
	}
}

func TestGarbageIsNotSent(t *testing.T) {
	for body, contentType := range map[string]string{
		"<html>welcome</html>":      "text/html",
		"{":                         "application/json",
		"{}":                        "application/json",
		`{"message":"added"}`:       "application/json",
		`{"id":"seven"}`:            "application/json",
		"":                          "application/json",
		"[]":                        "application/json",
		`[{"id":1,"tags":null}, 3]`: ";;",
	} {
		_, server, r := setup(t)
		server.Fail(func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Type", contentType)
			if q.Method == http.MethodGet && contentType == "application/json" {
				_, _ = w.Write([]byte("[]"))
				return
			}
			_, _ = w.Write([]byte(body))
		})
		id, err := r.Tell(t.Context(), fakes.Story(announce.Started))
		if err == nil || errors.Is(err, announce.ErrFinal) {
			t.Errorf("%q: want an error that is not final, got id %q, %v", body, id, err)
		}
		t.Log(err)
	}
}

func TestARotatedTokenIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	client, err := config.NewClientFromConfig(config.HTTPClientConfig{
		Authorization: &config.Authorization{Type: "Bearer", CredentialsFile: file}}, "grafana")
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	g := &fakes.Grafana{Token: "first"}
	server := fakes.Serve(t, g)
	r, err := grafana.New(server.URL, client)
	if err != nil {
		t.Fatal(err)
	}
	tell(t, r, fakes.Story(announce.Started))
	g.Rotate("second")
	_, err = r.Tell(t.Context(), fakes.Story(announce.Ended))
	if !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "token file") || strings.Contains(err.Error(), "first") {
		t.Errorf("got %v", err)
	}
	write("second\n")
	tell(t, r, fakes.Story(announce.Ended))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err = r.Tell(t.Context(), fakes.Story(announce.Ended)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("want an error that names the missing file, got %v", err)
	}
}

func TestForbiddenNamesThePermission(t *testing.T) {
	_, server, r := setup(t)
	server.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	if _, err := r.Tell(t.Context(), fakes.Story(announce.Started)); err == nil || !strings.Contains(err.Error(), "annotations:write") {
		t.Errorf("got %v", err)
	}
}

func TestNew(t *testing.T) {
	for _, address := range []string{"", "grafana:3000", "http://admin:secret@grafana"} {
		if _, err := grafana.New(address, nil); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q: got %v", address, err)
		}
	}
	before := http.DefaultTransport.(*http.Transport).Clone()
	if _, err := grafana.New("http://grafana", nil); err != nil {
		t.Fatal(err)
	}
	if after := http.DefaultTransport.(*http.Transport); (before.TLSClientConfig == nil) != (after.TLSClientConfig == nil) {
		t.Error("http.DefaultTransport was written to")
	}
}
