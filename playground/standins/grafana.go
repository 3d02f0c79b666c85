package standins

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Annotation has the fields of Grafana's annotations.
type Annotation struct {
	ID           int64          `json:"id"`
	AlertID      int64          `json:"alertId"`
	AlertName    string         `json:"alertName"`
	DashboardID  int64          `json:"dashboardId"`
	DashboardUID string         `json:"dashboardUID"`
	PanelID      int64          `json:"panelId"`
	UserID       int64          `json:"userId"`
	NewState     string         `json:"newState"`
	PrevState    string         `json:"prevState"`
	Created      int64          `json:"created"`
	Updated      int64          `json:"updated"`
	Time         int64          `json:"time"` // milliseconds, as all times here
	TimeEnd      int64          `json:"timeEnd"`
	Text         string         `json:"text"`
	Tags         []string       `json:"tags"`
	Login        string         `json:"login"`
	Email        string         `json:"email"`
	AvatarURL    string         `json:"avatarUrl"`
	Data         map[string]any `json:"data"`
}

// Grafana plays the parts of Grafana's HTTP API for annotations and for finding dashboards.
type Grafana struct {
	token   string
	mux     *http.ServeMux
	door    *faulty
	journal journal

	mu          sync.Mutex
	nextID      int64
	annotations []Annotation
	dashboards  []dashboard
}

// NewGrafana returns one with a dashboard, and without annotations. With a token, every call must carry it as a bearer; without, all are let in.
func NewGrafana(token string) *Grafana {
	g := &Grafana{token: token, mux: http.NewServeMux(), dashboards: []dashboard{{ID: 1, UID: "services", Title: "Services", Tags: []string{"services"}}}}
	g.door = &faulty{next: g.mux}
	g.mux.HandleFunc("GET /api/health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"commit": "playground", "database": "ok", "version": "12.0.0"})
	})
	g.mux.HandleFunc("/_sent", g.journal.show)
	g.mux.HandleFunc("GET /api/annotations", g.guard(g.list))
	g.mux.HandleFunc("POST /api/annotations", g.guard(g.create))
	g.mux.HandleFunc("GET /api/annotations/{id}", g.guard(g.get))
	g.mux.HandleFunc("PUT /api/annotations/{id}", g.guard(g.replace))
	g.mux.HandleFunc("PATCH /api/annotations/{id}", g.guard(g.patch))
	g.mux.HandleFunc("DELETE /api/annotations/{id}", g.guard(g.remove))
	g.mux.HandleFunc("GET /api/search", g.guard(g.search))
	g.mux.HandleFunc("POST /api/dashboards/db", g.guard(g.saveDashboard))
	g.mux.HandleFunc("GET /api/dashboards/uid/{uid}", g.guard(g.getDashboard))
	g.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusNotFound, message("Not found")) })
	return g
}

func (g *Grafana) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.door.ServeHTTP(w, r) }

func message(text string) map[string]any { return map[string]any{"message": text} }

type answer struct {
	status int
	body   any
}

func fail(status int, text string) answer { return answer{status, message(text)} }

// guard asks for the token, keeps a record of what is written, and sends the answer.
func (g *Grafana) guard(handle func(r *http.Request, body []byte) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, whole := readBody(r)
		var a answer
		switch given := r.Header.Get("Authorization"); {
		case g.token != "" && given == "":
			a = fail(http.StatusUnauthorized, "Unauthorized")
		case g.token != "" && subtle.ConstantTimeCompare([]byte(given), []byte("Bearer "+g.token)) == 0:
			a = fail(http.StatusUnauthorized, "Invalid API key")
		case !whole:
			a = fail(http.StatusBadRequest, "bad request data")
		default:
			a = handle(r, body)
		}
		if r.Method != http.MethodGet {
			s := entry(r, body)
			s.Status = a.status
			g.journal.add(s)
		}
		reply(w, a.status, a.body)
	}
}

// command is what a caller sends; a nil field was not sent.
type command struct {
	DashboardID  *int64         `json:"dashboardId"`
	DashboardUID *string        `json:"dashboardUID"`
	PanelID      *int64         `json:"panelId"`
	Time         *int64         `json:"time"`
	TimeEnd      *int64         `json:"timeEnd"`
	Text         *string        `json:"text"`
	Tags         *[]string      `json:"tags"`
	Data         map[string]any `json:"data"`
}

func decode(body []byte) (c command, ok bool) {
	return c, json.NewDecoder(bytes.NewReader(body)).Decode(&c) == nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// given drops what a patch names but leaves empty: Grafana keeps the old value then.
func (c command) given() command {
	if c.Text != nil && *c.Text == "" {
		c.Text = nil
	}
	if c.Time != nil && *c.Time == 0 {
		c.Time = nil
	}
	if c.TimeEnd != nil && *c.TimeEnd == 0 {
		c.TimeEnd = nil
	}
	return c
}

func (c command) apply(a *Annotation) {
	set(&a.DashboardID, c.DashboardID)
	set(&a.DashboardUID, c.DashboardUID)
	set(&a.PanelID, c.PanelID)
	set(&a.Time, c.Time)
	set(&a.TimeEnd, c.TimeEnd)
	set(&a.Text, c.Text)
	set(&a.Tags, c.Tags)
	if c.Data != nil {
		a.Data = c.Data
	}
	// As Grafana does: a missing end is the begin, and the other way round, and the two are put in order.
	if a.TimeEnd == 0 {
		a.TimeEnd = a.Time
	}
	if a.Time == 0 {
		a.Time = a.TimeEnd
	}
	if a.TimeEnd < a.Time {
		a.Time, a.TimeEnd = a.TimeEnd, a.Time
	}
	if a.Tags == nil {
		a.Tags = []string{}
	}
	a.Updated = time.Now().UnixMilli()
}

func (g *Grafana) create(_ *http.Request, body []byte) answer {
	c, ok := decode(body)
	if !ok {
		return fail(http.StatusBadRequest, "bad request data")
	}
	if c.Text == nil || *c.Text == "" {
		return fail(http.StatusBadRequest, "Failed to save annotation")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nextID++
	a := Annotation{ID: g.nextID, UserID: 1, Login: "bakewatch", Email: "bakewatch@localhost", Data: map[string]any{}}
	c.apply(&a)
	a.DashboardID = 0
	if i := g.dashboard(a.DashboardUID); i >= 0 {
		a.DashboardID = g.dashboards[i].ID
	} else {
		a.DashboardUID = "" // Grafana takes it for one of the organisation then
	}
	a.Created = a.Updated
	if a.Time == 0 {
		a.Time, a.TimeEnd = a.Created, a.Created
	}
	if len(g.annotations) >= keep {
		g.annotations = slices.Delete(g.annotations, 0, len(g.annotations)-keep+1)
	}
	g.annotations = append(g.annotations, a)
	return answer{http.StatusOK, map[string]any{"message": "Annotation added", "id": a.ID}}
}

// with finds the annotation a path names and calls f under the lock.
func (g *Grafana) with(r *http.Request, f func(i int) answer) answer {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return fail(http.StatusBadRequest, "annotationId is invalid")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.annotations, func(a Annotation) bool { return a.ID == id })
	if i < 0 {
		return fail(http.StatusNotFound, "Annotation not found")
	}
	return f(i)
}

func (g *Grafana) get(r *http.Request, _ []byte) answer {
	return g.with(r, func(i int) answer { return answer{http.StatusOK, g.annotations[i]} })
}

func (g *Grafana) patch(r *http.Request, body []byte) answer {
	return g.with(r, func(i int) answer {
		c, ok := decode(body)
		if !ok {
			return fail(http.StatusBadRequest, "bad request data")
		}
		c.given().apply(&g.annotations[i])
		return answer{http.StatusOK, message("Annotation patched")}
	})
}

// replace is an update that must name everything: what is left out is emptied.
func (g *Grafana) replace(r *http.Request, body []byte) answer {
	return g.with(r, func(i int) answer {
		c, ok := decode(body)
		if !ok {
			return fail(http.StatusBadRequest, "bad request data")
		}
		if c.Text == nil || *c.Text == "" {
			return fail(http.StatusBadRequest, "Failed to update annotation")
		}
		a := &g.annotations[i]
		a.Tags = nil
		c.apply(a)
		return answer{http.StatusOK, message("Annotation updated")}
	})
}

func (g *Grafana) remove(r *http.Request, _ []byte) answer {
	return g.with(r, func(i int) answer {
		g.annotations = slices.Delete(g.annotations, i, i+1)
		return answer{http.StatusOK, message("Annotation deleted")}
	})
}
