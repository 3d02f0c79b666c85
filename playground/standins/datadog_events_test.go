package standins

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

func TestEventsByVendorsClient(t *testing.T) {
	d := NewDatadog("http://127.0.0.1:1")
	s := httptest.NewServer(d)
	defer s.Close()
	cfg := datadog.NewConfiguration()
	cfg.Servers = datadog.ServerConfigurations{{URL: s.URL}}
	api := datadogV1.NewEventsApi(datadog.NewAPIClient(cfg))
	for name, c := range map[string]struct {
		key    string
		event  datadogV1.EventCreateRequest
		status int
	}{
		"good":      {DatadogAPIKey, datadogV1.EventCreateRequest{Title: "t", Text: "x", DateHappened: datadog.PtrInt64(time.Now().Unix())}, 202},
		"bad key":   {"other", datadogV1.EventCreateRequest{Title: "t", Text: "x"}, 403},
		"no title":  {DatadogAPIKey, datadogV1.EventCreateRequest{Text: "x"}, 400},
		"long text": {DatadogAPIKey, datadogV1.EventCreateRequest{Title: "t", Text: strings.Repeat("x", 4001)}, 400},
		"old":       {DatadogAPIKey, datadogV1.EventCreateRequest{Title: "t", Text: "x", DateHappened: datadog.PtrInt64(time.Now().Add(-19 * time.Hour).Unix())}, 400},
	} {
		ctx := context.WithValue(t.Context(), datadog.ContextAPIKeys, map[string]datadog.APIKey{"apiKeyAuth": {Key: c.key}})
		got, res, err := api.CreateEvent(ctx, c.event)
		if res == nil || res.StatusCode != c.status || (err == nil) != (c.status == 202) {
			t.Errorf("%s: %v, %v", name, res, err)
		}
		if event := got.GetEvent(); c.status == 202 && (got.GetStatus() != "ok" || event.GetId() == 0) {
			t.Errorf("%s: answered %+v", name, got)
		}
	}
	if n := len(d.journal.sent); n != 5 {
		t.Errorf("%d requests are kept, want 5", n)
	}
}
