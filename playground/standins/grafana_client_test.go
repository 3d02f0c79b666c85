package standins

import (
	"errors"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/go-openapi/strfmt"
	goapi "github.com/grafana/grafana-openapi-client-go/client"
	"github.com/grafana/grafana-openapi-client-go/client/annotations"
	"github.com/grafana/grafana-openapi-client-go/client/search"
	"github.com/grafana/grafana-openapi-client-go/models"
)

// Grafana's own client must be content with the stand-in: it knows the shapes and the status codes.
func TestVendorsClient(t *testing.T) {
	s := httptest.NewServer(NewGrafana("secret"))
	defer s.Close()
	client := func(token string) annotations.ClientService {
		return goapi.NewHTTPClientWithConfig(strfmt.Default, &goapi.TransportConfig{
			Host: strings.TrimPrefix(s.URL, "http://"), BasePath: "/api", Schemes: []string{"http"}, APIKey: token,
		}).Annotations
	}
	c := client("secret")
	text, empty := "bake of shop/web", ""
	added, err := c.PostAnnotation(&models.PostAnnotationsCmd{Text: &text, Time: 1000, Tags: []string{"bakewatch", "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	id := strconv.FormatInt(*added.Payload.ID, 10)
	if _, err := c.PatchAnnotation(id, &models.PatchAnnotationsCmd{TimeEnd: 5000, Text: "rolled back"}); err != nil {
		t.Fatal(err)
	}
	found, err := c.GetAnnotations(annotations.NewGetAnnotationsParams().WithTags([]string{"bakewatch", "shop"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Payload) != 1 || found.Payload[0].TimeEnd != 5000 || found.Payload[0].Text != "rolled back" || len(found.Payload[0].Tags) != 2 {
		t.Fatalf("found %+v", found.Payload)
	}
	if _, err := c.UpdateAnnotation(id, &models.UpdateAnnotationsCmd{Text: "over", Time: 1000, TimeEnd: 6000, Tags: []string{"bakewatch"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetAnnotationByID(id); err != nil || got.Payload.Text != "over" || len(got.Payload.Tags) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}

	var bad *annotations.PostAnnotationBadRequest
	if _, err := c.PostAnnotation(&models.PostAnnotationsCmd{Text: &empty}); !errors.As(err, &bad) || *bad.Payload.Message != "Failed to save annotation" {
		t.Errorf("an annotation without text: %v", err)
	}
	var unauthorized *annotations.PostAnnotationUnauthorized
	if _, err := client("wrong").PostAnnotation(&models.PostAnnotationsCmd{Text: &text}); !errors.As(err, &unauthorized) {
		t.Errorf("a wrong token: %v", err)
	}
	var missing *annotations.PatchAnnotationNotFound
	if _, err := c.PatchAnnotation("99", &models.PatchAnnotationsCmd{Text: "x"}); !errors.As(err, &missing) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := c.DeleteAnnotationByID(id); err != nil {
		t.Error(err)
	}
}

// Dashboards are found by tag and by uid, and what is written on one that is not there is the organisation's, as with Grafana.
func TestDashboardsByVendorsClient(t *testing.T) {
	s := httptest.NewServer(NewGrafana(""))
	defer s.Close()
	c := goapi.NewHTTPClientWithConfig(strfmt.Default, &goapi.TransportConfig{Host: strings.TrimPrefix(s.URL, "http://"), BasePath: "/api", Schemes: []string{"http"}})
	saved, err := c.Dashboards.PostDashboard(&models.SaveDashboardCommand{Dashboard: map[string]any{"uid": "pay", "title": "Pay", "tags": []string{"services", "tier-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Dashboards.GetDashboardByUID(*saved.Payload.UID); err != nil {
		t.Error(err)
	}
	for _, q := range []struct {
		params *search.SearchParams
		want   string
	}{
		{search.NewSearchParams().WithTag([]string{"services"}), "pay services"},
		{search.NewSearchParams().WithTag([]string{"services", "tier-1"}), "pay"},
		{search.NewSearchParams().WithDashboardUIDs([]string{"services"}), "services"},
		{search.NewSearchParams().WithDashboardUIDs([]string{"services", "pay"}), ""}, // the client joins them with a comma
		{search.NewSearchParams().WithTag([]string{"none"}), ""},
	} {
		found, err := c.Search.Search(q.params)
		if err != nil {
			t.Fatal(err)
		}
		var uids []string
		for _, hit := range found.Payload {
			uids = append(uids, hit.UID)
		}
		if got := strings.Join(uids, " "); got != q.want {
			t.Errorf("found %q, want %q", got, q.want)
		}
	}
	text := "bake of shop/web"
	for uid, want := range map[string]string{"pay": "pay", "gone": ""} {
		added, err := c.Annotations.PostAnnotation(&models.PostAnnotationsCmd{Text: &text, Time: 1000, DashboardUID: uid, PanelID: 3})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Annotations.GetAnnotationByID(strconv.FormatInt(*added.Payload.ID, 10))
		if err != nil || got.Payload.DashboardUID != want {
			t.Errorf("written on %q, is on %q, %v", uid, got.Payload.DashboardUID, err)
		}
	}
}
