package docs

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals"
	inDatadog "github.com/bakewatch/bakewatch/signals/datadog/presets"
	"github.com/bakewatch/bakewatch/signals/prometheus/presets"
)

var update = flag.Bool("update", false, "write the tables that are generated from code")

// The tables that the code can write are those it writes: go test ./docs -update.
func TestGeneratedTables(t *testing.T) {
	for _, c := range []struct{ file, mark, want string }{
		{"configuration.md", "signals", signalsTable()},
		{"sources/prometheus.md", "presets", presetsTable()},
		{"sources/datadog.md", "presets", datadogTable()},
	} {
		raw, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(raw), "<!-- "+c.mark+": begin -->\n")
		have, after, closed := strings.Cut(rest, "<!-- "+c.mark+": end -->")
		switch {
		case !ok || !closed:
			t.Errorf("%s has no place for the table %s", c.file, c.mark)
		case *update:
			text := before + "<!-- " + c.mark + ": begin -->\n" + c.want + "<!-- " + c.mark + ": end -->" + after
			if err := os.WriteFile(c.file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		case have != c.want:
			t.Errorf("the table %s of %s is not what the code says; go test ./docs -run TestGeneratedTables -update", c.mark, c.file)
		}
	}
}

func signalsTable() string {
	rules := policy.Default().Signals
	var b strings.Builder
	b.WriteString("| signal | what it measures | defaults: max, increase, floor, minRequests, ticks |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		t := rules[name].Threshold
		fmt.Fprintf(&b, "| `%s` | %s | %s, %s, %s, %d, %d |\n", name, policy.About(name), *t.Max, *t.Increase, *t.Floor, *t.MinRequests, *t.Ticks)
	}
	return b.String()
}

// datadogTable is the presets of Datadog, by signal.
func datadogTable() string {
	var b strings.Builder
	b.WriteString("| signal | preset | by | queries |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(policy.Default().Signals)) {
		for _, p := range inDatadog.For(name) {
			var texts []string
			for _, text := range []string{p.Errors, p.Events, p.Value, p.Requests} {
				if text != "" {
					texts = append(texts, "`"+text+"`")
				}
			}
			by := cmp.Or(string(p.By), "the whole service")
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, p.Name, by, strings.Join(texts, " of "))
		}
	}
	return b.String()
}

func presetsTable() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(policy.Default().Signals)) {
		ps := presets.For(name)
		if len(ps) == 0 {
			continue
		}
		fmt.Fprintf(&b, "### `%s`\n\n| preset | by | metric, and what of it counts as bad |\n|---|---|---|\n", name)
		for _, p := range ps {
			by := "the whole service"
			if p.By == signals.ByPod {
				by = "pod"
			}
			counts := "`" + p.Metric + "`"
			switch {
			case p.Errors != "":
				counts += ": `" + conditions(p.Errors, p.Requests) + "`"
			case p.Histogram != "":
				counts += ": slow requests"
			case p.Events != "":
				counts += ": each time it grows"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", p.Name, by, counts)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// conditions are those of the errors that the requests do not have; where the metric is another, its name.
func conditions(errors, requests string) string {
	metric, body, _ := strings.Cut(strings.TrimSuffix(errors, "}"), "{")
	of, all, _ := strings.Cut(strings.TrimSuffix(requests, "}"), "{")
	if metric != of {
		return metric
	}
	var out []string
	for _, c := range strings.Split(body, ",") {
		if !slices.Contains(strings.Split(all, ","), c) {
			out = append(out, strings.ReplaceAll(c, "|", "\\|"))
		}
	}
	return strings.Join(out, ", ")
}
