package integration

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// getJSON reads a JSON document.
func getJSON(address string, into any) error {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(address)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", address, res.Status, raw)
	}
	return json.Unmarshal(raw, into)
}

// annotation is one in the Grafana stand-in.
type annotation struct {
	Text          string
	Tags          []string
	Time, TimeEnd int64
}

func (s *stage) annotations(b v1alpha1.Bake) (all []annotation, err error) {
	q := url.Values{"tags": {"bakewatch", "bake:" + b.Namespace + "/" + b.Name}}
	return all, getJSON(s.Grafana+"/api/annotations?"+q.Encode(), &all)
}

// stories are what the webhook was told of a Bake, in order.
func (s *stage) stories(b v1alpha1.Bake) ([]announce.Story, error) {
	var sent []struct {
		Path string
		JSON json.RawMessage
	}
	if err := getJSON(s.Webhook+"/_sent", &sent); err != nil {
		return nil, err
	}
	var out []announce.Story
	for _, one := range sent {
		var story announce.Story
		if one.Path == "/bakewatch" && json.Unmarshal(one.JSON, &story) == nil && story.Bake == b.Namespace+"/"+b.Name {
			out = append(out, story)
		}
	}
	return out, nil
}

// told waits until every receiver knows how a Bake ended, in the record's own words: one region in Grafana, the last story
// of the webhook, and an Event on the workload.
func (s *stage) told(b v1alpha1.Bake) {
	s.t.Helper()
	outcome, why := string(b.Status.Outcome), b.Status.Why
	s.waitFor("the end of "+b.Name+" to be told", func() (bool, string) {
		notes, err := s.annotations(b)
		if err != nil || len(notes) != 1 {
			return false, fmt.Sprintf("annotations: %+v %v", notes, err)
		}
		for _, tag := range []string{"outcome:" + outcome, "namespace:" + b.Namespace, "workload:" + b.Spec.Workload.Kind + "/" + b.Spec.Workload.Name} {
			if !slices.Contains(notes[0].Tags, tag) {
				return false, fmt.Sprintf("the annotation has no tag %s: %+v", tag, notes)
			}
		}
		if !strings.Contains(notes[0].Text, html.EscapeString(why)) || notes[0].TimeEnd < notes[0].Time {
			return false, fmt.Sprintf("the annotation does not say %q: %+v", why, notes)
		}
		stories, err := s.stories(b)
		if err != nil || len(stories) < 2 {
			return false, fmt.Sprintf("webhook: %+v %v", stories, err)
		}
		first, last := stories[0], stories[len(stories)-1]
		if first.Stage != announce.Started || last.Stage != announce.Ended || last.Outcome != outcome || last.Why != why || last.Observed != b.Status.Observed {
			return false, fmt.Sprintf("webhook: %+v", stories)
		}
		for _, e := range s.events(b.Namespace, b.Spec.Workload.Kind, b.Spec.Workload.Name) {
			if e.Reason == outcome && e.Name == b.Name+".ended" && strings.Contains(e.Message, strings.TrimSuffix(announce.Clip(announce.OneLine(why), 200), "…")) {
				return true, ""
			}
		}
		return false, "no event tells it"
	})
}

// alert is one in Alertmanager.
type alert struct {
	Labels      map[string]string
	Annotations map[string]string
	EndsAt      time.Time
}

// alerts are those that fire for a Bake.
func (s *stage) alerts(b v1alpha1.Bake) (all []alert, err error) {
	q := url.Values{"filter": {fmt.Sprintf("bake=%q", b.Namespace+"/"+b.Name)}}
	return all, getJSON(s.Alertmanager+"/api/v2/alerts?"+q.Encode(), &all)
}

// alarmed waits until exactly the named alert fires for a Bake, and says why.
func (s *stage) alarmed(name string, b v1alpha1.Bake) {
	s.t.Helper()
	s.waitFor("the alert "+name+" of "+b.Name, func() (bool, string) {
		all, err := s.alerts(b)
		state := fmt.Sprintf("%+v %v", all, err)
		if len(all) != 1 {
			return false, state
		}
		a := all[0]
		return a.Labels["alertname"] == name && a.Labels["workload"] == b.Spec.Workload.Name && strings.Contains(a.Annotations["description"], b.Status.Why), state
	})
}

// quiet fails if any alert fires for a Bake.
func (s *stage) quiet(b v1alpha1.Bake) {
	s.t.Helper()
	if all, err := s.alerts(b); err != nil || len(all) > 0 {
		s.t.Errorf("alerts of %s, which should have none: %+v %v", b.Name, all, err)
	}
}

// query asks Prometheus for one number; 0 when there is none.
func (s *stage) query(promql string) (float64, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any
			}
		}
	}
	if err := getJSON(s.Prometheus+"/api/v1/query?"+url.Values{"query": {promql}}.Encode(), &answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) == 0 {
		return 0, nil
	}
	var n float64
	_, err := fmt.Sscan(fmt.Sprint(answer.Data.Result[0].Value[1]), &n)
	return n, err
}
