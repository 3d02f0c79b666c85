package flow

import (
	"net/http"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"
)

// Whatever is written as a flow is refused or ready to be run, and reads back as what it was.
func FuzzCompile(f *testing.F) {
	f.Add(`{"every":"5s","timeout":"1s","hosts":["a.example"],"secretFiles":{"t":"/t"},"tls":{"caFile":"/c"},"steps":[{"name":"a","http":{"path":"/${namespace}?x=${t}","headers":{"A":"${t}"},"body":"x"},"expect":{"status":["2xx"],"body":"x","cel":"json.a > 1","within":"1s"},"capture":{"id":{"cel":"json.id"},"h":{"header":"a","pattern":"(x)"}}},{"http":{"url":"https://a.example/${id}"}},{"service":"web","tcp":{"port":"80"}},{"grpc":{"service":"s"}}]}`)
	f.Add(`{"steps":[{"http":{"path":"/$${x}"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		flow, err := Parse(text)
		if err != nil {
			return
		}
		p, faults := Compile(flow)
		if (p == nil) != (len(faults) > 0) {
			t.Fatalf("program %v, faults %v", p, faults)
		}
		if p == nil {
			return
		}
		again, err := Parse(flow.Text())
		if err != nil || again.Text() != flow.Text() {
			t.Fatalf("%q reads back as %q: %v", flow.Text(), again.Text(), err)
		}
		if len(p.Steps) == 0 || longest(p) > MaxRun {
			t.Fatalf("%d steps that may take %s", len(p.Steps), longest(p))
		}
		for _, s := range p.Steps {
			if s.HTTP == nil {
				continue
			}
			values := map[string]string{}
			for _, name := range append(s.path.names(), s.body.names()...) {
				values[name] = "a/b?c#d\r\n"
			}
			if r, miss := s.Request(values); miss == nil {
				if _, err := http.NewRequest(r.Method, "http://pod"+r.Path, http.NoBody); err != nil {
					t.Fatalf("a request that cannot be sent: %v", err)
				}
			}
		}
	})
}

func longest(p *Program) time.Duration { return time.Duration(len(p.Steps)) * p.Timeout }

// Whatever a pod answers, it is judged, the same way each time, and what is said of it is short, and text.
func FuzzJudge(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"ok":true,"id":7,"items":[{"n":1.5}]}`))
	f.Add(500, "text/html", []byte("<!doctype html><script>x</script><p>Sorry"))
	f.Add(302, "", []byte{0xff, 0, '<'})
	text := `{"steps":[{"http":{},"expect":{"status":["2xx"],"body":"(?i)ok","cel":"json.items.exists(i, i.n > 1) && headers['content-type'] != '' && body.size() < 99"},"capture":{"id":{"cel":"json.id"},"b":{"pattern":"(.)"}}}]}`
	flow, err := Parse(text)
	if err != nil {
		f.Fatal(err)
	}
	p, faults := Compile(flow)
	if len(faults) > 0 {
		f.Fatal(faults)
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		judge := func() (*Miss, map[string]string) {
			values := map[string]string{}
			return p.Steps[0].Judge(t.Context(), Answer{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: body}, values), values
		}
		miss, values := judge()
		again, valuesAgain := judge()
		if !reflect.DeepEqual(miss, again) || !reflect.DeepEqual(values, valuesAgain) {
			t.Fatalf("judged %v, then %v", miss, again)
		}
		if miss == nil {
			return
		}
		shown := NewRedactor([]string{"s3cr3t"}, []string{"captured"}).Miss(*miss)
		if n := utf8.RuneCountInString(shown.Got); n > 400 || !utf8.ValidString(shown.Got) || !utf8.ValidString(shown.Expected) {
			t.Fatalf("%d runes: %q", n, shown)
		}
	})
}
