package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals"
)

// written is a cluster in memory: pods, and what they wrote by the second.
type written struct {
	mu    sync.Mutex
	now   time.Time
	pods  []Pod
	lines map[string]func(second time.Time) string // by pod; empty: nothing in that second
	err   error
	bytes int // read so far
	reads int
}

func (c *written) Pods(context.Context, Workload) ([]Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Pod(nil), c.pods...), nil
}

func (c *written) Log(_ context.Context, _, pod, _ string, last bool, since time.Time, tail, limit int64) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if c.err != nil {
		return nil, c.err
	}
	if last {
		return nil, ErrNoLog
	}
	var lines []string
	from := since.Truncate(time.Second)
	for _, p := range c.pods {
		if p.Name == pod && p.Containers[0].Now.from.After(from) {
			from = p.Containers[0].Now.from
		}
	}
	for at := from; at.Before(c.now); at = at.Add(time.Second) {
		if text := c.lines[pod](at); text != "" {
			for i, line := range strings.Split(text, "\n") {
				lines = append(lines, at.Add(time.Duration(i+1)*time.Millisecond).Format(time.RFC3339Nano)+" "+line+"\n")
			}
		}
	}
	if n := len(lines) - int(tail); tail > 0 && n > 0 {
		lines = lines[n:]
	}
	all := strings.Join(lines, "")
	all = all[:min(len(all), int(limit))]
	c.bytes += len(all)
	return io.NopCloser(strings.NewReader(all)), nil
}

func (c *written) pod(name string, born time.Time, lines func(time.Time) string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods = append(c.pods, Pod{Name: name, UID: "uid of " + name, Born: born, Containers: []Container{{Name: "app", Now: run{from: born}}}})
	if c.lines == nil {
		c.lines = map[string]func(time.Time) string{}
	}
	c.lines[name] = lines
}

func (c *written) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range c.pods {
		if p.Name == name {
			c.pods = append(c.pods[:i:i], c.pods[i+1:]...)
			return
		}
	}
}

func (c *written) at(now time.Time) { c.mu.Lock(); c.now = now; c.mu.Unlock() }

func quiet(time.Time) string { return "level=info msg=on" }
func every(n int64, text string) func(time.Time) string {
	return func(at time.Time) string {
		if at.Unix()%n == 0 {
			return text
		}
		return ""
	}
}

const (
	oldPod = "web-7589768665-abcde"
	newPod = "web-557975f8ff-bcdef"
)

func sourceOf(c *written) *Source {
	s := New(c, nil, zap.NewNop())
	s.now = func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
	return s
}

// about is a question about web over windows of 10 s that end at.
func about(to time.Time, windows int) signals.Question {
	q := signals.Question{Signal: Signal, Kind: "Deployment", Workload: "web", Vars: map[string]string{"namespace": "shop"},
		Candidate: "web-557975f8ff-", Baseline: "web-", Query: signals.Query{Source: signals.Logs, By: signals.ByPod}}
	for i := windows; i >= 0; i-- {
		q.Bounds = append(q.Bounds, to.Add(-time.Duration(i)*10*time.Second))
	}
	return q
}

func read(t *testing.T, s *Source, q signals.Question) []signals.Reading {
	t.Helper()
	got, err := s.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func counts(s signals.Side) string {
	return fmt.Sprintf("%s%g of %g %s", s.Missing, s.Errors, s.Requests, s.Detail)
}

func TestSource(t *testing.T) {
	c := &written{now: start}
	c.pod(oldPod, start.Add(-time.Hour), every(10, "ERROR slow query 4711"))
	c.pod(newPod, start.Add(-20*time.Second), every(2, "Traceback (most recent call last):\n  File x\nKeyError: 'cart'"))
	s := sourceOf(c)
	got := read(t, s, about(start, 3))
	for i, want := range [][2]string{
		{"no-series0 of 0 no log of such a pod was read", "1 of 10 ERROR slow query #"},
		{"5 of 10 new: KeyError: 'cart'", "1 of 10 ERROR slow query #"},
		{"5 of 10 new: KeyError: 'cart'", "1 of 10 ERROR slow query #"},
	} {
		if a, b := counts(got[i].Candidate), counts(got[i].Baseline); a != want[0] || b != want[1] {
			t.Errorf("window %d: %s; %s\nwant %s", i, a, b, want)
		}
	}
	// Each line is read once.
	first := c.bytes
	c.at(start.Add(10 * time.Second))
	read(t, s, about(start.Add(10*time.Second), 2))
	if again := c.bytes - first; again > first/3 || again == 0 {
		t.Errorf("%d bytes were read at first, and then %d", first, again)
	}
	// A pod that is gone has said what it said.
	c.remove(oldPod)
	c.at(start.Add(20 * time.Second))
	got = read(t, s, about(start.Add(20*time.Second), 3))
	if a, b := counts(got[0].Baseline), counts(got[2].Baseline); a != "1 of 10 ERROR slow query #" || !strings.HasPrefix(b, "no-series") {
		t.Errorf("of the pod that is gone: %s; %s", a, b)
	}
	if other := read(t, s, func() signals.Question { q := about(start.Add(20*time.Second), 1); q.Workload = "api"; return q }()); !strings.HasPrefix(counts(other[0].Candidate), "no-series") && len(c.pods) == 0 {
		t.Errorf("another workload: %s", counts(other[0].Candidate))
	}
}

// TestSourceReadsThePastOfPodsThatGo: what Prepare read is there when the old pods are not.
func TestSourceReadsThePastOfPodsThatGo(t *testing.T) {
	c := &written{now: start}
	c.pod(oldPod, start.Add(-time.Hour), quiet)
	s := sourceOf(c)
	s.Prepare("Deployment", "shop", "web")
	for range 200 {
		s.mu.Lock()
		done := s.preparing == 0
		s.mu.Unlock()
		if done {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.remove(oldPod)
	c.at(start.Add(10 * time.Second))
	q := about(start, 3)
	q.Candidate, q.Baseline = "web-7589768665-", ""
	if got := read(t, s, q); counts(got[0].Candidate) != "0 of 10 " {
		t.Errorf("%s", counts(got[0].Candidate))
	}
}

// TestSourceByLife: pods whose names do not tell are told by when they were born.
func TestSourceByLife(t *testing.T) {
	c := &written{now: start}
	c.pod("db-0", start.Add(-time.Hour), quiet)
	c.pod("db-1", start.Add(-30*time.Second), every(1, "ERROR boom"))
	s := sourceOf(c)
	q := about(start, 1)
	q.Kind, q.Workload, q.Candidate, q.Baseline, q.Lives = "StatefulSet", "db", "", "db-", map[string]time.Time{"db-1": start.Add(-30 * time.Second)}
	got := read(t, s, q)
	if a, b := counts(got[0].Candidate), counts(got[0].Baseline); a != "10 of 10 new: ERROR boom" || b != "0 of 10 " {
		t.Errorf("%s; %s", a, b)
	}
}

// TestSourceOfSilence: a new pod that writes nothing is quiet beside quiet ones, and not known beside ones that write all the time.
func TestSourceOfSilence(t *testing.T) {
	quietOf := func(n int64) func(time.Time) string { return every(n, "level=info msg=on") }
	for _, c := range []struct {
		name       string
		old, young func(time.Time) string
		want       string
	}{
		{"all write", quietOf(5), quietOf(5), "0 of 10 "},
		{"none writes", quietOf(3600), quietOf(3600), "0 of 10 "},
		{"the old one writes now and then", quietOf(60), quietOf(3600), "0 of 10 "},
		{"the new one is silent", quietOf(5), quietOf(3600), "no-series0 of 0 they wrote nothing, while the pods of the old version write all the time"},
		{"the new one has stopped to write", quietOf(5), func(at time.Time) string {
			if at.Before(start.Add(-10 * time.Second)) {
				return "level=info"
			}
			return ""
		}, "no-series0 of 0 they wrote nothing, while the pods of the old version write all the time"},
		{"it writes of errors only", quietOf(5), every(10, "ERROR boom"), "1 of 10 new: ERROR boom"},
	} {
		w := &written{now: start}
		w.pod(oldPod, start.Add(-10*time.Minute), c.old)
		w.pod(newPod, start.Add(-40*time.Second), c.young)
		got := read(t, sourceOf(w), about(start, 1))
		if s := counts(got[0].Candidate); s != c.want {
			t.Errorf("%s: %s", c.name, s)
		}
		want := c.want
		if silent := c.young(start.Add(-40*time.Second)) == "" && c.young(start.Add(-30*time.Second)) == ""; silent {
			want = "no-series0 of 0 no log of such a pod was read" // or its lines do not arrive
		}
		w.at(start.Add(lokiLag))
		if loki := readLoki(t, lokiOf(t, &agents{written: w}), about(start, 1)); counts(loki[0].Candidate) != want {
			t.Errorf("by Loki: %s: %s", c.name, counts(loki[0].Candidate))
		}
	}
}

// TestSourceUnderAStorm: of more than is read at a time nothing is known, and nothing is taken for quiet.
func TestSourceUnderAStorm(t *testing.T) {
	c := &written{now: start}
	storm := strings.Repeat("ERROR "+strings.Repeat("x", 1000)+"\n", 1000) // 1 MB a second
	c.pod(newPod, start.Add(-40*time.Second), func(at time.Time) string {
		if at.Before(start.Add(-20 * time.Second)) {
			return "level=info"
		}
		return storm
	})
	s := sourceOf(c)
	got := read(t, s, about(start, 1))
	if side := got[0].Candidate; side.Missing == signals.Present && side.Errors < side.Requests {
		t.Errorf("quiet seconds in a storm: %s", counts(side))
	}
	c.at(start.Add(10 * time.Second))
	got = read(t, s, about(start.Add(10*time.Second), 1))
	if side := got[0].Candidate; side.Requests == 0 || side.Errors != side.Requests {
		t.Errorf("in the storm: %s", counts(side))
	}
	if c.bytes > 2*maxBytes {
		t.Errorf("%d bytes were read", c.bytes)
	}
}

// TestSourceForgetsTheOldest: however many pods there were, a new one is read.
func TestSourceForgetsTheOldest(t *testing.T) {
	c := &written{now: start}
	c.pod(newPod, start.Add(-30*time.Second), every(1, "ERROR boom"))
	s := sourceOf(c)
	for i := range maxPods {
		s.pods[fmt.Sprint("uid ", i)] = &tally{used: start.Add(-time.Hour + time.Duration(i)*time.Second/2)}
	}
	if got := read(t, s, about(start, 1)); counts(got[0].Candidate) != "10 of 10 ERROR boom" {
		t.Errorf("%s", counts(got[0].Candidate))
	}
	if _, kept := s.pods["uid 0"]; kept || len(s.pods) != maxPods {
		t.Errorf("%d pods are remembered, the oldest of them: %v", len(s.pods), kept)
	}
}

// A failure that may pass is none of the workload's: it is looked for again. One that lasts is why it is not measured.
func TestSourceIsFoundLater(t *testing.T) {
	c := &written{now: start, err: errors.New("the node does not answer")}
	c.pod(newPod, start.Add(-time.Minute), quiet)
	s := sourceOf(c)
	find := func(after time.Duration) (found, absent int, err error) {
		c.at(start.Add(after))
		f, a, err := s.Find(t.Context(), signals.Subject{Kind: "Deployment", Namespace: "shop", Name: "web", Signals: []string{Signal}})
		return len(f), len(a), err
	}
	for _, step := range []struct {
		after         time.Duration
		err           error
		found, absent int
		fails         bool
	}{
		{0, c.err, 0, 0, true},
		{30 * time.Second, c.err, 0, 0, true},
		{40 * time.Second, nil, 1, 0, false},
		{50 * time.Second, c.err, 0, 0, true},
		{100 * time.Second, c.err, 0, 0, true},
		{110 * time.Second, c.err, 0, 1, false},
	} {
		c.err = step.err
		if found, absent, err := find(step.after); found != step.found || absent != step.absent || (err != nil) != step.fails {
			t.Errorf("after %s: %d found, %d absent, %v", step.after, found, absent, err)
		}
	}
}

func TestSourceFaults(t *testing.T) {
	c := &written{now: start, err: ErrForbidden}
	c.pod(newPod, start.Add(-time.Minute), quiet)
	s := sourceOf(c)
	found, absent, err := s.Find(t.Context(), signals.Subject{Kind: "Deployment", Namespace: "shop", Name: "web", Signals: []string{Signal}})
	if err != nil || len(found) != 0 || len(absent) != 1 || !strings.Contains(absent[0].Why, "not permitted to read logs") {
		t.Errorf("%v %v %v", found, absent, err)
	}
	if _, err := s.Read(t.Context(), about(start, 1)); !errors.Is(err, ErrForbidden) {
		t.Errorf("%v", err)
	}
	c.err = ErrNoLog // it is being made
	c.at(start.Add(2 * time.Second))
	if got := read(t, s, about(start, 1)); got[0].Candidate.Missing != signals.NoSeries {
		t.Errorf("%s", counts(got[0].Candidate))
	}
	if found, _, err := s.Find(t.Context(), signals.Subject{Signals: []string{"http-errors"}}); err != nil || found != nil {
		t.Errorf("asked for another signal: %v %v", found, err)
	}
}
