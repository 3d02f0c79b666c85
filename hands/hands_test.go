package hands

import (
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the reports in testdata from what is reported now")

var began = time.Date(2026, 5, 1, 3, 0, 0, 0, time.UTC)

func at(seconds int) *metav1.MicroTime {
	t := metav1.NewMicroTime(began.Add(time.Duration(seconds) * time.Second))
	return &t
}

// undone is the record of a rollout that was rolled back, and passed the one before.
func undone() *v1alpha1.Bake {
	return &v1alpha1.Bake{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deployment-web-1f-2"},
		Spec: v1alpha1.BakeSpec{
			Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "web"}, Ref: "deployment/web", Revisions: "1 → 2",
			From: &v1alpha1.Revision{Number: 1, Images: []string{"web:v1"}}, To: v1alpha1.Revision{Number: 2, Images: []string{"web:v2"}},
			StartedAt: *at(0), Changes: []string{"image of app: web:v1 → web:v2", "env DB_<x>|y changed"}, ChangedBy: "kubectl-client-side-apply",
		},
		Status: v1alpha1.BakeStatus{
			Outcome: v1alpha1.OutcomeRolledBack, Why: "http-errors: 8% of 900 requests failed on rev 2 against 0.1% on rev 1",
			Reasons:    []v1alpha1.Reason{{Code: "threshold", Signal: "http-errors", Sentence: "http-errors: 8% of 900 requests failed on rev 2 against 0.1% on rev 1"}},
			Warnings:   []v1alpha1.Reason{{Code: "no-readiness-probe", Sentence: "no-readiness-probe: no container of deployment/web has a readiness probe"}},
			Migrations: []v1alpha1.Migration{{Tool: "django", Name: "shop.0042_drop_price", Pod: "web-557-x", Container: "app"}},
			Evidence: []v1alpha1.PodEvidence{{Name: "web-557-x", Node: "node-1", State: "CrashLoopBackOff of container app, exit code 1", Restarts: 4,
				Events: []string{"BackOff: Back-off restarting failed container"}, Container: "app", Lines: []string{"starting", "``` fatal: *cannot* start", "``` fatal: *cannot* start"}}},
			Signals: []v1alpha1.SignalSummary{{Name: "http-errors", Candidate: "72 / 900", Baseline: "1 / 1000", History: "9 / 9000"}},
			Courses: []v1alpha1.Course{{Signal: "http-errors", Unit: "%", What: "requests that failed", Limit: "0.52", Lines: []v1alpha1.CourseLine{
				course("before", -180, 15, "0.1,0,0.1,0.2,0.1,0,0.1,0.1,0,0.1,0.1,0.2"), course("new", 30, 15, ",7.9,8.3,8.1"), course("old", 30, 15, "0.1,0.2,,"), course("restored", 105, 15, "0.4,0.1,0,0.1,0.1,0.1"),
			}}, {Signal: "memory", Unit: "of the memory limit", Limit: "0.9", Lines: []v1alpha1.CourseLine{course("before", -180, 15, "0.4,0.41"), course("new", 30, 15, "0.5,,0.55")}}},
			FoundAt: at(31), Service: "web", Measured: []v1alpha1.Measured{{Signal: "http-errors", Source: "prometheus", Preset: "http_requests_total by code", By: "pod", Requests: "http_requests_total{namespace=\"$namespace\"}"}},
			NotMeasured:  []v1alpha1.NotMeasured{{Signal: "http-errors", Source: "prometheus", Preset: "Istio sidecar", Why: "no such metric"}},
			FirstReadyAt: at(30), CompletedAt: at(50), EndedAt: at(200),
			Rollback: &v1alpha1.Rollback{IntendedAt: *at(90), Target: v1alpha1.Revision{Number: 1}, Because: "http-errors: 8% of 900 requests failed on rev 2 against 0.1% on rev 1", PatchedAt: at(91), AvailableAt: at(110),
				Recovered: "Yes", Recovery: "recovered: 0.1% of 2,000 requests failed on the restored rev 1"},
			Announced: []v1alpha1.Receipt{{Receiver: "grafana", Stage: "ended", At: *at(201)}, {Receiver: "webhook", Stage: "ended", At: *at(202), Error: "gave up"}},
		},
	}
}

func course(side string, from, step int, values string) v1alpha1.CourseLine {
	return v1alpha1.CourseLine{Side: side, From: metav1.NewTime(at(from).Time), Step: metav1.Duration{Duration: time.Duration(step) * time.Second}, Values: values}
}

func bakeOf(kind, name string, number int64, started int, outcome v1alpha1.Outcome) *v1alpha1.Bake {
	b := &v1alpha1.Bake{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}
	b.Spec.Workload.Kind, b.Spec.Workload.Name, b.Spec.Ref = kind, name, strings.ToLower(kind)+"/"+name
	b.Spec.To.Number, b.Spec.StartedAt = number, *at(started)
	if b.Status.Outcome = outcome; outcome != "" {
		b.Status.EndedAt = at(started + 60)
	}
	return b
}

func TestParseWorkload(t *testing.T) {
	for text, want := range map[string]Workload{
		"web": {"", "web"}, "deploy/web": {"Deployment", "web"}, "Deployment/web": {"Deployment", "web"}, "deployments.apps/web": {"Deployment", "web"},
		"sts/db": {"StatefulSet", "db"}, "daemonset/agent": {"DaemonSet", "agent"},
	} {
		if got, err := ParseWorkload(text); got != want || err != nil {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"pod/web": `"pod" is not the kind of a workload; write deployment/web, statefulset/web or daemonset/web`,
		"":        `"" names no workload; write it like deployment/web`, "deploy/": `"deploy/" names no workload; write it like deployment/web`,
		"deploy/a/b": `"deploy/a/b" names no workload; write it like deployment/web`,
	} {
		if _, err := ParseWorkload(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestOf(t *testing.T) {
	all := []*v1alpha1.Bake{bakeOf("Deployment", "web", 2, 0, "Passed"), bakeOf("Deployment", "web", 3, 100, ""), bakeOf("StatefulSet", "db", 1, 0, "Passed"), bakeOf("DaemonSet", "db", 1, 0, "Passed")}
	got, err := Of(all, Workload{Name: "web"})
	if err != nil || len(got) != 2 || got[0].Spec.To.Number != 3 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := Of(all, Workload{Name: "db"}); err == nil || err.Error() != "db may be daemonset/db or statefulset/db; write which" {
		t.Error(err)
	}
	if got, err := Of(all, Workload{"StatefulSet", "db"}); err != nil || len(got) != 1 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := Of(all, Workload{Name: "api"}); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// How a rollout stands that is paused part-way, and what its report says of it.
func TestPaused(t *testing.T) {
	b := bakeOf("Deployment", "web", 2, 0, "")
	b.Status.Phase = v1alpha1.PhaseBaking
	stands := func(want, because string) {
		t.Helper()
		if got := Standing(b); got != want || why(b) != because {
			t.Errorf("stands %s, because %s; want %s, %s", got, why(b), want, because)
		}
	}
	const sentence = "canary: paused with 1 of 5 pods new"
	b.Status.Pauses = []v1alpha1.Pause{{Why: "canary", Sentence: sentence, IntendedAt: *at(1)}}
	stands("Baking", "")
	b.Status.Pauses[0].PausedAt = at(2)
	stands("Baking (paused)", sentence)
	b.Status.Outcome, b.Status.EndedAt, b.Status.Why = v1alpha1.OutcomeHeld, at(9), "worse"
	stands("Held (paused)", "worse")
	b.Status.Pauses[0].ReleasedAt, b.Status.Pauses[0].Ended = at(10), "somebody let it go on"
	stands("Held", "worse")
	b.Status.Pauses = append(b.Status.Pauses, v1alpha1.Pause{Why: "suspicion", IntendedAt: *at(11), ReleasedAt: at(12), Ended: "not paused: forbidden"})
	var said []string
	for _, e := range timeline(b) {
		said = append(said, e.What)
	}
	for _, want := range []string{"the rollout was paused part-way: " + sentence, "the pause was over: somebody let it go on", "the rollout was NOT paused part-way: forbidden"} {
		if !slices.Contains(said, want) {
			t.Errorf("the timeline lacks %q: %q", want, said)
		}
	}
}

func TestNewest(t *testing.T) {
	var got []string
	for _, b := range Newest([]*v1alpha1.Bake{bakeOf("Deployment", "a", 1, 0, "Passed"), bakeOf("Deployment", "a", 2, 9, "Held"), bakeOf("Deployment", "b", 5, 1, "")}) {
		got = append(got, b.Spec.Ref+" "+Standing(b))
	}
	if diff := cmp.Diff([]string{"deployment/b Seen", "deployment/a Held"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTables(t *testing.T) {
	now := began.Add(5 * time.Minute)
	good := bakeOf("Deployment", "web", 1, -86400, "Passed")
	good.Status.KnownGood, good.Status.Why, good.Spec.Revisions, good.Spec.To.Images = true, "a\tb", "0 → 1", []string{"web:v1"}
	var out strings.Builder
	for _, err := range []error{
		WriteStatus(&out, []*v1alpha1.Bake{undone()}, now, true),
		WriteHistory(&out, []*v1alpha1.Bake{undone(), good}, now),
		WriteSignals(&out, undone()),
		WriteSignals(&out, good),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := `NAMESPACE   WORKLOAD         FROM-TO   STANDS       SINCE   WHY
shop        deployment/web   1 → 2     RolledBack   100s    http-errors: 8% of 900 requests failed on rev 2 against 0.1% on rev 1
REV   OUTCOME      KNOWN GOOD   STARTED   BY                          IMAGES   WHY
2     RolledBack   no           5m        kubectl-client-side-apply   web:v2   http-errors: 8% of 900 requests failed on rev 2 against 0.1% on rev 1
1     Passed       yes          24h       -                           web:v1   a b
Reached by service web.

SIGNAL        SOURCE       PRESET                        BY    METRIC
http-errors   prometheus   http_requests_total by code   pod   http_requests_total{namespace="$namespace"}

Not chosen:
SIGNAL        SOURCE       PRESET          WHY
http-errors   prometheus   Istio sidecar   no such metric
deployment/web: nothing was looked for in the bake of 0 → 1: policy names every query, or the bake is not that far.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
