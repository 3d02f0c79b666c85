package decide

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/signals"
)

var lookedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// podThat is a pod born 40 s ago that has a trouble, or none and is ready.
func podThat(name string, t *signals.Trouble, more ...func(*signals.PodState)) signals.PodState {
	p := signals.PodState{Name: name, Born: lookedAt.Add(-40 * time.Second), Ready: t == nil, Trouble: t, Images: []string{"web:v1"}, Asks: "small"}
	for _, f := range more {
		f(&p)
	}
	return p
}

func endsIn(ends int, ran time.Duration) func(*signals.PodState) {
	return func(p *signals.PodState) { p.Ends, p.Ran = ends, ran }
}

func uses(refs ...string) func(*signals.PodState) { return func(p *signals.PodState) { p.Uses = refs } }
func justBorn(p *signals.PodState)                { p.Born = lookedAt.Add(-19 * time.Second) }
func flapping(p *signals.PodState)                { p.Ready = true }
func going(p *signals.PodState)                   { p.Going = true }
func huge(p *signals.PodState)                    { p.Asks = "huge" }

func TestJudgePods(t *testing.T) {
	crash := &signals.Trouble{Cause: signals.CrashLoop, Container: "app", ExitCode: 1}
	oom := &signals.Trouble{Cause: signals.OOMKilled, Container: "app", Limit: "64Mi"}
	pull := func(how signals.PullFail) *signals.Trouble {
		return &signals.Trouble{Cause: signals.ImagePull, Container: "app", Image: "web:v2", Pull: how}
	}
	config := &signals.Trouble{Cause: signals.ConfigError, Container: "app", Missing: "configmap/web"}
	room := &signals.Trouble{Cause: signals.Unschedulable, Message: "0/3 nodes are available: 3 Insufficient cpu."}
	probe := &signals.Trouble{Cause: signals.ProbeFailed, Message: "Readiness probe failed: HTTP probe failed with statuscode: 503"}
	denied := signals.Pulling{Workload: "api", Image: "api:v1", Pull: signals.Denied}
	well := podThat("old-1", nil)

	type pods []signals.PodState
	for name, c := range map[string]struct {
		candidate, baseline pods
		elsewhere           []signals.Pulling
		want                Fault // empty: nothing is said
		says                string
	}{
		"no new pod":           {baseline: pods{well}},
		"all well":             {candidate: pods{podThat("new-1", nil)}, baseline: pods{well}},
		"one of two runs":      {candidate: pods{podThat("new-1", crash, endsIn(4, time.Second)), podThat("new-2", nil)}},
		"one may yet run":      {candidate: pods{podThat("new-1", crash, endsIn(4, time.Second)), {Name: "new-2", Born: lookedAt.Add(-time.Second)}}},
		"too young":            {candidate: pods{podThat("new-1", pull(signals.NotFound), justBorn)}, baseline: pods{well}},
		"it crashed twice":     {candidate: pods{podThat("new-1", crash, endsIn(2, time.Second))}, baseline: pods{well}},
		"those going say none": {candidate: pods{podThat("new-1", crash, endsIn(9, time.Second), going)}, baseline: pods{well}},

		"it crashes": {candidate: pods{podThat("new-1", crash, endsIn(3, 3*time.Second))}, baseline: pods{well}, want: FaultOwn,
			says: "crash-loop: no pod of rev 2 can run: container app of new-1 ended 3 times, the last time with exit code 1; 1 pod of rev 1 runs"},
		"one beside it that goes is none":              {candidate: pods{podThat("new-1", crash, endsIn(3, time.Second)), podThat("new-2", nil, going)}, want: FaultOwn},
		"it crashes, and is ready between two crashes": {candidate: pods{podThat("new-1", crash, endsIn(3, 3*time.Second), flapping)}, baseline: pods{well}, want: FaultOwn},
		"it crashes, and nothing runs beside it":       {candidate: pods{podThat("new-1", crash, endsIn(3, time.Second))}, want: FaultOwn},
		"the old ones crash as often": {candidate: pods{podThat("new-1", crash, endsIn(3, 30*time.Second))}, baseline: pods{podThat("old-1", nil, endsIn(40, 400*time.Second))},
			want: FaultShared, says: "the pods of rev 1 end as often"},
		"the old one crashes, too": {candidate: pods{podThat("new-1", crash, endsIn(3, time.Second))}, baseline: pods{podThat("old-1", crash, endsIn(4, time.Hour))},
			want: FaultShared, says: "old-1 of rev 1 fares alike"},
		"the old one always restarted once an hour": {candidate: pods{podThat("new-1", crash, endsIn(3, 30*time.Second))}, baseline: pods{podThat("old-1", nil, endsIn(40, 40*time.Hour))}, want: FaultOwn},

		"no memory": {candidate: pods{podThat("new-1", oom, endsIn(2, time.Second)), podThat("new-2", oom, endsIn(3, time.Second))}, baseline: pods{well, podThat("old-2", nil)}, want: FaultOwn,
			says: "oom-killed: no pod of rev 2 can run: container app of new-1 and of 1 more was OOMKilled, ended 2 times; its memory limit is 64Mi; 2 pods of rev 1 run"},
		"no memory, and how much it used": {candidate: pods{podThat("new-1", &signals.Trouble{Cause: signals.OOMKilled, Container: "app", Limit: "64Mi", Used: "63Mi"}, endsIn(2, time.Second))}, want: FaultOwn,
			says: "oom-killed: no pod of rev 2 can run: container app of new-1 was OOMKilled, ended 2 times; it was seen to use 63Mi of its memory limit of 64Mi"},

		"no such image":             {candidate: pods{podThat("new-1", pull(signals.NotFound))}, baseline: pods{well}, want: FaultOwn, says: "image-pull: no pod of rev 2 can run: image web:v2 of container app of new-1 cannot be pulled, the registry does not have it"},
		"no such image; others too": {candidate: pods{podThat("new-1", pull(signals.NotFound))}, baseline: pods{well}, elsewhere: []signals.Pulling{denied}, want: FaultOwn},
		"denied":                    {candidate: pods{podThat("new-1", pull(signals.Denied))}, baseline: pods{well}, want: FaultOwn},
		"denied; others too":        {candidate: pods{podThat("new-1", pull(signals.Denied))}, baseline: pods{well}, elsewhere: []signals.Pulling{denied, denied}, want: FaultShared, says: "nor can api pull theirs"},
		"the registry is away":      {candidate: pods{podThat("new-1", pull(signals.Unreachable))}, baseline: pods{well}, want: FaultUnsure},
		"the same image":            {candidate: pods{podThat("new-1", pull(signals.NotFound))}, baseline: pods{podThat("old-1", nil, func(p *signals.PodState) { p.Images = []string{"web:v2"} })}, want: FaultShared},

		"no ConfigMap":                {candidate: pods{podThat("new-1", config, uses("configmap/web"))}, baseline: pods{well}, want: FaultOwn, says: "cannot start without configmap/web, which is not there"},
		"one that the old used, too":  {candidate: pods{podThat("new-1", config)}, baseline: pods{podThat("old-1", nil, uses("configmap/web"))}, want: FaultShared},
		"it cannot be started at all": {candidate: pods{podThat("new-1", &signals.Trouble{Cause: signals.RunError, Container: "app", OwnFault: true, Message: "exec: \"gunicorn\": executable file not found"})}, baseline: pods{well}, want: FaultOwn, says: "run-error: "},
		"a node's own trouble":        {candidate: pods{podThat("new-1", &signals.Trouble{Cause: signals.RunError, Container: "app", Message: "input/output error"})}, baseline: pods{well}, want: FaultUnsure},

		"no room for what the old asked": {candidate: pods{podThat("new-1", room)}, baseline: pods{well}, want: FaultShared, says: "ask for the same"},
		"no room for more than before":   {candidate: pods{podThat("new-1", room, huge)}, baseline: pods{well}, want: FaultUnsure, says: "unschedulable: no pod of rev 2 can run: no node takes new-1: 0/3 nodes"},
		"its probe fails":                {candidate: pods{podThat("new-1", probe)}, baseline: pods{well}, want: FaultUnsure, says: "unhealthy: no pod of rev 2 can run: the probes of new-1 fail: Readiness"},
	} {
		t.Run(name, func(t *testing.T) {
			got := JudgePods(signals.PodLook{At: lookedAt, Candidate: c.candidate, Baseline: c.baseline, Elsewhere: c.elsewhere}, "rev 2", "rev 1", false)
			switch {
			case got == nil && c.want != "":
				t.Fatalf("nothing is said, want %s", c.want)
			case got == nil:
			case got.Fault != c.want || !strings.Contains(got.Sentence, c.says) || !strings.HasPrefix(got.Sentence, got.Code+": "):
				t.Errorf("%s: %s: %s\nwant %q: %s", got.Code, got.Fault, got.Sentence, c.want, c.says)
			}
		})
	}
}

// TestJudgePodsGivenUp: once the rollout was given up no pod is too young to say why.
func TestJudgePodsGivenUp(t *testing.T) {
	l := signals.PodLook{At: lookedAt, Candidate: []signals.PodState{podThat("new-1", &signals.Trouble{Cause: signals.ImagePull, Container: "app", Image: "web:v2", Pull: signals.NotFound}, justBorn)}}
	if got := JudgePods(l, "rev 2", "rev 1", false); got != nil {
		t.Errorf("too young, and judged: %+v", got)
	}
	if got := JudgePods(l, "rev 2", "rev 1", true); got == nil || got.Code != CodeImagePull {
		t.Errorf("given up, and not judged: %+v", got)
	}
}

// TestJudgePodsProperties: whatever the pods are like, a finding has a code and a sentence, a pod that runs acquits, and old
// pods that fare alike are never a reason to blame the new ones.
func TestJudgePodsProperties(t *testing.T) {
	causes := []signals.Cause{signals.CrashLoop, signals.OOMKilled, signals.ImagePull, signals.ConfigError, signals.RunError, signals.Unschedulable, signals.Evicted, signals.ProbeFailed}
	pod := rapid.Custom(func(r *rapid.T) signals.PodState {
		p := signals.PodState{
			Name: rapid.StringN(0, 8, 20).Draw(r, "name"), Born: lookedAt.Add(-time.Duration(rapid.Int64Range(-1e9, 1e12).Draw(r, "age"))),
			Ready: rapid.Bool().Draw(r, "ready"), Going: rapid.Bool().Draw(r, "going"), Ends: rapid.IntRange(0, 30).Draw(r, "ends"),
			Ran: time.Duration(rapid.Int64Range(0, 1e15).Draw(r, "ran")), Images: []string{rapid.SampledFrom([]string{"a", "b"}).Draw(r, "image")},
		}
		if rapid.Bool().Draw(r, "troubled") {
			p.Trouble = &signals.Trouble{Cause: rapid.SampledFrom(causes).Draw(r, "cause"), Image: p.Images[0],
				Pull: rapid.SampledFrom([]signals.PullFail{signals.NotFound, signals.Denied, signals.Unreachable}).Draw(r, "pull"), OwnFault: rapid.Bool().Draw(r, "own")}
		}
		return p
	})
	rapid.Check(t, func(r *rapid.T) {
		l := signals.PodLook{At: lookedAt, Candidate: rapid.SliceOfN(pod, 0, 5).Draw(r, "candidate"), Baseline: rapid.SliceOfN(pod, 0, 5).Draw(r, "baseline")}
		before := len(l.Candidate)
		got := JudgePods(l, "rev 2", "rev 1", false)
		if len(l.Candidate) != before {
			r.Fatal("it changed what it was given")
		}
		if got == nil {
			return
		}
		if got.Code == "" || got.Sentence == "" || got.Fault == "" {
			r.Fatalf("incomplete: %+v", got)
		}
		withOne := l
		withOne.Candidate = append(append([]signals.PodState(nil), l.Candidate...), signals.PodState{Name: "fine", Born: lookedAt.Add(-time.Hour), Ready: true})
		if again := JudgePods(withOne, "rev 2", "rev 1", false); again != nil {
			r.Fatalf("a pod runs, and still: %+v", again)
		}
		if got.Fault != FaultOwn || got.Code != CodeCrashLoop && got.Code != CodeOOMKilled {
			return
		}
		alike := l
		alike.Baseline = append([]signals.PodState(nil), l.Candidate...)
		if again := JudgePods(alike, "rev 2", "rev 1", false); again == nil || again.Fault != FaultShared {
			r.Fatalf("old pods fare alike, and still: %+v", again)
		}
	})
}
