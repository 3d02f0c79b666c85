package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/replay"
)

func newJudge() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "judge --config FILE < READINGS",
		Short: "judge recorded readings again: one verdict for each line",
		Long: `Read a bake's readings from standard input, one line of JSON for each tick, and print the verdict after each, as JSON.
The daemon writes such lines with bakewatch run --record DIR. The same lines and configuration have the same verdicts, byte for byte.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := loadConfig(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return judge(config, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the bakewatch.yaml to judge by")
	_ = cmd.MarkFlagRequired("config") // there is such a flag
	return cmd
}

// loadConfig reads a configuration from a file; what is wrong with it has been said when the error is errFound.
func loadConfig(file string, stderr io.Writer) (*policy.Config, error) {
	data, err := readConfig(file, strings.NewReader(""))
	if err != nil {
		return nil, err
	}
	config, err := policy.Parse(file, data)
	var found policy.Errors
	if errors.As(err, &found) {
		_, _ = fmt.Fprintln(stderr, found.Error())
		return nil, errFound
	}
	return config, err
}

// judge prints a verdict for each line of the readings.
func judge(config *policy.Config, readings io.Reader, stdout, stderr io.Writer) error {
	in := replay.NewReader(readings)
	out := json.NewEncoder(stdout)
	out.SetEscapeHTML(false)
	tape := replay.Tape{}
	var target policy.Target
	var resolved policy.Resolved
	for first := true; ; first = false {
		line, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("readings: %w", err)
		}
		if now := named(target, line); first || !same(now, target) {
			target = now
			var problems []policy.Problem
			resolved, problems = config.For(target)
			for _, p := range problems {
				_, _ = fmt.Fprintf(stderr, "bakewatch: has no effect on this workload: %s\n", p)
			}
		}
		if err := known(line, resolved); err != nil {
			return fmt.Errorf("readings: line %d: %w", in.Number(), err)
		}
		tape.Tick = resolved.Interval
		tape.Add(line)
		to, from := tape.Names()
		if err := out.Encode(decide.Judge(resolved.Measured(tape.Found()).Input(to, from, tape.Evidence))); err != nil {
			return fmt.Errorf("write the verdict on line %d: %w", in.Number(), err)
		}
	}
}

// named is the workload the lines are of, after one more line.
func named(t policy.Target, l replay.Line) policy.Target {
	if t.Kind == "" {
		t.Kind = "Deployment"
	}
	for _, field := range []struct {
		to   *string
		said string
	}{{&t.Kind, l.Kind}, {&t.Namespace, l.Namespace}, {&t.Name, l.Name}} {
		if field.said != "" {
			*field.to = field.said
		}
	}
	return t
}

func same(a, b policy.Target) bool {
	return a.Kind == b.Kind && a.Namespace == b.Namespace && a.Name == b.Name
}

// known refuses a signal the configuration does not have.
func known(l replay.Line, p policy.Resolved) error {
	var names []string
	for _, s := range p.Signals {
		names = append(names, s.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(l.Signals)) {
		name, _, _ := strings.Cut(key, "@")
		if !slices.Contains(names, name) {
			return fmt.Errorf("signals.%s: the configuration has no such signal for this workload (it has: %s)", name, strings.Join(names, ", "))
		}
	}
	return nil
}
