package prometheus

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFiring(t *testing.T) {
	body := `{"status":"success","data":{"resultType":"vector","result":[
		{"metric":{"__name__":"ALERTS","alertname":"Slow","namespace":"shop","deployment":"web"},"value":[1,"1"]},
		{"metric":{"alertname":"Slow","namespace":"shop","service":"web","severity":"critical"},"value":[1,"1"]},
		{"metric":{"alertname":"Crashing","namespace":"shop","pod":"web-7589768665-abcde","deployment":"other"},"value":[1,"1"]},
		{"metric":{"alertname":"OfAnother","namespace":"shop","pod":"api-7589768665-abcde","container":"web"},"value":[1,"1"]},
		{"metric":{"alertname":"AlsoOfAnother","namespace":"shop","app":"api"},"value":[1,"1"]},
		{"metric":{"alertname":"Tells","namespace":"shop","app":"web","severity":"info"},"value":[1,"1"]},
		{"metric":{"alertname":"OfTheNamespace","namespace":"shop"},"value":[1,"1"]}]}}`
	status := 200
	server := script(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	source := sourceOf(t, Options{URL: server.URL})
	got, err := source.Firing(t.Context(), "Deployment", "shop", "web", time.Unix(1000, 0))
	if err != nil || strings.Join(got, " ") != "Crashing Slow" {
		t.Errorf("%q, %v", got, err)
	}
	status, body = 503, "down"
	if got, err := source.Firing(t.Context(), "Deployment", "shop", "web", time.Now()); err == nil || !strings.Contains(err.Error(), "ask which alerts fired in namespace shop") || got != nil {
		t.Errorf("%q, %v", got, err)
	}
}
