package integration

import (
	"strings"
	"testing"
)

// TestDeployApplies: the manifests apply without a warning, apply again without a change, and the daemon's pods are admitted
// by the namespace's own rules.
func TestDeployApplies(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	out := s.kubectl("--namespace", "bakewatch", "apply", "-k", "../deploy", "--dry-run=server")
	if strings.Contains(out, "Warning") || strings.Contains(out, "created") {
		t.Errorf("applying deploy/ again:\n%s", out)
	}
	s.kubectl("--namespace", "bakewatch", "scale", "deployment/bakewatch", "--replicas=2")
	s.kubectl("--namespace", "bakewatch", "rollout", "status", "deployment/bakewatch", "--timeout=100s")
	s.kubectl("--namespace", "bakewatch", "scale", "deployment/bakewatch", "--replicas=0")
	for _, resource := range []string{"bakes", "bk"} {
		s.kubectl("get", resource)
	}
}

// TestAccountMayDoWhatItNeedsAndNoMore asks the API server what the ServiceAccount of deploy/ may do.
func TestAccountMayDoWhatItNeedsAndNoMore(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const account = "system:serviceaccount:bakewatch:bakewatch"
	for _, c := range []struct {
		may  bool
		in   string // namespace
		what string
	}{
		{true, "shop", "list deployments.apps"},
		{true, "shop", "patch deployments.apps"},
		{true, "shop", "patch statefulsets.apps"},
		{true, "shop", "patch daemonsets.apps"},
		{true, "shop", "list replicasets.apps"},
		{true, "shop", "list controllerrevisions.apps"},
		{true, "shop", "list pods"},
		{true, "shop", "get pods"},
		{true, "shop", "delete pods"},
		{true, "shop", "get pods --subresource=log"},
		{true, "shop", "list services"},
		{true, "shop", "get configmaps"},
		{true, "shop", "get serviceaccounts"},
		{true, "shop", "get persistentvolumeclaims"},
		{true, "shop", "list horizontalpodautoscalers.autoscaling"},
		{true, "shop", "list ingresses.networking.k8s.io"},
		{true, "shop", "create bakes.bakewatch.dev"},
		{true, "shop", "update bakes.bakewatch.dev --subresource=status"},
		{true, "shop", "create events"},
		{true, "shop", "list events"},
		{true, "bakewatch", "get configmaps/bakewatch"},
		{true, "bakewatch", "update leases.coordination.k8s.io/bakewatch"},

		{false, "shop", "get secrets"},
		{false, "bakewatch", "get secrets"},
		{false, "shop", "deletecollection pods"},
		{false, "shop", "create pods"},
		{false, "shop", "create pods --subresource=exec"},
		{false, "shop", "update deployments.apps"},
		{false, "shop", "delete deployments.apps"},
		{false, "shop", "create deployments.apps"},
		{false, "shop", "patch deployments.apps --subresource=scale"},
		{false, "shop", "patch statefulsets.apps --subresource=scale"},
		{false, "shop", "update horizontalpodautoscalers.autoscaling"},
		{false, "shop", "update statefulsets.apps"},
		{false, "shop", "delete statefulsets.apps"},
		{false, "shop", "patch controllerrevisions.apps"},
		{false, "shop", "delete replicasets.apps"},
		{false, "shop", "patch replicasets.apps"},
		{false, "shop", "update bakes.bakewatch.dev"},
		{false, "shop", "list configmaps"},
		{false, "shop", "update configmaps"},
		{false, "bakewatch", "update configmaps/bakewatch"},
		{false, "shop", "create leases.coordination.k8s.io"},
		{false, "bakewatch", "update leases.coordination.k8s.io/other"},
		{false, "shop", "create serviceaccounts --subresource=token"},
		{false, "shop", "impersonate users"},
		{false, "shop", "create clusterrolebindings.rbac.authorization.k8s.io"},
		{false, "shop", "get nodes"},
	} {
		out, _ := s.try(append([]string{"--namespace", c.in, "auth", "can-i", "--as", account}, strings.Fields(c.what)...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		want := map[bool]string{true: "yes", false: "no"}[c.may]
		if got := lines[len(lines)-1]; got != want && !strings.HasPrefix(got, want+" ") {
			t.Errorf("may it %s in %s? %q, want %s", c.what, c.in, out, want)
		}
	}
}
