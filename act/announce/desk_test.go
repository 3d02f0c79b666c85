package announce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mailbox is a receiver that keeps what it got, and answers as told.
type mailbox struct {
	name   string
	answer func(ctx context.Context, s Story) error

	mu    sync.Mutex
	got   []string
	tries []time.Duration
	born  time.Time
}

func newMailbox(name string, answer func(context.Context, Story) error) *mailbox {
	return &mailbox{name: name, answer: answer, born: time.Now()}
}

func (m *mailbox) Name() string { return m.name }

func (m *mailbox) Tell(ctx context.Context, s Story) (string, error) {
	m.mu.Lock()
	m.tries = append(m.tries, time.Since(m.born))
	m.mu.Unlock()
	if m.answer != nil {
		if err := m.answer(ctx, s); err != nil {
			return "", err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, s.Bake+"/"+string(s.Stage))
	return "id-" + s.Bake, nil
}

func (m *mailbox) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.got...)
}

func (m *mailbox) attempts() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Duration(nil), m.tries...)
}

// board is a mailbox that converges.
type board struct{ *mailbox }

func (board) Converges() {}

// office is a Desk under test with what it wrote.
type office struct {
	*Desk
	reg  *prometheus.Registry
	logs *observer.ObservedLogs
	stop func() // ends Run and waits for it

	mu       sync.Mutex
	receipts []Receipt
}

func open(t *testing.T, receivers ...Receiver) *office {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	o := &office{reg: prometheus.NewPedanticRegistry(), logs: logs}
	o.Desk = New(zap.New(core), o.reg, func(ctx context.Context, bake string, r Receipt) {
		if ctx.Err() != nil {
			t.Errorf("a receipt with a context that ended: %v", ctx.Err())
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.receipts = append(o.receipts, r)
	})
	o.SetReceivers(receivers)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return o
}

func (o *office) count(t *testing.T, receiver, result string) int {
	t.Helper()
	return int(o.metric(t, "bakewatch_announcements_total", receiver, result))
}

// metric is the value of the series with these label values, or -1 if there is none.
func (o *office) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := o.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range m.GetLabel() {
				values = append(values, label.GetValue())
			}
			if family.GetName() == name && slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func (o *office) all() []Receipt {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Receipt(nil), o.receipts...)
}

func story(bake string, stage Stage) Story { return Story{Bake: bake, Stage: stage} }

func TestAFailingBakeKeepsItsOrderAndDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		hook := newMailbox("webhook", func(_ context.Context, s Story) error {
			if s.Bake == "a" && down.Load() {
				return errors.New("down")
			}
			return nil
		})
		o := open(t, hook)
		for _, stage := range []Stage{Started, Deciding, Ended} {
			o.Tell(story("a", stage))
			o.Tell(story("b", stage))
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"b/started", "b/deciding", "b/ended"}, hook.all()); diff != "" {
			t.Fatal(diff)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		down.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/started", "a/deciding", "a/ended"}, hook.all()[3:]); diff != "" {
			t.Fatal(diff)
		}
		if got := o.count(t, "webhook", "sent"); got != 6 {
			t.Errorf("%d sent, want 6", got)
		}
		if got := o.metric(t, "bakewatch_announce_pending", "webhook"); got != 0 {
			t.Errorf("%v pending, want 0", got)
		}
		if got := o.all(); len(got) != 6 || got[0].ID != "id-b" || got[0].Receiver != "webhook" || got[0].Err != nil {
			t.Errorf("receipts: %+v", got)
		}
		o.stop()
	})
}

func TestASlowReceiverDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ Story) error { <-ctx.Done(); return ctx.Err() }
		slow, quick := newMailbox("slow", hang), newMailbox("quick", nil)
		o := open(t, slow, quick)
		begin := time.Now()
		for i := range 50 {
			o.Tell(story(fmt.Sprint(i), Started))
		}
		synctest.Wait()
		if len(quick.all()) != 50 || time.Since(begin) != 0 {
			t.Errorf("quick got %d stories in %v, want 50 at once", len(quick.all()), time.Since(begin))
		}
		time.Sleep(callDeadline - time.Millisecond)
		synctest.Wait()
		if got := o.count(t, "slow", "failed"); got != 0 {
			t.Errorf("%d calls ended before their deadline", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := o.count(t, "slow", "failed"); got != callers {
			t.Errorf("%d calls ended at their deadline, want %d", got, callers)
		}
		o.stop()
		if took := time.Since(begin); took > callDeadline+2*grace {
			t.Errorf("stopping waited for the slow one: %v", took)
		}
	})
}

func TestRetriesBackOffAndAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := newMailbox("dead", func(context.Context, Story) error { return errors.New("down") })
		o := open(t, dead)
		o.Tell(story("a", Started))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for i := 1; i < len(dead.attempts()); i++ {
			delay, want := dead.attempts()[i]-dead.attempts()[i-1], min(time.Second<<(i-1), lastDelay)
			if delay < want*3/4 || delay > min(want*5/4, lastDelay) {
				t.Errorf("delay %d is %v, want about %v", i, delay, want)
			}
		}
		if n := len(dead.attempts()); n < 18 || n > 26 {
			t.Errorf("%d tries", n)
		}
		got := o.all()
		if len(got) != 1 || got[0].Err == nil || o.count(t, "dead", "given_up") != 1 || o.count(t, "dead", "failed") != len(dead.attempts()) {
			t.Errorf("want one story given up, loudly: %+v", got)
		}
		if after := dead.attempts()[len(dead.attempts())-1]; after < keepTrying || after > keepTrying+lastDelay {
			t.Errorf("given up after %v", after)
		}
		if o.logs.FilterLevelExact(zap.ErrorLevel).Len() != 1 {
			t.Errorf("want one error in the log: %v", o.logs.All())
		}
		o.stop()
	})
}

func TestAFinalErrorIsGivenUpAtOnce(t *testing.T) {
	for name, answer := range map[string]func() error{
		"ErrFinal":      func() error { return fmt.Errorf("rejected: %w", ErrFinal) },
		"a 400":         func() error { return fmt.Errorf("posting: %w", &AnswerError{Code: 400}) },
		"a panic":       func() error { panic("unexpected success response") },
		"a nil pointer": func() error { var s *Story; return errors.New(s.Bake) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				picky := newMailbox("picky", func(_ context.Context, s Story) error {
					if s.Stage == Started {
						return answer()
					}
					return nil
				})
				o := open(t, picky)
				o.Tell(story("a", Started))
				o.Tell(story("a", Ended))
				synctest.Wait()
				if diff := cmp.Diff([]string{"a/ended"}, picky.all()); diff != "" {
					t.Error(diff)
				}
				if got := o.all(); len(got) != 2 || !errors.Is(got[0].Err, ErrFinal) || got[1].Err != nil {
					t.Errorf("receipts: %+v", got)
				}
				o.stop()
			})
		})
	}
}

func TestOnlyConvergentReceiversSkipStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		answer := func(context.Context, Story) error {
			if down.Load() {
				return errors.New("down")
			}
			return nil
		}
		grafana, hook := board{newMailbox("grafana", answer)}, newMailbox("webhook", answer)
		o := open(t, grafana, hook)
		o.Tell(story("a", Started))
		synctest.Wait()
		o.Tell(story("a", Deciding))
		o.Tell(story("a", Ended))
		if got := o.metric(t, "bakewatch_announce_pending", "grafana"); got != 1 {
			t.Errorf("%v pending for grafana, want 1", got)
		}
		down.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/ended"}, grafana.all()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"a/started", "a/deciding", "a/ended"}, hook.all()); diff != "" {
			t.Error(diff)
		}
		o.stop()
	})
}

func TestWhatIsUnderWayIsNotSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		grafana := board{newMailbox("grafana", func(_ context.Context, s Story) error {
			time.Sleep(time.Second)
			if fail.Load() {
				return errors.New("down")
			}
			return nil
		})}
		o := open(t, grafana)
		o.Tell(story("a", Started))
		synctest.Wait()
		o.Tell(story("a", Deciding))
		o.Tell(story("a", Ended))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/started", "a/ended"}, grafana.all()); diff != "" {
			t.Error(diff)
		}
		fail.Store(true)
		o.Tell(story("b", Started))
		synctest.Wait()
		o.Tell(story("b", Ended))
		time.Sleep(1100 * time.Millisecond) // the first call failed: what follows made it pointless
		fail.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"b/ended"}, grafana.all()[2:]); diff != "" {
			t.Error(diff)
		}
		o.stop()
	})
}

func TestTheSameStageToldAgainReplacesTheOneThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		hook := newMailbox("webhook", func(_ context.Context, s Story) error {
			if time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) < time.Minute {
				return errors.New("down")
			}
			said = append(said, s.Headline)
			return nil
		})
		o := open(t, hook)
		for i := range 10 {
			o.Tell(Story{Bake: "a", Stage: Ended, Headline: fmt.Sprint(i)})
			synctest.Wait()
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"9"}, said); diff != "" {
			t.Error(diff)
		}
		o.stop()
	})
}

func TestAStoryUnderWayToldAgainIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := newMailbox("webhook", func(context.Context, Story) error { time.Sleep(time.Second); return nil })
		o := open(t, hook)
		o.Tell(story("a", Ended))
		synctest.Wait()
		o.Tell(story("a", Ended))
		changed := story("a", Ended)
		changed.Recovery = "all is well"
		o.Tell(changed)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/ended", "a/ended"}, hook.all()); diff != "" {
			t.Errorf("want it as told first and as changed: %s", diff)
		}
		o.stop()
	})
}

func TestExceptedReceiversAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		knows, asks := newMailbox("knows", nil), newMailbox("asks", nil)
		o := open(t, knows, asks)
		o.Tell(story("a", Started), "knows", "nobody")
		synctest.Wait()
		if len(knows.all()) != 0 || len(asks.all()) != 1 {
			t.Errorf("knows got %v, asks got %v", knows.all(), asks.all())
		}
		o.stop()
	})
}

func TestTooManyDropTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		hook := newMailbox("webhook", func(context.Context, Story) error {
			if down.Load() {
				return errors.New("down")
			}
			return nil
		})
		o := open(t, hook)
		for i := range maxPending + 20 {
			o.Tell(story(fmt.Sprintf("%04d", i), Started))
			synctest.Wait()
		}
		if got := o.count(t, "webhook", "dropped"); got != 20 {
			t.Errorf("%d dropped, want 20", got)
		}
		if got := o.logs.FilterMessageSnippet("too many wait").Len(); got != 20 {
			t.Errorf("%d lines in the log, want 20", got)
		}
		down.Store(false)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		got := map[string]bool{}
		for _, g := range hook.all() {
			got[g] = true
		}
		if len(got) != maxPending || got["0019/started"] || !got["0020/started"] || !got["1019/started"] {
			t.Errorf("%d delivered, want the newest %d", len(got), maxPending)
		}
		o.stop()
	})
}

func TestRetryAfterIsHeededForTheWholeReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		asked.Store(int64(90 * time.Second))
		limited := newMailbox("limited", func(_ context.Context, s Story) error {
			if after := time.Duration(asked.Load()); after > 0 {
				return fmt.Errorf("posting: %w", &AnswerError{Code: 429, After: after})
			}
			return nil
		})
		o := open(t, limited)
		o.Tell(story("a", Started))
		synctest.Wait()
		o.Tell(story("b", Started))
		time.Sleep(89 * time.Second)
		synctest.Wait()
		if len(limited.attempts()) != 1 {
			t.Errorf("%d calls within 90 s, want 1", len(limited.attempts()))
		}
		asked.Store(int64(300 * time.Hour)) // nobody means that
		time.Sleep(2 * time.Second)
		synctest.Wait()
		asked.Store(0)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(limited.all()) != 2 {
			t.Errorf("got %v, want both", limited.all())
		}
		o.stop()
	})
}

func TestReloadingReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := func(context.Context, Story) error { return errors.New("down") }
		stays, goes := newMailbox("stays", down), newMailbox("goes", down)
		o := open(t, stays, goes)
		o.Tell(story("a", Started))
		time.Sleep(10 * time.Minute)
		mended, comes := newMailbox("stays", nil), newMailbox("comes", nil)
		o.SetReceivers([]Receiver{mended, comes, newMailbox("comes", nil)})
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/started"}, mended.all()); diff != "" {
			t.Errorf("what waited goes to the mended receiver at once: %s", diff)
		}
		if got := o.count(t, "goes", "dropped"); got != 1 {
			t.Errorf("%d dropped with the receiver that went, want 1", got)
		}
		if got := o.logs.FilterMessageSnippet("same name").Len(); got != 1 {
			t.Error("the second receiver of a name is not reported")
		}
		tries := len(goes.attempts())
		o.Tell(story("b", Started))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"b/started"}, comes.all()); diff != "" {
			t.Error(diff)
		}
		if len(goes.attempts()) != tries {
			t.Error("a receiver that went is still called")
		}
		if got := o.metric(t, "bakewatch_announce_pending", "goes"); got != -1 {
			t.Errorf("the receiver that went still has a series of pending: %v", got)
		}
		o.stop()
	})
}

func TestAReceiverRemovedDuringACallEndsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newMailbox("slow", func(context.Context, Story) error { time.Sleep(3 * time.Second); return nil })
		o := open(t, slow)
		o.Tell(story("a", Started))
		o.Tell(story("a", Ended))
		synctest.Wait()
		o.SetReceivers(nil)
		o.SetReceivers([]Receiver{slow})
		o.Tell(story("b", Started))
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/started", "b/started"}, slices.Sorted(slices.Values(slow.all()))); diff != "" {
			t.Error(diff)
		}
		if got := o.metric(t, "bakewatch_announce_pending", "slow"); got != 0 {
			t.Errorf("%v pending, want 0", got)
		}
		o.stop()
	})
}

func TestStoppingDrainsForAGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steady := newMailbox("steady", func(ctx context.Context, _ Story) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		dead := newMailbox("dead", func(context.Context, Story) error { return errors.New("down") })
		o := open(t, steady, dead)
		for i := range 100 {
			o.Tell(story(fmt.Sprint(i), Started))
		}
		begin := time.Now()
		o.stop()
		if took := time.Since(begin); took != grace {
			t.Errorf("stopping took %v, want %v", took, grace)
		}
		if got, least := len(steady.all()), callers*int(grace/time.Second-1); got < least || got > least+2*callers {
			t.Errorf("%d delivered within the grace", got)
		}
		if len(dead.attempts()) != 100 {
			t.Errorf("%d tries of the dead one, want one for each story", len(dead.attempts()))
		}
		if got := o.logs.FilterMessageSnippet("not delivered").Len(); got != 2 {
			t.Errorf("%d lines about what was not delivered, want 2", got)
		}
		o.Tell(story("late", Started)) // neither blocks nor panics
		o.SetReceivers(nil)
		if err := o.Run(t.Context()); err == nil {
			t.Error("a second Run is no error")
		}
	})
}

func TestToldBeforeRunningIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := newMailbox("webhook", nil)
		d := New(zap.NewNop(), nil, func(context.Context, string, Receipt) {})
		d.SetReceivers([]Receiver{hook})
		d.Tell(story("a", Started))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Run(ctx); err != nil || len(hook.all()) != 1 {
			t.Errorf("got %v, %v", hook.all(), err)
		}
	})
}

// TestManyAtOnce lets many tell, fail and reload at the same time; run it with -race.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := newMailbox("webhook", func(ctx context.Context, _ Story) error {
			time.Sleep(rand.N(300 * time.Millisecond))
			if rand.N(3) == 0 {
				return errors.New("down")
			}
			return nil
		})
		o := open(t, hook)
		var tellers sync.WaitGroup
		for i := range 100 {
			tellers.Go(func() {
				for _, stage := range []Stage{Started, Deciding, Ended} {
					time.Sleep(rand.N(5 * time.Second))
					o.Tell(story(fmt.Sprint(i), stage))
				}
			})
		}
		tellers.Go(func() {
			for range 5 {
				time.Sleep(time.Second)
				o.SetReceivers([]Receiver{hook})
			}
		})
		tellers.Wait()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		stages := map[string]string{}
		for _, got := range hook.all() {
			bake, stage, _ := strings.Cut(got, "/")
			stages[bake] += stage + " "
		}
		for i := range 100 {
			if got := stages[fmt.Sprint(i)]; got != "started deciding ended " {
				t.Errorf("bake %d got %q", i, got)
			}
		}
		o.stop()
	})
}

// A story that was told before the one ahead of it was delivered learns what that one's message is called.
func TestLaterStoriesKnowTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []map[string]string
		slow := newMailbox("slow", func(_ context.Context, s Story) error {
			time.Sleep(time.Second)
			got = append(got, s.Earlier)
			return nil
		})
		o := open(t, slow)
		record := map[string]string{"other": "7"}
		for _, stage := range []Stage{Started, Deciding} {
			o.Tell(Story{Bake: "a/b", Stage: stage, Earlier: record})
		}
		time.Sleep(time.Minute)
		o.stop()
		want := []map[string]string{{"other": "7"}, {"other": "7", "slow": "id-a/b"}}
		if diff := cmp.Diff(want, got); diff != "" || len(record) != 1 {
			t.Error(diff, record)
		}
	})
}

func TestConceal(t *testing.T) {
	err := fmt.Errorf("told %w with s3cr3t-token", ErrFinal)
	if got := Conceal(err, "s3cr3t-token"); strings.Contains(got.Error(), "s3cr3t") || !errors.Is(got, ErrFinal) {
		t.Errorf("got %v", got)
	}
	if got := Conceal(nil, "s3cr3t-token"); got != nil {
		t.Errorf("got %v", got)
	}
}
