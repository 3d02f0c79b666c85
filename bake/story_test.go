package bake

import (
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestImageTag(t *testing.T) {
	for _, c := range []struct {
		from, to []string
		want     string
	}{
		{nil, []string{"app:v1"}, "v1"},
		{[]string{"app:v1"}, []string{"app:v2"}, "v2"},
		{[]string{"app:v1", "proxy:1.9"}, []string{"app:v2", "proxy:1.9"}, "v2"}, // what did not change is not asked
		{[]string{"app:v1", "proxy:1.9"}, []string{"app:v1", "proxy:1.9"}, ""},   // another change, and two tags
		{[]string{"app:v1"}, []string{"app:v1"}, "v1"},
		{[]string{"app:v1", "job:v1"}, []string{"app:v2", "job:v2"}, "v2"},
		{[]string{"app:v1", "job:v1"}, []string{"app:v2", "job:v3"}, ""},
		{nil, []string{"registry:5000/team/app:3f2c1ab@sha256:0123"}, "3f2c1ab"},
		{nil, []string{"registry:5000/team/app"}, ""},
		{nil, []string{"app@sha256:0123"}, ""},
		{nil, []string{"app:latest"}, ""},
		{nil, nil, ""},
	} {
		sp := v1alpha1.BakeSpec{To: v1alpha1.Revision{Images: c.to}}
		if c.from != nil {
			sp.From = &v1alpha1.Revision{Images: c.from}
		}
		if got := imageTag(sp); got != c.want {
			t.Errorf("%v to %v: got %q, want %q", c.from, c.to, got, c.want)
		}
	}
}
