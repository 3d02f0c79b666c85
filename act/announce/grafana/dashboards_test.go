package grafana_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/grafana"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
)

func withDashboards(t *testing.T, dashboards ...grafana.Dashboard) (*fakes.Grafana, *fakes.Server, *grafana.Receiver) {
	t.Helper()
	g := &fakes.Grafana{Dashboards: []fakes.Dashboard{
		{UID: "pay", Tags: []string{"team"}}, {UID: "shop", Tags: []string{"services", "team"}}, {UID: "web", Tags: []string{"services"}},
	}}
	server := fakes.Serve(t, g)
	r, err := grafana.New(server.URL, server.Client(), dashboards...)
	if err != nil {
		t.Fatal(err)
	}
	return g, server, r
}

// places are where annotations are, as dashboard:panel, in the order in which they were made.
func places(g *fakes.Grafana) (all []string) {
	for _, a := range g.Annotations() {
		all = append(all, fmt.Sprintf("%s:%d", a.DashboardUID, a.PanelID))
	}
	return all
}

func TestDashboards(t *testing.T) {
	g, server, r := withDashboards(t, grafana.Dashboard{UID: "pay", Panel: 4}, grafana.Dashboard{Tag: "services"}, grafana.Dashboard{UID: "web"},
		grafana.Dashboard{UID: "shop", Panel: 2, Shows: func(s announce.Story) bool { return s.Namespace == "other" }})
	want := []string{":0", "pay:4", "shop:0", "web:0"} // web once, though it is named twice
	if id := tell(t, r, fakes.Story(announce.Started)); id != "1 2 3 4" {
		t.Errorf("ids %q", id)
	}
	if diff := cmp.Diff(want, places(g)); diff != "" {
		t.Fatal(diff)
	}
	g.Dashboards[2].Tags = nil // web is found no more, and its annotation is brought to its end all the same
	for range 2 {
		tell(t, r, fakes.Story(announce.Ended))
	}
	if diff := cmp.Diff(want, places(g)); diff != "" {
		t.Fatal(diff)
	}
	all := g.Annotations()
	for _, a := range all {
		if a.TimeEnd-a.Time != 95_000 || a.Text != all[0].Text || !slices.Equal(a.Tags, all[0].Tags) || !slices.Contains(a.Tags, "outcome:RolledBack") {
			t.Errorf("%+v is not as the first, %+v", a, all[0])
		}
	}
	written := 0
	for _, q := range server.Requests() {
		if q.Method != http.MethodGet {
			written++
		}
	}
	if written != 8 {
		t.Errorf("%d writes, want 4 and 4: what is told again is not written again", written)
	}
}

// TestCutShort: a crash, or an error, between two annotations leaves neither a gap nor a second one.
func TestCutShort(t *testing.T) {
	dashboards := []grafana.Dashboard{{UID: "pay", Panel: 4}, {Tag: "services"}}
	for after := range 4 {
		g, server, r := withDashboards(t, dashboards...)
		server.Fail(func(w http.ResponseWriter, q *http.Request) {
			if q.Method == http.MethodPost && len(g.Annotations()) >= after {
				http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
				return
			}
			g.ServeHTTP(w, q)
		})
		if _, err := r.Tell(t.Context(), fakes.Story(announce.Started)); err == nil || errors.Is(err, announce.ErrFinal) {
			t.Errorf("%d written: want an error that is not final, got %v", after, err)
		}
		if n := len(g.Annotations()); n != after {
			t.Fatalf("%d written, want %d", n, after)
		}
		server.Fail(nil)
		tell(t, r, fakes.Story(announce.Started))
		if diff := cmp.Diff([]string{":0", "pay:4", "shop:0", "web:0"}, places(g)); diff != "" {
			t.Errorf("cut short after %d: %s", after, diff)
		}
	}
}

func TestADashboardThatIsNotThere(t *testing.T) {
	g, _, r := withDashboards(t, grafana.Dashboard{UID: "gone"}, grafana.Dashboard{UID: "gone", Panel: 3}, grafana.Dashboard{UID: "web"})
	_, err := r.Tell(t.Context(), fakes.Story(announce.Ended))
	if !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "dashboard gone") || !strings.Contains(err.Error(), "1 other place") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{":0", "web:0"}, places(g)); diff != "" {
		t.Errorf("the others are not written, or one too many: %s", diff)
	}
}

func TestADashboardThatRefuses(t *testing.T) {
	g, server, r := withDashboards(t, grafana.Dashboard{UID: "pay"}, grafana.Dashboard{UID: "web"})
	refused := 0
	server.Fail(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost && len(g.Annotations()) == 1 && refused == 0 {
			refused++
			http.Error(w, `{"message":"bad request data"}`, 400)
			return
		}
		g.ServeHTTP(w, q)
	})
	if _, err := r.Tell(t.Context(), fakes.Story(announce.Ended)); !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "dashboard pay") {
		t.Errorf("a 400 is not an error: %v", err)
	}
	if diff := cmp.Diff([]string{":0", "web:0"}, places(g)); diff != "" {
		t.Error(diff)
	}
}

func TestManyDashboards(t *testing.T) {
	g, _, r := withDashboards(t, grafana.Dashboard{Tag: "many"}, grafana.Dashboard{Tag: "more"})
	for i := range 50 {
		g.Dashboards = append(g.Dashboards, fakes.Dashboard{UID: fmt.Sprintf("m%02d", i), Tags: []string{"many"}}, fakes.Dashboard{UID: fmt.Sprintf("n%02d", i), Tags: []string{"more"}})
	}
	_, err := r.Tell(t.Context(), fakes.Story(announce.Ended))
	if !errors.Is(err, announce.ErrFinal) || !strings.Contains(err.Error(), "many") {
		t.Errorf("got %v", err)
	}
	if n := len(g.Annotations()); n != 30 {
		t.Errorf("%d annotations, want 30", n)
	}
}

func TestASearchThatIgnoresWhatItIsAsked(t *testing.T) {
	g, server, r := withDashboards(t, grafana.Dashboard{Tag: "services"}, grafana.Dashboard{UID: "gone"})
	server.Fail(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/search") {
			q.URL.RawQuery = ""
		}
		g.ServeHTTP(w, q)
	})
	if _, err := r.Tell(t.Context(), fakes.Story(announce.Started)); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{":0", "shop:0", "web:0"}, places(g)); diff != "" {
		t.Error(diff)
	}
}
