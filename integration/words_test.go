package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// TestWhoSaysIt: with deploy/admission.yaml the API server itself sees to it that a word on a workload is in the name of who
// writes it, and leaves all else alone.
func TestWhoSaysIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	manifest, err := os.ReadFile("../deploy/admission.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// For this test's namespace alone: the others write in other names.
	narrowed := strings.Replace(string(manifest), "  validationActions: [Deny]", "  validationActions: [Deny]\n  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "+s.namespace+"}}}", 1)
	if out, err := s.cluster.kubectl([]byte(narrowed), "apply", "-f", "-"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a := good("web", "a")
	a.replicas = 1
	s.running(a)
	s.kubectl("create", "rolebinding", "ann", "--clusterrole=edit", "--user=ann smith")
	annotate := func(words string) (string, error) {
		return s.try("annotate", "--overwrite", "deployment/web", words, "--as=ann smith")
	}
	s.waitFor("the policy to be in force", func() (bool, string) {
		out, err := annotate("bakewatch.dev/approve=1 bob")
		return err != nil && strings.Contains(out, "write it in your own name: <revision> ann_smith"), out
	})
	for words, good := range map[string]bool{
		"bakewatch.dev/approve=2":                   false,
		"bakewatch.dev/reject=2 bob":                false,
		"bakewatch.dev/undo=2 to 1 bob":             false,
		"bakewatch.dev/resume=2 bob":                false,
		"bakewatch.dev/abort=2 bob ann_smith":       false,
		"bakewatch.dev/abort=2\tbob ann_smith":      false,
		"bakewatch.dev/undo=2 to bob ann_smith":     false,
		"bakewatch.dev/approve=2 ann_smith":         true,
		"bakewatch.dev/undo=9 to 1 ann_smith #1f3":  true,
		"bakewatch.dev/migrations=reversible":       true,
		"bakewatch.dev/approve=2 ann_smith of shop": false,
	} {
		if out, err := annotate(words); (err == nil) != good {
			t.Errorf("%q: %v: %s", words, err, out)
		}
	}
	// What others wrote is nobody else's business, as long as it stays; and it may be taken away.
	s.kubectl("scale", "deployment/web", "--replicas=2")
	s.kubectl("annotate", "deployment/web", "bakewatch.dev/undo-")

	// The commands write in the name that the API server knows.
	s.daemon(rules{window: "90s"})
	s.deploy(good("web", "b"))
	s.inPhase("web", 2, v1alpha1.PhaseBaking)
	s.must("", "abort", "web", "--yes", "--as", "ann smith")
	b := s.ended("web", 2, v1alpha1.OutcomeAbandoned, "aborted")
	if !strings.Contains(b.Status.Why, "ann_smith said to leave rev 2") {
		t.Errorf("it does not say who: %s", b.Status.Why)
	}
}
