package flow

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// read is a flow from its text, which must be one.
func read(t *testing.T, text string) Flow {
	t.Helper()
	f, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func compiled(t *testing.T, text string) *Program {
	t.Helper()
	p, faults := Compile(read(t, text))
	if len(faults) > 0 {
		t.Fatalf("%s: %v", text, faults)
	}
	return p
}

func TestCompile(t *testing.T) {
	p := compiled(t, `{"steps":[{"http":{"path":"/login"}}]}`)
	if p.Every != DefaultEvery || p.Timeout != DefaultTimeout || p.Steps[0].Title != "GET /login" {
		t.Errorf("defaults: %+v", p)
	}
	for text, title := range map[string]string{
		`{"http":{"body":"x"}}`:    "POST /",
		`{"tcp":{"port":"db"}}`:    "TCP db",
		`{"grpc":{}}`:              "gRPC health",
		`{"name":"pay","http":{}}`: "pay",
		`{"http":{"path":"/` + strings.Repeat("x", 99) + `"}}`: "GET /" + strings.Repeat("x", 54) + "…",
	} {
		if got := compiled(t, `{"steps":[`+text+`]}`).Steps[0].Title; got != title {
			t.Errorf("%s is called %q, want %q", text, got, title)
		}
	}
}

// What is wrong is named with its key and what to write instead.
func TestCompileRefuses(t *testing.T) {
	const step = `{"http":{"path":"/"}}`
	for _, c := range []struct{ name, flow, path, says string }{
		{"no steps", `{}`, "steps", "is missing"},
		{"many steps", `{"steps":[` + strings.TrimSuffix(strings.Repeat(step+",", 21), ",") + `]}`, "steps", "at most 20"},
		{"too long", `{"every":"5s","steps":[{"http":{"body":"` + strings.Repeat("<", MaxText/3) + `"}}]}`, "", "bytes long"},
		{"every", `{"every":"10ms","steps":[` + step + `]}`, "every", "from 1s to 5m, not 10ms"},
		{"timeout", `{"timeout":"1m","steps":[` + step + `]}`, "timeout", "from 100ms to 30s"},
		{"all too long", `{"timeout":"30s","steps":[` + strings.TrimSuffix(strings.Repeat(step+",", 5), ",") + `]}`, "timeout", "at most 2m"},
		{"no pod", `{"steps":[{"service":"web","tcp":{}}]}`, "steps", "no step goes to the pod"},
		{"two ways", `{"steps":[{"http":{},"tcp":{}}]}`, "steps[0]", "exactly one of"},
		{"no way", `{"steps":[{}]}`, "steps[0]", "exactly one of"},
		{"name", `{"steps":[{"name":"a\nb","tcp":{}}]}`, "steps[0].name", "one line"},
		{"service", `{"steps":[{"http":{}},{"service":"web.other","tcp":{}}]}`, "steps[1].service", "name of a Service"},
		{"method", `{"steps":[{"http":{"method":"get"}}]}`, "steps[0].http.method", "capital letters"},
		{"path", `{"steps":[{"http":{"path":"login"}}]}`, "steps[0].http.path", "begin with /"},
		{"fragment", `{"steps":[{"http":{"path":"/a#b"}}]}`, "steps[0].http.path", "without a #"},
		{"unknown value", `{"steps":[{"http":{"path":"/${id}"}}]}`, "steps[0].http.path", "${id} is not known here"},
		{"open value", `{"steps":[{"http":{"path":"/${id"}}]}`, "steps[0].http.path", "never closed"},
		{"host not listed", `{"steps":[{"http":{}},{"http":{"url":"https://evil.example/x"}}]}`, "steps[1].http.url", "not among the flow's hosts"},
		{"host as a value", `{"hosts":["a"],"steps":[{"http":{}},{"http":{"url":"https://${workload}/x"}}]}`, "steps[1].http.url", "in its path only"},
		{"user in url", `{"hosts":["a"],"steps":[{"http":{}},{"http":{"url":"https://u:p@a/x"}}]}`, "steps[1].http.url", "must not hold a user"},
		{"other scheme", `{"hosts":["a"],"steps":[{"http":{}},{"http":{"url":"ftp://a/x"}}]}`, "steps[1].http.url", "must be an address"},
		{"url and path", `{"hosts":["a"],"steps":[{"http":{}},{"http":{"url":"http://a/x","path":"/y"}}]}`, "steps[1].http", "keep one"},
		{"url and service", `{"hosts":["a"],"steps":[{"http":{}},{"service":"web","http":{"url":"http://a/x"}}]}`, "steps[1].http", "keep one"},
		{"metadata", `{"hosts":["169.254.169.254"],"steps":[` + step + `]}`, "hosts[0]", "no flow may go there"},
		{"own machine", `{"hosts":["127.0.0.1"],"steps":[` + step + `]}`, "hosts[0]", "no flow may go there"},
		{"host with port", `{"hosts":["a.example:8080"],"steps":[` + step + `]}`, "hosts[0]", "without a port"},
		{"header name", `{"steps":[{"http":{"headers":{"a b":"x"}}}]}`, "steps[0].http.headers", "not the name of a header"},
		{"header of the connection", `{"steps":[{"http":{"headers":{"te":"x"}}}]}`, "steps[0].http.headers.te", "cannot be set"},
		{"header lines", `{"steps":[{"http":{"headers":{"a":"x\ny"}}}]}`, "steps[0].http.headers.a", "one line"},
		{"secret in place", `{"steps":[{"http":{"headers":{"authorization":"Bearer hunter2"}}}]}`, "steps[0].http.headers.authorization", "name a file under secretFiles"},
		{"secret file", `{"secretFiles":{"t":"token"},"steps":[` + step + `]}`, "secretFiles.t", "absolute path"},
		{"reserved name", `{"secretFiles":{"json":"/t"},"steps":[` + step + `]}`, "secretFiles.json", "has a meaning"},
		{"name taken", `{"secretFiles":{"namespace":"/t"},"steps":[` + step + `]}`, "secretFiles.namespace", "is taken"},
		{"half a certificate", `{"tls":{"certFile":"/c"},"steps":[` + step + `]}`, "tls", "both certFile and keyFile"},
		{"regexp", `{"steps":[{"http":{},"expect":{"body":"("}}]}`, "steps[0].expect.body", "not a regular expression"},
		{"cel", `{"steps":[{"http":{},"expect":{"cel":"json.a ="}}]}`, "steps[0].expect.cel", "is not CEL"},
		{"cel name", `{"steps":[{"http":{},"expect":{"cel":"answer == 1"}}]}`, "steps[0].expect.cel", "answer"},
		{"cel type", `{"steps":[{"http":{},"expect":{"cel":"status"}}]}`, "steps[0].expect.cel", "must be true or false, not int"},
		{"within", `{"timeout":"1s","steps":[{"http":{},"expect":{"within":"2s"}}]}`, "steps[0].expect.within", "at most the timeout"},
		{"status of tcp", `{"steps":[{"tcp":{},"expect":{"status":["2xx"]}}]}`, "steps[0].expect", "only within"},
		{"capture of tcp", `{"steps":[{"tcp":{},"capture":{"a":{"cel":"body"}}}]}`, "steps[0].capture", "http only"},
		{"capture nothing", `{"steps":[{"http":{},"capture":{"a":{}}}]}`, "steps[0].capture.a", "needs cel"},
		{"capture twice", `{"steps":[{"http":{},"capture":{"a":{"cel":"body","pattern":"(x)"}}}]}`, "steps[0].capture.a", "stands alone"},
		{"capture groups", `{"steps":[{"http":{},"capture":{"a":{"pattern":"x"}}}]}`, "steps[0].capture.a.pattern", "needs one group"},
		{"capture later", `{"steps":[{"http":{"path":"/${a}"},"capture":{"a":{"cel":"body"}}}]}`, "steps[0].http.path", "not known here"},
		{"capture of a list", `{"steps":[{"http":{},"capture":{"a":{"cel":"[1]"}}}]}`, "steps[0].capture.a.cel", "must be a single value"},
	} {
		p, faults := Compile(read(t, c.flow))
		found := false
		for _, f := range faults {
			found = found || f.Path == c.path && strings.Contains(f.Message, c.says)
			if strings.Contains(f.Message, "hunter2") {
				t.Errorf("%s: a secret is shown: %s", c.name, f.Message)
			}
		}
		if !found || p != nil {
			t.Errorf("%s: want a fault at %q that says %q, got %v", c.name, c.path, c.says, faults)
		}
	}
}

func TestJudge(t *testing.T) {
	page := http.Header{"Content-Type": {"text/html"}, "Location": {"/login"}, "Set-Cookie": {"a=1", "sid=77; Path=/"}}
	answer := func(status int, body string) Answer {
		return Answer{Status: status, Header: page, Body: []byte(body), Took: 20 * time.Millisecond}
	}
	for _, c := range []struct {
		name, step string
		got        Answer
		expected   string // of the Miss; empty: there is none
		says       string // what it got
		values     map[string]string
	}{
		{name: "ok", step: `{"http":{}}`, got: answer(204, "")},
		{name: "a redirect is no success", step: `{"http":{}}`, got: answer(302, ""), expected: "status 2xx", says: "status 302 to /login"},
		{name: "an expected redirect", step: `{"http":{},"expect":{"status":[302]}}`, got: answer(302, "")},
		{name: "a class", step: `{"http":{},"expect":{"status":["404","5xx"]}}`, got: answer(200, ""), expected: "status 404 or 5xx", says: "no body"},
		{name: "body", step: `{"http":{},"expect":{"body":"^ok$"}}`, got: answer(200, "not ok"), expected: `a body that matches "^ok$"`, says: `"not ok"`},
		{name: "page", step: `{"http":{},"expect":{"body":"Welcome"}}`, got: answer(200, "<html><script>x</script><h1>Sorry &amp; bye</h1>"), expected: "Welcome", says: "Sorry & bye"},
		{name: "cel", step: `{"http":{},"expect":{"cel":"json.items.size() > 0 && status == 200"}}`, got: answer(200, `{"items":[1]}`)},
		{name: "cel is false", step: `{"http":{},"expect":{"cel":"json.total > 2.5"}}`, got: answer(200, `{"total":2}`), expected: "json.total > 2.5", says: "total"},
		{name: "cel without json", step: `{"http":{},"expect":{"cel":"json.a == 1"}}`, got: answer(200, `oops`), expected: "json.a == 1", says: "not JSON"},
		{name: "cel without a key", step: `{"http":{},"expect":{"cel":"json.a == 1"}}`, got: answer(200, `{}`), expected: "json.a == 1", says: "no such key: a"},
		{name: "json cut", step: `{"http":{},"expect":{"cel":"json.a == 1"}}`, got: Answer{Status: 200, Body: []byte(`{"a`), Cut: true}, expected: "json.a == 1", says: "larger than 256 KiB"},
		{name: "slow", step: `{"http":{},"expect":{"within":"10ms"}}`, got: answer(200, ""), expected: "within 10ms", says: "after 20ms"},
		{name: "captures", step: `{"http":{},"capture":{"sid":{"header":"set-cookie","pattern":"sid=([0-9]+)"},"id":{"cel":"json.id"},"all":{"pattern":"(.*)"},"to":{"header":"location"}}}`,
			got: answer(200, `{"id":9007199254740993}`), values: map[string]string{"sid": "77", "id": "9007199254740993", "all": `{"id":9007199254740993}`, "to": "/login"}},
		{name: "capture of nothing", step: `{"http":{},"capture":{"id":{"cel":"json.id"}}}`, got: answer(200, `{"id":[]}`), expected: "a value to capture as id", says: "not a single value"},
		{name: "capture of no header", step: `{"http":{},"capture":{"id":{"header":"etag"}}}`, got: answer(200, ""), expected: "capture as id", says: "no header Etag"},
		{name: "capture of no match", step: `{"http":{},"capture":{"id":{"pattern":"id=(.)"}}}`, got: answer(200, "x"), expected: "capture as id", says: "nothing in the body matches"},
		{name: "capture too long", step: `{"http":{},"capture":{"id":{"pattern":"(x+)"}}}`, got: answer(200, strings.Repeat("x", 9000)), expected: "capture as id", says: "longer than 8 KiB"},
		{name: "too much to work out", step: `{"http":{},"expect":{"cel":"json.all(a, json.all(b, json.all(c, a+b+c > 0)))"}}`,
			got: answer(200, "["+strings.TrimSuffix(strings.Repeat("1,", 1000), ",")+"]"), expected: "json.all", says: "too much to work out"},
	} {
		s := compiled(t, `{"steps":[`+strings.ReplaceAll(c.step, "[302]", `["302"]`)+`]}`).Steps[0]
		values := map[string]string{}
		miss := s.Judge(t.Context(), c.got, values)
		switch {
		case miss == nil && c.expected != "":
			t.Errorf("%s: no miss", c.name)
		case miss != nil && (c.expected == "" || !strings.Contains(miss.Expected, c.expected) || !strings.Contains(miss.Got, c.says)):
			t.Errorf("%s: %+v", c.name, *miss)
		case miss != nil && len(values) > 0:
			t.Errorf("%s: captured %v although it failed", c.name, values)
		}
		for name, want := range c.values {
			if values[name] != want {
				t.Errorf("%s: captured %q as %s, want %q", c.name, values[name], name, want)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	p := compiled(t, `{"secretFiles":{"token":"/t"},"hosts":["a.example"],"steps":[
		{"http":{"path":"/u/${namespace}?q=${workload}","headers":{"authorization":"Bearer ${token}"},"body":"{\"w\":\"${workload}\",\"$${x}\":1}"},"capture":{"id":{"cel":"body"}}},
		{"http":{"url":"https://a.example:8443/x/${id}"}}]}`)
	values := map[string]string{"namespace": "a/b", "workload": "c&d", "token": "t0k", "id": "1 2"}
	r, miss := p.Steps[0].Request(values)
	if miss != nil || r.Method != "POST" || r.Base != "" || r.Path != "/u/a%2Fb?q=c%26d" || r.Header.Get("Authorization") != "Bearer t0k" || r.Body != `{"w":"c&d","${x}":1}` {
		t.Errorf("%+v %v", r, miss)
	}
	if r, miss := p.Steps[1].Request(values); miss != nil || r.Base != "https://a.example:8443" || r.Path != "/x/1%202" {
		t.Errorf("%+v %v", r, miss)
	}
	values["token"] = "a\nb"
	if _, miss := p.Steps[0].Request(values); miss == nil || !strings.Contains(miss.Expected, "Authorization") || strings.Contains(miss.Got, "a\nb") {
		t.Errorf("a value that spans lines: %+v", miss)
	}
}

func TestForbidden(t *testing.T) {
	for address, want := range map[string][2]bool{ // forbidden, closed
		"10.0.0.7": {}, "93.184.216.34": {}, "2001:db8::1": {}, "192.168.1.1": {},
		"127.0.0.1": {true, false}, "::1": {true, false}, "::ffff:127.0.0.1": {true, false},
		"169.254.169.254": {true, true}, "::ffff:169.254.169.254": {true, true}, "fe80::1%eth0": {true, true}, "fd00:ec2::254": {true, true}, "100.100.100.200": {true, true},
		"168.63.129.16": {true, true}, "64:ff9b::a9fe:a9fe": {true, true}, "0.0.0.0": {true, true}, "0.1.2.3": {true, true}, "::": {true, true}, "224.0.0.1": {true, true}, "255.255.255.255": {true, true},
	} {
		a := netip.MustParseAddr(address)
		if Forbidden(a) != want[0] || Closed(a) != want[1] {
			t.Errorf("%s: forbidden %v, closed %v, want %v", address, Forbidden(a), Closed(a), want)
		}
	}
	if !Forbidden(netip.Addr{}) {
		t.Error("no address at all may be gone to")
	}
}

// However a secret, or a captured value, comes back in an answer, it is not shown.
func TestRedactorHides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9 &<"/%+]{8,40}`).Draw(t, "secret")
		if strings.TrimSpace(secret) != secret || strings.Contains(secret, "  ") || strings.Contains(hidden, secret) {
			return
		}
		around := rapid.StringMatching(`[a-z ]{0,20}`).Draw(t, "around")
		captured := rapid.Bool().Draw(t, "captured")
		r := NewRedactor([]string{secret}, nil)
		if captured {
			r = NewRedactor(nil, []string{secret})
		}
		a := &answer{Answer: Answer{Status: 500, Body: []byte(around + secret + around)}}
		if got := r.Miss(Miss{Expected: "x", Got: a.shown()}); strings.Contains(got.Got, secret) {
			t.Fatalf("%q is shown in %q", secret, got.Got)
		}
	})
	r := NewRedactor(nil, nil)
	for _, text := range []string{`{"password":"hunter22"}`, "authorization: Bearer hunter22xx", "postgres://u:hunter22@db/x", "token=hunter22"} {
		if got := r.Redact(text); strings.Contains(got, "hunter22") {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
	if got := r.Redact("card declined"); got != "card declined" {
		t.Errorf("nothing is secret in %q", got)
	}
}

// An expression ends when its time is over.
func TestJudgeHeedsItsContext(t *testing.T) {
	s := compiled(t, `{"steps":[{"http":{},"expect":{"cel":"json.all(a, json.all(b, a+b > 0))"}}]}`).Steps[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := "[" + strings.TrimSuffix(strings.Repeat("1,", 1500), ",") + "]"
	if miss := s.Judge(ctx, Answer{Status: 200, Body: []byte(body)}, map[string]string{}); miss == nil || !strings.Contains(miss.Got, "to work out") {
		t.Errorf("%+v", miss)
	}
}
