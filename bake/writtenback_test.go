package bake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

// Something writes the bad template back: that is said at once and by name, and not fought.
func TestWrittenBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		after   time.Duration
		inVain  bool   // the rollback's own bake ends by it
		told    string // of the rollout that it is; empty: like any other
		outcome v1alpha1.Outcome
		bad     float64
	}{
		{"at once", time.Millisecond, true, "shop deployment/web: argocd-controller wrote rev 2 back after it was rolled back; it runs again, as rev 4, and is NOT rolled back once more", v1alpha1.OutcomeHeld, 0.2},
		{"while it comes back", 2 * time.Second, true, "shop deployment/web: argocd-controller wrote rev 2 back after it was rolled back; it runs again, as rev 4, and is NOT rolled back once more", v1alpha1.OutcomeHeld, 0.2},
		{"while recovery is measured", 50 * time.Second, true, "shop deployment/web: argocd-controller wrote rev 2 back after it was rolled back; it runs again, as rev 4, and is NOT rolled back once more", v1alpha1.OutcomeHeld, 0.2},
		{"once all is well", 5 * time.Minute, false, "shop deployment/web: argocd-controller wrote rev 2 back after it was rolled back; it runs again, as rev 4, and is NOT rolled back once more", v1alpha1.OutcomeHeld, 0.2},
		{"and it is well now", 5 * time.Minute, false, "shop deployment/web: argocd-controller wrote rev 2 back after it was rolled back; it runs again, as rev 4, and is NOT rolled back once more", v1alpha1.OutcomePassed, 0},
		{"much later", 11 * time.Minute, false, "", v1alpha1.OutcomeHeld, 0.2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.rates["B"] = 0.2
				w.writer, w.writesBack = "argocd-controller", c.after
				w.start()
				w.deploy(web, "B")
				w.pass(4 * time.Minute)
				w.cluster.mu.Lock()
				w.rates["B"] = c.bad
				w.cluster.mu.Unlock()
				if c.inVain {
					b := w.bake(t, 2)
					wantOutcome(t, b, v1alpha1.OutcomeRolledBack, CodeWrittenBack)
					if rb := b.Status.Rollback; rb.Recovered != "No" || !strings.HasPrefix(rb.Recovery, "written-back: argocd-controller wrote rev 2 of deployment/web back, now rev 4,") {
						t.Errorf("recovered %s: %s", rb.Recovered, rb.Recovery)
					}
					if diff := cmp.Diff([]string{"shop deployment/web: rolled back from rev 2 to rev 1, and rev 2 was WRITTEN BACK"}, w.headlines(announce.Ended)[:1]); diff != "" {
						t.Errorf("told of the end (-want +got):\n%s", diff)
					}
				} else {
					wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
				}
				w.pass(15 * time.Minute)
				wantChanges(t, w, "B to A")
				again := w.bake(t, 4)
				code := CodeToAndFro
				if c.outcome == v1alpha1.OutcomePassed {
					code = decide.CodeWithin
				}
				wantOutcome(t, again, c.outcome, code)
				if warned := has(again.Status.Warnings, CodeWrittenBack); warned != (c.told != "") {
					t.Errorf("the record says that it was written back: %v", warned)
				}
				if told := w.headlines(announce.Deciding); slices.Contains(told, c.told) != (c.told != "") {
					t.Errorf("told: %q", told)
				}
				sent, at := w.alerts(AlertWrittenBack)
				if (len(sent) > 0) != (c.told != "") {
					t.Fatalf("%d alerts that it was written back", len(sent))
				}
				if c.told == "" {
					return
				}
				if sent[0].Severity != announce.Critical || !strings.Contains(sent[0].Story.Why, "argocd-controller wrote rev 2 of deployment/web back, now rev 4,") {
					t.Errorf("the alert is %s: %s", sent[0].Severity, sent[0].Story.Why)
				}
				if late := at[0].Sub(again.Spec.StartedAt.Time); late > 10*time.Second {
					t.Errorf("it was said %s after it happened", late)
				}
				firing := ""
				for _, a := range w.newest.loop.alerts {
					firing = a.Name
				}
				if want := map[v1alpha1.Outcome]string{v1alpha1.OutcomeHeld: AlertHeld}[c.outcome]; firing != want {
					t.Errorf("at the end fires %q, want %q", firing, want)
				}
			})
		})
	}
}

// Killed at any write, with something that writes the bad template back a second after each undo: there is one undo, and it is
// said that it was in vain.
func TestWrittenBackAndKilledAtEveryWrite(t *testing.T) {
	story := func(t *testing.T, killAt int, before bool) (writes int) {
		inWorld(t, func(t *testing.T, w *world) {
			w.rates["B"] = 0.2
			w.writer, w.writesBack = "kustomize-controller", time.Second
			p := w.start(func(p *process) { p.killAt, p.before = killAt, before })
			w.deploy(web, "B")
			for range 10 * 60 {
				if p.gone() != nil {
					w.pass(20 * time.Second)
					w.start()
					break
				}
				w.pass(time.Second)
			}
			w.pass(15 * time.Minute)
			wantChanges(t, w, "B to A")
			wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, CodeWrittenBack)
			if told := w.headlines(announce.Ended); !slices.Contains(told, "shop deployment/web: rolled back from rev 2 to rev 1, and rev 2 was WRITTEN BACK") {
				t.Errorf("told of the end: %q", told)
			}
			if again := w.bakes(web)[4]; again != nil {
				wantOutcome(t, again, v1alpha1.OutcomeHeld, CodeToAndFro)
			}
			writes = p.writes
		})
		return writes
	}
	total := story(t, 0, false)
	for n := 1; n <= total; n++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d before=%v", n, before), func(t *testing.T) { story(t, n, before) })
		}
	}
}

func TestParseMark(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 3, 20, 0, time.UTC)
	for _, c := range []struct {
		in     string
		number int64
		at     time.Time
		ok     bool
	}{
		{"7 at 2026-05-01T12:03:20Z", 7, at, true},
		{"7 at noon", 7, time.Time{}, false},
		{"7", 0, time.Time{}, false},
		{"", 0, time.Time{}, false},
	} {
		number, when, ok := parseMark(c.in)
		if ok != c.ok || ok && (number != c.number || !when.Equal(c.at)) {
			t.Errorf("%q is %d, %s, %v", c.in, number, when, ok)
		}
	}
}
