package watcher

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/bake"
)

func TestOrigin(t *testing.T) {
	helm := map[string]string{managedBy: "Helm"}
	for _, c := range []struct {
		name                string
		labels, annotations map[string]string
		want                bake.Origin
	}{
		{"nothing told", nil, nil, bake.Origin{}},
		{"a Helm release", helm, map[string]string{helmRelease: "shop", helmReleaseNamespace: "releases"}, bake.Origin{Release: bake.HelmRelease{Namespace: "releases", Name: "shop"}}},
		{"a Helm release, its namespace not told", helm, map[string]string{helmRelease: "shop"}, bake.Origin{Release: bake.HelmRelease{Namespace: "here", Name: "shop"}}},
		{"a Helm release by annotation alone", nil, map[string]string{helmRelease: "shop", helmReleaseNamespace: "here"}, bake.Origin{}},
		{"a chart that was rendered and applied", helm, nil, bake.Origin{}},
		{"Kustomize, by its label", map[string]string{managedBy: "kustomize-v5.7.0"}, nil, bake.Origin{Kustomize: true}},
		{"Kustomize, with the file", nil, map[string]string{kustomizeOrigin: "path: base/web.yaml\n"}, bake.Origin{Kustomize: true, File: "base/web.yaml"}},
		{"Kustomize, made by a generator", nil, map[string]string{kustomizeOrigin: "configuredIn: base/gen.yaml\nconfiguredBy: {kind: X}\n"}, bake.Origin{Kustomize: true, File: "base/gen.yaml"}},
		{"Kustomize, from elsewhere, whose address may hold a token", nil, map[string]string{kustomizeOrigin: "path: web.yaml\nrepo: https://me:token@github.com/shop/base\nref: main\n"},
			bake.Origin{Kustomize: true, File: "web.yaml of the remote base"}},
		{"what is no document", nil, map[string]string{kustomizeOrigin: "path: [\n"}, bake.Origin{}},
		{"what is too long", nil, map[string]string{kustomizeOrigin: "path: " + strings.Repeat("x", maxOrigin)}, bake.Origin{}},
		{"a file name on several lines", nil, map[string]string{kustomizeOrigin: "path: \"a\\nb\"\n"}, bake.Origin{Kustomize: true, File: "a b"}},
	} {
		meta := metav1.ObjectMeta{Namespace: "here", Labels: c.labels, Annotations: c.annotations}
		if got := origin(&meta); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
