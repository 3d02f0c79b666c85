package bake

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// maxNeighbours is how many other workloads a signal is read of: the largest of the namespace.
const maxNeighbours = 50

// neighbours are the counts of the workloads that the same answers speak of: before the rollout, and in the ticks. Reading
// them takes no queries of their own.
type neighbours struct {
	before map[string]signals.Counts
	after  map[string]signals.Counts // in the ticks that are not read again
	ticks  int                       // how many these are
	newest map[string]signals.Counts // in the tick after them, so far
}

// read counts the ticks that are not counted yet. They are read as the bake's own: the newest is read once more with the
// one that follows it. Where the source did not answer they are left for later.
func (n *neighbours) read(ctx context.Context, src Source, ask signals.Question, v *evidence, upTo time.Time) {
	ask.OtherNames = slices.Sorted(maps.Keys(n.before))
	if ask.By != signals.ByPod || len(ask.OtherNames) == 0 {
		return
	}
	for edges := v.edges(n.ticks, upTo); len(edges) > 1; edges = v.edges(n.ticks, upTo) {
		ask.Bounds = edges[:min(len(edges), atOnce+1)]
		rs, err := src.Read(ctx, ask)
		if err != nil || len(rs) != len(ask.Bounds)-1 {
			return
		}
		answered := slices.IndexFunc(rs, unanswered)
		if answered < 0 {
			answered = len(rs)
		}
		if answered == 0 {
			return
		}
		for _, r := range rs[:answered-1] {
			n.after = plus(n.after, r.Others)
		}
		n.ticks, n.newest = n.ticks+answered-1, rs[answered-1].Others
		if answered < len(rs) || len(ask.Bounds) == len(edges) {
			return
		}
	}
}

// list are the neighbours that did not deploy, by name; those that served nothing before say nothing.
func (n *neighbours) list(deployed map[string]bool) []decide.Neighbour {
	var out []decide.Neighbour
	after := plus(maps.Clone(n.after), n.newest)
	for _, name := range slices.Sorted(maps.Keys(n.before)) {
		if before := n.before[name]; !deployed[name] && before.Requests > 0 {
			out = append(out, decide.Neighbour{Name: name, Before: before, After: after[name]})
		}
	}
	return out
}

// plus adds counts to those of the same name.
func plus(to, more map[string]signals.Counts) map[string]signals.Counts {
	if to == nil && len(more) > 0 {
		to = make(map[string]signals.Counts, len(more))
	}
	for name, c := range more {
		to[name] = to[name].Add(c)
	}
	return to
}

// deploys remembers each workload's newest rollout, for those that bake meanwhile: a workload that deployed, too, is no
// measure of them.
type deploys struct {
	mu          sync.Mutex
	byNamespace map[string]map[Key]deploy
}

type deploy struct{ started, ended time.Time } // ended is zero while it bakes

// note takes note of where a bake stands.
func (d *deploys) note(b *v1alpha1.Bake) {
	is := deploy{started: b.Spec.StartedAt.Time}
	if end := b.Status.EndedAt; b.Status.Outcome != "" && end != nil {
		is.ended = end.Time
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	k := keyOf(b)
	if d.byNamespace == nil {
		d.byNamespace = map[string]map[Key]deploy{}
	}
	of := d.byNamespace[k.Namespace]
	if of == nil {
		of = map[Key]deploy{}
		d.byNamespace[k.Namespace] = of
	}
	if is.started.Before(of[k].started) {
		return // how an older bake ended
	}
	of[k] = is
}

func (d *deploys) forget(k Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byNamespace[k.Namespace], k)
	if len(d.byNamespace[k.Namespace]) == 0 {
		delete(d.byNamespace, k.Namespace)
	}
}

// since are the names of the workloads of a namespace that bake, or whose rollout was not over at that time.
func (d *deploys) since(namespace string, at time.Time) map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]bool{}
	for k, is := range d.byNamespace[namespace] {
		if is.ended.IsZero() || is.ended.After(at) {
			out[k.Name] = true
		}
	}
	return out
}
