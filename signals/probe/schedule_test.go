package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// oneStep is run every 5 s, and every 15 s while nothing is rolled out.
const oneStep = `{"steps":[{"http":{"path":"/"}}]}`

// field is a Source whose cluster and runs a test decides.
type field struct {
	*Source
	mu      sync.Mutex
	pods    []Pod
	listErr error
	ending  bool // all pods are
	runs    map[string]int
	went    func(Pod) outcome
	atOnce  int
	most    int
	takes   time.Duration
	stop    func()
	all     []Standing
}

func pods(names ...string) []Pod {
	var out []Pod
	for _, name := range names {
		revision := strings.Split(name, "-")[1]
		out = append(out, Pod{Name: name, UID: name, Revision: revision})
	}
	return out
}

func newField(t *testing.T, names ...string) *field {
	f := &field{pods: pods(names...), runs: map[string]int{}, went: func(Pod) outcome { return outcome{} }}
	f.Source = New(Options{Log: zap.NewNop(), Cluster: &cluster{
		ready: func() ([]Pod, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.pods, f.listErr
		},
		serves: func(Pod) (bool, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return !f.ending, f.listErr
		},
	}})
	f.run = func(ctx context.Context, _ Workload, _ *flow.Program, p Pod) outcome {
		f.mu.Lock()
		f.runs[p.Name]++
		f.atOnce++
		f.most = max(f.most, f.atOnce)
		takes, went := f.takes, f.went
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			f.atOnce--
			f.mu.Unlock()
		}()
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
		return went(p)
	}
	f.start(t)
	return f
}

func (f *field) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		f.Run(ctx, func() []Standing {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.all
		})
		close(done)
	}()
	synctest.Wait()
	f.stop = func() {
		cancel()
		<-done
	}
}

// counted are the runs against pods since it was last asked.
func (f *field) counted() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.runs
	f.runs = map[string]int{}
	return out
}

func (f *field) targetCount() int {
	f.Source.mu.Lock()
	defer f.Source.mu.Unlock()
	return len(f.targets)
}

func (f *field) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *field) stands(all ...Standing) {
	f.set(func() { f.all = all })
	time.Sleep(standEvery + beat)
	synctest.Wait()
}

var pay = Standing{Workload: web, Signal: "flow-pay", Flow: oneStep}

// read asks about the seconds before now.
func (f *field) read(t *testing.T, before time.Duration) signals.Reading {
	t.Helper()
	q := ask()
	q.Flow, q.Vars = oneStep, map[string]string{"namespace": "shop"}
	q.Bounds = []time.Time{time.Now().Add(-before), time.Now()}
	rs, err := f.Read(t.Context(), q)
	if err != nil || len(rs) != 1 {
		t.Fatal(rs, err)
	}
	return rs[0]
}

// While nothing is rolled out, one pod is asked at a time; all are while it is, and while somebody wants to know.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, "web-1-a", "web-1-b")
		defer func() { f.stop() }()
		f.stands(pay)
		time.Sleep(195 * time.Second)
		if got := f.counted(); got["web-1-a"]+got["web-1-b"] < 38 || got["web-1-a"] < 19 || got["web-1-a"] > 21 {
			t.Errorf("until the past is known: %v; want 20 each", got)
		}
		time.Sleep(10 * time.Minute)
		if got := f.counted(); got["web-1-a"]+got["web-1-b"] < 39 || got["web-1-a"] > 21 || got["web-1-b"] > 21 {
			t.Errorf("in 10 quiet minutes: %v; want 20 each", got)
		}
		f.set(func() { f.pods = pods("web-1-a", "web-1-b", "web-2-a") })
		f.Stir(web)
		time.Sleep(50 * time.Second)
		if got := f.counted(); got["web-1-a"] < 9 || got["web-2-a"] < 9 || got["web-2-a"] > 11 {
			t.Errorf("in 50 s of a rollout: %v; want 10 each", got)
		}
		f.set(func() { f.pods = pods("web-2-a", "web-2-b") })
		f.read(t, time.Minute)
		time.Sleep(100 * time.Second)
		if got := f.counted(); got["web-2-a"] < 19 || got["web-2-b"] < 18 || got["web-2-b"] > 21 {
			t.Errorf("in 100 s of a bake: %v; want 20 each", got)
		}
		time.Sleep(time.Hour)
		f.counted()
		time.Sleep(time.Minute)
		if got := f.counted(); got["web-2-a"] != 2 || got["web-2-b"] != 2 {
			t.Errorf("in a minute long after the bake: %v; want 2 each", got)
		}
		f.stands()
		f.counted()
		time.Sleep(time.Minute)
		if got := f.counted(); len(got) != 0 || f.targetCount() != 0 {
			t.Errorf("nobody wants to know: %v, %d targets", got, f.targetCount())
		}
	})
}

// A bake may ask about a flow that does not stand: its policy is that of its beginning.
func TestReadBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, "web-1-a", "web-2-a")
		defer func() { f.stop() }()
		f.set(func() {
			f.went = func(p Pod) outcome {
				if p.Revision == "2" {
					return outcome{failure: "step x: expected a, got b"}
				}
				return outcome{}
			}
		})
		if got := f.read(t, 15*time.Second); got.Candidate.Missing != signals.NoSeries || got.Baseline.Missing != signals.NoSeries {
			t.Errorf("before it was ever run: %+v", got)
		}
		time.Sleep(15 * time.Second)
		got := f.read(t, 15*time.Second)
		if got.Candidate.Requests != 3 || got.Candidate.Errors != 3 || got.Candidate.Detail != "step x: expected a, got b" || got.Baseline.Counts != (signals.Counts{Requests: 3}) {
			t.Errorf("%+v", got)
		}
		time.Sleep(3 * time.Minute)
		if f.targetCount() != 0 {
			t.Error("it is run although nobody asks any more")
		}
	})
}

// Who asks a pod that is ending learns nothing of its version.
func TestEndingPodsAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, "web-2-a")
		defer func() { f.stop() }()
		f.set(func() {
			f.went = func(Pod) outcome { return outcome{failure: "connection refused"} }
			f.ending = true
		})
		f.read(t, time.Second)
		time.Sleep(time.Minute)
		if got := f.read(t, time.Minute); got.Candidate.Missing != signals.Present || got.Candidate.Requests != 0 {
			t.Errorf("%+v", got)
		}
		f.set(func() { f.ending, f.listErr = false, errors.New("the API server is away") })
		time.Sleep(time.Minute)
		if got := f.read(t, time.Minute); got.Candidate.Missing != signals.Failed || !strings.Contains(got.Candidate.Detail, "the API server is away") {
			t.Errorf("%+v", got)
		}
	})
}

// What cannot be run is named as long as it is so.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, "web-1-a")
		defer func() { f.stop() }()
		f.set(func() { f.went = func(Pod) outcome { return outcome{blind: "it declares no port"} } })
		f.stands(pay)
		time.Sleep(time.Minute)
		if err := f.Check(t.Context()); err == nil || err.Error() != "flow-pay of shop/deployment/web cannot be run: it declares no port" {
			t.Errorf("got %v", err)
		}
		f.set(func() { f.went = func(Pod) outcome { return outcome{} } })
		time.Sleep(time.Minute)
		if err := f.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Many slow pods do not make it start ever more, nor is a pod asked twice at once.
func TestRunsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 200 {
			names = append(names, fmt.Sprintf("web-%d-%d", i%5, i))
		}
		f := newField(t, names...)
		defer func() { f.stop() }()
		f.set(func() { f.takes = time.Minute })
		f.read(t, time.Second)
		time.Sleep(30 * time.Second)
		for name, n := range f.counted() {
			if n > 1 {
				t.Errorf("%s was asked %d times at once", name, n)
			}
		}
		if f.most > maxAtOnce {
			t.Errorf("%d runs at once", f.most)
		}
		f.set(func() { f.takes = 0 })
		f.stands()
		time.Sleep(10 * time.Minute)
		f.counted()
		f.read(t, time.Second)
		time.Sleep(4 * time.Second)
		byRevision := map[string]int{}
		for name, n := range f.counted() {
			byRevision[strings.Split(name, "-")[1]] += n
		}
		for revision, n := range byRevision {
			if n != maxASide {
				t.Errorf("%d runs against revision %s in a round, want %d", n, revision, maxASide)
			}
		}
		if len(byRevision) == 0 {
			t.Error("nothing was run")
		}
	})
}

// A leader that comes back has counted nothing in between, and says so.
func TestNothingIsInvented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t, "web-2-a")
		f.stands(pay)
		f.read(t, time.Second)
		time.Sleep(time.Minute)
		f.stop()
		if _, err := f.Read(t.Context(), ask(0, 1)); err == nil || !strings.Contains(err.Error(), "not run by this process") {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		f.start(t)
		defer func() { f.stop() }()
		f.read(t, time.Second)
		time.Sleep(20 * time.Second)
		q := ask()
		q.Flow, q.Vars = oneStep, map[string]string{"namespace": "shop"}
		for _, ago := range []time.Duration{140 * time.Second, 80 * time.Second, 21 * time.Second, 0} {
			q.Bounds = append(q.Bounds, time.Now().Add(-ago))
		}
		rs, err := f.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if rs[0].Candidate.Missing != signals.NoSeries || rs[1].Candidate.Missing != signals.NoSeries || rs[2].Candidate.Requests < 3 {
			t.Errorf("%+v", rs)
		}
	})
}

func TestTargetsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t)
		defer func() { f.stop() }()
		var all []Standing
		for i := range maxTargets + 1 {
			all = append(all, Standing{Workload: Workload{Kind: "Deployment", Namespace: "shop", Name: fmt.Sprint("w", i)}, Signal: "flow-pay", Flow: oneStep})
		}
		f.stands(all...)
		if err := f.Check(t.Context()); err == nil || f.targetCount() != maxTargets || !strings.Contains(err.Error(), "more than 1000 flows") {
			t.Errorf("%d targets, %v", f.targetCount(), err)
		}
		f.stands()
		if _, err := f.Read(t.Context(), signals.Question{Signal: "flow-x", Query: signals.Query{Flow: "{"}, Bounds: []time.Time{noon, noon}}); err == nil {
			t.Error("what is no flow was run")
		}
		time.Sleep(time.Second)
	})
}
