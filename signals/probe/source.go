// Package probe runs user flows against the pods of workloads, and counts the runs. It is the source of the signals that flows
// are. It keeps what it counts in memory: what was counted before the daemon was restarted is missing afterwards, and never taken
// for zero. The past that a bake is compared with is in the bake's record.
package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals"
	kube "github.com/bakewatch/bakewatch/signals/kubernetes"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// Workload names a workload.
type Workload = kube.Workload

// Standing is a flow that is run against a workload all the time, so that something is known of it before a rollout.
type Standing struct {
	Workload
	Signal string
	Flow   string // as signals.Query has it
}

// Options are what a Source is made of.
type Options struct {
	Cluster Cluster
	Metrics *Metrics
	Sources *upstream.Metrics // of all sources; nil: not measured
	Log     *zap.Logger
}

// Source runs flows and answers questions about the runs. Flows are run while Run is: those that stand, slowly; and those
// that are asked about, or whose workload is rolled out, against all pods at their own rate.
type Source struct {
	Options
	gate *kube.Gate // to the cluster
	run  func(context.Context, Workload, *flow.Program, Pod) outcome

	mu      sync.Mutex
	running bool
	targets map[key]*target
	stirred map[Workload]time.Time
	crowded bool // more flows stand than are run
}

// key tells targets apart.
type key struct {
	Workload
	flow string
}

// The most there may be at once.
const (
	maxTargets = 1000 // flows of workloads that are run
	maxAtOnce  = 32   // runs under way, and lists of pods
	maxASide   = 10   // pods of one revision against which a flow is run in each round
)

const (
	askedFor   = 2 * time.Minute // how long a flow is run after it was last asked about; at least thrice as long as a tick
	stirredFor = time.Minute     // how long a workload that changed is taken for being rolled out
)

// New makes a Source.
func New(o Options) *Source {
	r := runner{cluster: o.Cluster, forbidden: flow.Forbidden}
	return &Source{Options: o, gate: kube.NewGate(o.Sources, signals.Probe), run: r.run, targets: map[key]*target{}, stirred: map[Workload]time.Time{}}
}

// Find implements discover.Source: flows are not found, people write them.
func (s *Source) Find(context.Context, signals.Subject) ([]signals.Found, []signals.Absent, error) {
	return nil, nil, nil
}

// Close leaves the source as it is: a bake that goes on may still ask about a flow that policy no longer names.
func (s *Source) Close() {}

// Check says which flows cannot be run, and why.
func (s *Source) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bad []string
	for k, t := range s.targets {
		if t.blind != "" && t.stands {
			bad = append(bad, fmt.Sprintf("%s of %s cannot be run: %s", t.signal, k.Workload, t.blind))
		}
	}
	slices.Sort(bad)
	const shown = 3
	if more := len(bad) - shown; more > 0 {
		bad = append(bad[:shown], fmt.Sprintf("and %d more", more))
	}
	if s.crowded {
		bad = append(bad, fmt.Sprintf("more than %d flows of workloads are configured; those above are run only while their workload bakes", maxTargets))
	}
	if len(bad) == 0 {
		return nil
	}
	return errors.New(strings.Join(bad, "; "))
}

// stand takes note of all flows that stand. Those that stood and are not named any more do so no longer.
func (s *Source) stand(all []Standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.targets {
		t.stands = false
	}
	s.crowded = false
	for _, one := range all {
		t, err := s.target(key{one.Workload, one.Flow}, one.Signal)
		if err != nil {
			s.crowded = s.crowded || errors.Is(err, errCrowded)
			continue // a bake will say so
		}
		t.stands = true
	}
}

// Stir notes that a workload changed: it may be rolled out. It does not block.
func (s *Source) Stir(w Workload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.stirred) < 10*maxTargets {
		s.stirred[w] = time.Now()
	}
}

var errCrowded = fmt.Errorf("more than %d flows of workloads are run already", maxTargets)

// target is that of a key; it is made when there is none. The lock is held.
func (s *Source) target(k key, signal string) (*target, error) {
	if t := s.targets[k]; t != nil {
		return t, nil
	}
	if len(s.targets) >= maxTargets {
		return nil, errCrowded
	}
	f, err := flow.Parse(k.flow)
	if err != nil {
		return nil, err
	}
	program, faults := flow.Compile(f)
	if len(faults) > 0 {
		return nil, fmt.Errorf("%s is no flow that can be run: %s %s", signal, faults[0].Path, faults[0].Message)
	}
	t := &target{signal: signal, program: program, due: map[string]time.Time{}, busy: map[string]bool{}, tally: tally{begun: time.Now()}}
	s.targets[k] = t
	return t, nil
}

// Read implements bake.Source. The flow that is asked about is run from now on, for as long as questions come.
func (s *Source) Read(_ context.Context, q signals.Question) ([]signals.Reading, error) {
	if len(q.Bounds) < 2 {
		return nil, fmt.Errorf("a question about %s has no window", q.Signal)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return nil, errors.New("flows are not run by this process now")
	}
	t, err := s.target(key{Workload{Kind: q.Kind, Namespace: q.Vars["namespace"], Name: q.Workload}, q.Flow}, q.Signal)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", q.Signal, err)
	}
	t.asked = time.Now()
	t.patience = max(askedFor, 3*q.Bounds[1].Sub(q.Bounds[0]))
	return t.tally.readings(q), nil
}
