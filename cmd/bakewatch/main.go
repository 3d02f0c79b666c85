// Command bakewatch guards Kubernetes deploys: it watches each new rollout, and rolls back the bad ones.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bakewatch/bakewatch/hands"
)

// version is set by the linker; without it the module's version is shown.
var version = ""

// errFound is returned by commands that have said what is wrong already.
var errFound = errors.New("problems found")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, arguments(os.Args), os.Stdin, os.Stdout, os.Stderr); err != nil {
		stop()
		os.Exit(1)
	}
}

// arguments are what the program is asked to do. kubectl runs a plugin's completion by a name of its own, which may be a link to
// this program.
func arguments(args []string) []string {
	if filepath.Base(args[0]) == "kubectl_complete-bakewatch" {
		return append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return args[1:]
}

// run is the whole program, given its arguments and streams.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "bakewatch",
		Short:         "the unattended guard on every Kubernetes deploy",
		Version:       showVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newRun(), newCheckConfig(), newAnnounceTest(), newJudge(), newBacktest(), newStatus(), newHistory(), newSignals(), newUndo(), newRelease(), newResume(), newReport())
	for _, v := range hands.Verbs {
		root.AddCommand(newVerb(v))
	}
	if filepath.Base(os.Args[0]) == "kubectl-bakewatch" { // a plugin of kubectl
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl bakewatch"}
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errFound) {
		_, _ = fmt.Fprintln(stderr, "bakewatch:", err)
	}
	return err
}

func showVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
