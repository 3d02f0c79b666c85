package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

func newCheckConfig() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "check-config FILE",
		Short: "check a bakewatch.yaml before it is applied; - reads standard input",
		Long: `Check a bakewatch.yaml the way the daemon does when the ConfigMap changes.
Every error is printed as file:line: key: what is wrong. The exit status is 1 if there is any.
With --prometheus, the queries written in it are also looked up: which of them have series now, for any workload. A metric that the
server does not have at all is an error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			data, err := readConfig(name, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if name == "-" {
				name = "stdin"
			}
			config, err := policy.Parse(name, data)
			var found policy.Errors
			switch {
			case errors.As(err, &found):
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), found.Error())
				return errFound
			case err != nil:
				return err
			}
			if server != "" {
				if err := hear(cmd.Context(), cmd.OutOrStdout(), name, config, server); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok (mode %s, %d signals, %d overrides)\n", name, config.Mode, len(config.Signals), len(config.Workloads))
			return err
		},
	}
	cmd.Flags().StringVar(&server, "prometheus", "", "address of a Prometheus that is asked which queries have series, such as http://localhost:9090")
	return cmd
}

// hear prints which selectors of the configuration's own queries have series. It fails when a metric is not there at all.
func hear(ctx context.Context, out io.Writer, file string, c *policy.Config, server string) error {
	log := zap.NewNop()
	src, err := prometheus.New(prometheus.Options{URL: server, Timeout: 10 * time.Second, Log: log})
	if err != nil {
		return fmt.Errorf("--prometheus: %w", err)
	}
	defer src.Close()
	if err := src.Check(ctx); err != nil {
		return err
	}
	unknown := false
	for _, q := range ownQueries(c) {
		heard, err := src.Hear(ctx, q.text)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, q.path, err)
		}
		for _, h := range heard {
			says := fmt.Sprintf("%d series now", h.Series)
			switch {
			case !h.Metric:
				unknown = true
				says = "ERROR: there is no such metric"
			case h.Series == 0:
				says = "no series now, though the metric has some: does the label have that value?"
			}
			if _, err := fmt.Fprintf(out, "%s: %s: %s: %s\n", file, q.path, h.Selector, says); err != nil {
				return err
			}
		}
	}
	if unknown {
		return errFound
	}
	return nil
}

// ownQuery is a query that people wrote, and where.
type ownQuery struct{ path, text string }

// ownQueries are the PromQL queries of a configuration, in the order of their paths.
func ownQueries(c *policy.Config) []ownQuery {
	var out []ownQuery
	add := func(under string, rules map[string]policy.SignalRule) {
		for _, name := range slices.Sorted(maps.Keys(rules)) {
			p := rules[name].Prometheus
			if p == nil {
				continue
			}
			for _, q := range []ownQuery{{"errors", p.Errors}, {"good", p.Good}, {"requests", p.Requests}, {"histogram", p.Histogram}, {"events", p.Events}, {"value", p.Value}, {"baseline", p.Baseline}} {
				if q.text != "" {
					out = append(out, ownQuery{under + "signals." + name + ".prometheus." + q.path, q.text})
				}
			}
		}
	}
	add("", c.Signals)
	for i, w := range c.Workloads {
		add(fmt.Sprintf("workloads[%d].", i), w.Signals)
	}
	return out
}

func readConfig(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		data, err := io.ReadAll(io.LimitReader(stdin, policy.MaxSize+1))
		if err != nil {
			return nil, fmt.Errorf("read the configuration from standard input: %w", err)
		}
		return data, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return data, nil
}
