package slack

import (
	"strings"

	"github.com/slack-go/slack"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	maxTitle   = 500  // characters, markup included
	maxText    = 2900 // Slack's limit for one block is 3000
	maxContext = 2900
)

var (
	defaultTitle = wording.Must(`{{.Headline}}`)
	defaultText  = wording.Must(`{{.Why}}
{{- range .Others}}
• {{.}}{{end}}
{{- with .Recovery}}
{{.}}{{end}}
{{- with .Changes}}
Changed: {{join "; " .}}{{end}}
{{- with .ChangedBy}} (by {{.}}){{end}}`)
	details = wording.Must(`{{with .From}}from {{.}} {{end}}to {{.To}} · bake {{.Bake}}{{range .Links}} · <{{.URL}}|{{.Title}}>{{end}}`)
)

// message is a story as Slack shows it.
type message struct {
	plain  string // in notifications, and where blocks are not shown
	blocks []slack.Block
}

func (r *Receiver) message(s announce.Story) message {
	title := announce.Clip(r.write(r.options.Title, defaultTitle, s), maxTitle)
	text := announce.Clip(r.write(r.options.Text, defaultText, s), maxText)
	about := announce.Clip(r.write(details, details, s), maxContext)
	bold := "*" + strings.ReplaceAll(title, "*", "∗") + "*"
	m := message{plain: icon(s) + " " + title}
	if text != "" {
		m.plain += "\n" + text
	}
	m.blocks = append(m.blocks, slack.NewSectionBlock(markdown(icon(s)+" "+bold), nil, nil))
	if text != "" {
		m.blocks = append(m.blocks, slack.NewSectionBlock(markdown(text), nil, nil))
	}
	m.blocks = append(m.blocks, slack.NewContextBlock("", markdown(about)))
	return m
}

// write words the story; where the user's template fails on it after all, our own does.
func (r *Receiver) write(t, instead *wording.Template, s announce.Story) string {
	text, err := t.Write(s, escape)
	if err != nil {
		text, _ = instead.Write(s, escape)
	}
	return text
}

// markdown is text with Slack's markup, in which names and addresses are not turned into links.
func markdown(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, text, false, true)
}

// escape keeps a text from being taken for Slack's control sequences.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

func icon(s announce.Story) string {
	switch {
	case s.Stage == announce.Started:
		return ":eyes:"
	case s.Stage == announce.Suspicion:
		return ":mag:"
	case s.Stage == announce.Deciding:
		return ":rotating_light:"
	case s.Recovered == "Yes":
		return ":leftwards_arrow_with_hook:"
	}
	switch s.Severity {
	case announce.Critical:
		return ":rotating_light:"
	case announce.Warning:
		return ":warning:"
	}
	return ":white_check_mark:"
}
