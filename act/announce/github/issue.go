package github

import (
	"strings"
	"unicode/utf8"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/wording"
)

const (
	maxTitle = 250   // characters; GitHub's limit is 256
	maxText  = 60000 // characters; GitHub's limit is 65536
)

var (
	defaultTitle = wording.Must(`{{.Headline}}`)
	defaultText  = wording.Must(`{{.Why}}
{{with .Recovery}}
**After the rollback:** {{.}}
{{end}}
| | |
|---|---|
| workload | {{.Kind}} {{.Namespace}}/{{.Workload}} |
{{with .From}}| known good | {{.}} |
{{end}}| judged | {{.To}} |
{{with .ChangedBy}}| changed by | {{.}} |
{{end}}| rollout began | {{.StartedAt.UTC.Format "2006-01-02 15:04:05"}} UTC |
{{range .Links}}| {{.Title}} | <{{.URL}}> |
{{end}}{{if not .EndedAt.IsZero}}| ended | {{.EndedAt.UTC.Format "2006-01-02 15:04:05"}} UTC, {{.Outcome}} |
{{end}}
{{with .Changes}}### What changed
{{range .}}
- {{.}}{{end}}

{{end}}{{with .Reasons}}### Reasons
{{range .}}
- {{.}}{{end}}

{{end}}{{with .Measured}}### What was measured

| signal | new | old beside it | old before |
|---|---|---|---|
{{range .}}| {{.Signal}} | {{or .Candidate "-"}} | {{or .Baseline "-"}} | {{or .History "-"}} |
{{end}}
{{end}}{{with .Pods}}### New pods when it was decided

{{range .}}<details><summary>{{.Name}}: {{.State}}{{if .Restarts}}, restarts: {{.Restarts}}{{end}}</summary>
{{range .Events}}
- {{.}}{{end}}
{{range .Lines}}
> {{.}}<br>{{end}}

</details>

{{end}}{{end}}### Left to people

- [ ] Find the cause in the new version's logs, and see whether a database migration ran with it.
- [ ] Revert the change where it came from, or the next deploy brings it back.

The Bake {{.Bake}} has the rest. ` + closing)
)

const closing = "This issue is closed when a later rollout of the workload passes."

// words are title and text of the issue; where the user's template fails on the story after all, our own does. The text is the
// report, unless the user wants another: what is not for everybody's eyes may be left out of that.
func (r *Receiver) words(s announce.Story) (title, text string) {
	title, err := r.options.Title.Write(s, nil) // titles are plain text
	if err != nil {
		title, _ = defaultTitle.Write(s, nil)
	}
	return announce.Clip(announce.OneLine(title), maxTitle), r.text(s) + "\n\n" + marker(s)
}

func (r *Receiver) text(s announce.Story) string {
	if r.options.Text == defaultText && s.Report != "" && utf8.RuneCountInString(s.Report) <= maxText {
		return s.Report + "\n" + closing
	}
	text, err := r.options.Text.Write(s, escape)
	if err != nil {
		text, _ = defaultText.Write(s, escape)
	}
	return announce.Clip(text, maxText)
}

// marker is the line by which the bake's issue is found. It is not shown.
func marker(s announce.Story) string {
	return "<!-- bakewatch: bake " + s.Bake + workloadMarker(s)
}

// workloadMarker is the part of it by which issues of a workload are found.
func workloadMarker(s announce.Story) string {
	return " of " + s.Kind + "/" + s.Namespace + "/" + s.Workload + " -->"
}

// escape makes Markdown take a text for text: no markup, no link, no HTML, no row of a table, and nobody is mentioned, as by
// the @sha256 of an image.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "~", `\~`, "[", `\[`, "]", `\]`, "|", `\|`, "#", `\#`,
		"@", "@\u2060", "://", ":\u2060//").Replace(text)
}
