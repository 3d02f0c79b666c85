package bake

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/replay"
)

// recorded keeps the newest lines of each bake.
type recorded struct {
	t     *testing.T
	mu    sync.Mutex
	files map[string][]byte
	calls int
}

func (r *recorded) Record(k Key, name string, in decide.Input) {
	lines, err := replay.Encode(replay.Line{Namespace: k.Namespace, Kind: k.Kind, Name: k.Name}, in)
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[name] = lines
	r.calls++
}

// judged is the verdict on the last line of a bake's file.
func (r *recorded) judged(name string, p policy.Resolved) decide.Verdict {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	in := replay.NewReader(bytes.NewReader(r.files[name]))
	tape := replay.Tape{Tick: p.Interval}
	for {
		line, err := in.Next()
		if err != nil {
			break
		}
		tape.Add(line)
	}
	to, from := tape.Names()
	return decide.Judge(p.Input(to, from, tape.Evidence))
}

// What is recorded of a bake has, judged again, the verdict that it ended by; also after a restart.
func TestWhatIsRecordedHasTheSameVerdict(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			files := &recorded{t: t, files: map[string][]byte{}}
			w.recorder = files
			w.start()
			w.deploy(web, "B")
			if restart {
				w.pass(30 * time.Second)
				w.newest.stop()
				files.files = map[string][]byte{}
				w.start()
			}
			w.cluster.mu.Lock()
			w.rates["B"] = 0.3
			w.cluster.mu.Unlock()
			w.until(2, v1alpha1.PhaseVerifying)
			w.pass(20 * time.Second) // recovery is not recorded in its place
			b := w.bake(t, 2)
			p, _ := w.config.For(policy.Target{Kind: web.Kind, Namespace: web.Namespace, Name: web.Name})
			v := files.judged(b.Name, p)
			if diff := cmp.Diff(b.Status.Reasons, reasons(v.Reasons)); diff != "" || v.Result != decide.Regressed || files.calls < 2 {
				t.Errorf("restarted: %v: judged again %s after %d ticks (-then +again):\n%s\n%s", restart, v.Result, files.calls, diff, files.files[b.Name])
			}
		})
	}
}
