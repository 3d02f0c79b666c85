package policy

import (
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	maxDashboards = 20
	maxLinks      = 5
)

// Dashboard is one of Grafana's, or one of its panels, or all with a tag, on which bakes are shown.
type Dashboard struct {
	UID     string `json:"uid,omitempty"`
	PanelID int    `json:"panelId,omitempty"` // 0: the whole dashboard
	Tag     string `json:"tag,omitempty"`
	Match   *Match `json:"match,omitempty"` // whose bakes; nil: all
}

// Shows reports whether bakes of the workload are shown there.
func (d Dashboard) Shows(t Target) bool { return d.Match == nil || d.Match.selects(t) }

// Link is where there is more to read about a bake.
type Link struct {
	Title string `json:"title"`
	URL   string `json:"url"` // a template
}

// dashboardUID is what Grafana takes for one.
var dashboardUID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

func (k *checker) dashboards(path string, all []Dashboard) {
	if len(all) > maxDashboards {
		k.errorf(path, "at most %d may be named, not %d; a tag stands for several", maxDashboards, len(all))
	}
	for i, d := range all {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case (d.UID == "") == (d.Tag == ""):
			k.errorf(at, "needs either uid, of one dashboard, or tag, of those that carry it, and not both")
		case d.UID != "" && !dashboardUID.MatchString(d.UID):
			k.errorf(join(at, "uid"), "must be a dashboard's uid, which is in its address after /d/, not %s", quote(d.UID))
		case d.Tag != "" && d.PanelID != 0:
			k.errorf(join(at, "panelId"), "goes with uid; dashboards with a tag have panels of their own")
		case d.PanelID < 0:
			k.errorf(join(at, "panelId"), "must be above 0; it is in the panel's address after viewPanel=")
		}
		if d.Match != nil {
			k.match(join(at, "match"), *d.Match)
		}
	}
}

func (k *checker) links(all []Link) {
	if len(all) > maxLinks {
		k.errorf("announce.links", "at most %d may be written, not %d", maxLinks, len(all))
	}
	for i, l := range all {
		at := fmt.Sprintf("announce.links[%d]", i)
		if n := utf8.RuneCountInString(l.Title); n == 0 || n > 40 {
			k.errorf(join(at, "title"), "must be some words, at most 40 characters, such as Runbook")
		}
		if _, err := wording.ParseLink(l.URL); err != nil {
			k.errorf(join(at, "url"), "is not a good template of an address: %v", err)
		}
	}
}
