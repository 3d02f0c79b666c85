package announce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
)

const (
	callDeadline  = 10 * time.Second // for one call of a receiver, and for one receipt
	firstDelay    = time.Second      // after the first failure; doubled after each
	lastDelay     = 5 * time.Minute  // the longest delay
	keepTrying    = time.Hour        // after it was told, a story that still fails is given up
	maxRetryAfter = 10 * time.Minute // a receiver that asks for more is asked again by our own delays
	maxPending    = 1000             // stories that wait for one receiver
	callers       = 4                // calls at a time to one receiver, of different bakes
	grace         = 5 * time.Second  // at the end, for what waits and did not fail yet
)

// Convergent is a Receiver that keeps one message for a bake, so that of the stories of a bake that wait for it only the
// newest counts. Other receivers get every stage.
type Convergent interface {
	Receiver
	// Converges has no effect; having it is the promise.
	Converges()
}

// Receipt says how the delivery of a story to a receiver ended.
type Receipt struct {
	Receiver string
	Stage    Stage
	ID       string // what the receiver calls the message, if anything
	At       time.Time
	Err      error // why it was given up; nil if it was delivered
}

// Desk delivers stories to receivers. Each receiver has its own queue and callers, so that a slow or dead one delays nobody
// else. The stages of one bake are delivered in order; while one bake's delivery is tried again, other bakes' go on.
type Desk struct {
	log     *zap.Logger
	record  func(ctx context.Context, bake string, r Receipt)
	results *prometheus.CounterVec
	pending *prometheus.GaugeVec

	mu      sync.Mutex
	lanes   map[string]*lane // by the receiver's name
	calls   context.Context  // of all calls; nil until Run
	closed  bool
	callers sync.WaitGroup
}

// New returns a Desk without receivers. record is called, from several goroutines, for each story that was delivered or
// given up; a story without a receipt may be told again. It is not called for stories that were dropped.
func New(log *zap.Logger, reg prometheus.Registerer, record func(ctx context.Context, bake string, r Receipt)) *Desk {
	metrics := promauto.With(reg)
	return &Desk{
		log:    log,
		record: record,
		lanes:  map[string]*lane{},
		results: metrics.NewCounterVec(prometheus.CounterOpts{
			Name: "bakewatch_announcements_total",
			Help: "Stories told to a receiver: sent, given_up after an error that does not mend, dropped because too many waited or the receiver was removed; failed counts attempts.",
		}, []string{"receiver", "result"}),
		pending: metrics.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bakewatch_announce_pending",
			Help: "Stories that wait for a receiver.",
		}, []string{"receiver"}),
	}
}

// SetReceivers replaces the receivers. What waits for a receiver of the same name goes to the new one at once; what waits
// for a receiver that is gone is dropped. A receiver hears of what is told from now on.
func (d *Desk) SetReceivers(receivers []Receiver) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	wanted := map[string]bool{}
	for _, r := range receivers {
		name := r.Name()
		if wanted[name] {
			d.log.Error("two receivers have the same name; the second is ignored, give it another name", zap.String("receiver", name))
			continue
		}
		wanted[name] = true
		if l, ok := d.lanes[name]; ok {
			l.replace(r)
			continue
		}
		for _, result := range []string{"sent", "failed", "given_up", "dropped"} {
			d.results.WithLabelValues(name, result)
		}
		l := newLane(r, d.pending.WithLabelValues(name))
		d.lanes[name] = l
		if d.calls != nil {
			d.start(l)
		}
	}
	for name, l := range d.lanes {
		if wanted[name] {
			continue
		}
		delete(d.lanes, name)
		if n := l.abandon(); n > 0 {
			d.results.WithLabelValues(name, "dropped").Add(float64(n))
			d.log.Error("dropped the stories that waited for a receiver, because it was removed from the configuration", zap.String("receiver", name), zap.Int("stories", n))
		}
		d.pending.DeleteLabelValues(name)
	}
}

// Tell hands the story to the queue of every receiver but those excepted, which know it already. It never blocks and never
// fails.
func (d *Desk) Tell(s Story, except ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, l := range d.lanes {
		if slices.Contains(except, name) {
			continue
		}
		if d.closed {
			d.results.WithLabelValues(name, "dropped").Inc()
			d.log.Warn("dropped a story that was told while stopping", about(name, s)...)
			continue
		}
		if lost, ok := l.add(s, time.Now()); ok {
			d.results.WithLabelValues(name, "dropped").Inc()
			d.log.Error("dropped the oldest story because too many wait for this receiver; find out why it does not keep up",
				append(about(name, lost), zap.Int("waiting", maxPending))...)
		}
	}
}

// Run delivers until ctx ends. Then what waits and did not fail yet is tried within a short grace, and Run returns once
// all calls have; a Receiver therefore must heed its context. A Desk runs once.
func (d *Desk) Run(ctx context.Context) error {
	calls, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d.mu.Lock()
	if d.calls != nil {
		d.mu.Unlock()
		return errors.New("running the announcement desk: it ran already; make a new one")
	}
	d.calls = calls
	for _, l := range d.lanes {
		d.start(l)
	}
	d.mu.Unlock()

	<-ctx.Done()

	d.mu.Lock()
	d.closed = true
	for _, l := range d.lanes {
		l.drain()
	}
	d.mu.Unlock()
	defer time.AfterFunc(grace, stop).Stop()
	d.callers.Wait()
	for name, l := range d.lanes {
		if n := l.waiting(); n > 0 {
			d.log.Warn("stopping with stories not delivered; those without a receipt in their Bake may be told again by the next leader", zap.String("receiver", name), zap.Int("stories", n))
		}
	}
	return nil
}

func (d *Desk) start(l *lane) {
	ctx := d.calls
	for range callers {
		d.callers.Go(func() {
			for {
				call, ok := l.next(ctx)
				if !ok {
					return
				}
				l.finish(call, d.deliver(ctx, call))
			}
		})
	}
}

// deliver makes one call, counts and records how it ended, and says what is to become of the story.
func (d *Desk) deliver(ctx context.Context, c *call) verdict {
	name, s := c.receiver.Name(), c.letter.story
	id, err := d.tell(ctx, c.receiver, s)
	now := time.Now()
	fields := append(about(name, s), zap.Int("attempt", c.letter.tries+1))
	switch {
	case err == nil:
		d.results.WithLabelValues(name, "sent").Inc()
		d.log.Info("told a receiver", append(fields, zap.String("id", id))...)
		d.file(ctx, s.Bake, Receipt{Receiver: name, Stage: s.Stage, ID: id, At: now})
		return verdict{done: true, id: id}
	case ctx.Err() != nil: // the end of the grace cut the call short: no fault of the receiver's
		return verdict{}
	}
	d.results.WithLabelValues(name, "failed").Inc()
	if errors.Is(err, ErrFinal) || now.Sub(c.letter.told) >= keepTrying {
		d.results.WithLabelValues(name, "given_up").Inc()
		d.log.Error("gave up telling a receiver; the bake itself goes on", append(fields, zap.Error(err))...)
		d.file(ctx, s.Bake, Receipt{Receiver: name, Stage: s.Stage, At: now, Err: err})
		return verdict{done: true}
	}
	v := verdict{delay: c.letter.delay()}
	if asked, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok && asked.RetryAfter() > 0 && asked.RetryAfter() <= maxRetryAfter {
		v.pause = asked.RetryAfter()
	}
	d.log.Warn("could not tell a receiver; trying again", append(fields, zap.Error(err), zap.Duration("in", max(v.delay, v.pause)))...)
	return v
}

// file records a receipt, also while stopping: a receipt that is lost is a message sent twice.
func (d *Desk) file(ctx context.Context, bake string, r Receipt) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callDeadline)
	defer cancel()
	d.record(ctx, bake, r)
}

// tell calls the receiver with a deadline. A panic in it is its final error, because the guard outlives its adapters.
func (d *Desk) tell(ctx context.Context, r Receiver, s Story) (id string, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("an adapter panicked; please report this as a bug", append(about(r.Name(), s), zap.Any("panic", p), zap.Stack("stack"))...)
			id, err = "", fmt.Errorf("the adapter panicked: %v (%w); the log has the stack, please report it as a bug", p, ErrFinal)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	return r.Tell(ctx, s)
}

func about(receiver string, s Story) []zap.Field {
	return []zap.Field{zap.String("receiver", receiver), zap.String("bake", s.Bake), zap.String("stage", string(s.Stage))}
}
