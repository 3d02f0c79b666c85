package datadog

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// maxMonitors bounds how many monitors one question may be about.
const maxMonitors = 100

// monitor is a monitor with the states of its groups.
type monitor struct {
	name    string
	created int64 // seconds
	groups  []watched
}

// watched is what is known of one group: the newest times at which it began to alert, ended to, and had no data any more.
type watched struct {
	state                       datadogV1.MonitorOverallStates
	triggered, resolved, nodata int64
}

// standing is how something stood in a window.
type standing int

const (
	unknown standing = iota
	quiet
	alerting
)

// readMonitors answers a question about monitors: each is one look in each window, which failed if it found it alerting. All are
// of the whole service: before the rollout they say how it was then.
// What alerted when the rollout began is not the new version's doing, and says nothing of it: until it has ended to, it is neither
// good nor bad, nor has it ever been.
func (s *Source) readMonitors(ctx context.Context, tags string, born time.Time, windows []window, into []signals.Reading) {
	all, failure := s.monitored.get(ctx, tags, func() ([]monitor, *upstream.Failure) { return s.monitors(s.ctx, tags, s.urgent(windows)) })
	for i, w := range windows {
		into[i].Baseline = signals.Side{Missing: signals.NoSeries, Detail: "counted for the whole service; compared with its past"}
		if failure != nil {
			into[i].Candidate = blind(failure.Error())
			into[i].Baseline = into[i].Candidate
			continue
		}
		into[i].Candidate = stand(all, w, tags, born)
	}
}

// stand counts the monitors that alerted in a window, and those of which it is known that they did not. born is when the rollout
// began; zero: it does not matter.
func stand(all []monitor, w window, tags string, born time.Time) signals.Side {
	var out signals.Side
	for i := range all {
		switch all[i].stood(w, born) {
		case alerting:
			out.Errors++
			out.Requests++
			if out.Detail == "" {
				out.Detail = "monitor " + strconv.Quote(upstream.Bounded(all[i].name))
			}
		case quiet:
			out.Requests++
		case unknown:
		}
	}
	if out.Requests == 0 && len(all) == 0 {
		return signals.Side{Missing: signals.NoSeries, Detail: "no monitor has the tags " + upstream.Bounded(tags)}
	}
	if out.Requests == 0 {
		return signals.Side{Missing: signals.NoSeries, Detail: "the monitors with the tags " + upstream.Bounded(tags) + " do not tell how things were"}
	}
	return out
}

// stood is how a monitor stood: it alerts if any of its groups does.
func (m *monitor) stood(w window, born time.Time) standing {
	if w.to < m.created {
		return unknown
	}
	out := unknown
	across := false
	for _, g := range m.groups {
		if g.across(born) && (g.resolved <= g.triggered || w.from < g.resolved) {
			across = true
			continue
		}
		out = max(out, g.stood(w))
	}
	if across && out != alerting {
		return unknown
	}
	if len(m.groups) == 0 { // no group has ever done anything
		return quiet
	}
	return out
}

// across reports whether a group alerted at a time, as far as is known.
func (g watched) across(at time.Time) bool {
	if at.IsZero() || g.triggered == 0 || g.triggered > at.Unix() {
		return false
	}
	return g.resolved > at.Unix() || g.resolved <= g.triggered && g.state == datadogV1.MONITOROVERALLSTATES_ALERT
}

// stood is how a group stood in a window that is over. Of what was before it last began to alert, only the time since it had
// ended to do so before is known.
func (g watched) stood(w window) standing {
	since, until := g.triggered, int64(math.MaxInt64)
	if g.resolved > g.triggered {
		until = g.resolved
	}
	alerts := g.triggered > 0 && (until < math.MaxInt64 || g.state == datadogV1.MONITOROVERALLSTATES_ALERT)
	switch {
	case g.state == datadogV1.MONITOROVERALLSTATES_NO_DATA && w.to >= g.nodata,
		g.state == datadogV1.MONITOROVERALLSTATES_IGNORED, g.state == datadogV1.MONITOROVERALLSTATES_SKIPPED, g.state == datadogV1.MONITOROVERALLSTATES_UNKNOWN:
		return unknown
	case alerts && since <= w.to && until > w.from:
		return alerting
	case g.triggered == 0 || w.from >= since: // never, or after it ended
		return quiet
	case g.resolved > 0 && g.resolved < g.triggered && w.from >= g.resolved: // between two alerts
		return quiet
	case g.resolved == 0: // its first alert is its newest
		return quiet
	}
	return unknown
}

// monitors asks for the monitors that have all of the tags.
func (s *Source) monitors(ctx context.Context, tags string, urgent bool) ([]monitor, *upstream.Failure) {
	var got []datadogV1.Monitor
	now := time.Now()
	failure := s.send(ctx, monitors, urgent, now, func(ctx context.Context) (*http.Response, error) {
		var resp *http.Response
		var err error
		got, resp, err = s.monitorsAPI.ListMonitors(ctx, *datadogV1.NewListMonitorsOptionalParameters().WithGroupStates("all").WithMonitorTags(tags).WithPage(0).WithPageSize(maxMonitors + 1))
		return resp, err
	}, func() *upstream.Failure { return nil })
	switch {
	case failure != nil:
		return nil, failure
	case len(got) > maxMonitors:
		return nil, upstream.Failed(upstream.TooExpensive, nil, "query too expensive: more than %d monitors have the tags %s; narrow them", maxMonitors, upstream.Bounded(tags))
	}
	out := make([]monitor, 0, len(got))
	for i := range got {
		out = append(out, monitorOf(&got[i]))
	}
	slices.SortFunc(out, func(a, b monitor) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// unreadable reports whether the client could not make sense of a monitor, or of one of its groups: of a kind or state that it
// does not know. Nothing is known of such a one.
func unreadable(m *datadogV1.Monitor) bool {
	if m.UnparsedObject != nil || m.State == nil {
		return m.UnparsedObject != nil
	}
	if m.State.UnparsedObject != nil {
		return true
	}
	for _, g := range m.State.Groups {
		if g.UnparsedObject != nil || g.Status == nil {
			return true
		}
	}
	return false
}

func monitorOf(from *datadogV1.Monitor) monitor {
	m := monitor{name: fmt.Sprint(from.GetId())}
	if unreadable(from) {
		m.groups = []watched{{state: datadogV1.MONITOROVERALLSTATES_UNKNOWN}}
		return m
	}
	if from.Name != nil {
		m.name = *from.Name
	}
	if from.Created != nil {
		m.created = from.Created.Unix()
	}
	if from.State == nil || len(from.State.Groups) == 0 {
		if from.OverallState != nil && *from.OverallState != datadogV1.MONITOROVERALLSTATES_OK {
			m.groups = []watched{{state: datadogV1.MONITOROVERALLSTATES_UNKNOWN}} // it does not say since when
		}
		return m
	}
	for _, g := range from.State.Groups {
		m.groups = append(m.groups, watched{state: g.GetStatus(), triggered: g.GetLastTriggeredTs(), resolved: g.GetLastResolvedTs(), nodata: g.GetLastNodataTs()})
	}
	return m
}
