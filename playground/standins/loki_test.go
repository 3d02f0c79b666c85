package standins

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestLoki(t *testing.T) {
	l := NewLoki()
	at := time.Unix(1_700_000_000, 0)
	for i := range 5 {
		l.Add("shop", "web-1", "app", at.Add(time.Duration(i)*time.Second), "line "+strconv.Itoa(i))
	}
	l.Add("pay", "web-2", "app", at, "other")
	s := httptest.NewServer(l)
	defer s.Close()
	ask := func(what string, args url.Values) (int, string) {
		t.Helper()
		resp, err := http.Get(s.URL + "/loki/api/v1/" + what + "?" + args.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		raw, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw)
	}
	query := func(q, limit, direction string) url.Values {
		return url.Values{"query": {q}, "match[]": {q}, "limit": {limit}, "direction": {direction}, "start": {strconv.FormatInt(at.Add(time.Second).UnixNano(), 10)}, "end": {strconv.FormatInt(at.Add(4*time.Second).UnixNano(), 10)}}
	}
	put := func(path, body string) {
		t.Helper()
		if status, one, _ := call(t, http.MethodPut, s.URL+path, "", body); status != 200 {
			t.Fatalf("%s: %v", body, one)
		}
	}
	for _, c := range []struct{ name, what, query, limit, direction, has, not string }{
		{"all", "query_range", `{namespace="shop",pod=~"web-.+"}`, "100", "forward", `["1700000001000000000","line 1"],["1700000002000000000","line 2"],["1700000003000000000","line 3"]`, "line 4"},
		{"the newest", "query_range", `{namespace="shop"} | pod=~"web-1|x"`, "1", "backward", `"line 3"`, "line 1"},
		{"the oldest", "query_range", `{namespace="shop"}`, "1", "forward", `"line 1"`, "line 3"},
		{"none", "query_range", `{namespace="nowhere"}`, "1", "forward", `"result":[]`, "line"},
		{"too many", "query_range", `{namespace="shop"}`, "5001", "forward", "max entries limit per query exceeded", "values"},
		{"no LogQL", "query_range", `rate({a="b"}[1m])`, "10", "forward", "parse error", "values"},
		{"series", "series", `{namespace="shop"}`, "", "", `{"container":"app","namespace":"shop","pod":"web-1"}`, "pay"},
	} {
		if _, body := ask(c.what, query(c.query, c.limit, c.direction)); !strings.Contains(body, c.has) || strings.Contains(body, c.not) {
			t.Errorf("%s: %s", c.name, body)
		}
	}
	for kind, want := range map[string]int{"limited": 429, "down": 503, "timeout": 504, "garbage": 200, "empty": 200, "partial": 200, "warning": 200} {
		put("/_fault", `{"kind": "`+kind+`", "times": 1}`)
		status, body := ask("query_range", query(`{namespace="shop"}`, "100", "forward"))
		if status != want || status == 200 && kind != "warning" && strings.Contains(body, "line 3") {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
	put("/_tenant", `{"tenant": "team"}`)
	if status, body := ask("labels", url.Values{}); status != 401 || !strings.Contains(body, "no org id") {
		t.Errorf("without a tenant: %d %s", status, body)
	}
}
