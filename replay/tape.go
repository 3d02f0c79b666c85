package replay

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// Tape is what all lines so far amount to. The zero Tape has none.
type Tape struct {
	Line // the newest, with what earlier ones said of the workload where it says nothing

	// Tick is how long the first tick was while there is no second line to tell.
	Tick time.Duration

	windows []signals.Window
	tracks  map[string]*decide.Evidence
}

// Add adds the next line. A signal that is not in it has no series in this tick.
func (t *Tape) Add(l Line) {
	t.name(l)
	to := l.Time()
	from := to.Add(-t.Tick)
	if n := len(t.windows); n > 0 {
		from = t.windows[n-1].To
	}
	t.windows = append(t.windows, signals.Window{From: from, To: to})
	if len(t.windows) == 2 { // now it can be told how long a tick is
		t.windows[0].From = from.Add(-to.Sub(from))
		for _, e := range t.tracks {
			e.Ticks[0].Window = t.windows[0]
		}
	}
	for signal, s := range l.Signals {
		t.add(signal, s)
	}
	for _, e := range t.tracks {
		t.fill(e, len(t.windows))
	}
}

// name takes over what a line says of the workload and its revisions.
func (t *Tape) name(l Line) {
	before := t.Line
	t.Line = l
	if l.Namespace == "" {
		t.Namespace = before.Namespace
	}
	if l.Kind == "" {
		t.Kind = before.Kind
	}
	if l.Name == "" {
		t.Name = before.Name
	}
	if l.To == "" {
		t.To = before.To
	}
	if l.From == nil {
		t.From = before.From
	}
}

func (t *Tape) add(signal string, s Signal) {
	e := t.tracks[signal]
	if e == nil {
		if t.tracks == nil {
			t.tracks = map[string]*decide.Evidence{}
		}
		e = &decide.Evidence{Signal: signal, History: signals.Side{Missing: signals.NoSeries}}
		t.tracks[signal] = e
		t.fill(e, len(t.windows)-1)
	}
	e.Ticks = append(e.Ticks, signals.Reading{Window: t.windows[len(t.windows)-1], Candidate: s.Candidate, Baseline: s.Baseline})
	if h := s.History; h != nil {
		learnt := decide.Learn(h.Blocks) // once, not at every line
		e.History, e.Blocks, e.Learnt = h.Side, h.Blocks, &learnt
	}
	if s.Query != nil {
		e.Query = *s.Query
	}
	if s.Lead != 0 {
		e.Lead = s.Lead
	}
	if s.Days != nil {
		e.Days = s.Days
	}
	if s.Neighbours != nil {
		e.Neighbours = nil
		for _, n := range s.Neighbours {
			e.Neighbours = append(e.Neighbours, decide.Neighbour(n))
		}
	}
}

// fill adds ticks without series until there are n.
func (t *Tape) fill(e *decide.Evidence, n int) {
	none := signals.Side{Missing: signals.NoSeries}
	for i := len(e.Ticks); i < n; i++ {
		e.Ticks = append(e.Ticks, signals.Reading{Window: t.windows[i], Candidate: none, Baseline: none})
	}
}

// Evidence is what the lines say of a signal; false when none of them names it. Its threshold is not set.
func (t *Tape) Evidence(signal string) (decide.Evidence, bool) {
	e, ok := t.tracks[signal]
	if !ok {
		return decide.Evidence{}, false
	}
	return *e, true
}

// Found is what the lines measured, by signal and source, and how, where they say so. It is sorted by key.
func (t *Tape) Found() []signals.Found {
	var out []signals.Found
	for _, key := range slices.Sorted(maps.Keys(t.tracks)) {
		q := t.tracks[key].Query
		name, source, _ := strings.Cut(key, "@")
		if q.Source == "" {
			q.Source = source
		}
		out = append(out, signals.Found{Signal: name, Query: q})
	}
	return out
}

// Names are what sentences call the candidate and the baseline.
func (t *Tape) Names() (to, from string) {
	to, from = "the new version", "the old version"
	if t.To != "" {
		to = t.To
	}
	if t.From != nil {
		from = *t.From
	}
	return to, from
}
