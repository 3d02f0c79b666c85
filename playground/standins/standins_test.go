package standins

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func call(t *testing.T, method, url, token, body string) (int, map[string]any, []Annotation) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var one map[string]any
	var many []Annotation
	if json.Unmarshal(raw, &one) != nil {
		if err := json.Unmarshal(raw, &many); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	return resp.StatusCode, one, many
}

func TestGrafana(t *testing.T) {
	s := httptest.NewServer(NewGrafana(""))
	defer s.Close()
	api := s.URL + "/api/annotations"
	for _, c := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "", `{"text":"one","time":1000,"tags":["bakewatch","shop"]}`, 200, "Annotation added"},
		{"POST", "", `{"text":"two","time":5000,"timeEnd":3000,"tags":["bakewatch","pay"]}`, 200, "Annotation added"},
		{"POST", "", `{"text":""}`, 400, "Failed to save annotation"},
		{"POST", "", `{"text":`, 400, "bad request data"},
		{"PATCH", "/1", `{"timeEnd":2000}`, 200, "Annotation patched"},
		{"PATCH", "/9", `{"timeEnd":2000}`, 404, "Annotation not found"},
		{"PUT", "/2", `{"text":"two again","time":3000,"timeEnd":6000,"tags":["bakewatch","pay","rolled-back"]}`, 200, "Annotation updated"},
		{"PUT", "/2", `{"time":3000}`, 400, "Failed to update annotation"},
		{"DELETE", "/9", ``, 404, "Annotation not found"},
	} {
		status, one, _ := call(t, c.method, api+c.path, "", c.body)
		if status != c.status || one["message"] != c.message {
			t.Errorf("%s %s %s: %d %v, want %d %s", c.method, c.path, c.body, status, one, c.status, c.message)
		}
	}
	for query, want := range map[string]string{
		"":                                     "two again one",
		"?tags=bakewatch&tags=shop":            "one",
		"?tags=shop&tags=pay":                  "",
		"?tags=shop&tags=pay&matchAny=true":    "two again one",
		"?from=1500&to=2500":                   "one",
		"?from=1500":                           "two again one",
		"?limit=1":                             "two again",
		"?type=alert":                          "",
		"?type=annotation&tags=rolled-back":    "two again",
		"?dashboardUID=elsewhere&tags=b&tags=": "",
	} {
		_, _, many := call(t, "GET", api+query, "", "")
		var texts []string
		for _, a := range many {
			texts = append(texts, a.Text)
		}
		if got := strings.Join(texts, " "); got != want {
			t.Errorf("list %s: %q, want %q", query, got, want)
		}
	}
	if _, one, _ := call(t, "GET", api+"/1", "", ""); one["time"] != 1000.0 || one["timeEnd"] != 2000.0 {
		t.Errorf("patched: %v", one)
	}
	if status, one, _ := call(t, "DELETE", api+"/1", "", ""); status != 200 || one["message"] != "Annotation deleted" {
		t.Errorf("delete: %d %v", status, one)
	}
	if status, _, _ := call(t, "GET", api+"/1", "", ""); status != 404 {
		t.Errorf("a deleted annotation is still there: %d", status)
	}
}

func TestGrafanaToken(t *testing.T) {
	s := httptest.NewServer(NewGrafana("secret"))
	defer s.Close()
	for token, want := range map[string]int{"": 401, "wrong": 401, "secret": 200} {
		if status, _, _ := call(t, "POST", s.URL+"/api/annotations", token, `{"text":"x"}`); status != want {
			t.Errorf("token %q: %d, want %d", token, status, want)
		}
	}
	if status, one, _ := call(t, "GET", s.URL+"/api/health", "", ""); status != 200 || one["database"] != "ok" {
		t.Errorf("health: %d %v", status, one)
	}
	resp, err := http.Get(s.URL + "/_sent")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	if strings.Contains(string(raw), "Bearer") || strings.Count(string(raw), `"text":"x"`) != 3 {
		t.Errorf("sent: %s", raw)
	}
}

func TestWebhookKeepsTheLast(t *testing.T) {
	h := NewWebhook()
	s := httptest.NewServer(h)
	defer s.Close()
	for i := range keep + 5 {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("POST", "/alertmanager", strings.NewReader(fmt.Sprintf(`{"n":%d}`, i))))
		if rec.Code != 200 {
			t.Fatalf("got %d", rec.Code)
		}
	}
	resp, err := http.Get(s.URL + "/_sent")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var sent []Sent
	if err := json.NewDecoder(resp.Body).Decode(&sent); err != nil {
		t.Fatal(err)
	}
	if len(sent) != keep || string(sent[0].JSON) != `{"n":5}` || sent[0].Path != "/alertmanager" || sent[0].Time.IsZero() {
		t.Fatalf("%d kept, first %+v", len(sent), sent[0])
	}
}
