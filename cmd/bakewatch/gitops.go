package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"
	authv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bakewatch/bakewatch/act/gitops"
	"github.com/bakewatch/bakewatch/act/revert"
	"github.com/bakewatch/bakewatch/policy"
)

// reverter proposes reverts where the policy of now says, and as whom it says.
func (g *guard) reverter() *revert.Reverter {
	var mu sync.Mutex
	var of *policy.Git // whose options these are
	var options revert.Options
	return &revert.Reverter{Options: func() (revert.Options, bool) {
		c := g.live.Current()
		if c == nil || c.Git == nil {
			return revert.Options{}, false
		}
		mu.Lock()
		defer mu.Unlock()
		if of != c.Git {
			client, err := httpClient(c.Git.HTTP(), "", "git")
			if err != nil {
				g.log.Warn("reverts cannot be proposed", zap.Error(err))
				return revert.Options{}, false
			}
			of, options = c.Git, revert.Options{TokenFile: c.Git.TokenFile, URL: c.Git.URL, Client: client}
		}
		return options, true
	}}
}

// missingForGitOps says what this account may not do that policy's gitops: suspend needs, for each controller that this cluster
// has. Where policy has none suspended nothing is missing.
func (g *guard) missingForGitOps(ctx context.Context) error {
	if c := g.live.Current(); c == nil || !c.Suspends() {
		return nil
	}
	var missing []string
	for _, needs := range []struct {
		resource schema.GroupVersionResource
		verbs    []string
		why      string
	}{
		{gitops.Applications, []string{"list", "get", "patch"}, "suspend Argo CD"},
		{gitops.HelmReleases, []string{"get", "patch"}, "suspend Flux's HelmReleases"},
	} {
		served, err := g.client.Discovery().ServerResourcesForGroupVersion(needs.resource.GroupVersion().String())
		if err != nil || len(served.APIResources) == 0 {
			continue // it is not installed, or the API server is out of reach, which is told elsewhere
		}
		for _, verb := range needs.verbs {
			ask := &authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
				Verb: verb, Group: needs.resource.Group, Resource: needs.resource.Resource,
			}}}
			answer, err := g.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, ask, metav1.CreateOptions{})
			if err != nil {
				return nil
			}
			if !answer.Status.Allowed {
				missing = append(missing, verb+" "+needs.resource.GroupResource().String()+" (to "+needs.why+")")
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("policy has gitops: suspend, and this account may not %s; apply deploy/gitops.yaml, which grants it", strings.Join(missing, ", "))
}
