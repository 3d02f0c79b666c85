package standins

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

const defaultLimit = 100

// filter is what a list call asks for.
type filter struct {
	from, to     int64
	limit        int
	tags         []string
	matchAny     bool
	kind         string
	dashboardUID string
	panelID      int64
}

func number(q url.Values, key string) (int64, bool) {
	if q.Get(key) == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(q.Get(key), 10, 64)
	return n, err == nil
}

func newFilter(q url.Values) (filter, bool) {
	f := filter{tags: q["tags"], kind: q.Get("type"), dashboardUID: q.Get("dashboardUID")}
	f.matchAny, _ = strconv.ParseBool(q.Get("matchAny"))
	var ok [4]bool
	var limit int64
	f.from, ok[0] = number(q, "from")
	f.to, ok[1] = number(q, "to")
	f.panelID, ok[2] = number(q, "panelId")
	limit, ok[3] = number(q, "limit")
	if limit <= 0 {
		limit = defaultLimit
	}
	f.limit = int(min(limit, keep))
	return f, ok == [4]bool{true, true, true, true}
}

func (f filter) matches(a Annotation) bool {
	// As Grafana does, a range counts only when both of its ends are given; a region that overlaps it is in it.
	if f.from > 0 && f.to > 0 && (a.Time > f.to || a.TimeEnd < f.from) {
		return false
	}
	if f.kind == "alert" && a.AlertID == 0 || f.kind == "annotation" && a.AlertID != 0 {
		return false
	}
	if f.dashboardUID != "" && f.dashboardUID != a.DashboardUID || f.panelID != 0 && f.panelID != a.PanelID {
		return false
	}
	has := func(tag string) bool { return slices.Contains(a.Tags, tag) }
	if f.matchAny {
		return len(f.tags) == 0 || slices.ContainsFunc(f.tags, has)
	}
	return !slices.ContainsFunc(f.tags, func(tag string) bool { return !has(tag) })
}

// list shows the newest first.
func (g *Grafana) list(r *http.Request, _ []byte) answer {
	f, ok := newFilter(r.URL.Query())
	if !ok {
		return fail(http.StatusBadRequest, "bad request data")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	found := []Annotation{}
	for _, a := range g.annotations {
		if f.matches(a) {
			found = append(found, a)
		}
	}
	slices.SortStableFunc(found, func(a, b Annotation) int { return int(b.Time - a.Time) })
	return answer{http.StatusOK, found[:min(len(found), f.limit)]}
}
