package prometheus

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

// ofDB asks about the StatefulSet db, by when its new pods were born.
func ofDB(born map[string]float64, bounds ...float64) signals.Question {
	q := signals.Question{Query: signals.Query{By: signals.ByPod, Requests: `r{}`, Errors: `e{}`}, Kind: "StatefulSet", Workload: "db", Baseline: "db-",
		Lives: map[string]time.Time{}, FromZero: true, Born: second(0), Bounds: seconds(bounds...)}
	for pod, at := range born {
		q.Lives[pod] = second(at)
	}
	return q
}

func TestLives(t *testing.T) {
	rising := func(from float64) func(float64) float64 {
		return func(at float64) float64 { return from + 2*at }
	}
	other := counter("pod=db-0,instance=0", every(-200, 600, 15, rising(5000)))
	for _, c := range []struct {
		name     string
		q        signals.Question
		requests model.Matrix
		// what each window counts of the new pod db-1, and of the old pods by name; nothing stands for missing
		candidate []float64
		baseline  []map[string]float64
	}{
		{"the same name at another address", ofDB(map[string]float64{"db-1": 20}, 0, 15, 30, 45),
			model.Matrix{other, counter("pod=db-1,instance=1", every(-200, 10, 15, rising(9000))), counter("pod=db-1,instance=2", "25:8 40:20")},
			[]float64{-1, 8, 12}, []map[string]float64{{"db-0": 30, "db-1": 30}, {"db-0": 30, "db-1": 0}, {"db-0": 30, "db-1": 0}}},
		{"the same name at the same address", ofDB(map[string]float64{"db-1": 20}, 0, 15, 30, 45),
			model.Matrix{other, counter("pod=db-1", every(-200, 10, 15, rising(9000))+"25:8 40:20")},
			[]float64{-1, 8, 12}, []map[string]float64{{"db-0": 30, "db-1": 30}, {"db-0": 30, "db-1": 0}, {"db-0": 30, "db-1": 0}}},
		{"the source's clock is ahead: the old life's last sample comes after the new one was born", ofDB(map[string]float64{"db-1": 20}, 15, 30, 45),
			model.Matrix{other, counter("pod=db-1,instance=1", "-5:9000 10:9030 25:9060"), counter("pod=db-1,instance=2", "40:20")},
			[]float64{-1, 20}, []map[string]float64{{"db-0": 30, "db-1": 30}, {"db-0": 30, "db-1": 0}}},
		{"likewise, at the same address", ofDB(map[string]float64{"db-1": 20}, 15, 30, 45),
			model.Matrix{other, counter("pod=db-1", "-5:9000 10:9030 25:9060 40:20")},
			[]float64{-1, 20}, []map[string]float64{{"db-0": 30, "db-1": 30}, {"db-0": 30, "db-1": 0}}},
		{"likewise, when nothing older is in view any more", ofDB(map[string]float64{"db-1": 20}, 141, 156),
			model.Matrix{other, counter("pod=db-1,instance=1", "-5:9000 10:9030 25:9060"), counter("pod=db-1,instance=2", "145:20 155:30")},
			[]float64{30}, []map[string]float64{{"db-0": 30, "db-1": 0}}},
		{"likewise, at the same address", ofDB(map[string]float64{"db-1": 20}, 141, 156),
			model.Matrix{other, counter("pod=db-1", "-5:9000 10:9030 25:9060 145:20 155:30")},
			[]float64{30}, []map[string]float64{{"db-0": 30, "db-1": 0}}},
		{"the new life has soon counted more than the old one had: no more than the difference is lost", ofDB(map[string]float64{"db-1": 20}, 0, 15, 30, 45, 60),
			model.Matrix{other, counter("pod=db-1", "-5:3 10:3 40:100 55:150")},
			[]float64{-1, -1, 97, 50}, []map[string]float64{{"db-0": 30, "db-1": 0}, {"db-0": 30, "db-1": 0}, {"db-0": 30, "db-1": 0}, {"db-0": 30, "db-1": 0}}},
		{"counted before: it goes on", func() signals.Question {
			q := ofDB(map[string]float64{"db-1": 20}, 45, 60)
			q.Seen = map[string]bool{"db-1": true}
			return q
		}(), model.Matrix{other, counter("pod=db-1,instance=2", "25:8 40:20 55:50")}, []float64{30}, []map[string]float64{{"db-0": 30}}},
		{"it was there before the rollout: its counter goes on", ofDB(map[string]float64{"db-1": -900}, 0, 15),
			model.Matrix{other, counter("pod=db-1", every(-200, 600, 15, rising(9000)))}, []float64{30}, []map[string]float64{{"db-0": 30}}},
		{"nothing is born yet", ofDB(nil, 0, 15), model.Matrix{other}, []float64{-1}, []map[string]float64{{"db-0": 30}}},
		{"a neighbour's pods are nobody's", ofDB(map[string]float64{"db-1": 3}, 0, 15),
			model.Matrix{other, counter("pod=db-cache-1", every(-200, 600, 15, rising(9000))), counter("pod=db-1", "10:4")}, []float64{4}, []map[string]float64{{"db-0": 30}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, r := range tell(c.q, c.requests, nil) {
				got := -1.0
				if r.Candidate.Missing == signals.Present {
					got = r.Candidate.Requests
				}
				if got != c.candidate[i] {
					t.Errorf("window %d: the new pods counted %v, want %v: %+v", i, got, c.candidate[i], r.Candidate)
				}
				pods := map[string]float64{}
				for pod, n := range r.Baseline.Pods {
					pods[pod] = n.Requests
				}
				if diff := cmp.Diff(c.baseline[i], pods); diff != "" {
					t.Errorf("window %d: the old pods counted (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestLivesOfADaemonSet(t *testing.T) {
	q := ofDB(map[string]float64{"agent-x2k8p": 5}, 0, 15)
	q.Kind, q.Workload = "DaemonSet", "agent"
	got := tell(q, model.Matrix{counter("pod=agent-x2k8p", "10:7"), counter("pod=agent-abcde", "-5:100 10:130"), counter("pod=agent-proxy-abcde", "-5:100 10:130")}, nil)[0]
	if got.Candidate.Requests != 7 || got.Baseline.Requests != 30 || len(got.Baseline.Pods) != 1 {
		t.Errorf("%+v", got)
	}
	q.Baseline = ""
	if got := tell(q, model.Matrix{counter("pod=agent-abcde", "-5:100 10:130")}, nil)[0]; got.Baseline.Missing != signals.NoSeries || got.Candidate.Detail != "no series for the new pods of agent" {
		t.Errorf("%+v", got)
	}
}

// TestLivesAreAsGoodAsNames: pods that take over the names of others are counted as they would be under names of their own.
func TestLivesAreAsGoodAsNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tick, ticks = 15.0, 20
		scrape := rapid.SampledFrom([]float64{1, 5, 15, 30}).Draw(t, "scrape")
		byName := signals.Question{Query: signals.Query{By: signals.ByPod, Requests: `r{}`, Errors: `e{}`}, Candidate: "new-", Baseline: "old-", FromZero: true, Born: second(0)}
		byLife := ofDB(nil)
		for i := range ticks + 1 {
			byName.Bounds = append(byName.Bounds, second(tick*float64(i)))
		}
		byLife.Bounds = byName.Bounds
		var plain, reborn [2]model.Matrix // requests and errors
		for pod := range rapid.IntRange(1, 3).Draw(t, "pods") {
			phase := rapid.Float64Range(0, 1).Draw(t, "phase") * scrape
			died := rapid.Float64Range(-200, tick*ticks).Draw(t, "died")
			born := died + rapid.Float64Range(1, 60).Draw(t, "gap")
			ahead := rapid.Float64Range(0, 10).Draw(t, "clock") // how far the source's clock is ahead of the one that says when it was born
			sameAddress := rapid.Bool().Draw(t, "same address")
			if replaced := rapid.Bool().Draw(t, "replaced"); !replaced {
				died, born = 1000, 2000
			} else if sameAddress {
				born = max(born, died+scrape) // else the first scrape of the new one may be that which the old one missed
			}
			samples := func(from, to, start, step float64) string {
				var b strings.Builder
				n := 0.0
				for k := range 4000 {
					at := -400 + phase + float64(k)*scrape
					if at > to || at > tick*ticks {
						break
					}
					if at > from {
						fmt.Fprintf(&b, "%.3f:%g ", at, start+n*step)
						n++
					}
				}
				return b.String()
			}
			for which, step := range []float64{7, 2} {
				before := samples(-1000, died, 1e6, step)
				after := samples(born, 1e9, step, step)
				name := fmt.Sprintf("code=%d", which)
				add := func(to *[2]model.Matrix, pod, instance, text string) {
					if text != "" {
						to[which] = append(to[which], counter(fmt.Sprintf("pod=%s,instance=%s,%s", pod, instance, name), text))
					}
				}
				add(&plain, fmt.Sprintf("old-%d", pod), "a", before)
				add(&plain, fmt.Sprintf("new-%d", pod), "b", after)
				db := fmt.Sprintf("db-%d", pod)
				if sameAddress {
					add(&reborn, db, "a", before+after)
				} else {
					add(&reborn, db, "a", before)
					add(&reborn, db, "b", after)
				}
				if born < tick*ticks {
					byLife.Lives[db] = second(born - ahead)
				}
			}
		}
		want, got := tell(byName, plain[0], plain[1]), tell(byLife, reborn[0], reborn[1])
		for i := range want {
			for _, s := range []struct {
				what      string
				want, got signals.Side
			}{{"candidate", want[i].Candidate, got[i].Candidate}, {"baseline", want[i].Baseline, got[i].Baseline}} {
				if s.want.Missing != s.got.Missing || s.want.Counts != s.got.Counts || len(s.want.Pods) != len(s.got.Pods) {
					t.Fatalf("window %d, %s: by name %+v, by life %+v; born %v, pods %v", i, s.what, s.want, s.got, byLife.Lives, slices.Sorted(maps.Keys(s.want.Pods)))
				}
			}
		}
	})
}
