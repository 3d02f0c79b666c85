package discover

import (
	"context"
	"errors"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/signals"
)

type router map[string]string

func (r router) Routes(context.Context, string, string, string) ([]signals.Route, map[string]string, error) {
	return []signals.Route{{Service: "front"}}, r, errors.New("which Ingresses lead to it is not known")
}

type source struct{ asked signals.Subject }

func (s *source) Find(_ context.Context, subject signals.Subject) ([]signals.Found, []signals.Absent, error) {
	s.asked = subject
	return []signals.Found{{Signal: "http-errors"}}, []signals.Absent{{Signal: "restarts", Preset: "p", Why: "no series"}}, nil
}

// What leads to the workload and what its pods call themselves is known to each source, also where some of it could not be read.
func TestSubject(t *testing.T) {
	s := &source{}
	f := &Finder{Sources: func() map[string]Source { return map[string]Source{"datadog": s} }, Router: router{"tags.datadoghq.com/service": "shop-front"}}
	got, err := f.Find(context.Background(), bake.Search{Key: bake.Key{Kind: "Deployment", Namespace: "shop", Name: "web"},
		To: v1alpha1.Revision{Name: "web-b", Version: "2"}, From: v1alpha1.Revision{Name: "web-a", Images: []string{"web:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := s.asked; a.Service != "shop-front" || a.Routes[0].Service != "front" || a.Candidate != (signals.Version{Pods: "web-b-", Version: "2"}) || a.Baseline != (signals.Version{Pods: "web-a-", Version: "1"}) {
		t.Errorf("asked about %+v", a)
	}
	if len(got.Measured) != 1 || got.Service != "front" || len(got.NotMeasured) != 2 || got.NotMeasured[1].Source != "datadog" {
		t.Errorf("found %+v", got)
	}
}

type away struct{}

func (away) Find(context.Context, signals.Subject) ([]signals.Found, []signals.Absent, error) {
	return nil, nil, errors.New("datadog: asked to slow down")
}

// One source that is away does not hide what another found.
func TestOneSourceIsAway(t *testing.T) {
	f := &Finder{Sources: func() map[string]Source { return map[string]Source{"datadog": away{}, "prometheus": &source{}} }}
	got, err := f.Find(context.Background(), bake.Search{Key: bake.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}})
	if err == nil || len(got.Measured) != 1 || got.NotMeasured[0].Source != "prometheus" || len(got.Away) != 1 || got.Away["datadog"] != "datadog: asked to slow down" {
		t.Errorf("%+v, %v", got, err)
	}
}
