package backtest

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is all that is shown.
type Report struct {
	Rows   []Row
	Trades []Trade // of a sweep; nil without one
	Config string  // the file's name
}

// WriteJSON writes one object a rollout, and then one for each value of a sweep.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, row := range r.Rows {
		if err := enc.Encode(row); err != nil {
			return fmt.Errorf("write a rollout: %w", err)
		}
	}
	for _, t := range r.Trades {
		if err := enc.Encode(t); err != nil {
			return fmt.Errorf("write a value of the sweep: %w", err)
		}
	}
	return nil
}

// WriteTable writes what fits a terminal.
func (r Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) } // Flush has the error
	line("STARTED", "NAMESPACE", "WORKLOAD", "NOW", "WOULD BE", "AFTER", "FAILED", "WHY")
	for _, row := range r.Rows {
		line(row.Started.UTC().Format("2006-01-02 15:04:05"), row.Namespace, row.Workload(), row.Before(), row.Outcome, row.After(), count(row.Failed), row.Because())
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", r.Summary()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if len(r.Trades) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(w)
	line(strings.ToUpper(r.Trades[0].Parameter), "ROLLED BACK", "PASSED", "NEITHER", "MEAN DELAY", "FAILED UNTIL THEN")
	for _, v := range r.Trades {
		line(v.Value, fmt.Sprint(v.RolledBack), fmt.Sprint(v.Passed), fmt.Sprint(v.Inconclusive), v.Delay(), count(v.Failed))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the sweep: %w", err)
	}
	return nil
}

// Workload is the workload as people write it.
func (row Row) Workload() string { return strings.ToLower(row.Kind) + "/" + row.Name }

// Before is how it ended, or would have by the default policy.
func (row Row) Before() string {
	if row.Now == "" {
		return "-"
	}
	if !row.NowRecorded {
		return row.Now + " (default)"
	}
	return row.Now
}

// After is the time to the decision.
func (row Row) After() string {
	if row.DecidedAt == nil {
		return "-"
	}
	return seconds(row.Seconds)
}

// Because is why it ended so, and what else is to be known.
func (row Row) Because() string {
	return strings.Join(append([]string{cmp.Or(row.Why, "-")}, row.Notes...), "; ")
}

// Delay is the mean time to a rollback.
func (t Trade) Delay() string {
	if t.RolledBack == 0 {
		return "-"
	}
	return seconds(t.MeanSeconds)
}

func seconds(s float64) string {
	return (time.Duration(math.Round(s)) * time.Second).String()
}

// count is a number of requests with commas between thousands.
func count(x float64) string {
	s := fmt.Sprintf("%.0f", x)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Summary is the line below the table.
func (r Report) Summary() string {
	if len(r.Rows) == 0 {
		return "No rollout was found in this time."
	}
	var back, backNow, passed, other, failed, delay float64
	for _, row := range r.Rows {
		switch row.Outcome {
		case "RolledBack":
			back++
			delay += row.Seconds
			failed += row.Failed
		case "Passed":
			passed++
		default:
			other++
		}
		if row.Now == "RolledBack" {
			backNow++
		}
	}
	s := fmt.Sprintf("%s rollouts: %s would be rolled back (now %s), %s pass, %s neither", count(float64(len(r.Rows))), count(back), count(backNow), count(passed), count(other))
	if back > 0 {
		s += fmt.Sprintf("; a rollback comes after %s on average, and %s requests failed until then", seconds(delay/back), count(failed))
	}
	return s + "."
}

//go:embed page.html
var page string

// WriteHTML writes one page that needs nothing else.
func (r Report) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{"count": count}).Parse(page)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
