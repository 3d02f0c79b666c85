package integration

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chartcommon "helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// helmRelease is a Helm release in a stage's namespace, worked on by a user with Helm's own code.
type helmRelease struct {
	s    *stage
	name string
}

// config is the user's Helm.
func (h helmRelease) config() *action.Configuration {
	h.s.t.Helper()
	kube.ManagedFieldsManager = "helm" // as the program helm has it
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &h.s.Kubeconfig, &h.s.namespace
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := cfg.Init(flags, h.s.namespace, "secret"); err != nil {
		h.s.t.Fatal(err)
	}
	return cfg
}

// chartOf is a chart of these workloads, a ConfigMap with the version, and one that a hook makes.
func (h helmRelease) chartOf(version string, apps ...app) *chart.Chart {
	c := &chart.Chart{Metadata: &chart.Metadata{APIVersion: "v2", Name: "shop", Version: version}}
	add := func(name, text string) {
		c.Templates = append(c.Templates, &chartcommon.File{Name: "templates/" + name + ".yaml", Data: []byte(text)})
	}
	for _, a := range apps {
		add(a.name, a.yaml(h.s.t))
	}
	add("hook", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+h.name+"-hook, annotations: {helm.sh/hook: pre-rollback}}\ndata: {version: \""+version+"\"}\n")
	add("settings", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+h.name+"-settings}\ndata: {version: \""+version+"\"}\n")
	return c
}

// install installs the release. An old one is as Helm 3 made them, on the client side.
func (h helmRelease) install(old bool, c *chart.Chart) {
	h.s.t.Helper()
	i := action.NewInstall(h.config())
	i.ReleaseName, i.Namespace, i.ServerSideApply, i.WaitStrategy = h.name, h.s.namespace, !old, kube.HookOnlyStrategy
	if _, err := i.Run(c, nil); err != nil {
		h.s.t.Fatalf("helm install: %v", err)
	}
}

func (h helmRelease) upgrade(c *chart.Chart) {
	h.s.t.Helper()
	u := action.NewUpgrade(h.config())
	u.Namespace, u.WaitStrategy = h.s.namespace, kube.HookOnlyStrategy
	if _, err := u.Run(h.name, c, nil); err != nil {
		h.s.t.Fatalf("helm upgrade: %v", err)
	}
}

// history is what helm history says, oldest first: "2 superseded Upgrade complete".
func (h helmRelease) history() []string {
	h.s.t.Helper()
	all, err := h.config().Releases.History(h.name)
	if err != nil {
		h.s.t.Fatalf("helm history: %v", err)
	}
	var rels []*release.Release
	for _, r := range all {
		rels = append(rels, r.(*release.Release))
	}
	slices.SortFunc(rels, func(a, b *release.Release) int { return a.Version - b.Version })
	var out []string
	for _, r := range rels {
		out = append(out, fmt.Sprintf("%d %s %s", r.Version, r.Info.Status, r.Info.Description))
	}
	return out
}

// pend leaves a release as a Helm does that was killed while it upgraded it.
func (h helmRelease) pend() {
	h.s.t.Helper()
	records := h.config().Releases
	last, err := records.Last(h.name)
	if err != nil {
		h.s.t.Fatal(err)
	}
	r := *last.(*release.Release)
	info := *r.Info
	r.Info, r.Version = &info, r.Version+1
	info.Status, info.LastDeployed, info.Description = common.StatusPendingUpgrade, time.Now(), "Preparing upgrade"
	if err := records.Create(&r); err != nil {
		h.s.t.Fatal(err)
	}
}

// allowHelm gives the daemon's account the rights of deploy/helm-rollback.yaml in this stage's namespace.
func (s *stage) allowHelm() {
	s.t.Helper()
	raw, err := os.ReadFile("../deploy/helm-rollback.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(strings.Replace(string(raw), "namespace: shop\n", "namespace: "+s.namespace+"\n", 1))
	s.kubectl("create", "role", "hooks", "--verb=list,watch", "--resource=configmaps") // the hook of these charts is one
	s.kubectl("create", "rolebinding", "hooks", "--role=hooks", "--serviceaccount=bakewatch:bakewatch")
}

// served waits until workloads have a past to be compared with.
func (s *stage) served(names ...string) {
	s.t.Helper()
	s.rolledOut(names...)
	for _, name := range names {
		s.waitFor("prometheus to have seen "+name+" serve for a while", func() (bool, string) {
			of := fmt.Sprintf("http_requests_total{namespace=%q,app=%q}", s.namespace, name)
			n, err := s.query("sum(" + of + " - " + of + " offset 6s)")
			return err == nil && n >= 150, fmt.Sprint(n, err)
		})
	}
}

const withHelm = "rollback: {helm: {enabled: true, timeout: 10s}}"

// TestHelmReleaseGoesBack: a release that is worse goes back as a whole, helm history tells so, and Helm goes on from there; first
// with what Helm 3 installed, on the client side, then with what Helm 4 did. A release that is well is left alone.
func TestHelmReleaseGoesBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.allowHelm()
	old, shop := helmRelease{s, "old"}, helmRelease{s, "shop"}
	old.install(true, old.chartOf("1.0.0", good("web", "a"), good("side", "a")))
	shop.install(false, shop.chartOf("1.0.0", good("api", "a")))
	s.served("web", "side", "api")
	s.daemon(rules{window: "10s", more: withHelm})

	extra := good("extra", "b")
	old.upgrade(old.chartOf("1.1.0", bad("web", "b"), good("side", "b"), extra))
	shop.upgrade(shop.chartOf("1.1.0", bad("api", "b")))
	for _, c := range []struct {
		release helmRelease
		web     string
	}{{old, "web"}, {shop, "api"}} {
		b := s.ended(c.web, 2, v1alpha1.OutcomeRolledBack, "threshold")
		h := b.Status.Rollback.Helm
		if h == nil || h.Release != c.release.name || h.From != 2 || h.To != 1 || h.Failed != "" {
			t.Fatalf("%s: on record is %+v; aftermath: %s", c.web, h, b.Status.Rollback.Aftermath)
		}
		want := []string{"1 superseded Install complete", "2 superseded Upgrade complete", "3 deployed Rollback to 1 by Bakewatch, bake " + s.namespace + "/" + b.Name + ", try 1"}
		if got := c.release.history(); !slices.Equal(got, want) {
			t.Errorf("%s: helm history says\n%s\nwant\n%s", c.web, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := s.kubectl("get", "configmap", c.release.name+"-settings", "-o", "jsonpath={.data.version}"); got != "1.0.0" {
			t.Errorf("%s: the ConfigMap of the release is of %s", c.web, got)
		}
		if got := s.kubectl("get", "configmap", c.release.name+"-hook", "-o", "jsonpath={.data.version}"); got != "1.0.0" {
			t.Errorf("%s: the hook of the revision that was gone back to ran as %s", c.web, got)
		}
		s.stands(c.web, "a", 2, 3)
		s.ownsNothing(c.web)
	}
	// Its own new version is well: its bake may have passed before the release went back.
	with := s.ended("side", 3, v1alpha1.OutcomeAbandoned, "with-release")
	if before, _ := s.bake("side", 2); before.Status.Outcome != v1alpha1.OutcomePassed && !slices.Contains(codes(*before), "with-release") {
		t.Errorf("side's new version: %s", tell(*before))
	}
	if !strings.Contains(with.Status.Why, "because of deployment/web") {
		t.Errorf("side's bake says %s", with.Status.Why)
	}
	s.stands("side", "a", 2, 3)
	if out, err := s.try("get", "deployment/extra"); err == nil {
		t.Errorf("what only the bad revision has is still there: %s", out)
	}

	old.upgrade(old.chartOf("1.2.0", good("web", "c"), good("side", "c")))
	shop.upgrade(shop.chartOf("1.2.0", good("api", "c")))
	s.passed("web", 3, 4)
	s.passed("api", 3, 4)
	s.stands("web", "c", 2, 4)
	if got := shop.history(); len(got) != 4 || !strings.HasPrefix(got[3], "4 deployed Upgrade") {
		t.Errorf("after the next upgrade helm history says %q", got)
	}
}

// TestHelmReleaseThatIsWorkedOn: a release on which somebody is at work, and one that Bakewatch may not read, are left to a person;
// where policy says so the template is put back. Without the switch it is as with any other workload, and the message says what to do.
func TestHelmReleaseThatIsWorkedOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.allowHelm()
	held, patched, plain := helmRelease{s, "held"}, helmRelease{s, "patched"}, helmRelease{s, "plain"}
	all := []helmRelease{held, patched, plain}
	for _, h := range all {
		h.install(false, h.chartOf("1.0.0", good(h.name, "a")))
	}
	s.served("held", "patched", "plain")
	s.daemon(rules{more: withHelm + `
workloads:
  - {match: {name: patched}, rollback: {helm: {fallback: patch}}}
  - {match: {name: plain}, rollback: {helm: {enabled: false}}}`})
	for _, h := range all {
		h.upgrade(h.chartOf("1.1.0", bad(h.name, "b")))
	}
	held.pend()
	patched.pend()

	b := s.ended("held", 2, v1alpha1.OutcomeHeld, "threshold", "helm")
	if why := b.Status.Reasons[len(b.Status.Reasons)-1].Sentence; !strings.Contains(why, "it is pending-upgrade") || !strings.Contains(why, "helm rollback held") {
		t.Errorf("it is held because %s", why)
	}
	for _, h := range []helmRelease{patched, plain} {
		b := s.ended(h.name, 2, v1alpha1.OutcomeRolledBack, "threshold")
		if rb := b.Status.Rollback; rb.Helm != nil || !strings.Contains(rb.Aftermath, "helm history "+h.name+" -n "+s.namespace+" goes on to tell") {
			t.Errorf("%s: %+v, aftermath: %s", h.name, rb.Helm, rb.Aftermath)
		}
		s.stands(h.name, "a", 2, 3)
	}
	if got := held.history(); len(got) != 3 || !strings.HasPrefix(got[2], "3 pending-upgrade") {
		t.Errorf("helm history of what was held says %q", got)
	}
	if image := s.image("held"); image != "app:b" {
		t.Errorf("held runs %s", image)
	}
}
