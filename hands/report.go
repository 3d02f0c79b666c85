package hands

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// WriteReport writes what happened in a bake as Markdown, for a person who was not there.
func WriteReport(w io.Writer, b *v1alpha1.Bake) error {
	var r strings.Builder
	spec, st := b.Spec, b.Status
	fmt.Fprintf(&r, "# %s in %s: %s\n\n", spec.Ref, b.Namespace, headline(b))
	if st.Why != "" {
		fmt.Fprintf(&r, "%s\n\n", line(st.Why))
	}
	if st.Rollback != nil && st.Rollback.Recovery != "" {
		fmt.Fprintf(&r, "After the rollback: %s\n\n", line(st.Rollback.Recovery))
	}

	r.WriteString("## Timeline\n\n| time (UTC) | after | what |\n|---|---|---|\n")
	for _, e := range timeline(b) {
		fmt.Fprintf(&r, "| %s | %s | %s |\n", e.at.UTC().Format("2006-01-02 15:04:05"), e.at.Sub(spec.StartedAt.Time).Round(time.Second), cell(e.what))
	}

	r.WriteString("\n## What changed\n\n")
	if spec.From == nil {
		fmt.Fprintf(&r, "There was no known good revision before revision %d.\n", spec.To.Number)
	} else {
		fmt.Fprintf(&r, "Revision %d (%s) to revision %d (%s)", spec.From.Number, line(strings.Join(spec.From.Images, ", ")), spec.To.Number, line(strings.Join(spec.To.Images, ", ")))
		if spec.ChangedBy != "" {
			fmt.Fprintf(&r, ", written by %s", line(spec.ChangedBy))
		}
		r.WriteString(".\n")
	}
	if spec.RestartOnly {
		r.WriteString("\nNothing but a restart: the same version with new pods.\n")
	}
	if spec.Again != nil {
		fmt.Fprintf(&r, "\nThis very version was rolled back before: as revision %d, at %s UTC.\n", spec.Again.Number, spec.Again.At.UTC().Format("2006-01-02 15:04:05"))
	}
	if len(spec.Changes) > 0 {
		r.WriteString("\n")
	}
	for _, change := range spec.Changes {
		fmt.Fprintf(&r, "- %s\n", line(change))
	}

	r.WriteString("\n## Why\n\n")
	for _, reason := range st.Reasons {
		fmt.Fprintf(&r, "- %s (`%s`)\n", line(reason.Sentence), reason.Code)
	}
	if len(st.Reasons) == 0 {
		r.WriteString("Nothing is decided.\n")
	}
	if len(st.Signals) > 0 {
		r.WriteString("\n| signal | new | old beside it | old before |\n|---|---|---|---|\n")
		for _, s := range st.Signals {
			fmt.Fprintf(&r, "| %s | %s | %s | %s |\n", cell(s.Name), cell(orDash(s.Candidate)), cell(orDash(s.Baseline)), cell(orDash(s.History)))
		}
	}

	if len(st.Warnings) > 0 {
		r.WriteString("\n## What would make it better guarded\n\n")
	}
	for _, w := range st.Warnings {
		fmt.Fprintf(&r, "- %s (`%s`)\n", line(w.Sentence), w.Code)
	}
	if len(st.Migrations) > 0 {
		r.WriteString("\n## Database migrations that ran with it\n\n")
	}
	for _, m := range st.Migrations {
		fmt.Fprintf(&r, "- %s %s, in container %s of %s\n", line(m.Tool), line(m.Name), line(m.Container), line(m.Pod))
	}
	if len(st.Evidence) > 0 {
		r.WriteString("\n## New pods at that moment\n")
	}
	for _, p := range st.Evidence {
		fmt.Fprintf(&r, "\n**%s** on %s: %s\n", line(p.Name), line(orDash(p.Node)), line(p.State))
		if len(p.Events) > 0 {
			r.WriteString("\n")
		}
		for _, e := range p.Events {
			fmt.Fprintf(&r, "- %s\n", line(e))
		}
		if len(p.Lines) > 0 {
			fmt.Fprintf(&r, "\nThe last that container %s wrote:\n\n", line(p.Container))
		}
		for _, l := range p.Lines {
			fmt.Fprintf(&r, "    %s\n", strings.Join(strings.Fields(l), " ")) // indented: no line of others ends the block
		}
	}

	r.WriteString("\n## The runbook's checklist\n\n")
	for _, item := range checklist(b) {
		box := " "
		if item.done {
			box = "x"
		}
		fmt.Fprintf(&r, "- [%s] %s\n", box, item.text)
	}
	_, err := io.WriteString(w, r.String())
	return err
}

func headline(b *v1alpha1.Bake) string {
	rb := b.Status.Rollback
	switch {
	case b.Status.EndedAt == nil:
		return "under way, " + strings.ToLower(Standing(b))
	case b.Status.Outcome == v1alpha1.OutcomeRolledBack && rb != nil:
		recovered := map[string]string{"Yes": ", recovered", "No": ", NOT recovered"}[rb.Recovered]
		return fmt.Sprintf("rolled back to revision %d%s", rb.Target.Number, recovered)
	}
	return strings.ToLower(Standing(b))
}

// event is one line of the timeline.
type event struct {
	at   time.Time
	what string
}

func timeline(b *v1alpha1.Bake) []event {
	spec, st := b.Spec, b.Status
	out := []event{{spec.StartedAt.Time, "the rollout of revision " + fmt.Sprint(spec.To.Number) + " began"}}
	if h := spec.ByHand; h != nil {
		out[0].what = cmp.Or(h.By, "somebody") + " asked to roll revision " + fmt.Sprint(spec.To.Number) + " back"
	}
	add := func(at *metav1.MicroTime, what string) {
		if at != nil {
			out = append(out, event{at.Time, what})
		}
	}
	add(st.FirstReadyAt, "the first new pod was ready; judging began")
	add(st.FoundAt, "what measures the workload was looked for: "+fmt.Sprint(len(st.Measured))+" found")
	add(st.CompletedAt, "all pods were new")
	if a := st.Approval; a != nil {
		add(&a.AskedAt, "people were asked whether to roll back")
		add(a.AnsweredAt, cmp.Or(a.By, "somebody")+" answered: "+strings.ToLower(a.Answer))
	}
	if rb := st.Rollback; rb != nil {
		add(&rb.IntendedAt, "a rollback to revision "+fmt.Sprint(rb.Target.Number)+" was decided")
		add(rb.PatchedAt, "the old template was put back")
		for _, pod := range rb.Freed {
			if pod.DoneAt != nil && !pod.Spared {
				add(pod.DoneAt, "pod "+pod.Name+" stood in its way and was deleted")
			}
		}
		add(rb.AvailableAt, "all its pods were available; recovery was measured")
	}
	for _, a := range st.Announced {
		what := a.Receiver + " was told: " + a.Stage
		if a.Error != "" {
			what = a.Receiver + " could NOT be told: " + a.Stage
		}
		add(&a.At, what)
	}
	add(st.EndedAt, "the bake ended: "+Standing(b))
	slices.SortStableFunc(out, func(a, b event) int { return a.at.Compare(b.at) })
	return out
}

// item is one row of the runbook, and whether it was done.
type item struct {
	done bool
	text string
}

func checklist(b *v1alpha1.Bake) []item {
	st := b.Status
	rb := st.Rollback
	undone := rb != nil && rb.PatchedAt != nil
	items := []item{
		{len(st.Signals) > 0, "metrics of new and old pods compared"},
		{len(st.Evidence) > 0, "pod states, events and the last lines of new pods kept"},
		{b.Spec.From != nil, "a known good revision to go back to"},
		{undone, "rolled back"},
		{undone && rb.AvailableAt != nil, "the rollback watched until it was complete"},
		{undone && rb.Recovered != "" && rb.Recovered != "Unknown", "recovery verified: " + cmp.Or(ifAny(rb), "not measured")},
		{slices.ContainsFunc(st.Announced, func(r v1alpha1.Receipt) bool { return r.Error == "" && r.Stage == "ended" }), "people told, with the reason"},
		{false, "left to people: look at whether a database migration ran with it that its log does not tell of"},
		{false, "left to people: revert the change where it came from, or the next deploy brings it back"},
	}
	if st.Outcome == v1alpha1.OutcomePassed || st.EndedAt == nil {
		return []item{items[0], items[2]} // there is nothing to clean up
	}
	return items
}

func ifAny(rb *v1alpha1.Rollback) string {
	if rb == nil {
		return ""
	}
	return line(strings.TrimPrefix(rb.Recovery, "recovered: "))
}

// line is text on one line that Markdown takes for text.
func line(text string) string {
	return strings.NewReplacer("<", "&lt;", "`", "'", "*", `\*`, "_", `\_`, "[", `\[`).Replace(strings.Join(strings.Fields(text), " "))
}

// cell is text in a table's cell.
func cell(text string) string { return strings.ReplaceAll(line(text), "|", `\|`) }
