package up

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
	"k8s.io/klog/v2"

	"github.com/bakewatch/bakewatch/playground/agent"
	"github.com/bakewatch/bakewatch/playground/child"
	"github.com/bakewatch/bakewatch/playground/cluster"
	"github.com/bakewatch/bakewatch/playground/ports"
	"github.com/bakewatch/bakewatch/playground/prom"
	"github.com/bakewatch/bakewatch/playground/standins"
	"github.com/bakewatch/bakewatch/playground/traffic"
)

const (
	requestTimeout = 5 * time.Second
	startTimeout   = 5 * time.Minute
)

// playground is what runs.
type playground struct {
	opts  Options
	ports ports.Set
	began time.Time

	cluster      *cluster.Cluster
	agent        *agent.Agent
	generator    *traffic.Generator
	prometheus   *prom.Server
	alertmanager *prom.Server
	loki         *standins.Loki // has the lines of all pods
	outage       outage
	stops        []func() error // in the order of starting
}

// Run starts a playground in the foreground, and stops everything when the context ends or a part of it fails.
func Run(ctx context.Context, opts Options) (err error) {
	if err := opts.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return err
	}
	lock, err := takeLock(opts.Dir)
	if err != nil {
		return err
	}
	defer lock.release()
	p := &playground{opts: opts, began: time.Now(), loki: standins.NewLoki()}
	if err := p.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	started, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.start(started); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	select {
	case <-ctx.Done():
		p.say("stopping")
		return nil
	case err := <-p.cluster.Failed():
		return err
	}
}

func (p *playground) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.opts.Out, "%5.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// prepare finds every reason not to start before anything is started.
func (p *playground) prepare() (err error) {
	if err := os.Remove(addressesFile(p.opts.Dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := child.KillStale(p.opts.Dir); err != nil {
		return err
	}
	if p.ports, err = ports.Resolve(p.opts.Ports); err != nil {
		return err
	}
	used := []string{ports.APIServer, ports.Control}
	if !p.opts.ControlPlaneOnly {
		used = append(used, ports.Prometheus, ports.Alertmanager, ports.Grafana, ports.Webhook, ports.Datadog, ports.Loki)
	}
	if err := p.ports.Check(used...); err != nil {
		return err
	}
	if p.opts.PodPrefix == "auto" {
		if p.opts.PodPrefix, err = agent.FreePrefix(); err != nil {
			return err
		}
	} else if err := agent.CheckPrefix(p.opts.PodPrefix); err != nil {
		return err
	}
	if !p.opts.ControlPlaneOnly {
		for _, name := range []string{ports.Prometheus, ports.Alertmanager} {
			if _, err := prom.Find(p.opts.Tools, name); err != nil {
				return err
			}
		}
	}
	if p.opts.Fresh {
		for _, state := range []string{"etcd", "pki", ports.Prometheus, ports.Alertmanager} {
			if err := os.RemoveAll(p.opts.path(state)); err != nil {
				return err
			}
		}
	}
	return p.redirectKlog()
}

// redirectKlog sends the components' log to a file that does not grow without end.
func (p *playground) redirectKlog() error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	// Errors too: a component that starts before another is ready reports them, and repeats until it works.
	for name, value := range map[string]string{"logtostderr": "false", "alsologtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := flags.Set(name, value); err != nil {
			return err
		}
	}
	klog.SetOutput(&lumberjack.Logger{Filename: p.opts.path("klog.log"), MaxSize: 50, MaxBackups: 1})
	return nil
}

// start brings the parts up one after the other; stop ends those that were started.
func (p *playground) start(ctx context.Context) (err error) {
	bg, cancel := context.WithCancel(context.Background())
	p.stops = append(p.stops, func() error { cancel(); return nil })
	c, err := cluster.Start(ctx, cluster.Options{Dir: p.opts.Dir, Port: p.ports[ports.APIServer], Log: p.say})
	if err != nil {
		return err
	}
	p.cluster = c
	p.stops = append(p.stops, c.Stop)
	if err := p.startPods(ctx, bg); err != nil {
		return err
	}
	if p.opts.ControlPlaneOnly {
		if err := p.startControl(bg); err != nil {
			return err
		}
		return p.announce()
	}
	if err := p.prepareServers(ctx); err != nil {
		return err
	}
	// Before Prometheus, which may ask it for the pods, and after all that it shows has been set.
	if err := p.startControl(bg); err != nil {
		return err
	}
	if err := p.startStandins(bg); err != nil {
		return err
	}
	if err := p.startServers(ctx); err != nil {
		return err
	}
	return p.announce()
}

func (p *playground) startPods(ctx, bg context.Context) error {
	a, err := agent.New(agent.Options{Client: p.cluster.Client, Nodes: p.opts.Nodes, PodPrefix: p.opts.PodPrefix, Version: p.opts.Version, Lines: p.loki.Add})
	if err != nil {
		return err
	}
	p.agent = a
	p.generator = traffic.New(traffic.Options{Pods: a.Pods(), PodPort: agent.PodPort, MaxRPS: p.opts.MaxRPS, Timeout: requestTimeout})
	if err := a.OnPodChange(p.generator.Changed); err != nil {
		return err
	}
	work, cancel := context.WithCancel(bg)
	done := make(chan struct{})
	p.stops = append(p.stops, func() error {
		cancel()
		select {
		case <-done:
			return nil
		case <-time.After(2 * requestTimeout):
			return errors.New("the pods did not end in time")
		}
	})
	// The start is bounded by ctx, the life of what it starts is not.
	stop := context.AfterFunc(ctx, cancel)
	err = a.Start(work)
	stop()
	if err != nil {
		close(done)
		return fmt.Errorf("start the nodes: %w", err)
	}
	go func() {
		defer close(done)
		if p.opts.MaxRPS > 0 {
			p.generator.Run(work)
		} else {
			<-work.Done()
		}
		a.Wait()
	}()
	p.say("%d nodes are there; pods get addresses %s.x.y", p.opts.Nodes, p.opts.PodPrefix)
	return nil
}

func (p *playground) startControl(bg context.Context) error {
	if err := serve(bg, p.ports.Addr(ports.Control), p.control(bg)); err != nil {
		return fmt.Errorf("control endpoint: %w", err)
	}
	return nil
}

func (p *playground) startStandins(bg context.Context) error {
	if err := serve(bg, p.ports.Addr(ports.Grafana), standins.NewGrafana(p.opts.GrafanaToken)); err != nil {
		return fmt.Errorf("grafana stand-in: %w", err)
	}
	if err := serve(bg, p.ports.Addr(ports.Webhook), standins.NewWebhook()); err != nil {
		return fmt.Errorf("webhook stand-in: %w", err)
	}
	if err := serve(bg, p.ports.Addr(ports.Datadog), standins.NewDatadog("http://"+p.ports.Addr(ports.Prometheus))); err != nil {
		return fmt.Errorf("datadog stand-in: %w", err)
	}
	if err := serve(bg, p.ports.Addr(ports.Loki), p.loki); err != nil {
		return fmt.Errorf("loki stand-in: %w", err)
	}
	p.say("stand-ins for Grafana, Datadog, Loki and a webhook receiver listen")
	return nil
}

// prepareServers configures Prometheus and Alertmanager.
func (p *playground) prepareServers(ctx context.Context) error {
	for _, dir := range []string{"prometheus/rules", "prometheus/data", "alertmanager/data"} {
		if err := os.MkdirAll(p.opts.path(dir), 0o700); err != nil {
			return err
		}
	}
	paths := map[string]string{}
	for _, name := range []string{ports.Prometheus, ports.Alertmanager} {
		path, err := prom.Find(p.opts.Tools, name)
		if err != nil {
			return err
		}
		if paths[name], err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	}
	cfg, err := p.promConfig(ctx, paths[ports.Prometheus])
	if err != nil {
		return err
	}
	for name, render := range map[string]func() ([]byte, error){ports.Prometheus: cfg.Prometheus, ports.Alertmanager: cfg.AlertmanagerConfig} {
		raw, err := render()
		if err == nil {
			err = cluster.WriteFile(p.opts.path(name, name+".yml"), raw)
		}
		if err != nil {
			return fmt.Errorf("configure %s: %w", name, err)
		}
	}
	server := func(name string, args []string) *prom.Server {
		s := prom.NewServer(child.Program{Name: name, Path: paths[name], Args: args, Dir: p.opts.Dir}, "http://"+p.ports.Addr(name))
		p.stops = append(p.stops, func() error { s.Stop(); return nil })
		return s
	}
	p.alertmanager = server(ports.Alertmanager, prom.AlertmanagerArgs(
		p.opts.path("alertmanager/alertmanager.yml"), p.opts.path("alertmanager/data"), p.ports.Addr(ports.Alertmanager)))
	p.prometheus = server(ports.Prometheus, prom.PrometheusArgs(paths[ports.Prometheus],
		p.opts.path("prometheus/prometheus.yml"), p.opts.path("prometheus/data"), p.ports.Addr(ports.Prometheus)))
	return nil
}

func (p *playground) startServers(ctx context.Context) error {
	if err := p.alertmanager.Start(ctx); err != nil {
		return err
	}
	p.say("Alertmanager is ready")
	if err := p.prometheus.Start(ctx); err != nil {
		return err
	}
	p.say("Prometheus is ready")
	return nil
}

func (p *playground) promConfig(ctx context.Context, prometheus string) (prom.Config, error) {
	cfg := prom.Config{
		Interval: p.opts.ScrapeInterval, APIServer: p.cluster.URL(), CAFile: p.cluster.CAFile(), TokenFile: p.opts.path("prometheus/token"),
		PodPort: agent.PodPort, Alertmanager: p.ports.Addr(ports.Alertmanager), Traffic: p.ports.Addr(ports.Control),
		Bakewatch: p.opts.BakewatchMetrics, Webhook: "http://" + p.ports.Addr(ports.Webhook) + "/alertmanager", RulesGlob: p.opts.path("prometheus/rules/*.yml"),
	}
	able, err := prom.HasKubernetesDiscovery(prometheus)
	if err != nil {
		return cfg, err
	}
	if !able {
		cfg.DiscoveryURL = "http://" + p.ports.Addr(ports.Control) + discoveryPath
		p.say("this Prometheus was built without Kubernetes discovery: it gets the same list of pods from the control endpoint")
		return cfg, nil
	}
	if err := p.cluster.EnsureNamespace(ctx, prom.Namespace); err != nil {
		return cfg, fmt.Errorf("create namespace %s: %w", prom.Namespace, err)
	}
	token, err := prom.Token(ctx, p.cluster.Client)
	if err != nil {
		return cfg, err
	}
	return cfg, cluster.WriteFile(cfg.TokenFile, []byte(token))
}

// announce writes the files others read and prints the table. The addresses come last: they mean ready.
func (p *playground) announce() error {
	if err := p.cluster.WriteKubeconfig(p.opts.path("kubeconfig")); err != nil {
		return err
	}
	a := Addresses{Kubeconfig: p.opts.path("kubeconfig"), APIServer: p.cluster.URL(), Control: "http://" + p.ports.Addr(ports.Control),
		PodPrefix: p.opts.PodPrefix, PID: os.Getpid()}
	if !p.opts.ControlPlaneOnly {
		a.Prometheus, a.Alertmanager = "http://"+p.ports.Addr(ports.Prometheus), "http://"+p.ports.Addr(ports.Alertmanager)
		a.Grafana, a.Webhook = "http://"+p.ports.Addr(ports.Grafana), "http://"+p.ports.Addr(ports.Webhook)
		a.Datadog, a.Loki = "http://"+p.ports.Addr(ports.Datadog), "http://"+p.ports.Addr(ports.Loki)
	}
	p.say("ready")
	_, _ = fmt.Fprint(p.opts.Out, a.table(p.opts.Dir))
	return a.write(p.opts.Dir)
}

// stop ends the parts in the opposite order of their start.
func (p *playground) stop() error {
	_ = os.Remove(addressesFile(p.opts.Dir))
	var errs []error
	for i := len(p.stops) - 1; i >= 0; i-- {
		errs = append(errs, p.stops[i]())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(p.stops) > 0 {
		p.say("stopped")
	}
	return nil
}
