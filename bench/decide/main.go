// Command decide measures the judge on simulated rollouts: how often it finds a fault and how fast, how often it rolls back
// what is healthy, how many requests fail meanwhile; and the same of other guards on the same draws. Every figure
// follows from the seed. make bench-decide runs it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench-decide:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("decide", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "run the scenarios whose names match this regular expression")
	scale := flags.Float64("runs-scale", 1, "how many times the runs of the table")
	seed := flags.Uint64("seed", 1, "seed of all chance")
	brief := flags.Bool("brief", false, "print the goals alone")
	wrong := flags.Bool("wrong", false, "say of each false rollback what the judge's reason was")
	suspected := flags.Bool("suspicions", false, "say how rare suspicions are on good rollouts, and how much sooner than the verdict on bad ones, and nothing else")
	file := flags.String("o", "", "write the results to this file as JSON")
	commit := flags.String("commit", "unknown", "commit to name in the results")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var match *regexp.Regexp
	if *only != "" {
		var err error
		if match, err = regexp.Compile(*only); err != nil {
			return fmt.Errorf("-only: %w", err)
		}
	}
	all := scenarios(match, *scale)
	if len(all) == 0 {
		return fmt.Errorf("no scenario matches %q", *only)
	}

	j := defaultJudge()
	begun := time.Now()
	runs := runAll(all, j, *seed, progress(stderr, all, begun))
	if *suspected {
		_, err := fmt.Fprintf(stdout, "%s\n%d runs of %d scenarios in %s\n", suspicions(all, runs, j.margin), total(all), len(all), time.Since(begun).Round(time.Second))
		return err
	}
	out := results{Machine: machine(), Commit: *commit, Seed: *seed, TickSeconds: tick}
	for i, s := range all {
		out.Scenarios = append(out.Scenarios, newResult(s, runs[i], j))
	}
	var report strings.Builder
	if *wrong {
		report.WriteString(mistakes(runs))
	}
	if !*brief {
		report.WriteString(out.table() + "\n")
	}
	report.WriteString(describe(out.reach(j)))
	if match == nil {
		report.WriteString("\n" + out.figures(j))
	}
	fmt.Fprintf(&report, "\n%d runs of %d scenarios in %s\n", total(all), len(all), time.Since(begun).Round(time.Second))
	if _, err := io.WriteString(stdout, report.String()); err != nil {
		return err
	}
	if *file != "" {
		return out.write(*file)
	}
	return nil
}

// mistakes says why the judge rolled back what was not worse.
func mistakes(runs [][][]outcome) string {
	var out strings.Builder
	for _, scenario := range runs {
		for _, run := range scenario {
			if why := run[0].why; why != "" {
				out.WriteString(why + "\n")
			}
		}
	}
	return out.String()
}

func total(all []scenario) int {
	n := 0
	for _, s := range all {
		n += s.runs
	}
	return n
}

// progress says every ten seconds how far it is.
func progress(w io.Writer, all []scenario, begun time.Time) func(done int) {
	var mutex sync.Mutex
	last, runs := begun, total(all)
	return func(done int) {
		mutex.Lock()
		defer mutex.Unlock()
		if now := time.Now(); now.Sub(last) >= 10*time.Second {
			last = now
			_, _ = fmt.Fprintf(w, "   %d of %d runs, %s\n", done, runs, now.Sub(begun).Round(time.Second))
		}
	}
}

// machine is what the figures were measured on.
func machine() string {
	model := runtime.GOARCH
	about, _ := os.ReadFile("/proc/cpuinfo") // without it the architecture must do
	for line := range strings.Lines(string(about)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s, %d cores, %s", model, runtime.NumCPU(), runtime.Version())
}
