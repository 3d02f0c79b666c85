package hands

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// widest is how many characters of a sentence a table shows.
const widest = 140

// WriteStatus writes a line for each bake: where it stands, since when, and why.
func WriteStatus(w io.Writer, bakes []*v1alpha1.Bake, now time.Time, namespaces bool) error {
	head := []string{"WORKLOAD", "FROM-TO", "STANDS", "SINCE", "WHY"}
	if namespaces {
		head = append([]string{"NAMESPACE"}, head...)
	}
	return table(w, head, len(bakes), func(i int) []string {
		b := bakes[i]
		row := []string{b.Spec.Ref, b.Spec.Revisions, Standing(b), ago(now, since(b)), short(why(b))}
		if namespaces {
			row = append([]string{b.Namespace}, row...)
		}
		return row
	})
}

// why is the first reason; of a bake that goes on, what it cannot see.
func why(b *v1alpha1.Bake) string {
	if p := pausedNow(b); p != nil && b.Status.Why == "" {
		return p.Sentence
	}
	if b.Status.EndedAt != nil || b.Status.Why != "" || len(b.Status.Blind) == 0 {
		return b.Status.Why
	}
	var out []string
	for _, x := range b.Status.Blind {
		out = append(out, fmt.Sprintf("blind since %s UTC: %s: %s", x.Since.UTC().Format("15:04"), x.Source, x.Why))
	}
	return strings.Join(out, "; ")
}

// since is when a bake came to stand where it does.
func since(b *v1alpha1.Bake) time.Time {
	switch st := b.Status; {
	case st.EndedAt != nil:
		return st.EndedAt.Time
	case st.Rollback != nil:
		return st.Rollback.IntendedAt.Time
	case st.FirstReadyAt != nil:
		return st.FirstReadyAt.Time
	}
	return b.Spec.StartedAt.Time
}

// WriteHistory writes a line for each rollout of a workload, and says of each revision whether it is known good.
func WriteHistory(w io.Writer, bakes []*v1alpha1.Bake, now time.Time) error {
	return table(w, []string{"REV", "OUTCOME", "KNOWN GOOD", "STARTED", "BY", "IMAGES", "WHY"}, len(bakes), func(i int) []string {
		b := bakes[i]
		good := "no"
		if b.Status.KnownGood {
			good = "yes"
		}
		if b.Status.EndedAt == nil {
			good = "not yet"
		}
		return []string{fmt.Sprint(b.Spec.To.Number), Standing(b), good, ago(now, b.Spec.StartedAt.Time), orDash(b.Spec.ChangedBy), strings.Join(b.Spec.To.Images, ","), short(b.Status.Why)}
	})
}

// WriteSignals writes what measures a workload, as found when its newest bake began, and what does not, and why.
func WriteSignals(w io.Writer, b *v1alpha1.Bake) error {
	st := b.Status
	if st.FoundAt == nil {
		_, err := fmt.Fprintf(w, "%s: nothing was looked for in the bake of %s: policy names every query, or the bake is not that far.\n", b.Spec.Ref, b.Spec.Revisions)
		return err
	}
	if st.Service != "" {
		if _, err := fmt.Fprintf(w, "Reached by service %s.\n\n", st.Service); err != nil {
			return err
		}
	}
	if err := table(w, []string{"SIGNAL", "SOURCE", "PRESET", "BY", "METRIC"}, len(st.Measured), func(i int) []string {
		m := st.Measured[i]
		by := m.By
		if by == "" {
			by = "the whole service"
		}
		return []string{m.Signal, m.Source, m.Preset, by, metricOf(m)}
	}); err != nil {
		return err
	}
	if len(st.NotMeasured) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w, "\nNot chosen:"); err != nil {
		return err
	}
	return table(w, []string{"SIGNAL", "SOURCE", "PRESET", "WHY"}, len(st.NotMeasured), func(i int) []string {
		n := st.NotMeasured[i]
		return []string{orDash(n.Signal), n.Source, short(n.Preset), n.Why}
	})
}

// metricOf is the query that says most of what is measured.
func metricOf(m v1alpha1.Measured) string {
	for _, query := range []string{m.Requests, m.Histogram, m.Events, m.Value} {
		if query == "" {
			continue
		}
		query = strings.Join(strings.Fields(query), " ")
		if m.Over != "" {
			query += " over " + m.Over
		}
		return short(query)
	}
	return "-"
}

func table(w io.Writer, head []string, rows int, row func(i int) []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if _, err := fmt.Fprintln(t, strings.Join(head, "\t")); err != nil {
		return err
	}
	for i := range rows {
		cells := row(i)
		for j := range cells {
			cells[j] = strings.Join(strings.Fields(cells[j]), " ") // a tab would be another column
		}
		if _, err := fmt.Fprintln(t, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

func ago(now, at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return duration.HumanDuration(now.Sub(at))
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func short(text string) string {
	if runes := []rune(text); len(runes) > widest {
		return string(runes[:widest-1]) + "…"
	}
	return text
}
