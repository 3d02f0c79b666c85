package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// What the manifests grant is what the daemon asks for at its start, and the other way round: no right without a feature, and no
// feature whose missing right nobody hears of.
func TestRightsAreThoseOfTheManifests(t *testing.T) {
	raw, err := os.ReadFile("../../deploy/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var granted []string
	for docs := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var o struct {
			Kind     string
			Metadata struct{ Name string }
			Rules    []struct {
				APIGroups []string `yaml:"apiGroups"`
				Resources []string
				Verbs     []string
			}
		}
		if err := docs.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if o.Kind != "ClusterRole" || o.Metadata.Name != "bakewatch" {
			continue
		}
		for _, rule := range o.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						granted = append(granted, strings.Join([]string{verb, group, resource}, " "))
					}
				}
			}
		}
	}
	var asked []string
	for _, r := range rights {
		resource := r.resource
		if r.subresource != "" {
			resource += "/" + r.subresource
		}
		asked = append(asked, strings.Join([]string{r.verb, r.group, resource}, " "))
	}
	slices.Sort(granted)
	slices.Sort(asked)
	if diff := cmp.Diff(granted, asked); diff != "" {
		t.Errorf("granted by deploy/rbac.yaml (-), asked at the start (+):\n%s", diff)
	}
}
