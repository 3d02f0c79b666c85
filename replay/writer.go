package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// Encode writes all that the judge was given as lines, one a tick. What is known of the past is on the first line, so that
// the last line's verdict is the one that was given. head names the workload. Nothing is written while there is no tick.
func Encode(head Line, in decide.Input) ([]byte, error) {
	ticks := 0
	tracks := slices.Clone(in.Signals)
	for _, v := range in.Values {
		tracks = append(tracks, v.Read)
	}
	for _, e := range tracks {
		ticks = max(ticks, len(e.Ticks))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for i := range ticks {
		l := Line{Signals: map[string]Signal{}}
		if i == 0 {
			l = head
			l.To, l.From, l.Signals = in.To, &in.From, map[string]Signal{}
		}
		for _, e := range tracks {
			if i >= len(e.Ticks) {
				continue
			}
			r := e.Ticks[i]
			l.T = seconds(r.Window.To)
			s := Signal{Candidate: finite(r.Candidate), Baseline: finite(r.Baseline)}
			if i == 0 {
				s.past(e)
			}
			l.Signals[e.Query.Key(e.Signal)] = s
		}
		if err := enc.Encode(l); err != nil {
			return nil, fmt.Errorf("write a line: %w", err)
		}
	}
	return out.Bytes(), nil
}

// past adds what is known of the time before.
func (s *Signal) past(e decide.Evidence) {
	s.Lead = e.Lead
	if e.Query.Preset != "" { // else it is in the policy
		s.Query = &e.Query
	}
	s.History = &History{Side: finite(e.History)}
	for _, b := range e.Blocks {
		s.History.Blocks = append(s.History.Blocks, finite(b))
	}
	for _, d := range e.Days {
		s.Days = append(s.Days, finite(d))
	}
	for _, n := range e.Neighbours {
		s.Neighbours = append(s.Neighbours, Neighbour(n))
	}
}

// finite is a side as JSON can say it: a count that is no number is missing.
func finite(s signals.Side) signals.Side {
	if s.Missing == signals.Present && (!ok(s.Requests) || !ok(s.Errors) || !ok(s.Value)) {
		return signals.Side{Missing: signals.NotNumber}
	}
	return s
}

func ok(x float64) bool { return x >= 0 && !math.IsInf(x, 0) }
