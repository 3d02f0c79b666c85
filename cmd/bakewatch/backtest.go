package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/backtest"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/records"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

// backtestFlags are the flags of bakewatch backtest.
type backtestFlags struct {
	prometheus string
	config     string
	since      string
	rollouts   string
	kubeconfig string
	namespace  string
	output     string
	sweep      string
	timeout    time.Duration
}

func newBacktest() *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest --prometheus URL --config FILE",
		Short: "bake the rollouts of the past again: what would this configuration have done?",
		Long: `Bake rollouts of the past again from what Prometheus remembers, with the code that judges live.
Rollouts are taken from a file (--rollouts), from a cluster's ReplicaSets and Bakes (--kubeconfig), or else from the metrics
of kube-state-metrics.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBacktest(cmd, f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.prometheus, "prometheus", "", "address of Prometheus (default sources.prometheus.url of the configuration)")
	fl.StringVar(&f.config, "config", "", "the bakewatch.yaml to judge by")
	fl.StringVar(&f.since, "since", "14d", "how far back to look for rollouts")
	fl.StringVar(&f.rollouts, "rollouts", "", "file that names the rollouts")
	fl.StringVar(&f.kubeconfig, "kubeconfig", "", "take rollouts from the ReplicaSets and Bakes of this cluster")
	fl.StringVarP(&f.namespace, "namespace", "n", "", "bake only the rollouts in this namespace again")
	fl.StringVarP(&f.output, "output", "o", "table", "table, json (one object a rollout) or html")
	fl.StringVar(&f.sweep, "sweep", "", "threshold to try with several values: http-errors.threshold.increase=1.5,2,3")
	fl.DurationVar(&f.timeout, "timeout", 30*time.Second, "time one query may take")
	_ = cmd.MarkFlagRequired("config") // there is such a flag
	return cmd
}

func runBacktest(cmd *cobra.Command, f backtestFlags) error {
	config, err := loadConfig(f.config, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	report := backtest.Report{Config: f.config}
	var write func(io.Writer) error
	switch f.output {
	case "table":
		write = func(w io.Writer) error { return report.WriteTable(w) }
	case "json":
		write = func(w io.Writer) error { return report.WriteJSON(w) }
	case "html":
		write = func(w io.Writer) error { return report.WriteHTML(w) }
	default:
		return fmt.Errorf("-o %q: use table, json or html", f.output)
	}
	since, err := policy.ParseDuration(f.since)
	if err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if f.rollouts != "" && f.kubeconfig != "" {
		return errors.New("--rollouts and --kubeconfig both say where rollouts come from; give one")
	}
	o := backtest.Options{Config: config, Now: time.Now()}
	if f.sweep != "" {
		if o.Sweep, err = backtest.ParseSweep(f.sweep, config); err != nil {
			return err
		}
	}
	source := prometheusOptions(config.Sources.Prometheus)
	source.URL, source.Timeout = cmp.Or(f.prometheus, source.URL), f.timeout
	o.Source, err = prometheus.New(source)
	if err != nil {
		return err
	}
	defer o.Source.Close()
	ctx := cmd.Context()
	if err := o.Source.Check(ctx); err != nil {
		return err
	}
	rollouts, err := findRollouts(ctx, f, o.Source, o.Now.Add(-since), o.Now, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if f.namespace != "" { // rollouts elsewhere tell nothing about these
		rollouts = slices.DeleteFunc(rollouts, func(r backtest.Rollout) bool { return r.Namespace != f.namespace })
	}
	o.Progress = progress(cmd.ErrOrStderr())
	if report.Rows, err = backtest.Run(ctx, o, rollouts); err != nil {
		return err
	}
	report.Trades = o.Sweep.Trades(report.Rows)
	out := bufio.NewWriter(cmd.OutOrStdout())
	if err := write(out); err != nil {
		return err
	}
	return out.Flush()
}

// findRollouts takes rollouts from where the flags say.
func findRollouts(ctx context.Context, f backtestFlags, source *prometheus.Source, since, now time.Time, stderr io.Writer) ([]backtest.Rollout, error) {
	switch {
	case f.rollouts != "":
		data, err := os.ReadFile(f.rollouts)
		if err != nil {
			return nil, fmt.Errorf("read the rollouts: %w", err)
		}
		rollouts, err := backtest.ReadFile(f.rollouts, data)
		var found policy.Errors
		if errors.As(err, &found) {
			_, _ = fmt.Fprintln(stderr, found.Error())
			return nil, errFound
		}
		return rollouts, err
	case f.kubeconfig != "":
		return clusterRollouts(ctx, f.kubeconfig, f.namespace, since)
	}
	sets, known, err := source.ReplicaSets(ctx, since, now)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, errors.New("prometheus has no kube_replicaset_created and kube_replicaset_owner of kube-state-metrics in this time; name the rollouts with --rollouts FILE or a cluster with --kubeconfig FILE")
	}
	return backtest.FromMetrics(sets), nil
}

// clusterRollouts takes rollouts of a namespace, or of all of them, from a cluster's ReplicaSets, and from its Bakes where there are any.
func clusterRollouts(ctx context.Context, kubeconfig, namespace string, since time.Time) ([]backtest.Rollout, error) {
	kube, err := kubeConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(kube)
	if err != nil {
		return nil, fmt.Errorf("make a kubernetes client: %w", err)
	}
	var sets []appsv1.ReplicaSet
	for next := ""; ; {
		list, err := client.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{Limit: 500, Continue: next})
		if err != nil {
			return nil, fmt.Errorf("list the replicasets: %w", err)
		}
		sets = append(sets, list.Items...)
		if next = list.Continue; next == "" {
			break
		}
	}
	rollouts := backtest.FromReplicaSets(sets, since)
	bakes, err := records.New(kube, nil)
	if err != nil {
		return nil, err
	}
	var recorded []*v1alpha1.Bake
	if err := bakes.List(ctx, func(b *v1alpha1.Bake) {
		if namespace == "" || b.Namespace == namespace {
			recorded = append(recorded, b)
		}
	}); err != nil && !errors.Is(err, records.ErrNotInstalled) {
		return nil, err
	}
	rollouts = backtest.WithBakes(rollouts, recorded, since)
	for i := range rollouts { // overrides go by labels, and thresholds by annotations
		r := &rollouts[i]
		if d, err := client.AppsV1().Deployments(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{}); err == nil {
			r.Labels, r.Annotations = d.Labels, d.Annotations
		}
	}
	return rollouts, nil
}

// progress shows how far it is, on a terminal only.
func progress(stderr io.Writer) func(done, of int) {
	file, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return func(done, of int) {
		end := "\r"
		if done == of {
			end = "\r\x1b[K"
		}
		_, _ = fmt.Fprintf(file, "\x1b[K%d of %d rollouts%s", done, of, end)
	}
}
