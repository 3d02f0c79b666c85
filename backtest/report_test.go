package backtest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func example() Report {
	at := noon.Add(45 * time.Second)
	return Report{Config: "new.yaml", Rows: []Row{
		{Namespace: "shop", Kind: "Deployment", Name: "web", Started: noon, Outcome: "RolledBack", DecidedAt: &at, Seconds: 45, Failed: 1234, Why: "http-errors: 8% of <b>", Now: "Passed", NowRecorded: true, Signals: []Signal{}},
		{Namespace: "shop", Kind: "Deployment", Name: "api", Started: noon, Outcome: "Inconclusive", Why: "no series", Now: "Inconclusive", Signals: []Signal{}, Notes: []string{"not over yet"}},
	}, Trades: []Trade{{Parameter: "http-errors.threshold.increase", Value: "2", RolledBack: 1, MeanSeconds: 45.4, Failed: 1234}, {Parameter: "http-errors.threshold.increase", Value: "3", Inconclusive: 2}}}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := example().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	want := `STARTED              NAMESPACE  WORKLOAD        NOW                     WOULD BE      AFTER  FAILED  WHY
2026-05-01 12:00:00  shop       deployment/web  Passed                  RolledBack    45s    1,234   http-errors: 8% of <b>
2026-05-01 12:00:00  shop       deployment/api  Inconclusive (default)  Inconclusive  -      0       no series; not over yet

2 rollouts: 1 would be rolled back (now 0), 0 pass, 1 neither; a rollback comes after 45s on average, and 1,234 requests failed until then.

HTTP-ERRORS.THRESHOLD.INCREASE  ROLLED BACK  PASSED  NEITHER  MEAN DELAY  FAILED UNTIL THEN
2                               1            0       0        45s         1,234
3                               0            0       2        -           0
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONIsOneObjectARollout(t *testing.T) {
	var out bytes.Buffer
	if err := example().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines", len(lines))
	}
	var row map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &row); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"namespace", "name", "started", "outcome", "decidedAt", "seconds", "evidence", "signals"} {
		if _, ok := row[key]; !ok {
			t.Errorf("no %s in %s", key, lines[0])
		}
	}
}

func TestPageIsSelfContained(t *testing.T) {
	var out strings.Builder
	if err := example().WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"8% of &lt;b&gt;", "new.yaml", "Sweep of http-errors.threshold.increase", `class="changed"`, "1,234", "not over yet"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	for _, foreign := range []string{"http://", "https://", "<script", "src="} {
		if strings.Contains(out.String(), foreign) {
			t.Errorf("%s is in it", foreign)
		}
	}
}

func TestSweep(t *testing.T) {
	config, err := policy.Parse("f", []byte("sources: {prometheus: {url: http://p}}\nsignals: {http-errors: {}, a: {prometheus: {errors: e, requests: r}}}\n"))
	for name := range config.Signals {
		if name != "a" && name != "http-errors" {
			delete(config.Signals, name)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	target := policy.Target{Kind: "Deployment", Namespace: "shop", Name: "web", Annotations: map[string]string{policy.AnnotationPrefix + "a.ticks": "7"}}
	for text, want := range map[string][2]float64{"signals.http-errors.threshold.increase=3x, 4": {2, 3}, "signal.threshold.increase=3,4": {3, 3}, "a.threshold.increase=3,4": {3, 2}} {
		s, err := ParseSweep(text, config)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		p, err := s.with(config, target, s.Values[0])
		if err != nil || len(s.Values) != 2 || p.Signals[0].Threshold.Increase != want[0] || p.Signals[1].Threshold.Increase != want[1] || p.Signals[0].Threshold.Ticks != 7 {
			t.Errorf("%s: %+v, %v", text, p.Signals, err)
		}
	}
	for _, text := range []string{"", "a=1", "a.threshold.increase=", "a.threshold.increase", "a.increase=2", "b.threshold.max=1%", "a.threshold.max=1%,200%", "a.threshold.max=" + strings.Repeat("1%,", 21) + "1%"} {
		if s, err := ParseSweep(text, config); err == nil {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
	s := Sweep{Path: "p", Values: []string{"1", "2"}}
	back := bake.Ending{Outcome: v1alpha1.OutcomeRolledBack, At: noon.Add(time.Minute), Served: signals.Counts{Requests: 100, Errors: 5}}
	rows := []Row{
		{Started: noon, swept: []bake.Ending{back, {Outcome: v1alpha1.OutcomePassed}}},
		{Started: noon.Add(30 * time.Second), swept: []bake.Ending{back, {Outcome: v1alpha1.OutcomeInconclusive}}},
		{Started: noon, Outcome: "NotWatched"},
	}
	want := []Trade{{Parameter: "p", Value: "1", RolledBack: 2, MeanSeconds: 45, Failed: 10}, {Parameter: "p", Value: "2", Passed: 1, Inconclusive: 1}}
	if diff := cmp.Diff(want, s.Trades(rows)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func set(name, owner, revision string, created time.Duration) appsv1.ReplicaSet {
	yes := true
	return appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(noon.Add(created)),
		Annotations:     map[string]string{revisionKey: revision},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Name: owner, Controller: &yes}}}}
}

// What is on record of a rollout is taken in place of what its ReplicaSet tells.
func TestClusterRollouts(t *testing.T) {
	alone := set("canary-1", "canary", "1", 0)
	alone.OwnerReferences[0].Kind = "Rollout"
	got := FromReplicaSets([]appsv1.ReplicaSet{set("web-c", "web", "3", 2*time.Hour), set("web-a", "web", "1", -time.Hour), set("web-b", "web", "", time.Hour), set("api-a", "api", "1", 0), alone}, noon)
	order(got)
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	b := Rollout{Kind: "Deployment", Namespace: "shop", Name: "web", Started: at(time.Hour), Ended: at(2 * time.Hour), Since: at(-time.Hour), To: "web-b", From: "web-a", CalledTo: "web-b", CalledFrom: "rev 1"}
	c := Rollout{Kind: "Deployment", Namespace: "shop", Name: "web", Started: at(2 * time.Hour), Since: at(time.Hour), To: "web-c", From: "web-b", CalledTo: "rev 3", CalledFrom: "web-b"}
	if diff := cmp.Diff([]Rollout{b, c}, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}

	micro := func(d time.Duration) *metav1.MicroTime { t := metav1.NewMicroTime(at(d)); return &t }
	of := func(to string, started time.Duration) *v1alpha1.Bake {
		one := &v1alpha1.Bake{Spec: v1alpha1.BakeSpec{Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}, To: v1alpha1.Revision{Name: to, Number: 3},
			From: &v1alpha1.Revision{Name: "web-a", Number: 1}, StartedAt: *micro(started), BaselineUntil: *micro(started), BaselineSince: micro(-time.Hour)},
			Status: v1alpha1.BakeStatus{FirstReadyAt: micro(started + time.Second), CompletedAt: micro(started + time.Minute), Outcome: v1alpha1.OutcomeRolledBack,
				Rollback: &v1alpha1.Rollback{PatchedAt: micro(started + 2*time.Minute)}}}
		one.Namespace = "shop"
		return one
	}
	got = WithBakes(got, []*v1alpha1.Bake{of("web-c", 2*time.Hour+time.Second), of("web-a", 3*time.Hour), of("web-old", -time.Minute)}, noon)
	recorded := Rollout{Kind: "Deployment", Namespace: "shop", Name: "web", Started: at(2*time.Hour + time.Second), Ended: at(2*time.Hour + 2*time.Minute + time.Second),
		FirstReady: at(2*time.Hour + 2*time.Second), Completed: at(2*time.Hour + time.Minute + time.Second), To: "web-c", From: "web-a", CalledTo: "rev 3", CalledFrom: "rev 1",
		Since: at(-time.Hour), Until: at(2*time.Hour + time.Second), Now: "RolledBack"}
	if len(got) != 3 || got[2].To != "web-a" {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]Rollout{b, recorded}, got[:2]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A rollout begins in a second, and the one before passed within it: its bake is not cut short by the tick it needs.
func TestOrder(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).Add(d) }
	rollouts := []Rollout{
		{Name: "web", To: "c", Started: at(40 * time.Second)},
		{Name: "web", To: "a", Started: at(0), Watched: at(20*time.Second + 500*time.Millisecond)},
		{Name: "web", To: "b", Started: at(20 * time.Second), Watched: at(30 * time.Second)},
		{Name: "other", To: "a", Started: at(10 * time.Second)},
	}
	order(rollouts)
	want := []time.Time{at(20*time.Second + 500*time.Millisecond), {}, at(40 * time.Second), {}}
	for i, r := range rollouts {
		if !r.Ended.Equal(want[i]) {
			t.Errorf("%s to %s ends at %s, want %s", r.Name, r.To, r.Ended, want[i])
		}
	}
}

// Of the past only Prometheus is asked; a signal of another source is left out, and said to be.
func TestAnswered(t *testing.T) {
	out, notes := answered([]policy.Signal{{Name: "a"}, {Name: "a", Query: signals.Query{Source: signals.Datadog, Errors: "e"}}, {Name: "b", Query: signals.Query{Source: signals.Prometheus}}})
	if len(out) != 2 || out[0].Name != "a" || out[1].Name != "b" || len(notes) != 1 || !strings.Contains(notes[0], "signal a is left out") || !strings.Contains(notes[0], "not datadog") {
		t.Errorf("%+v, %q", out, notes)
	}
}
