package hands

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// place is where a report is read.
type place int

const (
	apart   place = iota // a file, a page, a terminal
	inIssue              // it is the text of an issue
)

// item is one row of the runbook, how it stands, and what was found.
type item struct {
	State string // done, open, or not: it was not done, or could not be
	Text  string
	Found string
}

// Done reports whether nothing is left to do.
func (i item) Done() bool { return i.State == done }

// Word is how it stands, for those who do not see the sign.
func (i item) Word() string {
	return map[string]string{done: "done", open: "left to people", not: "not done"}[i.State]
}

// Sign is how it stands, for the eye.
func (i item) Sign() string {
	return map[string]string{done: "✓", open: "○", not: "✗"}[i.State]
}

// How an item stands.
const (
	done = "done"
	open = "open"
	not  = "not"
)

// when is a state that is done when it holds, and else another.
func when(holds bool, otherwise string) string {
	if holds {
		return done
	}
	return otherwise
}

// checklist is the runbook of a rollback, with what was found for each of its rows. There is none where nothing was wrong.
func checklist(b *v1alpha1.Bake, where place) []group {
	if !worse(b) {
		return nil
	}
	return []group{{"Before the rollback", beforeIt(b)}, {"During the rollback", duringIt(b)}, {"After the rollback", afterIt(b, where)}}
}

func beforeIt(b *v1alpha1.Bake) []item {
	spec, st := b.Spec, b.Status
	out := []item{{done, "Confirm that a rollback is necessary", st.Why}}
	if told := receivers(st, "deciding"); told != "" {
		out = append(out, item{done, "Tell those concerned", told + " told when it was decided"})
	} else {
		out = append(out, item{open, "Tell those concerned", "nobody is on record as told when it was decided"})
	}
	out = append(out, item{done, "Write down why", "in the Bake " + b.Namespace + "/" + b.Name + " and here"})
	if n := len(st.Migrations); n > 0 {
		out = append(out, item{open, "Check for changes of data", plural(n, "database migration") + " ran with the new version, see below"})
	} else {
		out = append(out, item{done, "Check for changes of data", "no database migration was seen in the logs of the new pods and of Jobs beside them; one that ran elsewhere, as in CI, is not seen"})
	}
	if spec.From != nil {
		out = append(out, item{done, "Choose the version to go back to", version(*spec.From) + ", the last that is known to be good"})
	} else {
		out = append(out, item{not, "Choose the version to go back to", "there is no revision that is known to be good"})
	}
	return out
}

func duringIt(b *v1alpha1.Bake) []item {
	st := b.Status
	var out []item
	rb := st.Rollback
	switch n := len(st.Reasons); {
	case rb != nil && rb.PatchedAt != nil:
		out = append(out, item{done, "Run the rollback", fmt.Sprintf("revision %d put back at %s", rb.Target.Number, stamp(rb.PatchedAt.Time))})
	case st.EndedAt == nil:
		out = append(out, item{open, "Run the rollback", "not yet"})
	case n > 0:
		out = append(out, item{not, "Run the rollback", gist(st.Reasons[n-1].Sentence)})
	}
	if rb != nil && rb.PatchedAt != nil {
		if rb.AvailableAt != nil {
			found := "all pods available at " + stamp(rb.AvailableAt.Time)
			if n := freed(rb); n > 0 {
				found += fmt.Sprintf("; %s in its way, and deleted", plural(n, "pod"))
			}
			out = append(out, item{done, "Watch its status until it is done", found})
		} else {
			out = append(out, item{open, "Watch its status until it is done", "that all pods are available was not seen"})
		}
	}
	lines := 0
	for _, p := range st.Evidence {
		lines += len(p.Lines)
	}
	out = append(out, item{when(lines > 0, open), "Look at the logs", fmt.Sprintf("%s of %s kept", plural(lines, "last line"), plural(len(st.Evidence), "new pod"))})
	var measured, flows []string
	for _, s := range st.Signals {
		if s.Source == "probe" {
			flows = append(flows, s.Name)
		} else {
			measured = append(measured, s.Name)
		}
	}
	found := "no signal measured the workload"
	if len(measured) > 0 {
		found = "compared on both versions: " + some(measured)
	}
	if len(st.Blind) > 0 {
		found += fmt.Sprintf("; %s did not answer", plural(len(st.Blind), "source"))
	}
	out = append(out, item{when(len(measured) > 0, open), "Look at dashboards", found})
	if len(flows) > 0 {
		out = append(out, item{done, "Test critical user flows", "run against new and old pods: " + some(flows)})
	} else {
		out = append(out, item{open, "Test critical user flows", "no user flow is configured for this workload"})
	}
	return out
}

func afterIt(b *v1alpha1.Bake, where place) []item {
	spec, st := b.Spec, b.Status
	var out []item
	if rb := st.Rollback; rb != nil && rb.PatchedAt != nil {
		out = append(out, item{when(rb.Recovered == "Yes", open), "Confirm that the service is stable", cmp.Or(rb.Recovery, "not measured")})
	} else {
		out = append(out, item{open, "Confirm that the service is stable", "the new version still runs"})
	}
	if told := receivers(st, "ended"); told != "" {
		out = append(out, item{done, "Update the incident, and tell people how it ended", told + " told"})
	} else if where != inIssue { // there it is being told
		out = append(out, item{open, "Update the incident, and tell people how it ended", "nobody is on record as told"})
	}
	switch number := issue(st); {
	case where == inIssue:
		out = append(out, item{done, "Open an issue", "this one"})
	case number != "":
		out = append(out, item{done, "Open an issue", "number " + number})
	default:
		out = append(out, item{open, "Open an issue", "none is on record"})
	}
	hint := "nothing of the new pods was kept; see what changed"
	if len(st.Evidence) > 0 {
		hint = "begin with what the new pods wrote last, and with what changed"
	}
	out = append(out, item{open, "Find the root cause", hint}, item{open, "Fix it, and add a test that would have failed", ""})
	if spec.From != nil && !spec.RestartOnly {
		out = append(out, item{open, "Make Git tell the truth", "revert the change where it was applied from, or the next deploy brings it back"})
	}
	return out
}

// left is what is left for people, what presses most first.
func left(b *v1alpha1.Bake) []string {
	spec, st := b.Spec, b.Status
	rb := st.Rollback
	var out []string
	say := func(text string, args ...any) { out = append(out, fmt.Sprintf(text, args...)) }
	undo := fmt.Sprintf("kubectl bakewatch undo %s -n %s", spec.Ref, b.Namespace)
	switch {
	case st.EndedAt == nil && st.Approval != nil && st.Approval.Answer == "" && rb == nil:
		say("Answer by %s: kubectl bakewatch approve %s -n %s, or reject in place of approve.", stamp(st.Approval.Until.Time), spec.Ref, b.Namespace)
	case st.EndedAt == nil:
		return nil
	case st.Outcome == v1alpha1.OutcomeHeld && spec.From == nil:
		say("Decide now: revision %d still runs, and there is no version to go back to. Roll forward with a fix.", spec.To.Number)
	case st.Outcome == v1alpha1.OutcomeHeld && has(st, "gitops"), st.Outcome == v1alpha1.OutcomeHeld && has(st, "owned"):
		say("Decide now: revision %d still runs. It comes from elsewhere, and has to be reverted there; the last reason says where.", spec.To.Number)
	case st.Outcome == v1alpha1.OutcomeHeld:
		say("Decide now: revision %d still runs. To put revision %d back: %s. Or roll forward with a fix.", spec.To.Number, spec.From.Number, undo)
	case st.Outcome == v1alpha1.OutcomeInconclusive:
		say("Look yourself whether revision %d is well: it still runs, and could not be judged.", spec.To.Number)
	case rb != nil && rb.Recovered == "No":
		say("Look for another cause: the old version is back and fares no better, so it is likely not this deploy. What else changed at about %s?", stamp(spec.StartedAt.Time))
	case rb != nil && rb.Recovered != "Yes":
		say("See whether the service is well again: recovery could not be measured.")
	}
	if d := st.ScaleDown; d != nil && d.DoneAt != nil && d.NotDone == "" && d.OverAt == nil {
		say("Raise the memory limit, or mend what uses the memory, and deploy that: replicas are at %d in place of %d until another revision runs.", d.To, d.From)
	}
	switch {
	case len(st.Migrations) == 0 || !worse(b):
	case rb != nil && rb.PatchedAt != nil:
		say("See whether the old version is well on a database that the new one has migrated: the migrations below were not reversed.")
	default:
		say("Look at the database migrations below before anything is rolled back: what they changed, and whether that can be reversed. Ask who wrote them.")
	}
	if !worse(b) {
		return out
	}
	inGit := suspended(b)
	if inGit != "" {
		out = append(out, inGit)
	}
	say("Find the cause: begin with what the new pods wrote last, and with what changed.")
	switch {
	case rb == nil || rb.PatchedAt == nil || spec.ByHand != nil || inGit != "":
	case rb.Aftermath != "":
		say("%s", sentence(upper(rb.Aftermath)))
	default:
		what := ""
		if n := len(spec.Changes); n > 0 {
			what = ": " + some(spec.Changes)
		}
		say("Revert the change where it was applied from (Git, CI), or the next deploy brings it back%s.", what)
	}
	if names := failed(st); names != "" {
		say("Tell those who read %s: it could not be told.", names)
	}
	return out
}

func has(st v1alpha1.BakeStatus, code string) bool {
	return slices.ContainsFunc(st.Reasons, func(r v1alpha1.Reason) bool { return r.Code == code })
}

// receivers are those who were told of a stage.
func receivers(st v1alpha1.BakeStatus, stage string) string {
	var names []string
	for _, a := range st.Announced {
		if a.Stage == stage && a.Error == "" && !slices.Contains(names, a.Receiver) {
			names = append(names, a.Receiver)
		}
	}
	return some(names)
}

// failed are those who could not be told something.
func failed(st v1alpha1.BakeStatus) string {
	var names []string
	for _, a := range st.Announced {
		if a.Error != "" && !slices.Contains(names, a.Receiver) {
			names = append(names, a.Receiver)
		}
	}
	return some(names)
}

// issue is the number of the issue that was opened; empty when none is on record.
func issue(st v1alpha1.BakeStatus) string {
	for _, a := range st.Announced {
		if strings.HasPrefix(a.Receiver, "github") && a.Error == "" && a.ID != "" {
			return a.ID
		}
	}
	return ""
}

func freed(rb *v1alpha1.Rollback) int {
	n := 0
	for _, p := range rb.Freed {
		if p.DoneAt != nil && !p.Spared {
			n++
		}
	}
	return n
}

// some are the first few of a list.
func some(names []string) string {
	const few = 5
	if more := len(names) - few; more > 0 {
		return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
