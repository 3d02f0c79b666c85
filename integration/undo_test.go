package integration

import (
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestBadVersionIsRolledBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.deploy(good("web", "a"))
	s.rolledOut("web")
	s.daemon(rules{})

	s.deploy(bad("web", "b"))
	s.ended("web", 2, v1alpha1.OutcomeRolledBack, "threshold")
	if got := s.image("web"); got != "app:a" {
		t.Errorf("the template's image is %s, want the good one", got)
	}
}
