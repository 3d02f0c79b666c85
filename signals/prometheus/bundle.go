package prometheus

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// Many bakes ask the same of different namespaces and services. Their selectors differ only in the values of some labels, so
// that one query with all the values answers them all: how many are sent a tick depends on how many different texts there are,
// not on how many workloads bake. What each asks for is taken out of the answer again by those labels.

// identities are the labels that say whose a series is. Only selectors that name values of theirs are bundled.
var identities = []string{
	"namespace", "exported_namespace", "kubernetes_namespace", "destination_service_namespace", "dst_namespace",
	"service", "exported_service", "backend", "envoy_cluster_name", "destination_service_name", "dst_service",
}

const (
	// bundleBytes bounds the values that one query names: a longer list is split over several queries.
	bundleBytes = 4 << 10
	// bundleMembers bounds how many askers of one template are remembered; more ask for themselves.
	bundleMembers = 20_000
	// bundleTemplates bounds the templates; so many different texts are no fleet.
	bundleTemplates = 500
	// bundleWithin is how old the end of a question may be that is bundled: questions about the past are each their own.
	bundleWithin = 2 * time.Minute
)

// request is a selector taken apart: what all of its kind share, and the values that are its own.
type request struct {
	template string              // selector without the identities, and their names
	values   map[string][]string // by label
	own      string              // the values as one text
	rest     promql.Selector
	marks    []string // all that its own series may be marked with
}

// take takes a selector apart; ok is false where it names no identity.
func take(text string) (request, bool) {
	s, err := promql.ParseSelector(text)
	if err != nil {
		return request{}, false
	}
	r := request{values: map[string][]string{}, rest: promql.Selector{Name: s.Name}}
	for _, m := range s.Matchers {
		values := promql.Literals(m)
		_, twice := r.values[m.Name]
		if len(values) == 0 || twice || !slices.Contains(identities, m.Name) {
			r.rest.Matchers = append(r.rest.Matchers, m)
			continue
		}
		r.values[m.Name] = slices.Compact(slices.Sorted(slices.Values(values)))
	}
	if len(r.values) == 0 {
		return request{}, false
	}
	labels := r.labels()
	r.template = r.rest.String() + "\xff" + strings.Join(labels, ",")
	r.marks = []string{""}
	for _, label := range labels {
		var next []string
		for _, mark := range r.marks {
			for _, v := range r.values[label] {
				next = append(next, mark+v+"\xff")
			}
		}
		r.marks = next
		r.own += strings.Join(r.values[label], "|") + "\xff"
	}
	return r, true
}

// labels are the names of its identities, in order.
func (r request) labels() []string { return slices.Sorted(maps.Keys(r.values)) }

// of is the selector with these values.
func (r request) of(values map[string][]string) string {
	s := r.rest
	for _, label := range r.labels() {
		s = s.With(promql.OneOf(label, values[label]...))
	}
	return s.String()
}

// bundles knows who asks for what, and puts it together.
type bundles struct {
	mu         sync.Mutex
	byTemplate map[string]*template
}

// template is what requests share that are bundled.
type template struct {
	members map[string]*member
	plans   map[plan]map[string]string // by asker, the text that answers it
	bytes   int                        // how many bytes of values a query may name; halved when that was too much
}

// member is one who asks.
type member struct {
	values map[string][]string
	until  time.Time // not any more, unless it asks again
}

// plan is one tick.
type plan struct {
	part        part
	time, reach int64
}

// text is the query that answers a request: its own, or one that answers others as well. tick is how often it is asked.
func (b *bundles) text(k key, tick time.Duration, now time.Time) (text string, r request, bundled bool) {
	if now.Sub(time.UnixMilli(k.time)) > bundleWithin+tick {
		return k.text, r, false
	}
	r, ok := take(k.text)
	if !ok {
		return k.text, r, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.of(r.template)
	if t == nil {
		return k.text, r, false
	}
	t.forget(now)
	if len(t.members) < bundleMembers || t.members[r.own] != nil {
		t.members[r.own] = &member{values: r.values, until: now.Add(3*tick + 10*time.Second)}
	}
	p := plan{k.part, k.time, k.reach}
	answers, planned := t.plans[p]
	if !planned {
		answers = t.divide(r)
		t.plans[p] = answers
	}
	if text, ok := answers[r.own]; ok {
		return text, r, true
	}
	return k.text, r, false // it came after the others were asked for; next time it is among them
}

func (b *bundles) of(name string) *template {
	if b.byTemplate == nil {
		b.byTemplate = map[string]*template{}
	}
	t := b.byTemplate[name]
	if t == nil {
		if len(b.byTemplate) >= bundleTemplates {
			maps.DeleteFunc(b.byTemplate, func(_ string, t *template) bool { return len(t.members) == 0 })
		}
		if len(b.byTemplate) >= bundleTemplates {
			return nil
		}
		t = &template{members: map[string]*member{}, plans: map[plan]map[string]string{}, bytes: bundleBytes}
		b.byTemplate[name] = t
	}
	return t
}

// forget forgets who no longer asks, and the ticks that are over.
func (t *template) forget(now time.Time) {
	maps.DeleteFunc(t.members, func(_ string, m *member) bool { return now.After(m.until) })
	maps.DeleteFunc(t.plans, func(p plan, _ map[string]string) bool { return now.Sub(time.UnixMilli(p.time)) > 2*bundleWithin })
}

// divide puts all who ask together into as few queries as their length allows. The same members are divided the same way.
func (t *template) divide(r request) map[string]string {
	answers := make(map[string]string, len(t.members))
	var group []string
	values, size := map[string][]string{}, 0
	flush := func() {
		if len(group) == 0 {
			return
		}
		for label := range values {
			slices.Sort(values[label])
			values[label] = slices.Compact(values[label])
		}
		text := r.of(values)
		for _, own := range group {
			answers[own] = text
		}
		group, values, size = nil, map[string][]string{}, 0
	}
	for _, own := range slices.Sorted(maps.Keys(t.members)) {
		if len(group) > 0 && size+len(own) > t.bytes {
			flush()
		}
		group, size = append(group, own), size+len(own)
		for label, vs := range t.members[own].values {
			values[label] = append(values[label], vs...)
		}
	}
	flush()
	return answers
}

// tooMuch has later queries of a template name fewer values: an answer for so many is too large, or takes too long.
func (b *bundles) tooMuch(r request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.byTemplate[r.template]; t != nil {
		t.bytes = max(1, t.bytes/2)
	}
}

// share is what a bundled answer holds for one of those it was asked for: just what its own query would have brought.
func (a *answer) share(r request) *answer {
	var own []int
	for _, mark := range r.marks {
		own = append(own, a.byMark(r.labels())[mark]...)
	}
	slices.Sort(own) // in the order in which they are there
	out := &answer{series: make([]series, len(own))}
	for at, i := range own {
		out.series[at] = a.series[i]
	}
	return out
}

// byMark finds series by the values of some labels. All who ask for a bundled answer ask by the same ones.
func (a *answer) byMark(labels []string) map[string][]int {
	a.index.Do(func() {
		a.marked = make(map[string][]int, len(a.series))
		for i := range a.series {
			var mark strings.Builder
			for _, label := range labels {
				mark.WriteString(a.series[i].ids[label] + "\xff")
			}
			a.marked[mark.String()] = append(a.marked[mark.String()], i)
		}
	})
	return a.marked
}
