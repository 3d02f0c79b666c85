package bake

import (
	"slices"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// entry is what is remembered of one workload. It is rebuilt from the Bakes when the daemon starts; a workload that has
// none is adopted as it is found. Only the worker that holds the workload's key touches it.
type entry struct {
	uid     string
	seen    bool              // current is known
	digest  string            // of the template that was last looked at; empty: look again
	current v1alpha1.Revision // what it settled on; the hash may be unknown, the number is not
	good    v1alpha1.Revision // last known good; zero: none
	// goodSince is when good began to serve alone, unprovenSince when something unproven was first rolled out over it.
	// Between the two lies good's past. Zero: not known.
	goodSince, unprovenSince time.Time
	earlier                  past           // good's past from before a rollout over it that was undone
	adopted                  bool           // current was found running, not baked
	waits                    string         // digest of a template of which it was told that nothing rolls out yet
	undoing                  string         // hash that our own last rollback goes back to
	undone                   []pastUndo     // its rollbacks so far, oldest first, as far as records go back
	problems                 string         // what was wrong with its policy when last looked
	past                     []string       // names of ended Bakes, oldest first
	work                     *work          // the newest bake while there is anything left to do for it
	back                     *writing       // of the template that the bake at work undid, while that bake is ended by it; nil: none
	suspended                []string       // bakes for which what keeps it as Git has it is suspended, oldest first
	resumed                  string         // what a person said last about these, once that is done
	heeded                   string         // what a person asked for last, and what ran then, once that is on record
	low                      *v1alpha1.Bake // that has lowered replicas which are not back yet
	configs                  configs
}

// adopt takes what runs as the way things are: no rollout, and known good if it serves in full.
func (e *entry) adopt(s Sight, current v1alpha1.Revision) {
	if current.Number != e.current.Number || !e.seen {
		e.current = current
		e.good, e.goodSince, e.unprovenSince, e.earlier = v1alpha1.Revision{}, time.Time{}, time.Time{}, past{}
		e.adopted = true
	}
	e.seen, e.uid, e.digest = true, s.UID, s.Digest
	e.proveQuietly(s)
}

// proveQuietly makes an adopted revision known good once it is seen serving in full.
func (e *entry) proveQuietly(s Sight) {
	if e.good.Number == 0 && e.work == nil && (e.adopted || len(e.past) == 0) && e.seen && s.Complete() && s.Replicas > 0 {
		e.good = e.current
	}
}

// settle remembers what the watcher found running.
func (e *entry) settle(d Detection) {
	if d.Current.ConfigMaps == nil { // the template alone was looked at
		d.Current.ConfigMaps = e.current.ConfigMaps
		if d.Current.Hash == e.current.Hash {
			d.Current.Configuration = e.current.Configuration
		}
	}
	if e.good.Number != 0 && e.good.Hash == "" && e.good.Number == d.Current.Number {
		kept := e.good.ConfigMaps
		e.good = d.Current // adopted by number; now its hash is known too
		e.good.ConfigMaps = kept
	}
	e.seen, e.current, e.digest = true, d.Current, d.Digest
}

// known is the entry as the watcher wants it.
func (e *entry) known(since time.Time) Known {
	undoing, restarted := e.undoing, ""
	if e.work != nil && e.work.bake.Status.Rollback != nil {
		undoing = e.work.bake.Status.Rollback.Target.Hash
		if r := e.work.bake.Status.Rollback.Restart; r != nil {
			restarted = r.At
		}
	}
	return Known{Restarted: restarted, Seen: e.seen, Hash: e.current.Hash, Number: e.current.Number, Good: e.good.Hash, GoodNumber: e.good.Number, Undoing: undoing, Since: since}
}

// begin remembers that a bake has begun.
func (e *entry) begin(b *v1alpha1.Bake) {
	e.uid, e.seen, e.undoing, e.adopted = b.Spec.Workload.UID, true, "", false
	e.current = b.Spec.To
	if b.Spec.ByHand != nil {
		return // nothing was rolled out: what is known good still is
	}
	if b.Spec.From != nil {
		e.good = *b.Spec.From
	}
	e.goodSince, e.unprovenSince = time.Time{}, b.Spec.BaselineUntil.Time
	if since := b.Spec.BaselineSince; since != nil {
		e.goodSince = since.Time
	}
}

// close remembers how a bake ended.
func (e *entry) close(b *v1alpha1.Bake) {
	st := b.Status
	if st.Rollback != nil && st.Rollback.PatchedAt != nil {
		e.undoing = st.Rollback.Target.Hash
	}
	e.rememberUndone(b)
	e.lowered(b)
	switch {
	case st.KnownGood:
		e.earlier = past{}
		if b.Spec.From != nil && sameRevision(*b.Spec.From, b.Spec.To) { // put back by hand: it is what it was before
			e.earlier = past{e.goodSince, e.unprovenSince}
		}
		e.good, e.unprovenSince = b.Spec.To, time.Time{}
		e.goodSince = st.EndedAt.Time
		if st.CompletedAt != nil {
			e.goodSince = st.CompletedAt.Time
		}
	case st.Outcome == v1alpha1.OutcomeRolledBack:
		e.earlier = past{e.goodSince, e.unprovenSince}
		if t := st.Rollback.Target; t.Hash != e.good.Hash { // a person chose another
			e.good, e.earlier = t, past{}
		}
		e.unprovenSince = time.Time{}
		e.goodSince = st.EndedAt.Time
		if st.Rollback.AvailableAt != nil {
			e.goodSince = st.Rollback.AvailableAt.Time
		}
	case has(st.Reasons, CodeUndone), has(st.Reasons, CodeConfigRestored), has(st.Reasons, CodeWithRelease):
		if b.Spec.InPlace && has(st.Reasons, CodeConfigRestored) {
			e.current = *b.Spec.From
		}
		e.earlier = past{e.goodSince, e.unprovenSince}
		e.unprovenSince = time.Time{}
		e.goodSince = st.EndedAt.Time
	}
	e.retire(b.Name)
}

// retire counts a Bake among those that are pruned one day.
func (e *entry) retire(name string) {
	if !slices.Contains(e.past, name) {
		e.past = append(e.past, name)
	}
}

// baseline is the span in which the known good revision served alone, up to a rollout that starts now. Right after an undo
// that span is short; then the longer one before the rollout that was undone speaks for it.
func (e *entry) baseline(started time.Time) (from, until time.Time) {
	until = started
	if !e.unprovenSince.IsZero() && e.unprovenSince.Before(started) {
		until = e.unprovenSince
	}
	now := past{e.goodSince, until}
	if !e.earlier.to.IsZero() && now.length() < shortPast && e.earlier.length() > now.length() {
		now = e.earlier
	}
	return now.from, now.to
}

func has(rs []v1alpha1.Reason, code string) bool {
	return slices.ContainsFunc(rs, func(r v1alpha1.Reason) bool { return r.Code == code })
}

// ledger holds the entries of all workloads. Its lock guards the map; an entry belongs to the worker that holds its key.
type ledger struct {
	mu      sync.Mutex
	entries map[Key]*entry
}

func (l *ledger) of(k Key) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[k]
	if e == nil {
		e = &entry{}
		l.entries[k] = e
	}
	return e
}

func (l *ledger) forget(k Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, k)
}

// budget counts the rollbacks of the recent past, over all workloads.
type budget struct {
	mu    sync.Mutex
	spent []spending
}

type spending struct {
	bake, namespace string
	at              time.Time
}

// spend records a rollback. Recording the same bake again changes nothing.
func (b *budget) spend(bake, namespace string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.ContainsFunc(b.spent, func(s spending) bool { return s.bake == bake }) {
		b.spent = append(b.spent, spending{bake, namespace, at})
	}
}

// refund takes back what was spent for a rollback that was not carried out.
func (b *budget) refund(bake string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = slices.DeleteFunc(b.spent, func(s spending) bool { return s.bake == bake })
}

// trySpend spends one rollback if the limits allow it, in one step, so that two workers cannot both take the last one.
// It answers how many were counted against the limit that was reached, and whose limit it is; ok when it was spent.
func (b *budget) trySpend(bake, namespace string, now time.Time, within time.Duration, perNamespace, perCluster int) (n int, scope string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = slices.DeleteFunc(b.spent, func(s spending) bool { return now.Sub(s.at) > 24*time.Hour })
	inNamespace, inCluster := 0, 0
	for _, s := range b.spent {
		if s.bake == bake {
			return 0, "", true
		}
		if now.Sub(s.at) < within {
			inCluster++
			if s.namespace == namespace {
				inNamespace++
			}
		}
	}
	switch {
	case inNamespace >= perNamespace:
		return inNamespace, "namespace " + namespace, false
	case inCluster >= perCluster:
		return inCluster, "the cluster", false
	}
	b.spent = append(b.spent, spending{bake, namespace, now})
	return 0, "", true
}
