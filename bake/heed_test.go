package bake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
)

func TestParseWord(t *testing.T) {
	for _, c := range []struct {
		text string
		want word
	}{
		{"7", word{number: 7}},
		{" 7\n", word{number: 7}},
		{"7  ann@example.com ", word{number: 7, by: "ann@example.com"}},
		{"7 to 5", word{number: 7, to: 5}},
		{"7 to 5 ann b", word{number: 7, to: 5, by: "ann b"}},
		{"7 to 5 ann #2", word{number: 7, to: 5, by: "ann"}},
		{"7 #2", word{number: 7}},
		{"7 to ann", word{number: 7, by: "to ann"}},
		{"7 to -5", word{number: 7, by: "to -5"}},
		{"", word{}}, {"yes", word{}}, {"0", word{}}, {"-7", word{}}, {"7x", word{}}, {"99999999999999999999", word{}},
	} {
		got, ok := parseWord(c.text)
		if got != c.want || ok != (c.want.number > 0) {
			t.Errorf("%q is %+v, %v; want %+v", c.text, got, ok, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		w := word{number: rapid.Int64Min(1).Draw(t, "number"), to: rapid.Int64Min(1).Draw(t, "to"), by: rapid.StringMatching("[a-z@.:]{0,50}").Draw(t, "by")}
		if got, _ := parseWord(fmt.Sprintf("%d to %d %s", w.number, w.to, w.by)); got != w {
			t.Fatalf("%+v, want %+v", got, w)
		}
		if got, _ := parseWord(rapid.String().Draw(t, "any")); len([]rune(got.by)) > mostOf || got.number < 0 {
			t.Fatalf("%+v", got)
		}
	})
}

// says has a person annotate web.
func (w *world) says(value string) {
	w.with(web, func(x *workload) { x.annotations = map[string]string{policy.AnnotationUndo: value} })
	w.pass(5 * time.Minute)
}

// own is the record of the rollout of a revision, and not of what a person asked of it.
func (w *world) own(t *testing.T, number int64) *v1alpha1.Bake {
	t.Helper()
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	for _, b := range w.records {
		if b.Spec.ByHand == nil && b.Spec.To.Number == number {
			return b.DeepCopy()
		}
	}
	t.Fatalf("no bake of revision %d", number)
	return nil
}

// asked is the newest record of a rollback that a person asked for; nil when there is none.
func (w *world) asked() (newest *v1alpha1.Bake) {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	for _, b := range w.records {
		if b.Spec.ByHand != nil && (newest == nil || b.Spec.StartedAt.After(newest.Spec.StartedAt.Time)) {
			newest = b.DeepCopy()
		}
	}
	return newest
}

// wantAsked checks how the rollback that a person asked for ended, and what is known good since.
func wantAsked(t *testing.T, w *world, revisions string, o v1alpha1.Outcome, code string, good string) *v1alpha1.Bake {
	t.Helper()
	b := w.asked()
	if b == nil {
		t.Fatalf("nothing is on record of what was asked: %v", w.outcomes())
	}
	wantOutcome(t, b, o, code)
	if b.Spec.Revisions != revisions {
		t.Errorf("it is a rollback %q, want %q", b.Spec.Revisions, revisions)
	}
	if got := w.newest.loop.ledger.of(web).good.Hash; got != good {
		t.Errorf("known good is %q, want %q", got, good)
	}
	return b
}

// A version that passed turns out to be bad in a way that nothing measures.
func TestAPersonUndoesWhatPassed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomePassed, decide.CodeWithin)
		w.says("2 ann@example.com")
		b := wantAsked(t, w, "1 ← 2", v1alpha1.OutcomeRolledBack, CodeByHand, "A")
		wantChanges(t, w, "B to A")
		if by := b.Status.ByHand; by == nil || by.By != "ann@example.com" || by.Word != "2 ann@example.com" || b.Status.Rollback.Recovered != "Yes" {
			t.Errorf("on record is %+v, recovered %q", by, b.Status.Rollback.Recovered)
		}
		if told := w.headlines(announce.Started); !slices.ContainsFunc(told, func(h string) bool { return strings.Contains(h, "ann@example.com asks to roll rev 2 back to rev 1") }) {
			t.Errorf("people were told %q", told)
		}
		// It is not heeded again, by the next daemon neither, and the next version is judged against what is good now.
		w.newest.stop()
		w.start()
		w.pass(5 * time.Minute)
		w.rates["C"] = 0.2
		w.deploy(web, "C")
		w.pass(10 * time.Minute)
		wantOutcome(t, w.bake(t, 4), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
		wantChanges(t, w, "B to A", "C to A")
	})
}

func TestAPersonChoosesTheRevision(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.deploy(web, "B")
		w.pass(10 * time.Minute)
		w.deploy(web, "C")
		w.pass(time.Minute)
		w.says("3 to 1 ann") // while it is baked against B
		wantOutcome(t, w.own(t, 3), v1alpha1.OutcomeAbandoned, CodeByHand)
		wantAsked(t, w, "1 ← 3", v1alpha1.OutcomeRolledBack, CodeByHand, "A")
		wantChanges(t, w, "C to A")
		w.says("4 to 9 ann")
		wantAsked(t, w, "- ← 4", v1alpha1.OutcomeHeld, CodeByHand, "A")
		w.says("4 to 2 ann") // to what was rolled back from a rollback, which has no bake
		wantAsked(t, w, "2 ← 4", v1alpha1.OutcomeRolledBack, CodeByHand, "B")
		wantChanges(t, w, "C to A", "A to B")
		w.says("7 to 1")
		wantChanges(t, w, "C to A", "A to B")
	})
}

// What is held waits for a person, who may have it done.
func TestAPersonUndoesWhatIsHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.setPolicy(guardPolicy + "budget: {perCluster: 0}\n")
		w.start()
		w.deploy(web, "B")
		w.pass(5 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeBudget)
		w.says("2")
		wantAsked(t, w, "1 ← 2", v1alpha1.OutcomeRolledBack, CodeByHand, "A")
		wantChanges(t, w, "B to A")
		if n := len(w.newest.loop.alerts); n != 0 {
			t.Errorf("%d alerts fire on", n)
		}
	})
}

// Where it may only observe, a person is told so, once for each word.
func TestAPersonAsksInVain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.setPolicy(strings.Replace(guardPolicy, "guard", "observe", 1))
		w.start()
		w.deploy(web, "B")
		w.pass(time.Minute)
		w.says("2 ann")
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeHeld, CodeObserve)
		if b := w.asked(); b != nil {
			t.Fatalf("what the bake itself answered is asked again: %+v", b.Spec)
		}
		w.says("2 ann #2")
		wantAsked(t, w, "1 ← 2", v1alpha1.OutcomeHeld, CodeByHand, "A")
		w.newest.stop()
		w.start()
		w.pass(10 * time.Minute)
		if n := len(w.outcomes()); n != 2 {
			t.Errorf("%d records: %v", n, w.outcomes())
		}
		wantChanges(t, w)
	})
}

// Killed at any step, what a person asks is done once.
func TestWhatAPersonAsksIsDoneOnce(t *testing.T) {
	const atLeast = 6 // writes: a record, its phases, the undo
	for _, before := range []bool{true, false} {
		for at, killed := 1, true; killed; at++ {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				w.deploy(web, "B")
				w.pass(10 * time.Minute)
				w.newest.stop()
				w.start(func(p *process) { p.killAt, p.before = at, before })
				w.says("2 ann")
				if killed = w.newest.gone() != nil; !killed && at <= atLeast {
					t.Fatalf("it has %d steps only", at-1)
				}
				w.newest.stop()
				w.start()
				w.pass(10 * time.Minute)
				wantAsked(t, w, "1 ← 2", v1alpha1.OutcomeRolledBack, CodeByHand, "A")
				wantChanges(t, w, "B to A")
				if n := len(w.outcomes()); n != 2 {
					t.Fatalf("killed at %d: %d records: %v", at, n, w.outcomes())
				}
			})
		}
	}
}
