package hands

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// report is what happened in a bake, put for a person who was not there. Its texts are plain: who writes it, escapes them.
type report struct {
	Title string
	Tone  string   // bad, held, good or open: how it ended, for the eye
	Stamp string   // the same in a word
	Lead  []string // what happened, in a few sentences
	Facts []pair

	Left       []string // what is left for people
	Reasons    []v1alpha1.Reason
	Charts     []chart
	Counted    []counted
	Blind      []string
	Timeline   []event
	Versions   []pair
	Changes    []group
	Migrations *migrations
	Pods       []v1alpha1.PodEvidence
	Checklist  []group
	Warnings   []v1alpha1.Reason
	Words      []pair
}

// pair is a name and what it stands for.
type pair struct{ Name, Text string }

// group are some lines under a heading.
type group struct {
	Name  string
	Items []item
}

// counted is what a signal counted over the whole bake, on each side.
type counted struct{ Signal, New, Old, Before string }

// event is one line of the timeline.
type event struct {
	At    time.Time
	After time.Duration // since the rollout began
	What  string
	Mark  bool // a turn: something was decided or done
}

// clock is when it was.
func (e event) Clock() string { return e.At.UTC().Format("2006-01-02 15:04:05") }

// since is how long after the rollout it was.
func (e event) Since() string { return took(e.After) }

func reportOf(b *v1alpha1.Bake, where place) report {
	st := b.Status
	r := report{
		Title: fmt.Sprintf("%s in %s: %s", b.Spec.Ref, b.Namespace, headline(b)),
		Lead:  lead(b), Facts: facts(b), Left: left(b), Reasons: st.Reasons, Charts: charts(b), Timeline: timeline(b),
		Versions: versions(b), Changes: changes(b.Spec), Migrations: migrationsOf(b), Pods: podsOf(st.Evidence), Checklist: checklist(b, where), Warnings: st.Warnings,
	}
	r.Tone, r.Stamp = tone(b)
	for _, s := range st.Signals {
		r.Counted = append(r.Counted, counted{titled(b, s.Name, s.Source), share(s.Candidate), share(s.Baseline), share(s.History)})
	}
	for _, x := range st.Blind {
		r.Blind = append(r.Blind, fmt.Sprintf("%s did not answer since %s UTC: %s", x.Source, x.Since.UTC().Format("15:04:05"), orDash(x.Why)))
	}
	if worse(b) || len(r.Charts) > 0 {
		r.Words = words
	}
	return r
}

// titled is a signal's name, and what answered where several did.
func titled(b *v1alpha1.Bake, name, source string) string {
	n := 0
	for _, s := range b.Status.Signals {
		if s.Name == name {
			n++
		}
	}
	if n > 1 && source != "" {
		return name + " (" + source + ")"
	}
	return name
}

// podsOf are the pods, with what they wrote over and over written once.
func podsOf(pods []v1alpha1.PodEvidence) []v1alpha1.PodEvidence {
	out := slices.Clone(pods)
	for i := range out {
		var lines []string
		for n := 0; n < len(out[i].Lines); {
			line, times := out[i].Lines[n], 0
			for ; n < len(out[i].Lines) && out[i].Lines[n] == line; n++ {
				times++
			}
			if times > 1 {
				line += fmt.Sprintf("   (%d times)", times)
			}
			lines = append(lines, line)
		}
		out[i].Lines = lines
	}
	return out
}

// worse reports whether the rollout was found to be worse, whatever became of it.
func worse(b *v1alpha1.Bake) bool {
	st := b.Status
	return st.Rollback != nil || st.Approval != nil || st.Outcome == v1alpha1.OutcomeHeld
}

func headline(b *v1alpha1.Bake) string {
	rb := b.Status.Rollback
	switch {
	case b.Status.EndedAt == nil:
		return "under way, " + strings.ToLower(Standing(b))
	case b.Status.Outcome == v1alpha1.OutcomeRolledBack && rb != nil:
		recovered := map[string]string{"Yes": ", recovered", "No": ", NOT recovered"}[rb.Recovered]
		return fmt.Sprintf("rolled back to revision %d%s", rb.Target.Number, recovered)
	case b.Status.Outcome == v1alpha1.OutcomeHeld && b.Status.Observed:
		return "worse, and only observed"
	case b.Status.Outcome == v1alpha1.OutcomeHeld && b.Spec.From == nil:
		return fmt.Sprintf("revision %d is not well, and waits for a person", b.Spec.To.Number)
	case b.Status.Outcome == v1alpha1.OutcomeHeld:
		return fmt.Sprintf("revision %d is worse, and waits for a person", b.Spec.To.Number)
	}
	return strings.ToLower(Standing(b))
}

// tone is how a bake stands, for the eye and in a word.
func tone(b *v1alpha1.Bake) (tone, stamp string) {
	st := b.Status
	switch {
	case st.EndedAt == nil:
		return "open", "Under way"
	case st.Outcome == v1alpha1.OutcomePassed:
		return "good", "Passed"
	case st.Outcome == v1alpha1.OutcomeRolledBack && st.Rollback != nil && st.Rollback.Recovered == "Yes":
		return "good", "Rolled back, recovered"
	case st.Outcome == v1alpha1.OutcomeRolledBack && st.Rollback != nil && st.Rollback.Recovered == "No":
		return "bad", "Rolled back, NOT recovered"
	case st.Outcome == v1alpha1.OutcomeRolledBack:
		return "held", "Rolled back, recovery unknown"
	case st.Outcome == v1alpha1.OutcomeHeld && st.Observed:
		return "held", "Observed only: nothing was done"
	case st.Outcome == v1alpha1.OutcomeHeld:
		return "bad", "Waits for a person"
	case st.Outcome == v1alpha1.OutcomeInconclusive:
		return "held", "Could not be judged"
	}
	return "open", string(st.Outcome)
}

// lead says what happened, in a few sentences.
func lead(b *v1alpha1.Bake) []string {
	spec, st := b.Spec, b.Status
	began := spec.StartedAt.Time
	what := fmt.Sprintf("%s was rolled out, the first revision of %s in namespace %s", version(spec.To), spec.Ref, b.Namespace)
	if spec.From != nil {
		what = fmt.Sprintf("%s in namespace %s was changed from %s to %s", spec.Ref, b.Namespace, version(*spec.From), version(spec.To))
	}
	if h := spec.ByHand; h != nil {
		what = fmt.Sprintf("%s asked to roll %s in namespace %s back from %s", cmp.Or(h.By, "somebody"), spec.Ref, b.Namespace, version(spec.To))
	} else if spec.ChangedBy != "" {
		what += ", written by " + spec.ChangedBy
	}
	out := []string{"On " + began.UTC().Format("2 January 2006 at 15:04:05 UTC") + " " + what + "."}
	if spec.RestartOnly {
		out = append(out, "Nothing but a restart was rolled out: the same version with new pods.")
	}
	if a := spec.Again; a != nil {
		out = append(out, fmt.Sprintf("This very version was rolled back before: as revision %d, at %s UTC.", a.Number, a.At.UTC().Format("2006-01-02 15:04:05")))
	}
	switch rb := st.Rollback; {
	case rb != nil:
		found := "it was decided to put the old version back"
		if st.ByHand == nil && spec.ByHand == nil {
			found = "Bakewatch, which watches every rollout, had found the new version worse than the old one"
		}
		out = append(out, fmt.Sprintf("%s later %s: %s", took(rb.IntendedAt.Sub(began)), found, sentence(rb.Because)))
		switch {
		case rb.PatchedAt == nil && st.EndedAt == nil:
			out = append(out, fmt.Sprintf("It is about to put revision %d back.", rb.Target.Number))
		case rb.PatchedAt == nil:
			out = append(out, fmt.Sprintf("Revision %d was not put back.", rb.Target.Number))
		case rb.AvailableAt == nil:
			out = append(out, fmt.Sprintf("It put %s back, %s after the rollout had begun; that all its pods serve again was not seen.", version(rb.Target), took(rb.PatchedAt.Sub(began))))
		default:
			out = append(out, fmt.Sprintf("It put %s back, %s after the rollout had begun. After %s all its pods served again.", version(rb.Target), took(rb.PatchedAt.Sub(began)), took(rb.AvailableAt.Sub(began))))
		}
		if rb.Recovery != "" {
			out = append(out, "After the rollback: "+sentence(rb.Recovery))
		}
	case st.Outcome == v1alpha1.OutcomeHeld && st.EndedAt != nil:
		found := "had found the new version worse than the old one"
		if spec.From == nil {
			found = "had found that it is not well"
		}
		out = append(out, fmt.Sprintf("%s later Bakewatch, which watches every rollout, %s: %s", took(st.EndedAt.Sub(began)), found, sentence(st.Why)))
		if n := len(st.Reasons); n > 1 {
			out = append(out, "It was not rolled back: "+sentence(gist(st.Reasons[n-1].Sentence)))
		}
		if d := st.ScaleDown; d != nil && d.DoneAt != nil {
			out = append(out, fmt.Sprintf("In place of that replicas were lowered from %d to %d, so that fewer pods are killed for want of memory.", d.From, d.To))
		}
	case st.Outcome == v1alpha1.OutcomePassed:
		out = append(out, "It passed: "+sentence(st.Why))
	case st.Why != "":
		out = append(out, upper(sentence(st.Why)))
	case st.EndedAt == nil:
		out = append(out, "It is being watched; nothing is decided.")
	}
	return out
}

// facts are what one looks for first.
func facts(b *v1alpha1.Bake) []pair {
	spec, st := b.Spec, b.Status
	out := []pair{{"Workload", spec.Workload.Kind + " " + spec.Workload.Name}, {"Namespace", b.Namespace}}
	out = append(out, pair{"Rollout began", stamp(spec.StartedAt.Time)})
	if rb := st.Rollback; rb != nil {
		out = append(out, pair{"Decided", "after " + took(rb.IntendedAt.Sub(spec.StartedAt.Time))})
		if rb.AvailableAt != nil {
			out = append(out, pair{"Old version back", "after " + took(rb.AvailableAt.Sub(spec.StartedAt.Time))})
		}
	}
	if st.EndedAt != nil {
		out = append(out, pair{"Ended", fmt.Sprintf("%s, after %s", Standing(b), took(st.EndedAt.Sub(spec.StartedAt.Time)))})
	}
	return append(out, pair{"Record", "Bake " + b.Namespace + "/" + b.Name})
}

func versions(b *v1alpha1.Bake) []pair {
	var out []pair
	if from := b.Spec.From; from != nil {
		out = append(out, pair{fmt.Sprintf("Old, known good: revision %d", from.Number), strings.Join(from.Images, ", ")})
	} else {
		out = append(out, pair{"There was no known good revision before", ""})
	}
	return append(out, pair{fmt.Sprintf("New: revision %d", b.Spec.To.Number), strings.Join(b.Spec.To.Images, ", ")})
}

// changes are what differs, by what it is. Of variables and configuration only names are known.
func changes(spec v1alpha1.BakeSpec) []group {
	groups := []group{{Name: "Images"}, {Name: "Variables (names only)"}, {Name: "Configuration (names only)"}, {Name: "Resources"}, {Name: "Other settings"}}
	for _, c := range spec.Changes {
		i := 4
		switch low := strings.ToLower(c); {
		case strings.HasPrefix(low, "image"), strings.HasPrefix(low, "container"):
			i = 0
		case strings.HasPrefix(low, "env "):
			i = 1
		case strings.Contains(low, "configmap"), strings.Contains(low, "secret"), strings.HasPrefix(low, "envfrom"), strings.HasPrefix(low, "volume"):
			i = 2
		case strings.HasPrefix(low, "resources"):
			i = 3
		}
		groups[i].Items = append(groups[i].Items, item{Text: c})
	}
	return slices.DeleteFunc(groups, func(g group) bool { return len(g.Items) == 0 })
}

func timeline(b *v1alpha1.Bake) []event {
	spec, st := b.Spec, b.Status
	out := []event{{At: spec.StartedAt.Time, What: "the rollout of revision " + fmt.Sprint(spec.To.Number) + " began", Mark: true}}
	if h := spec.ByHand; h != nil {
		out[0].What = cmp.Or(h.By, "somebody") + " asked to roll revision " + fmt.Sprint(spec.To.Number) + " back"
	}
	add := func(at *metav1.MicroTime, mark bool, what string, args ...any) {
		if at != nil && !at.IsZero() {
			out = append(out, event{At: at.Time, What: fmt.Sprintf(what, args...), Mark: mark})
		}
	}
	add(st.FirstReadyAt, false, "the first new pod was ready; judging began")
	add(st.FoundAt, false, "what measures the workload was looked for: %d found", len(st.Measured))
	add(st.CompletedAt, false, "all pods were new")
	for _, m := range st.Migrations[:min(len(st.Migrations), mostOf)] {
		add(&m.At, false, "database migration %s of %s ran", m.Name, m.Tool)
	}
	if more := len(st.Migrations) - mostOf; more > 0 {
		add(&st.Migrations[mostOf].At, false, "%d more database migrations ran", more)
	}
	pauses(b, add)
	if x := st.Suspicion; x != nil {
		add(&x.At, false, "evidence was gathering by %s, and nothing was decided", cmp.Or(x.Signal, "a signal"))
	}
	if a := st.Approval; a != nil {
		add(&a.AskedAt, true, "people were asked whether to roll back")
		add(a.AnsweredAt, true, "%s answered: %s", cmp.Or(a.By, "somebody"), strings.ToLower(a.Answer))
	}
	if p := st.Proposal; p != nil {
		add(p.DoneAt, true, "in Git it was proposed to put it right: %s", p.URL)
	}
	if rb := st.Rollback; rb != nil {
		add(&rb.IntendedAt, true, "a rollback to revision %d was decided", rb.Target.Number)
		suspension(rb, add)
		add(rb.PatchedAt, true, "the old template was put back")
		for _, pod := range rb.Freed {
			if pod.DoneAt != nil && !pod.Spared {
				add(pod.DoneAt, false, "pod %s stood in its way and was deleted", pod.Name)
			}
		}
		add(rb.AvailableAt, true, "all its pods were available; recovery was measured")
	}
	if d := st.ScaleDown; d != nil {
		if d.NotDone == "" {
			add(&d.IntendedAt, true, "it was decided to lower replicas from %d to %d", d.From, d.To)
			add(d.DoneAt, true, "replicas were lowered to %d", d.To)
		} else {
			add(&d.IntendedAt, false, "replicas were NOT lowered from %d to %d: %s", d.From, d.To, d.NotDone)
		}
		if d.Restored {
			add(d.OverAt, true, "replicas were put back to %d", d.From)
		} else {
			add(d.OverAt, false, "replicas were left to whoever set them since")
		}
	}
	told := map[string]bool{}
	for _, a := range st.Announced {
		switch {
		case a.Error != "":
			add(&a.At, false, "%s could NOT be told: %s", a.Receiver, a.Stage)
		case !told[a.Stage]:
			told[a.Stage] = true
			add(&a.At, false, "told %s: %s", receivers(st, a.Stage), stages[a.Stage])
		}
	}
	add(st.EndedAt, true, "the bake ended: %s", Standing(b))
	slices.SortStableFunc(out, func(a, b event) int { return a.At.Compare(b.At) })
	for i := range out {
		out[i].After = out[i].At.Sub(spec.StartedAt.Time)
	}
	return out
}

// stages say what receivers are told.
var stages = map[string]string{"started": "a rollout is watched", "deciding": "what is done about it", "ended": "how it ended", "resolved": "it is over"}

// mostOf bounds what is listed of things that may be many.
const mostOf = 10

// words are what a reader may not know.
var words = []pair{
	{"Bakewatch", "a program in the cluster that watches every rollout and puts the old version back when the new one is worse."},
	{"Revision", "one version of the workload, by its number; the number grows with each change."},
	{"Known good", "a revision that was watched before and found well; the new one is compared with it."},
	{"Signal", "something that is measured of a workload, of which more is worse."},
	{"Limit", "about how much of a signal the new version may show: by the policy, and by what the old version showed. Only what is over it for several looks in a row, and is no chance, counts."},
	{"Bake", "the time in which a rollout is watched, and the record of it."},
}

// share is "72 / 900" as people read it: 72 of 900 (8%).
func share(text string) string {
	if words, ok := map[string]string{"no-series": "no metric", "late": "too old", "not-number": "no numbers", "unavailable": "could not be read"}[text]; ok {
		return words
	}
	var bad, all float64
	if n, err := fmt.Sscanf(text, "%g / %g", &bad, &all); n != 2 || err != nil {
		return orDash(text)
	}
	if all <= 0 {
		return "none"
	}
	return fmt.Sprintf("%.0f of %.0f (%s%%)", bad, all, tidy(100*bad/all))
}

// version is a revision and its images.
func version(r v1alpha1.Revision) string {
	if len(r.Images) == 0 {
		return fmt.Sprintf("revision %d", r.Number)
	}
	return fmt.Sprintf("revision %d (%s)", r.Number, strings.Join(r.Images, ", "))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// took is a time that something took: 45s, 1m30s, 2h10m.
func took(d time.Duration) string {
	d = d.Round(time.Second)
	text := d.String()
	if d >= time.Minute && d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d >= time.Hour && d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// gist is the first sentence of why a guard holds: what there is to choose stands elsewhere.
func gist(held string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(held, "held: "), ". ")
	return first
}

// sentence ends in a full stop.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

func upper(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
