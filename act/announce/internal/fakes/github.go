package fakes

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Issue is an issue as GitHub answers it.
type Issue struct {
	Number      int       `json:"number"`
	State       string    `json:"state"`
	StateReason string    `json:"state_reason"`
	Title       string    `json:"title"`
	Body        string    `json:"body"`
	Labels      []Label   `json:"labels"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Label is one of an Issue.
type Label struct {
	Name string `json:"name"`
}

// GitHub is a stand-in for the part of GitHub's API that keeps issues of one repository.
type GitHub struct {
	Repository string // owner/name
	Token      string // wanted
	NoLabels   bool   // it drops labels, as for those without push access

	mu     sync.Mutex
	issues []Issue
}

// Issues are those it keeps, the oldest first.
func (g *GitHub) Issues() []Issue {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.issues)
}

// Put adds an issue as if somebody else had.
func (g *GitHub) Put(i Issue) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	i.Number = len(g.issues) + 1
	g.issues = append(g.issues, i)
	return i.Number
}

// ServeHTTP serves …/repos/<repository>/issues.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+g.Token {
		answer(w, 401, map[string]any{"message": "Bad credentials"})
		return
	}
	_, rest, ok := strings.Cut(r.URL.Path, "/repos/"+g.Repository+"/issues")
	if !ok {
		answer(w, 404, map[string]any{"message": "Not Found"})
		return
	}
	var change struct {
		Title, Body, State *string
		StateReason        *string `json:"state_reason"`
		Labels             []string
	}
	if r.Method != http.MethodGet && json.NewDecoder(r.Body).Decode(&change) != nil {
		answer(w, 400, map[string]any{"message": "Problems parsing JSON"})
		return
	}
	now := time.Now().UTC()
	switch {
	case rest == "" && r.Method == http.MethodGet:
		g.list(w, r)
	case rest == "" && r.Method == http.MethodPost:
		if change.Title == nil || *change.Title == "" || len([]rune(*change.Title)) > 256 || change.Body == nil || len([]rune(*change.Body)) > 65536 {
			answer(w, 422, map[string]any{"message": "Validation Failed"})
			return
		}
		i := Issue{State: "open", Title: *change.Title, Body: *change.Body, CreatedAt: now, UpdatedAt: now}
		for _, name := range change.Labels {
			if !g.NoLabels {
				i.Labels = append(i.Labels, Label{name})
			}
		}
		i.Number = g.Put(i)
		answer(w, 201, i)
	case r.Method == http.MethodPatch:
		number, _ := strconv.Atoi(strings.TrimPrefix(rest, "/"))
		g.mu.Lock()
		defer g.mu.Unlock()
		if number < 1 || number > len(g.issues) {
			answer(w, 404, map[string]any{"message": "Not Found"})
			return
		}
		i := &g.issues[number-1]
		for _, field := range []struct{ from, to *string }{{change.Body, &i.Body}, {change.State, &i.State}, {change.StateReason, &i.StateReason}} {
			if field.from != nil {
				*field.to = *field.from
			}
		}
		i.UpdatedAt = now
		answer(w, 200, *i)
	default:
		answer(w, 404, map[string]any{"message": "Not Found"})
	}
}

func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, _ := time.Parse(time.RFC3339, q.Get("since"))
	found := []Issue{}
	for _, i := range slices.Backward(g.Issues()) { // the newest first
		labelled := q.Get("labels") == "" || slices.Contains(i.Labels, Label{q.Get("labels")})
		if labelled && (q.Get("state") == "all" || q.Get("state") == i.State) && !i.UpdatedAt.Before(since) {
			found = append(found, i)
		}
	}
	page, _ := strconv.Atoi(q.Get("page"))
	size, _ := strconv.Atoi(q.Get("per_page"))
	from := min(max(page-1, 0)*size, len(found))
	answer(w, 200, found[from:min(from+size, len(found))])
}
