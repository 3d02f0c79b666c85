package bake

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
)

func named(namespace, name string) Key {
	return Key{Kind: "Deployment", Namespace: namespace, Name: name}
}

// rollOut has the workloads run A for an hour, and then, at once, a version.
func (w *world) rollOut(version string, keys ...Key) {
	for _, k := range keys {
		w.deploy(k, version)
	}
}

func TestTheBudgetHoldsTheThird(t *testing.T) {
	for _, c := range []struct {
		name, budget, says string
		third              Key
		later              time.Duration
		held               bool
	}{
		{"of a namespace", "{perNamespace: 2, perCluster: 9, within: 10m}", "held: the budget of rollbacks in namespace shop is used up, 2 within 10m; many at once are one incident, not many bad deploys", named("shop", "c"), 0, true},
		{"not of another namespace", "{perNamespace: 2, perCluster: 9, within: 10m}", "", named("pay", "c"), 0, false},
		{"of the cluster", "{perNamespace: 9, perCluster: 2, within: 10m}", "held: the budget of rollbacks in the cluster is used up, 2 within 10m; many at once are one incident, not many bad deploys", named("pay", "c"), 0, true},
		{"not later", "{perNamespace: 2, perCluster: 9, within: 10m}", "", named("shop", "c"), 10 * time.Minute, false},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart=%v", c.name, restart), func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					w.rates["B"] = 0.2
					w.setPolicy(guardPolicy + "budget: " + c.budget + "\n")
					first := []Key{named("shop", "a"), named("shop", "b")}
					for _, k := range append(first, c.third) {
						w.create(k, "A")
					}
					w.pass(time.Hour)
					w.since = time.Now()
					p := w.start()
					w.rollOut("B", first...)
					w.pass(4 * time.Minute)
					for _, k := range first {
						wantOutcome(t, w.bakes(k)[2], v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
					}
					if restart { // what was spent is on record
						p.stop()
						w.start()
					}
					w.pass(c.later)
					w.rollOut("B", c.third)
					w.pass(4 * time.Minute)
					b := w.bakes(c.third)[2]
					if !c.held {
						wantOutcome(t, b, v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
						return
					}
					wantOutcome(t, b, v1alpha1.OutcomeHeld, CodeBudget)
					if last := b.Status.Reasons[len(b.Status.Reasons)-1].Sentence; last != c.says {
						t.Errorf("said\n%s, want\n%s", last, c.says)
					}
					wantChanges(t, w, "B to A", "B to A")
					if sent, _ := w.alerts(AlertHeld); len(sent) == 0 || sent[0].Severity != "critical" {
						t.Errorf("alerts: %v", sent)
					}
				})
			})
		}
	}
}

// All at once: as many are rolled back as the budget allows, whichever they are, and the rest are held.
func TestManyAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["B"] = 0.2
		w.setPolicy(guardPolicy + "budget: {perNamespace: 3, perCluster: 5, within: 10m}\n")
		var keys []Key
		for i := range 8 {
			keys = append(keys, named(fmt.Sprintf("ns%d", i%2), fmt.Sprintf("w%d", i)))
			w.create(keys[i], "A")
		}
		w.pass(time.Hour)
		w.since = time.Now()
		w.start()
		w.rollOut("B", keys...)
		w.pass(4 * time.Minute)
		got := map[v1alpha1.Outcome]int{}
		for _, k := range keys {
			got[w.bakes(k)[2].Status.Outcome]++
		}
		if got[v1alpha1.OutcomeRolledBack] != 5 || got[v1alpha1.OutcomeHeld] != 3 || len(w.changes) != 5 {
			t.Errorf("%v and %d templates changed, want 5 rolled back and 3 held", got, len(w.changes))
		}
	})
}

// A bake that intends nothing spends nothing: its controller's complaint is of the rollout before.
func TestOnlyIntentsSpend(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.rates["bad"] = 0.2
		w.setPolicy(guardPolicy + "budget: {perNamespace: 1, perCluster: 1, within: 10m}\n")
		other := named("shop", "other")
		w.create(other, "A")
		w.pass(time.Hour)
		w.since = time.Now()
		w.start()
		w.deploy(other, "B")
		w.pass(30 * time.Second)
		w.with(other, func(x *workload) { x.stuck = "ReplicaSet has timed out progressing." }) // it is complete
		w.pass(time.Second)
		w.deploy(web, "bad")
		w.pass(4 * time.Minute)
		wantOutcome(t, w.bake(t, 2), v1alpha1.OutcomeRolledBack, decide.CodeThreshold)
	})
}

func TestBudgetRefunds(t *testing.T) {
	var b budget
	now := noon
	spend := func(bake string) bool {
		_, _, ok := b.trySpend(bake, "shop", now, 10*time.Minute, 1, 9)
		return ok
	}
	if !spend("one") || !spend("one") {
		t.Error("the same bake spends once, and may ask again")
	}
	if spend("two") {
		t.Error("two rollbacks of one")
	}
	b.refund("one")
	if !spend("two") {
		t.Error("what was not carried out was not given back")
	}
	if now = now.Add(10*time.Minute - time.Nanosecond); spend("three") {
		t.Error("within ten minutes")
	}
	if now = now.Add(time.Nanosecond); !spend("three") {
		t.Error("ten minutes later")
	}
	b.spend("four", "shop", now)
	b.spend("four", "shop", now)
	if len(b.spent) != 3 {
		t.Errorf("spent: %v", b.spent)
	}
	if now = now.Add(25 * time.Hour); !spend("five") || len(b.spent) != 1 {
		t.Errorf("what is long past is still counted: %v", b.spent)
	}
	if _, scope, ok := b.trySpend("six", "pay", now, time.Hour, 0, 9); ok || !strings.Contains(scope, "namespace pay") {
		t.Errorf("a budget of none: %v, %s", ok, scope)
	}
}
