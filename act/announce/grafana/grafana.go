// Package grafana keeps one region annotation per bake in Grafana, and one more on each dashboard that is to show the bake.
package grafana

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	"github.com/grafana/grafana-openapi-client-go/client/annotations"
	"github.com/grafana/grafana-openapi-client-go/client/search"
	"github.com/grafana/grafana-openapi-client-go/models"

	"github.com/bakewatch/bakewatch/act/announce"
)

// Receiver tells Grafana. It finds a bake's annotations by their tags, so that telling twice, or by two, converges to one for
// each place.
type Receiver struct {
	api        annotations.ClientService
	search     search.ClientService
	dashboards []Dashboard
	place      string
}

// New returns a Receiver for the Grafana at address, which may have a path. client brings the credentials; they are not
// taken from the address. Bakes are shown on the dashboards, too.
func New(address string, client *http.Client, dashboards ...Dashboard) (*Receiver, error) {
	u, err := announce.ParseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("setting up grafana: %w", err)
	}
	if u.User != nil {
		return nil, errors.New("setting up grafana: the address holds credentials; give a token file or a password file instead")
	}
	// Only two parts of the client: its own constructor writes into http.DefaultTransport and links all of the API.
	transport := httptransport.NewWithClient(u.Host, path.Join("/", u.Path, "api"), []string{u.Scheme}, announce.StrictClient(client))
	transport.Debug = false // else the variable DEBUG makes it print every message
	return &Receiver{
		api: annotations.New(transport, strfmt.Default), search: search.New(transport, strfmt.Default),
		dashboards: dashboards, place: announce.Place(u),
	}, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return "grafana" }

// Converges says that only the newest story of a bake counts.
func (r *Receiver) Converges() {}

// Tell opens the bake's annotation, or brings it up to date, in each place where it is to be. An annotation that was closed is
// not opened again, and one that is there is not taken back to the bake's start. Of several in one place, the oldest stays.
// A dashboard that cannot be written to does not keep the others from it; a Grafana that is in trouble is left alone. It
// returns the ids of all.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	found, err := r.find(ctx, s)
	if err != nil {
		return "", err
	}
	spots, troubles := r.spots(ctx, s, found)
	var ids []string
	for _, at := range spots {
		id, err := r.keep(ctx, s, at, found[at])
		if err != nil {
			troubles = append(troubles, err)
			if !errors.Is(err, announce.ErrFinal) {
				break
			}
			continue
		}
		ids = append(ids, id)
	}
	if len(troubles) > 0 {
		return "", together(troubles)
	}
	return strings.Join(ids, " "), nil
}

// keep sees to it that there is one annotation of the bake in a place, and that it says what there is to say.
func (r *Receiver) keep(ctx context.Context, s announce.Story, at spot, found []*models.Annotation) (string, error) {
	if len(found) == 0 {
		return r.create(ctx, s, at)
	}
	keep, id := found[0], strconv.FormatInt(found[0].ID, 10)
	if (s.Stage == announce.Ended || s.Stage != announce.Started && slices.Contains(keep.Tags, baking)) && !says(keep, s) {
		if err := r.update(ctx, id, s); err != nil {
			return "", err
		}
	}
	for _, extra := range found[1:] {
		params := annotations.NewDeleteAnnotationByIDParamsWithContext(ctx).WithAnnotationID(strconv.FormatInt(extra.ID, 10))
		if _, err := r.api.DeleteAnnotationByIDWithParams(params); err != nil && code(err) != http.StatusNotFound {
			return "", r.explain("deleting a second annotation of the same bake", err)
		}
	}
	return id, nil
}

// says reports whether an annotation is as it should be, so that a try that was cut short goes on where it was.
func says(a *models.Annotation, s announce.Story) bool {
	begin, end := span(s)
	return a.Text == text(s) && slices.Equal(a.Tags, tags(s)) && a.Time == begin && a.TimeEnd == end
}

// find returns the bake's annotations by where they are, the oldest first. It checks their tags itself, because those that
// are too many are deleted.
func (r *Receiver) find(ctx context.Context, s announce.Story) (map[spot][]*models.Annotation, error) {
	kind, all, limit := "annotation", false, int64(maxFound)
	params := annotations.NewGetAnnotationsParamsWithContext(ctx).WithTags(key(s)).WithType(&kind).WithMatchAny(&all).WithLimit(&limit)
	res, err := r.api.GetAnnotations(params)
	if err != nil {
		return nil, r.explain("looking up the bake's annotation", err)
	}
	found := map[spot][]*models.Annotation{}
	for _, a := range res.Payload {
		if a != nil && !slices.ContainsFunc(key(s), func(tag string) bool { return !slices.Contains(a.Tags, tag) }) {
			at := spot{a.DashboardUID, a.PanelID}
			found[at] = append(found[at], a)
		}
	}
	for _, here := range found {
		slices.SortFunc(here, func(a, b *models.Annotation) int { return cmp.Compare(a.ID, b.ID) })
	}
	return found, nil
}

func (r *Receiver) create(ctx context.Context, s announce.Story, at spot) (string, error) {
	body := text(s)
	begin, end := span(s)
	res, err := r.api.PostAnnotationWithParams(annotations.NewPostAnnotationParamsWithContext(ctx).
		WithBody(&models.PostAnnotationsCmd{Text: &body, Tags: tags(s), Time: begin, TimeEnd: end, DashboardUID: at.dashboard, PanelID: at.panel}))
	if err != nil {
		return "", r.explain("creating an annotation"+at.String(), err)
	}
	if res.Payload == nil || res.Payload.ID == nil {
		return "", fmt.Errorf("creating an annotation in grafana at %s: the answer names no id, so it may not have been saved; check that the address is Grafana's", r.place)
	}
	return strconv.FormatInt(*res.Payload.ID, 10), nil
}

func (r *Receiver) update(ctx context.Context, id string, s announce.Story) error {
	begin, end := span(s)
	_, err := r.api.PatchAnnotationWithParams(annotations.NewPatchAnnotationParamsWithContext(ctx).WithAnnotationID(id).
		WithBody(&models.PatchAnnotationsCmd{Text: text(s), Tags: tags(s), Time: begin, TimeEnd: end}))
	if code(err) == http.StatusNotFound { // not final: the next try looks again and creates one
		return fmt.Errorf("updating annotation %s in grafana at %s: it was deleted meanwhile", id, r.place)
	}
	if err != nil {
		return r.explain("updating annotation "+id, err)
	}
	return nil
}

// explain words an error and adds what to do about it.
func (r *Receiver) explain(doing string, err error) error {
	advice := ""
	switch c := code(err); {
	case c == http.StatusUnauthorized:
		advice = "; check that the token file holds a valid service account token"
	case c == http.StatusForbidden:
		advice = "; give the token's service account annotations:read, annotations:create, annotations:write and annotations:delete on annotations:type:organization, and for dashboards on annotations:type:dashboard with dashboards:read (the role Editor has them)"
	case c == http.StatusNotFound, c >= 300 && c < 400:
		advice = "; check the address: scheme, path prefix, and that no login page stands before the API"
	}
	return fmt.Errorf("%s in grafana at %s: %w%s", doing, r.place, announce.WithoutAddress(err), advice)
}

// code is the status of the answer that err is about, or 0.
func code(err error) int {
	if answer, ok := errors.AsType[*announce.AnswerError](err); ok {
		return answer.Code
	}
	return 0
}

// span is the region in epoch milliseconds. While the bake goes on it ends where it begins, for nobody knows better.
func span(s announce.Story) (begin, end int64) {
	begin = millis(s.StartedAt)
	return begin, max(begin, millis(s.EndedAt))
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0 // left out, and Grafana takes the time it has
	}
	return t.UnixMilli()
}
