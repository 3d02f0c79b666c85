package hands

import (
	"fmt"
	"io"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// WriteReport writes what happened in a bake as Markdown, for a person who was not there.
func WriteReport(w io.Writer, b *v1alpha1.Bake) error {
	r := reportOf(b, apart)
	_, err := io.WriteString(w, "# "+line(r.Title)+"\n\n"+markdown(r))
	return err
}

// Issue is the report of a Bake as the text of an issue on GitHub, which has a title, in at most so many characters.
func Issue(b *v1alpha1.Bake, most int) string {
	text := []rune(markdown(reportOf(b, inIssue)))
	if len(text) <= most {
		return string(text)
	}
	end := []rune("\n\nThis is not all: the report is longer than an issue may be. The Bake " + line(b.Namespace+"/"+b.Name) + " has the rest.\n")
	kept := string(text[:max(0, most-len(end))])
	last := strings.LastIndexByte(kept, '\n') // in whole lines, so that no table and no escape is cut in two
	if most < len(end) || last < 0 {
		return ""
	}
	return kept[:last] + string(end)
}

// markdown is a report as Markdown, below its title.
func markdown(r report) string {
	var m strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&m, format, args...) }
	for _, text := range r.Lead {
		say("%s\n\n", line(text))
	}
	say("| | |\n|---|---|\n| Outcome | **%s** |\n", cell(r.Stamp))
	for _, f := range r.Facts {
		say("| %s | %s |\n", cell(f.Name), cell(f.Text))
	}
	if len(r.Left) > 0 {
		say("\n## Left to people\n\n")
		for _, text := range r.Left {
			say("- [ ] %s\n", line(text))
		}
	}
	m.WriteString("\n## Why\n\n")
	for _, reason := range r.Reasons {
		say("- %s (`%s`)\n", line(reason.Sentence), reason.Code)
	}
	if len(r.Reasons) == 0 {
		m.WriteString("Nothing is decided.\n")
	}
	for _, text := range r.Blind {
		say("- %s\n", line(text))
	}
	numbers(say, r)
	m.WriteString("\n## Timeline\n\n| time (UTC) | after | what |\n|---|---|---|\n")
	for _, e := range r.Timeline {
		say("| %s | %s | %s |\n", e.Clock(), e.Since(), cell(e.What))
	}
	m.WriteString("\n## What changed\n\n")
	for _, v := range r.Versions {
		say("- %s%s\n", line(v.Name), line(after(v.Text)))
	}
	for _, g := range r.Changes {
		say("\n%s:\n\n", line(g.Name))
		for _, i := range g.Items {
			say("- %s\n", line(i.Text))
		}
	}
	if d := r.Migrations; d != nil {
		m.WriteString("\n## Database migrations that ran with it\n\nIn their order:\n\n| tool | migration | what it changed | where |\n|---|---|---|---|\n")
		for _, x := range d.Rows {
			say("| %s | %s | %s | %s |\n", cell(x.Tool), cell(x.Name), cell(x.Changed), cell(x.Where))
		}
		if len(d.Choices) > 0 {
			m.WriteString("\nThe choices:\n\n")
		}
		for i, text := range d.Choices {
			say("%d. %s\n", i+1, line(text))
		}
	}
	pods(say, r.Pods)
	if len(r.Checklist) > 0 {
		m.WriteString("\n## The runbook's checklist\n")
	}
	for _, g := range r.Checklist {
		say("\n%s:\n\n", line(g.Name))
		for _, i := range g.Items {
			box, found := " ", ""
			if i.Done() {
				box = "x"
			}
			if i.State == not {
				found = " (not done)"
			}
			if i.Found != "" {
				found += ": " + line(i.Found)
			}
			say("- [%s] %s%s\n", box, line(i.Text), found)
		}
	}
	if len(r.Warnings) > 0 {
		m.WriteString("\n## What would make it better guarded\n\n")
	}
	for _, w := range r.Warnings {
		say("- %s (`%s`)\n", line(w.Sentence), w.Code)
	}
	if len(r.Words) > 0 {
		m.WriteString("\n## Words\n\n")
	}
	for _, w := range r.Words {
		say("- **%s**: %s\n", line(w.Name), line(w.Text))
	}
	return m.String()
}

// after is a text behind a colon, if there is one.
func after(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func numbers(say func(string, ...any), r report) {
	if len(r.Counted) > 0 || len(r.Charts) > 0 {
		say("\n## Numbers\n")
	}
	for _, c := range r.Charts {
		var about []string
		if c.What != "" {
			about = append(about, line(c.What))
		}
		if c.Limit != "" {
			about = append(about, "limit for the new version about "+line(c.Limit))
		}
		say("\n**%s**: %s\n\n", line(c.Title), strings.Join(about, "; "))
		for _, l := range c.Lines {
			say("    %-31s %s  %s\n", l.Name, l.Spark, code(l.Range))
		}
	}
	if len(r.Counted) > 0 {
		say("\n| over the whole time | new | old beside it | old before |\n|---|---|---|---|\n")
	}
	for _, c := range r.Counted {
		say("| %s | %s | %s | %s |\n", cell(c.Signal), cell(c.New), cell(c.Old), cell(c.Before))
	}
}

func pods(say func(string, ...any), pods []v1alpha1.PodEvidence) {
	if len(pods) > 0 {
		say("\n## New pods when it was decided\n")
	}
	for _, p := range pods {
		say("\n**%s** on %s: %s%s\n", line(p.Name), line(orDash(p.Node)), line(p.State), restarts(p))
		if len(p.Events) > 0 {
			say("\n")
		}
		for _, e := range p.Events {
			say("- %s\n", line(e))
		}
		if len(p.Lines) > 0 {
			say("\nThe last that container %s wrote:\n\n", line(p.Container))
		}
		for _, l := range p.Lines {
			say("    %s\n", code(l)) // indented: no line of others ends the block
		}
	}
}

func restarts(p v1alpha1.PodEvidence) string {
	if p.Restarts == 0 {
		return ""
	}
	return "; " + plural(int(p.Restarts), "restart")
}

// markup makes Markdown take a text for text: no markup, no link, no HTML; and where it is the text of an issue, nobody is
// mentioned in it, as by the @sha256 of an image, and no other issue.
var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", `\`, `\\`, "`", "'", "*", `\*`, "_", `\_`, "~", `\~`, "[", `\[`, "]", `\]`, "#", `\#`, "@", "@\u2060", "://", ":\u2060//")

// line is text on one line that Markdown takes for text.
func line(text string) string { return markup.Replace(strings.Join(strings.Fields(text), " ")) }

// cell is text in a table's cell.
func cell(text string) string { return strings.ReplaceAll(line(text), "|", `\|`) }

// code is text on one line of a block of code. What marks an issue as ours is not in it.
func code(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "<!--", "<!\u2060--")
}
