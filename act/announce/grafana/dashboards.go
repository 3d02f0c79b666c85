package grafana

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/grafana/grafana-openapi-client-go/client/search"
	"github.com/grafana/grafana-openapi-client-go/models"

	"github.com/bakewatch/bakewatch/act/announce"
)

const (
	maxTagged = 20  // dashboards with one tag that are written to
	maxSpots  = 30  // places where one bake is written
	maxFound  = 500 // annotations of one bake that are looked at
)

// Dashboard is where bakes are shown beside the annotation of the organisation, which is seen only on dashboards that ask for
// its tags.
type Dashboard struct {
	UID   string // one dashboard
	Panel int64  // one of its panels; 0: all of them
	Tag   string // or, without UID: all dashboards with the tag

	Shows func(s announce.Story) bool // whether it is to show the bake; nil: it shows all
}

// spot is a place for one annotation of a bake. The zero spot is the organisation.
type spot struct {
	dashboard string // uid
	panel     int64  // 0: all of the dashboard
}

// String is as it goes into a sentence.
func (a spot) String() string {
	switch {
	case a.dashboard == "":
		return ""
	case a.panel == 0:
		return " on dashboard " + announce.Clip(a.dashboard, 60)
	}
	return " on panel " + strconv.FormatInt(a.panel, 10) + " of dashboard " + announce.Clip(a.dashboard, 60)
}

// spots are the places of the bake: the organisation, those where it is found, whatever led there, and those where it is to
// be; and what kept it from knowing all of them.
func (r *Receiver) spots(ctx context.Context, s announce.Story, found map[spot][]*models.Annotation) (all []spot, troubles []error) {
	all = []spot{{}}
	for at := range found {
		all = append(all, at)
	}
	slices.SortFunc(all, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.dashboard, b.dashboard), cmp.Compare(a.panel, b.panel))
	})
	all = slices.Compact(all)
	for _, d := range r.dashboards {
		if d.Shows != nil && !d.Shows(s) {
			continue
		}
		if d.Tag != "" {
			uids, err := r.tagged(ctx, d.Tag)
			if err != nil {
				troubles = append(troubles, err)
			}
			for _, uid := range uids {
				all = append(all, spot{dashboard: uid})
			}
			continue
		}
		at := spot{d.UID, d.Panel}
		if found[at] == nil {
			if err := r.isThere(ctx, at); err != nil {
				troubles = append(troubles, err)
				continue
			}
		}
		all = append(all, at)
	}
	seen := map[spot]bool{}
	all = slices.DeleteFunc(all, func(at spot) bool {
		again := seen[at]
		seen[at] = true
		return again
	})
	if len(all) > maxSpots {
		all = all[:maxSpots]
		troubles = append(troubles, fmt.Errorf("annotating dashboards in grafana at %s: the bake is written in %d places and no more (%w); name fewer dashboards, or match fewer workloads", r.place, maxSpots, announce.ErrFinal))
	}
	return all, troubles
}

// tagged are the uids of the dashboards that carry a tag, in order. It checks the tags itself: a server that does not know
// the parameter answers with all dashboards there are.
func (r *Receiver) tagged(ctx context.Context, tag string) ([]string, error) {
	kind, limit := "dash-db", int64(maxTagged+1)
	res, err := r.search.Search(search.NewSearchParamsWithContext(ctx).WithType(&kind).WithTag([]string{tag}).WithLimit(&limit))
	if err != nil {
		return nil, r.explain("looking up the dashboards with the tag "+strconv.Quote(announce.Clip(tag, 60)), err)
	}
	var uids []string
	for _, hit := range res.Payload {
		if hit != nil && hit.UID != "" && slices.Contains(hit.Tags, tag) {
			uids = append(uids, hit.UID)
		}
	}
	slices.Sort(uids)
	if uids = slices.Compact(uids); len(uids) > maxTagged {
		return uids[:maxTagged], fmt.Errorf("annotating the dashboards with the tag %q in grafana at %s: there are more than %d, and only these are annotated (%w); give the tag to fewer", announce.Clip(tag, 60), r.place, maxTagged, announce.ErrFinal)
	}
	return uids, nil
}

// isThere is an error if there is no such dashboard: Grafana would make an annotation of the organisation instead. It is not
// asked for the dashboard itself, which may be large, and for one at a time, because the client joins several with commas, which
// Grafana takes for one.
func (r *Receiver) isThere(ctx context.Context, at spot) error {
	kind := "dash-db"
	res, err := r.search.Search(search.NewSearchParamsWithContext(ctx).WithType(&kind).WithDashboardUIDs([]string{at.dashboard}))
	if err != nil {
		return r.explain("looking up the dashboard "+announce.Clip(at.dashboard, 60), err)
	}
	if !slices.ContainsFunc(res.Payload, func(hit *models.Hit) bool { return hit != nil && hit.UID == at.dashboard }) {
		return fmt.Errorf("creating an annotation%s in grafana at %s: there is no dashboard of that uid, or the token's account may not see it (%w); the uid is in the dashboard's address, after /d/", at, r.place, announce.ErrFinal)
	}
	return nil
}

// together is what went wrong in several places: what trying again may mend before all else, so that it is tried.
func together(troubles []error) error {
	for _, err := range troubles {
		if !errors.Is(err, announce.ErrFinal) {
			return err
		}
	}
	if more := len(troubles) - 1; more > 0 {
		return fmt.Errorf("%w; the same or more went wrong in %d other places", troubles[0], more)
	}
	return troubles[0]
}
