package standins

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// dashboard is as much of one as finding it takes.
type dashboard struct {
	ID    int64    `json:"id"`
	UID   string   `json:"uid"`
	Title string   `json:"title"`
	Tags  []string `json:"tags"`
}

// hit is a dashboard as the search shows it.
type hit struct {
	dashboard
	URI  string `json:"uri"`
	URL  string `json:"url"`
	Slug string `json:"slug"`
	Type string `json:"type"`

	IsStarred bool `json:"isStarred"`
	SortMeta  int  `json:"sortMeta"`
}

// dashboard is the index of the one with a uid, or -1. The lock is held.
func (g *Grafana) dashboard(uid string) int {
	return slices.IndexFunc(g.dashboards, func(d dashboard) bool { return uid != "" && d.UID == uid })
}

// search finds dashboards by all of some tags, any of some uids, and a part of their titles, in the order of titles.
func (g *Grafana) search(r *http.Request, _ []byte) answer {
	q := r.URL.Query()
	limit, ok := number(q, "limit")
	if !ok || limit > 5000 {
		return fail(http.StatusUnprocessableEntity, "Limit is above maximum allowed (5000), use page parameter to access hits beyond limit")
	}
	found := []hit{}
	if kind := q.Get("type"); kind == "" || kind == "dash-db" {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, d := range g.dashboards {
			lacks := func(tag string) bool { return !slices.Contains(d.Tags, tag) }
			if slices.ContainsFunc(q["tag"], lacks) || q.Has("dashboardUIDs") && !slices.Contains(q["dashboardUIDs"], d.UID) ||
				!strings.Contains(strings.ToLower(d.Title), strings.ToLower(q.Get("query"))) {
				continue
			}
			slug := strings.ReplaceAll(strings.ToLower(d.Title), " ", "-")
			found = append(found, hit{dashboard: d, URI: "db/" + slug, URL: "/d/" + d.UID + "/" + slug, Type: "dash-db"})
		}
	}
	slices.SortStableFunc(found, func(a, b hit) int { return strings.Compare(a.Title, b.Title) })
	if limit <= 0 {
		limit = 1000
	}
	return answer{http.StatusOK, found[:min(len(found), int(limit))]}
}

// saveDashboard makes one, or replaces the one of its uid.
func (g *Grafana) saveDashboard(_ *http.Request, body []byte) answer {
	var c struct {
		Dashboard *dashboard `json:"dashboard"`
	}
	if json.Unmarshal(body, &c) != nil || c.Dashboard == nil {
		return fail(http.StatusBadRequest, "bad request data")
	}
	d := *c.Dashboard
	if d.Title == "" {
		return fail(http.StatusBadRequest, "Dashboard title cannot be empty")
	}
	if d.Tags == nil {
		d.Tags = []string{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.dashboard(d.UID)
	switch {
	case i >= 0:
		d.ID = g.dashboards[i].ID
		g.dashboards[i] = d
	case len(g.dashboards) >= keep:
		return fail(http.StatusForbidden, "Quota reached")
	default:
		d.ID = int64(len(g.dashboards)) + 1
		if d.UID == "" {
			d.UID = "d" + strconv.FormatInt(d.ID, 36)
		}
		g.dashboards = append(g.dashboards, d)
	}
	return answer{http.StatusOK, map[string]any{"id": d.ID, "uid": d.UID, "url": fmt.Sprintf("/d/%s/x", d.UID), "status": "success", "version": 1}}
}

func (g *Grafana) getDashboard(r *http.Request, _ []byte) answer {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.dashboard(r.PathValue("uid"))
	if i < 0 {
		return fail(http.StatusNotFound, "Dashboard not found")
	}
	return answer{http.StatusOK, map[string]any{"meta": map[string]any{"type": "db"}, "dashboard": g.dashboards[i]}}
}
