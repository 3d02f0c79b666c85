package bake

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

// What is written of a past is what is read of it.
func TestBlocksComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) signals.Side {
			if rapid.Bool().Draw(t, "missing") {
				return signals.Side{Missing: signals.NoSeries, Detail: "not known then"}
			}
			n := rapid.IntRange(0, 3).Draw(t, "requests")
			return signals.Side{Counts: signals.Counts{Requests: float64(n), Errors: float64(rapid.IntRange(0, n).Draw(t, "errors"))}}
		}), 1, 50).Draw(t, "blocks")
		if diff := cmp.Diff(blocks, readBlocks(writeBlocks(blocks))); diff != "" {
			t.Errorf("%s: %s", writeBlocks(blocks), diff)
		}
	})
	if got := writeBlocks([]signals.Side{{Missing: signals.Late}, {Counts: signals.Counts{Requests: 12}}, {Counts: signals.Counts{Requests: 12}}, {Counts: signals.Counts{Requests: 3, Errors: 1}}}); got != "-,12x2,3:1" {
		t.Error(got)
	}
}

func FuzzReadBlocks(f *testing.F) {
	for _, text := range []string{"", "-,12x2,3:1", "1x99999999999", "3:4", "-x-1", "1:x2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := readBlocks(text)
		if len(got) > maxBlocks+1 {
			t.Errorf("%d blocks", len(got))
		}
		for _, b := range got {
			if b.Missing == signals.Present && (!b.Spoke() || b.Errors > b.Requests) {
				t.Errorf("%+v", b)
			}
		}
	})
}

// A single replica, whose old pod is gone: its user flow's past is on record, so that after a restart, which forgets it, the new
// version is still compared with it.
func TestARestartDoesNotLoseTheComparison(t *testing.T) {
	for name, c := range map[string]struct {
		rate    float64
		kept    bool
		outcome v1alpha1.Outcome
		code    string
	}{
		"worse, and the past is on record":     {0.9, true, v1alpha1.OutcomeRolledBack, decide.CodeThreshold},
		"worse, and the past is not on record": {0.9, false, v1alpha1.OutcomeInconclusive, decide.CodeSuspicion},
		"as good as before":                    {0, true, v1alpha1.OutcomePassed, decide.CodeWithin},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.setPolicy(guardPolicy + "flows: [{name: x, match: {namespace: '*'}, steps: [{http: {path: /, port: 8080}}]}]\n")
				delete(w.config.Signals, policy.DefaultSignal)
				w.rates["B"] = c.rate
				p := w.start()
				w.with(web, func(x *workload) { x.readyAfter, x.completeAfter = 30*time.Second, 30*time.Second })
				w.deploy(web, "B")
				w.until(2, v1alpha1.PhaseRolling)
				w.pass(time.Second)
				b := w.bakes(web)[2]
				if len(b.Status.Pasts) != 1 || b.Status.Pasts[0].Signal != "flow-x@probe" {
					t.Fatalf("on record: %+v", b.Status.Pasts)
				}
				w.until(2, v1alpha1.PhaseBaking)
				w.pass(time.Second)
				p.stop()
				if !c.kept {
					w.cluster.mu.Lock()
					w.records[id(b)].Status.Pasts = nil
					w.cluster.mu.Unlock()
				}
				w.pass(2 * time.Second)
				now := time.Now()
				w.start(func(p *process) { p.remembers = now })
				w.pass(15 * time.Minute)
				wantOutcome(t, w.bake(t, 2), c.outcome, c.code)
			})
		})
	}
}
