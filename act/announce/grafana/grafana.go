// Package grafana keeps one region annotation per bake in Grafana.
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
	"time"

	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	"github.com/grafana/grafana-openapi-client-go/client/annotations"
	"github.com/grafana/grafana-openapi-client-go/models"

	"github.com/bakewatch/bakewatch/act/announce"
)

// Receiver tells Grafana. It finds a bake's annotation by its tags, so that telling twice, or by two, converges to one.
type Receiver struct {
	api   annotations.ClientService
	place string
}

// New returns a Receiver for the Grafana at address, which may have a path. client brings the credentials; they are not
// taken from the address.
func New(address string, client *http.Client) (*Receiver, error) {
	u, err := announce.ParseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("setting up grafana: %w", err)
	}
	if u.User != nil {
		return nil, errors.New("setting up grafana: the address holds credentials; give a token file or a password file instead")
	}
	// Only the annotations part of the client: its own constructor writes into http.DefaultTransport and links all of the API.
	transport := httptransport.NewWithClient(u.Host, path.Join("/", u.Path, "api"), []string{u.Scheme}, announce.StrictClient(client))
	transport.Debug = false // else the variable DEBUG makes it print every message
	return &Receiver{api: annotations.New(transport, strfmt.Default), place: announce.Place(u)}, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return "grafana" }

// Converges says that only the newest story of a bake counts.
func (r *Receiver) Converges() {}

// Tell opens the bake's annotation, or brings it up to date. An annotation that was closed is not opened again, and one
// that is there is not taken back to the bake's start. Of several, the oldest stays.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	found, err := r.find(ctx, s)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return r.create(ctx, s)
	}
	keep, id := found[0], strconv.FormatInt(found[0].ID, 10)
	if s.Stage == announce.Ended || s.Stage != announce.Started && slices.Contains(keep.Tags, baking) {
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

// find returns the bake's annotations, the oldest first. It checks their tags itself, because the others are deleted.
func (r *Receiver) find(ctx context.Context, s announce.Story) ([]*models.Annotation, error) {
	kind, all := "annotation", false
	params := annotations.NewGetAnnotationsParamsWithContext(ctx).WithTags(key(s)).WithType(&kind).WithMatchAny(&all)
	res, err := r.api.GetAnnotations(params)
	if err != nil {
		return nil, r.explain("looking up the bake's annotation", err)
	}
	found := slices.DeleteFunc(res.Payload, func(a *models.Annotation) bool {
		return a == nil || slices.ContainsFunc(key(s), func(tag string) bool { return !slices.Contains(a.Tags, tag) })
	})
	slices.SortFunc(found, func(a, b *models.Annotation) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

func (r *Receiver) create(ctx context.Context, s announce.Story) (string, error) {
	body := text(s)
	begin, end := span(s)
	res, err := r.api.PostAnnotationWithParams(annotations.NewPostAnnotationParamsWithContext(ctx).
		WithBody(&models.PostAnnotationsCmd{Text: &body, Tags: tags(s), Time: begin, TimeEnd: end}))
	if err != nil {
		return "", r.explain("creating an annotation", err)
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
		advice = "; give the token's service account annotations:read, annotations:create, annotations:write and annotations:delete on annotations:type:organization (the role Editor has them)"
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
