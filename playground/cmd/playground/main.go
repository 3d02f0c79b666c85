// Command playground runs a real Kubernetes control plane, real Prometheus and Alertmanager and pods that really
// serve, on one machine and without containers.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/component-base/version"

	"github.com/bakewatch/bakewatch/playground/prom"
	"github.com/bakewatch/bakewatch/playground/up"
)

const defaultDir = "playground/.run"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "playground:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "playground", Short: "A real control plane, real Prometheus and serving pods in one command",
		SilenceUsage: true, SilenceErrors: true, Version: version.Get().GitVersion,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(upCommand(), downCommand(), outageCommand(), prometheusCommand())
	return root
}

func dirFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("dir", defaultDir, "directory with all state, logs and addresses")
}

func upCommand() *cobra.Command {
	o := up.Options{Version: version.Get().GitVersion}
	var detach bool
	cmd := &cobra.Command{Use: "up", Short: "Start a playground", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		o.Out = cmd.OutOrStdout()
		if o.Ports == "free" && !cmd.Flags().Changed("pod-prefix") {
			o.PodPrefix = "auto" // whoever starts several wants them all apart
		}
		if detach {
			args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return a == "--detach" || a == "--detach=true" })
			return up.Detach(cmd.Context(), o, args)
		}
		return up.Run(cmd.Context(), o)
	}}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", defaultDir, "directory with all state, logs and addresses")
	f.StringVar(&o.Ports, "ports", "default", `"default", "free" (any free ones), or a list like apiserver=16443,prometheus=0; 0 is any free one`)
	f.StringVar(&o.PodPrefix, "pod-prefix", "127.10", `first two octets of pod addresses, 127.1 to 127.255, or "auto" (the default with --ports free)`)
	f.IntVar(&o.Nodes, "nodes", 2, "number of nodes")
	f.BoolVar(&o.ControlPlaneOnly, "control-plane-only", false, "without Prometheus, Alertmanager and the stand-ins")
	f.BoolVar(&o.Fresh, "fresh", false, "begin empty instead of with the state of an earlier start")
	f.BoolVar(&detach, "detach", false, "return when it is ready, and let it run in the background")
	f.DurationVar(&o.ScrapeInterval, "scrape-interval", time.Second, "scrape interval of Prometheus")
	f.Float64Var(&o.MaxRPS, "max-rps", 2000, "most requests per second over all workloads; 0 for no traffic")
	f.StringVar(&o.BakewatchMetrics, "bakewatch-metrics", "127.0.0.1:18081", "where Prometheus finds the daemon's metrics")
	f.StringVar(&o.GrafanaToken, "grafana-token", "", "bearer token the Grafana stand-in asks for; empty for none")
	f.StringVar(&o.Tools, "tools", prom.ToolsDir(), "directory with prometheus and alertmanager, asked before PATH")
	return cmd
}

func downCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "down", Short: "Stop a playground", Args: cobra.NoArgs}
	dir := dirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return up.Down(*dir, cmd.OutOrStdout()) }
	return cmd
}

func outageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "api-outage", Short: "Take the API server away for a time", Args: cobra.NoArgs}
	dir := dirFlag(cmd)
	d := cmd.Flags().Duration("for", time.Minute, "for how long, up to 10m")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return up.APIOutage(cmd.Context(), *dir, *d, cmd.OutOrStdout())
	}
	return cmd
}

func prometheusCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "prometheus stop|start", Short: "Kill Prometheus, or start it again on the same storage",
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"stop", "start"}}
	dir := dirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return up.Prometheus(cmd.Context(), *dir, args[0], cmd.OutOrStdout())
	}
	return cmd
}
