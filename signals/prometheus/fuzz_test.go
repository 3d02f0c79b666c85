package prometheus

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/signals"
)

// canned is a RoundTripper that answers everything alike.
type canned struct {
	status int
	body   string
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status, Status: http.StatusText(c.status), Request: r, Header: http.Header{}, ContentLength: -1,
		Body: io.NopCloser(strings.NewReader(c.body)),
	}, nil
}

// FuzzAnswer: whatever a server answers, a Reading has possible counts or says why it has none.
func FuzzAnswer(f *testing.F) {
	f.Add(200, matrix(counter("pod=new-1,code=200", "105:1 119:2 134:1"), counter("pod=old-1", "119:NaN 134:+Inf"), counter("pod=new-2", "130:-5")))
	f.Add(200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"new-1"},"values":[[1772366520,"1e308"],[1772366535,"1e308"],[1772366521,"5"]]}]}}`)
	f.Add(200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"new-1"},"histograms":[[1772366530,{"count":"1","sum":"2","buckets":[[0,"1","2","3"]]}]]}]}}`)
	f.Add(200, `{"status":"success","data":{"resultType":"matrix","result":[null,{}]}}`)
	f.Add(200, `{"status":"success","data":{"resultType":"matrix","result":null}}`)
	f.Add(200, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`)
	f.Add(200, `{"status":"success","warnings":["w"],"data":null}`)
	f.Add(422, `{"status":"error","errorType":"execution","error":"\u0000\n"}`)
	f.Add(503, ``)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			status = 200
		}
		source, err := newSource(Options{URL: "http://prometheus"}, &http.Client{Transport: canned{status, body}})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		q := asking()
		q.Bounds, q.FromZero = seconds(105, 120, 135), true
		for _, byPod := range []bool{true, false} {
			if !byPod {
				q.By = signals.ByService
			}
			readings, err := source.Read(t.Context(), q)
			if err != nil || len(readings) != 2 {
				t.Fatalf("%d readings, %v", len(readings), err)
			}
			for _, r := range readings {
				sound(t, "reading", r)
				for _, s := range []signals.Side{r.Candidate, r.Baseline} {
					var sum signals.Counts
					for _, c := range s.Pods {
						sum = sum.Add(c)
					}
					if byPod && sum.Requests-s.Requests > 1e-6*s.Requests {
						t.Fatalf("pods sum up to %+v, the side to %+v", sum, s.Counts)
					}
				}
			}
		}
	})
}
