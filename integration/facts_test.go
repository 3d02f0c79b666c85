package integration

import (
	"fmt"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/act/rollback"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/watcher"
)

// running deploys and waits until each app has served for long enough that what it served is a past to compare with: the
// judge takes no version for worse than one of which next to nothing is known.
func (s *stage) running(apps ...app) {
	s.t.Helper()
	for _, a := range apps {
		s.deploy(a)
	}
	s.serveAWhile(apps...)
}

// serveAWhile waits until each app has served for a while.
func (s *stage) serveAWhile(apps ...app) {
	s.t.Helper()
	for _, a := range apps {
		s.rolledOut(strings.ToLower(a.kind) + "/" + a.name)
		s.waitFor("prometheus to have seen "+a.name+" serve for a while", func() (bool, string) {
			of := fmt.Sprintf("http_requests_total{namespace=%q,app=%q}", s.namespace, a.name)
			n, err := s.query("sum(" + of + " - " + of + " offset 6s)")
			return err == nil && n >= 150, fmt.Sprint(n, err)
		})
	}
}

// stands checks a workload: the version in its template, the replicas wanted, and how many revisions it has had.
func (s *stage) stands(name, version string, replicas int32, revisions int64) {
	s.t.Helper()
	var state string
	s.waitFor(fmt.Sprintf("%s to stand at version %s, %d replicas, %d revisions", name, version, replicas, revisions), func() (bool, string) {
		state = fmt.Sprintf("image %s, %d replicas, revision %d", s.image(name), s.workload(name).replicas, s.revision(name))
		return state == fmt.Sprintf("image app:%s, %d replicas, revision %d", version, replicas, revisions), state
	})
}

// ownsNothing checks that no trace of Bakewatch is left among the owners of a workload's fields.
func (s *stage) ownsNothing(name string) {
	s.t.Helper()
	for _, m := range s.workload(name).meta.ManagedFields {
		if m.Manager == rollback.FieldManager || strings.HasPrefix(m.Manager, "bakewatch") {
			s.t.Errorf("field manager %q (%s) owns fields of %s; of its template: %v", m.Manager, m.Operation, name, watcher.OwnsTemplate(m.FieldsV1))
		}
	}
}

// rolledBack waits until a rollout was rolled back, and checks all there is to a rollback: the record, the workload, the
// receivers. The undo gives the good revision the number after the bad one's.
func (s *stage) rolledBack(name string, from, to int64, goodVersion string, replicas int32, code string) v1alpha1.Bake {
	s.t.Helper()
	b := s.ended(name, to, v1alpha1.OutcomeRolledBack, code)
	if b.Status.Reasons[0].Code != code || b.Status.Why != b.Status.Reasons[0].Sentence {
		s.t.Errorf("the first reason should be %s, and say why:\n%s", code, tell(b))
	}
	if b.Spec.From == nil || b.Spec.From.Number != from {
		s.t.Fatalf("judged against %+v, want revision %d", b.Spec.From, from)
	}
	rb := b.Status.Rollback
	if rb == nil || rb.Target.Hash != b.Spec.From.Hash || rb.PatchedAt == nil || rb.AvailableAt == nil || rb.Because != b.Status.Why {
		s.t.Fatalf("the record of the rollback is not whole: %+v", rb)
	}
	if rb.IntendedAt.After(rb.PatchedAt.Time) {
		s.t.Errorf("intended at %s, after the patch at %s", rb.IntendedAt, rb.PatchedAt)
	}
	if rb.Recovered != "Yes" {
		s.t.Errorf("recovered %q: %s", rb.Recovered, rb.Recovery)
	}
	if b.Status.KnownGood || b.Status.Observed {
		s.t.Errorf("known good %v, observed %v; want neither", b.Status.KnownGood, b.Status.Observed)
	}
	s.stands(name, goodVersion, replicas, to+1)
	s.ownsNothing(name)
	s.told(b)
	s.alarmed("BakewatchRolledBack", b)
	return b
}

// passed waits until a rollout has passed, and checks that nobody was alarmed.
func (s *stage) passed(name string, from, to int64) v1alpha1.Bake {
	s.t.Helper()
	b := s.ended(name, to, v1alpha1.OutcomePassed)
	if b.Spec.From == nil && from != 0 || b.Spec.From != nil && b.Spec.From.Number != from {
		s.t.Errorf("judged against %+v, want revision %d", b.Spec.From, from)
	}
	if !b.Status.KnownGood || b.Status.Rollback != nil {
		s.t.Errorf("known good %v, rollback %+v; want known good and no rollback", b.Status.KnownGood, b.Status.Rollback)
	}
	s.told(b)
	s.quiet(b)
	return b
}

// stays checks that something holds, and goes on holding for a while.
func (s *stage) stays(what string, span time.Duration, look func() (ok bool, state string)) {
	s.t.Helper()
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if ok, state := look(); !ok {
			s.t.Fatalf("it does not hold that %s: %s", what, state)
		}
	}
}

// count checks how many Bakes there are.
func (s *stage) count(want int) {
	s.t.Helper()
	if all := s.bakes(); len(all) != want {
		s.t.Errorf("%d bakes, want %d:\n%s", len(all), want, tell(all...))
	}
}
