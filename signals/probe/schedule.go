package probe

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// target is one flow of one workload, while it is run.
type target struct {
	signal  string
	program *flow.Program
	tally   tally
	stands  bool
	blind   string // why the newest run told nothing

	asked    time.Time     // when it was last asked about
	patience time.Duration // for how long after that it is run

	pods    []Pod
	listed  time.Time // when the newest list of pods was asked for
	listing bool
	due     map[string]time.Time // when a pod's next run is, by its UID
	busy    map[string]bool      // pods against which it is being run
	next    time.Time            // while nothing is rolled out: when the next run is
}

const (
	beat = 200 * time.Millisecond
	// standEvery is how often it is asked which flows stand.
	standEvery = 5 * time.Second
	// listEvery is how often pods are listed while a workload is rolled out.
	listEvery = 2 * time.Second
	// listEach is by how much more rarely the pods are listed for each of them: a list of thousands is no small thing.
	listEach = 10 * time.Millisecond
	// listTimeout bounds one look at the cluster.
	listTimeout = 5 * time.Second
)

// enoughPast is how many runs a past is well known by: with so many that passed, a new version of which all runs fail is found
// worse within some ticks, also when no old pod is there beside it.
const enoughPast = 40

// quietEvery is how often a flow is run while nothing is rolled out, against one pod after the other: thrice as rarely, once
// its past is known.
func (t *target) quietEvery() time.Duration {
	if len(t.tally.runs) < enoughPast {
		return t.program.Every
	}
	return 3 * t.program.Every
}

// active reports whether the target is run against all pods.
func (t *target) active(now time.Time, stirred bool) bool {
	if stirred || !t.asked.IsZero() && now.Sub(t.asked) < t.patience {
		return true
	}
	return slices.ContainsFunc(t.pods, func(p Pod) bool { return p.Revision != t.pods[0].Revision })
}

// Run runs flows until ctx ends, and returns when no run is under way any more. standing says which flows stand; it is asked
// again and again. What was counted before is forgotten, for nothing was counted in between.
func (s *Source) Run(ctx context.Context, standing func() []Standing) {
	s.mu.Lock()
	s.running = true
	s.targets = map[key]*target{}
	s.mu.Unlock()
	slots := make(chan struct{}, maxAtOnce)
	var wg sync.WaitGroup
	start := func(work func()) bool {
		select {
		case slots <- struct{}{}:
		default:
			return false
		}
		wg.Go(func() {
			defer func() { <-slots }()
			work()
		})
		return true
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.running = false
			s.mu.Unlock()
			wg.Wait()
			return
		case now := <-tick.C:
			if now.Sub(asked) >= standEvery {
				s.stand(standing())
				asked = now
			}
			s.turn(ctx, now, start)
		}
	}
}

// turn starts what is due. start starts work beside it, or refuses where too much is under way.
func (s *Source) turn(ctx context.Context, now time.Time, start func(func()) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w, at := range s.stirred {
		if now.Sub(at) > stirredFor {
			delete(s.stirred, w)
		}
	}
	for k, t := range s.targets {
		_, stirred := s.stirred[k.Workload]
		asked := !t.asked.IsZero() && now.Sub(t.asked) < t.patience
		if !t.stands && !asked {
			delete(s.targets, k) // a run under way ends with nobody to count it
			continue
		}
		active := t.active(now, stirred)
		every := t.quietEvery()
		if active {
			every = max(min(listEvery, t.program.Every), time.Duration(len(t.pods))*listEach)
		}
		if !t.listing && now.Sub(t.listed) >= every {
			t.listing = start(func() { s.list(ctx, k, t) })
			if t.listing {
				t.listed = now
			}
			continue // with the pods as they are
		}
		if t.listing {
			continue
		}
		for _, p := range t.choose(now, active) {
			if !start(func() { s.probe(ctx, k, t, p) }) { // at the next beat, then
				if t.overdue(p, now) {
					s.note(t, run{pod: p.Name, blind: "too many flows are run at once"})
				}
				continue
			}
			t.busy[p.UID] = true
			t.due[p.UID], t.next = now.Add(t.program.Every), now.Add(t.quietEvery())
		}
	}
}

// overdue reports whether a run that cannot be started is late by a whole round, and gives that round up.
func (t *target) overdue(p Pod, now time.Time) bool {
	due, known := t.due[p.UID]
	switch {
	case !known:
		t.due[p.UID] = now
	case now.Sub(due) >= t.program.Every:
		t.due[p.UID] = now
		return true
	}
	return false
}

// choose are the pods against which the flow is to be run now.
func (t *target) choose(now time.Time, active bool) []Pod {
	pods := slices.DeleteFunc(slices.Clone(t.pods), func(p Pod) bool { return t.busy[p.UID] })
	slices.SortStableFunc(pods, func(a, b Pod) int { // whose turn was longest ago
		return cmp.Or(t.due[a.UID].Compare(t.due[b.UID]), strings.Compare(a.Name, b.Name))
	})
	if !active {
		if len(pods) == 0 || now.Before(t.next) {
			return nil
		}
		return pods[:1]
	}
	var out []Pod
	chosen := map[string]int{} // by revision; those whose turn is not over count, too
	for _, p := range t.pods {
		if t.due[p.UID].After(now) {
			chosen[p.Revision]++
		}
	}
	for _, p := range pods {
		if t.due[p.UID].After(now) || chosen[p.Revision] >= maxASide {
			continue
		}
		chosen[p.Revision]++
		out = append(out, p)
	}
	return out
}

// list looks up the pods of a target.
func (s *Source) list(ctx context.Context, k key, t *target) {
	callCtx, cancel := context.WithTimeout(ctx, listTimeout)
	var pods []Pod
	err := s.gate.Ask(func() (err error) {
		pods, err = s.Cluster.Ready(callCtx, k.Workload)
		return err
	})
	cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	t.listing = false
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		s.note(t, run{blind: "its pods are not known: " + bounded(err.Error())})
		return // those of before, whatever became of them: a failed run is looked into
	}
	t.pods = pods
	there := map[string]bool{}
	for _, p := range pods {
		there[p.UID] = true
	}
	for uid := range t.due {
		if !there[uid] {
			delete(t.due, uid)
		}
	}
}

// probe runs a target's flow against a pod, and counts the run.
func (s *Source) probe(ctx context.Context, k key, t *target, p Pod) {
	out := s.run(ctx, k.Workload, t.program, p)
	discard := ctx.Err() != nil
	if out.failure != "" && !discard {
		callCtx, cancel := context.WithTimeout(ctx, listTimeout)
		var serves bool
		err := s.gate.Ask(func() (err error) {
			serves, err = s.Cluster.Serves(callCtx, k.Workload, p)
			return err
		})
		cancel()
		switch {
		case ctx.Err() != nil:
			discard = true
		case err != nil:
			out = outcome{blind: "it failed, and whether the pod was ending is not known: " + bounded(err.Error())}
		case !serves: // who asks a pod that is ending learns nothing of its version
			discard = true
			s.Metrics.count(resultDiscarded)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(t.busy, p.UID)
	if !discard {
		s.note(t, run{pod: p.Name, failure: out.failure, blind: out.blind})
	}
}

// note counts a run that ended now. The lock is held.
func (s *Source) note(t *target, r run) {
	r.at = time.Now()
	t.tally.add(r)
	if r.blind != "" && t.blind != r.blind {
		s.Log.Warn("a user flow cannot be run", zap.String("signal", t.signal), zap.String("pod", r.pod), zap.String("why", r.blind))
	}
	t.blind = r.blind
	switch {
	case r.blind != "":
		s.Metrics.count(resultNotRun)
	case r.failure != "":
		s.Metrics.count(resultFailed)
	default:
		s.Metrics.count(resultPassed)
	}
}
