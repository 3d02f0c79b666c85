package fakes

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Annotation is an annotation as Grafana answers it.
type Annotation struct {
	ID      int64    `json:"id"`
	Time    int64    `json:"time"`
	TimeEnd int64    `json:"timeEnd"`
	Text    string   `json:"text"`
	Tags    []string `json:"tags"`

	DashboardUID string `json:"dashboardUID"`
	PanelID      int64  `json:"panelId"`
}

// Dashboard is a dashboard as Grafana's search finds it.
type Dashboard struct {
	UID   string   `json:"uid"`
	Title string   `json:"title"`
	Type  string   `json:"type"`
	Tags  []string `json:"tags"`
}

// Grafana is a stand-in for Grafana's annotation API, because Grafana cannot run in a test. It has its limits: tags of a
// key and a value of 100 bytes each, cut at a second colon, and 500 bytes of tags in all.
type Grafana struct {
	Prefix string // path before /api
	Token  string // wanted as a bearer token unless empty

	Dashboards []Dashboard // those there are

	mu     sync.Mutex
	nextID int64
	kept   map[int64]*Annotation
}

// Annotations are those it keeps, the oldest first.
func (g *Grafana) Annotations() []Annotation {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Annotation
	for _, a := range g.kept {
		all = append(all, *a)
	}
	slices.SortFunc(all, func(a, b Annotation) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Put adds an annotation as if somebody else had.
func (g *Grafana) Put(a Annotation) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept == nil {
		g.kept = map[int64]*Annotation{}
	}
	g.nextID++
	a.ID = g.nextID
	g.kept[a.ID] = &a
	return a.ID
}

// Rotate changes the token it wants.
func (g *Grafana) Rotate(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Token = token
}

// ServeHTTP serves the annotation API.
func (g *Grafana) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	token := g.Token
	g.mu.Unlock()
	if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
		answer(w, 401, map[string]any{"message": "Invalid API key"})
		return
	}
	if r.URL.Path == g.Prefix+"/api/search" && r.Method == http.MethodGet {
		g.search(w, r)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, g.Prefix+"/api/annotations")
	if !ok {
		answer(w, 404, map[string]any{"message": "Not found"})
		return
	}
	if rest == "" {
		switch r.Method {
		case http.MethodGet:
			g.find(w, r)
		case http.MethodPost:
			g.post(w, r)
		default:
			answer(w, 405, nil)
		}
		return
	}
	id, _ := strconv.ParseInt(strings.TrimPrefix(rest, "/"), 10, 64)
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.kept[id]
	switch {
	case a == nil:
		answer(w, 404, map[string]any{"message": "Annotation not found"})
	case r.Method == http.MethodDelete:
		delete(g.kept, id)
		answer(w, 200, map[string]any{"message": "Annotation deleted"})
	case r.Method == http.MethodPatch:
		change := *a
		if err := decode(r, &change); err != nil {
			answer(w, 400, map[string]any{"message": err.Error()})
			return
		}
		*a = change
		answer(w, 200, map[string]any{"message": "Annotation patched"})
	default:
		answer(w, 405, nil)
	}
}

// search finds dashboards by all of some tags, and by any of some uids.
func (g *Grafana) search(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	found := []Dashboard{}
	for _, d := range g.Dashboards {
		if lacks := func(tag string) bool { return !slices.Contains(d.Tags, tag) }; slices.ContainsFunc(query["tag"], lacks) {
			continue
		}
		if uids := query["dashboardUIDs"]; len(uids) == 0 || slices.Contains(uids, d.UID) {
			d.Type = "dash-db"
			found = append(found, d)
		}
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil {
		limit = 1000
	}
	answer(w, 200, found[:min(len(found), limit)])
}

func (g *Grafana) find(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	found := []Annotation{}
	for _, a := range slices.Backward(g.Annotations()) { // the newest first
		if !slices.ContainsFunc(query["tags"], func(tag string) bool { return !slices.Contains(a.Tags, tag) }) {
			found = append(found, a)
		}
	}
	answer(w, 200, found[:min(len(found), 100)])
}

func (g *Grafana) post(w http.ResponseWriter, r *http.Request) {
	var a Annotation
	if err := decode(r, &a); err != nil {
		answer(w, 400, map[string]any{"message": "Failed to save annotation", "error": err.Error()})
		return
	}
	a.TimeEnd = max(a.TimeEnd, a.Time)
	if !slices.ContainsFunc(g.Dashboards, func(d Dashboard) bool { return d.UID == a.DashboardUID }) {
		a.DashboardUID = "" // Grafana makes it one of the organisation
	}
	answer(w, 200, map[string]any{"message": "Annotation added", "id": g.Put(a)})
}

func decode(r *http.Request, a *Annotation) error {
	id := a.ID
	a.Tags = nil
	if err := json.NewDecoder(r.Body).Decode(a); err != nil {
		return err
	}
	a.ID = id
	length := 1
	for i, tag := range a.Tags {
		parts := strings.Split(tag, ":")
		if len(parts) > 2 {
			a.Tags[i] = parts[0] + ":" + parts[1]
		}
		for _, part := range parts {
			if len(part) > 100 {
				return fmt.Errorf("value too long for type character varying(100): %s", part)
			}
		}
		length += len(tag) + 3
	}
	if a.Text == "" || length > 500 {
		return fmt.Errorf("text empty, or tags length (%d) exceeds the maximum allowed (500)", length)
	}
	return nil
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
