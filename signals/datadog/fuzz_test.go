package datadog

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/bakewatch/bakewatch/signals"
)

// Whatever is answered, it is read without a panic, and what is read of it is believable or missing.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		`{"status":"ok","series":[{"tag_set":["pod_name:web-b-1"],"interval":15,"query_index":0,"pointlist":[[1777636800000,5],[1777636815000,null]]}]}`,
		`{"status":"ok","series":[{"scope":"pod_name:web-b-1","query_index":1,"pointlist":[[1777636800000,-1],[null,1],[]]}]}`,
		`{"status":"error","error":"x"}`, `{"series":null}`, `[]`, `{"status":"ok","from_date":1,"to_date":2,"series":[]}`,
	} {
		f.Add(text)
	}
	windows, err := windowsOf(signals.Question{Candidate: "web-b-", Query: byPod, Bounds: []time.Time{noon, noon.Add(15 * time.Second), noon.Add(30 * time.Second)}})
	if err != nil {
		f.Fatal(err)
	}
	over := spanOf(windows)
	f.Fuzz(func(t *testing.T, text string) {
		var got datadogV1.MetricsQueryResponse
		if json.Unmarshal([]byte(text), &got) != nil || whole(got, over) != nil {
			return
		}
		answers, failure := sorted(got, 2, over)
		if failure != nil {
			return
		}
		q := signals.Question{Query: byPod, Workload: "web", Candidate: "web-b-", Baseline: "web-a-"}
		candidate, baseline := sidesOf(q)
		for _, w := range windows {
			for _, who := range []side{candidate, baseline} {
				s := counters{counted: "x"}.side(q, w, who, answers[0], answers[1], nil)
				if s.Missing == signals.Present && !s.Spoke() || s.Errors > s.Requests {
					t.Errorf("%s: %+v", text, s)
				}
				v := worst(answers[0], w, who, "x")
				if v.Missing == signals.Present && !(v.Value >= 0 && v.Value <= maxCount) {
					t.Errorf("%s: %+v", text, v)
				}
			}
		}
	})
}

// Whatever is written into the files of the keys, nothing is sent that could not be a header.
func FuzzKeys(f *testing.F) {
	for _, text := range []string{"abc", " abc\n", "a b", "", "ä", "a\x00b", "a\r\nHost: x"} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		o := Options{APIKeyFile: dir + "/api", AppKeyFile: dir + "/app"}
		writeKeys(t, o, text, "app")
		a := serving()
		s := newSource(t, a, func(set *Options) { set.APIKeyFile, set.AppKeyFile = o.APIKeyFile, o.AppKeyFile })
		s.keys = keyFiles{o.APIKeyFile, o.AppKeyFile}
		writeKeys(t, o, text, "app")
		failure := s.probe(context.Background())
		for _, sent := range a.keys {
			for _, c := range sent {
				if c < ' ' || c > '~' {
					t.Errorf("%q is sent as %q", text, sent)
				}
			}
		}
		if failure != nil && len(a.keys) > 0 {
			t.Errorf("%q: %v", text, failure)
		}
	})
}
