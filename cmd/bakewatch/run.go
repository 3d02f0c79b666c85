package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/zapr"
	group "github.com/oklog/run"
	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/policy/configmap"
	"github.com/bakewatch/bakewatch/signals/datadog"
	podstates "github.com/bakewatch/bakewatch/signals/kubernetes"
	"github.com/bakewatch/bakewatch/signals/logs"
	"github.com/bakewatch/bakewatch/signals/probe"
	"github.com/bakewatch/bakewatch/signals/upstream"
	"github.com/bakewatch/bakewatch/web"
)

// runFlags are the flags of bakewatch run. All that concerns judging and acting is in the ConfigMap instead, where it can
// be changed while the daemon runs.
type runFlags struct {
	kubeconfig string
	configMap  string
	configFile string
	namespaces []string
	listen     string
	logFormat  string
	logLevel   string
	record     string
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run the daemon",
		Long: `Run the daemon: watch rollouts, judge them, roll bad ones back, tell people.
It runs in the cluster with its service account, or outside with --kubeconfig.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(f.logFormat, f.logLevel)
			if err != nil {
				return err
			}
			err = daemon(cmd.Context(), f, log)
			_ = log.Sync() // stderr may not be syncable; nothing is lost then
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; without it the pod's service account is used")
	fl.StringVar(&f.configMap, "configmap", "bakewatch/bakewatch", "namespace/name of the ConfigMap with the policy; its namespace also holds the leader's Lease")
	fl.StringVar(&f.configFile, "config", "", "read the policy from this file instead of the ConfigMap")
	fl.StringSliceVar(&f.namespaces, "namespaces", nil, "watch these namespaces only, with rights in these only (default all)")
	fl.StringVar(&f.listen, "listen", ":8080", "address for /healthz, /readyz and /metrics")
	fl.StringVar(&f.logFormat, "log-format", "auto", "json, console, or auto: console on a terminal")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fl.StringVar(&f.record, "record", "", "directory to keep the readings of bakes in, one file each, for bakewatch judge")
	return cmd
}

func newLogger(format, level string) (*zap.Logger, error) {
	c := zap.NewProductionConfig()
	c.Sampling = nil // what a guard did must be on record in full
	c.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	switch format {
	case "json":
	case "console", "auto":
		if format == "console" || term.IsTerminal(int(os.Stderr.Fd())) {
			c.Encoding = "console"
			c.EncoderConfig = zap.NewDevelopmentEncoderConfig()
			c.DisableCaller = true
		}
	default:
		return nil, fmt.Errorf("--log-format %q: use json, console or auto", format)
	}
	lvl, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	c.Level = zap.NewAtomicLevelAt(lvl)
	c.DisableStacktrace = true
	log, err := c.Build()
	if err != nil {
		return nil, fmt.Errorf("set up logging: %w", err)
	}
	// The client library repeats itself every few seconds while the API server is away: once a minute is enough.
	seldom := zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 1, 0)
	})
	klog.SetLogger(zapr.NewLogger(log.Named("kubernetes").WithOptions(zap.IncreaseLevel(zapcore.WarnLevel), seldom)))
	return log, nil
}

// daemon wires the parts together and runs them until ctx ends or one of them fails.
func daemon(ctx context.Context, f runFlags, log *zap.Logger) error {
	namespace, name, ok := strings.Cut(f.configMap, "/")
	if !ok || namespace == "" || name == "" {
		return fmt.Errorf("--configmap %q: write it as namespace/name", f.configMap)
	}
	kube, err := kubeConfig(f.kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(kube)
	if err != nil {
		return fmt.Errorf("make a kubernetes client: %w", err)
	}
	identity := identity()
	log.Info("starting", zap.String("version", showVersion()), zap.String("identity", identity), zap.Strings("namespaces", f.namespaces))

	reg := promclient.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	troubles := &web.Troubles{Log: log}
	sourceMetrics, err := upstream.NewMetrics(reg)
	if err != nil {
		return err
	}

	live := &policy.Live{}
	registerPolicyMetrics(reg, live)
	flowMetrics, err := probe.NewMetrics(reg)
	if err != nil {
		return err
	}
	// Reading logs has a budget of requests of its own: however much there is to read, a rollback does not wait for it.
	reader, err := kubernetes.NewForConfig(kube)
	if err != nil {
		return fmt.Errorf("make a kubernetes client for logs: %w", err)
	}
	lister := &podstates.Lister{Client: reader}
	flows := probe.New(probe.Options{Cluster: &probe.API{Client: reader, Pods: lister}, Metrics: flowMetrics, Sources: sourceMetrics, Log: log})
	pods := &logs.API{Client: reader, Lister: lister}
	lines := logs.New(pods, sourceMetrics, log)
	source := &sources{metrics: sourceMetrics, budget: &datadog.Budget{}, flows: flows, logs: lines, pods: pods, troubles: troubles, log: log}
	guard := newGuard(f, kube, client, namespace, identity, live, source, troubles, reg, log)
	desk := announce.New(log, reg, guard.delivered)
	tell := &receivers{desk: desk, client: client, identity: identity, troubles: troubles, log: log}
	guard.teller = tell
	live.OnChange(func(c *policy.Config) {
		log.Info("policy in force", zap.String("hash", c.Hash()), zap.String("mode", string(c.Mode)))
		source.use(c)
		tell.use(c)
		guard.policyChanged()
	})

	var g group.Group
	add := func(name string, part func(context.Context) error) {
		partCtx, cancel := context.WithCancel(ctx)
		g.Add(func() error {
			if err := part(partCtx); err != nil && partCtx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}, func(error) { cancel() })
	}
	add("signal", func(ctx context.Context) error { <-ctx.Done(); return nil })
	add("web", (&web.Server{Address: f.listen, Registry: reg, Troubles: troubles, Log: log}).Run)
	add("policy", func(ctx context.Context) error { return feedPolicy(ctx, f, client, namespace, name, live, troubles) })
	add("announce", desk.Run)
	add("sources", source.keepChecking)
	add("permissions", guard.checkRights)
	if f.record != "" {
		record := newRecorder(f.record, log)
		guard.recorder = record
		add("record", record.dir.Run)
	}
	add("guard", guard.run)
	return g.Run()
}

// feedPolicy reads the policy from the file or the ConfigMap, again and again.
func feedPolicy(ctx context.Context, f runFlags, client kubernetes.Interface, namespace, name string, live *policy.Live, troubles *web.Troubles) error {
	report := func(err error) { troubles.Set("policy", err, live.Current() == nil) }
	if f.configFile != "" {
		path, err := filepath.Abs(f.configFile)
		if err != nil {
			return fmt.Errorf("--config: %w", err)
		}
		live.OnChange(func(*policy.Config) { report(nil) })
		return policy.WatchFile(ctx, path, 2*time.Second, live, report)
	}
	return (&configmap.Source{Client: client, Namespace: namespace, Name: name, Live: live, Report: report}).Run(ctx)
}

func kubeConfig(path string) (*rest.Config, error) {
	var c *rest.Config
	var err error
	if path != "" {
		c, err = clientcmd.BuildConfigFromFlags("", path)
	} else if c, err = rest.InClusterConfig(); errors.Is(err, rest.ErrNotInCluster) {
		return nil, errors.New("not running in a cluster; name a kubeconfig with --kubeconfig FILE")
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubernetes configuration: %w", err)
	}
	// A look at a workload takes a handful of calls, and hundreds of workloads may be rolled out at once. The client's own
	// default of 5 a second would delay the renewal of the lease behind them; the API server's fairness does the rest.
	c.QPS, c.Burst = 50, 100
	c.UserAgent = "bakewatch/" + showVersion()
	return c, nil
}

// identity names this process among those that want to lead: the pod's name, or the host's, and the process.
func identity() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "bakewatch"
	}
	return fmt.Sprintf("%s_%d_%d", host, os.Getpid(), time.Now().UnixNano()%1e6)
}
