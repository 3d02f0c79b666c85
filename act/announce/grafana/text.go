package grafana

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"strings"
	"unicode/utf8"

	"github.com/bakewatch/bakewatch/act/announce"
)

const (
	maxText     = 2000 // characters of the text, markup included
	maxTagValue = 90   // Grafana's column holds 100; all tags together are under its default of 500
)

// baking is the tag of an annotation whose bake has not ended.
const baking = "outcome:baking"

// key are the tags by which a bake's annotation is found.
func key(s announce.Story) []string { return []string{"bakewatch", tag("bake", s.Bake)} }

func tags(s announce.Story) []string {
	outcome := baking
	if s.Stage == announce.Ended {
		outcome = tag("outcome", cmp.Or(s.Outcome, "unknown"))
	}
	all := append(key(s), tag("namespace", s.Namespace), tag("workload", s.Kind+"/"+s.Workload), outcome)
	if s.Observed {
		all = append(all, "observed")
	}
	return all
}

// tag joins key and value. A value that is too long ends in a hash of the whole, so that it stays a key.
func tag(key, value string) string {
	value = strings.ReplaceAll(announce.OneLine(value), ":", "-") // a second colon cuts the value off
	if len(value) > maxTagValue {
		hash := sha256.Sum256([]byte(value))
		suffix := "-" + hex.EncodeToString(hash[:6])
		value = strings.ToValidUTF8(value[:maxTagValue-len(suffix)], "") + suffix
	}
	return key + ":" + value
}

// text is what a tooltip shows: HTML, in which nothing but our own line breaks, one bold line and links is markup.
func text(s announce.Story) string {
	t := &tooltip{left: maxText}
	t.line("<b>", s.Headline, "</b>")
	t.line("", s.Why, "")
	t.line("", s.Recovery, "")
	if s.From != "" {
		t.line("", "from "+s.From+" to "+s.To, "")
	}
	if len(s.Changes) > 0 {
		t.line("changed: ", strings.Join(s.Changes, "; "), "")
	}
	if s.ChangedBy != "" {
		t.line("by ", s.ChangedBy, "")
	}
	t.links(s.Links)
	return t.out.String()
}

// tooltip builds a text of bounded length, never cutting through an entity or an element.
type tooltip struct {
	out  strings.Builder
	left int
}

func (t *tooltip) line(before, raw, after string) {
	raw = announce.OneLine(raw)
	if raw == "" {
		return
	}
	if t.out.Len() > 0 {
		before = "<br>" + before
	}
	const ellipsis = 1
	room := t.left - len(before) - len(after) - ellipsis
	if room <= 0 {
		t.left = 0
		return
	}
	var body strings.Builder
	for _, r := range raw {
		escaped := html.EscapeString(string(r))
		if n := utf8.RuneCountInString(escaped); n <= room {
			body.WriteString(escaped)
			room -= n
			continue
		}
		body.WriteString("…")
		room = -ellipsis // nothing follows what was cut
		break
	}
	t.out.WriteString(before + body.String() + after)
	t.left = room + ellipsis
}

// links is one line of them. One that does not fit is left out.
func (t *tooltip) links(all []announce.Link) {
	before := "<br>"
	for _, l := range all {
		element := `<a href="` + html.EscapeString(l.URL) + `" target="_blank">` + html.EscapeString(announce.OneLine(l.Title)) + `</a>`
		if n := utf8.RuneCountInString(before + element); n <= t.left {
			t.out.WriteString(before + element)
			t.left -= n
			before = " · "
		}
	}
}
