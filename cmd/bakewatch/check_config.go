package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/bakewatch/bakewatch/policy"
)

func newCheckConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config FILE",
		Short: "check a bakewatch.yaml before it is applied; - reads standard input",
		Long: `Check a bakewatch.yaml the way the daemon does when the ConfigMap changes.
Every error is printed as file:line: key: what is wrong. The exit status is 1 if there is any.`,
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
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok (mode %s, %d signals, %d overrides)\n", name, config.Mode, len(config.Signals), len(config.Workloads))
			return err
		},
	}
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
