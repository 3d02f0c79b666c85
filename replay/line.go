// Package replay is a bake's readings as lines of JSON, one a tick: what `bakewatch run --record` writes and `bakewatch
// judge` reads. It knows the judge's vocabulary and nothing else.
package replay

import (
	"strconv"
	"time"

	"github.com/bakewatch/bakewatch/signals"
)

// Line is one tick: what was counted in it, and what became known of the past since the line before.
type Line struct {
	T float64 `json:"t"` // end of the tick, in seconds since the epoch

	// The workload, so that its overrides apply. A line that says nothing of it leaves what was said before.
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Name      string `json:"name,omitempty"`

	To   string  `json:"to,omitempty"`   // what sentences call the candidate
	From *string `json:"from,omitempty"` // likewise the baseline; "" says that there is no earlier revision, nil says nothing

	Signals map[string]Signal `json:"signals"` // by key: the signal's name, or name@source where that is not prometheus
}

// Signal is one signal's share of a line. A nil field leaves what earlier lines said.
type Signal struct {
	Candidate signals.Side `json:"candidate"`
	Baseline  signals.Side `json:"baseline"`

	Query *signals.Query `json:"query,omitempty"` // how it was measured

	History    *History       `json:"history,omitempty"`
	Lead       float64        `json:"lead,omitempty"` // share of the first tick that was over before the candidate served
	Days       []signals.Side `json:"days,omitempty"`
	Neighbours []Neighbour    `json:"neighbours,omitempty"`
}

// History is the baseline's side before the rollout, and the same cut into spans as long as a tick.
type History struct {
	signals.Side
	Blocks []signals.Side `json:"blocks,omitempty"`
}

// Neighbour is a workload that did not deploy.
type Neighbour struct {
	Name   string         `json:"name"`
	Before signals.Counts `json:"before"`
	After  signals.Counts `json:"after"`
}

// Time is the end of the tick.
func (l Line) Time() time.Time { return time.UnixMicro(int64(l.T*1e6 + 0.5)).UTC() }

// seconds is a time as lines have it.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// shownSeconds is a t as people write it.
func shownSeconds(t float64) string { return strconv.FormatFloat(t, 'f', -1, 64) }
