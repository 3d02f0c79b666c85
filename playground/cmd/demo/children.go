package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bakewatch/bakewatch/playground/child"
)

// raise starts the playground and waits until it is ready.
func (d *demo) raise(ctx context.Context) error {
	path, err := beside("playground")
	if err != nil {
		return err
	}
	began := time.Now()
	args := []string{"up", "--fresh", "--dir", d.runDir, "--ports", d.ports, "--scrape-interval", scrapeInterval.String(), "--bakewatch-metrics", d.listen}
	d.playground, err = child.Start(child.Program{Name: "playground", Path: path, Args: args, Dir: d.dir})
	if err != nil {
		return err
	}
	for {
		var a addresses
		if err := readJSON(filepath.Join(d.runDir, "addresses.json"), &a); err == nil && a.PID == d.playgroundPID() {
			d.addresses = a
			break
		}
		select {
		case <-d.playground.Done():
			return fmt.Errorf("the playground did not start: %s", d.lastWords())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	d.say(clusterSees, "up after %s: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, Prometheus, Alertmanager; stand-ins for Grafana and a webhook", seconds(time.Since(began)))
	d.expect(d.playground)
	config, err := clientcmd.BuildConfigFromFlags("", d.addresses.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	if d.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	d.dynamic, err = dynamic.NewForConfig(config)
	return err
}

// playgroundPID is the process that was started, as recorded at its start; addresses of another are not ours.
func (d *demo) playgroundPID() int {
	var record struct {
		PID int `json:"pid"`
	}
	if err := readJSON(filepath.Join(d.dir, "playground.process.json"), &record); err != nil {
		return -1
	}
	return record.PID
}

// guard starts the daemon, outside the cluster but with its own account.
func (d *demo) guard(kubeconfig string) error {
	path, err := filepath.Abs(d.bakewatch)
	if err != nil {
		return err
	}
	args := []string{"run", "--kubeconfig", kubeconfig, "--listen", d.listen, "--log-format", "console"}
	d.daemon, err = child.Start(child.Program{Name: "bakewatch", Path: path, Args: args, Dir: d.dir})
	if err != nil {
		return err
	}
	d.say(bakewatch, "runs: %s %s", relative(d.bakewatch), strings.Join(relatives(args), " "))
	d.say(bakewatch, "its log is %s", relative(d.daemon.LogFile()))
	d.expect(d.daemon)
	return nil
}

// expect ends the story if a child ends by itself.
func (d *demo) expect(p *child.Process) {
	go func() {
		<-p.Done()
		if err := p.Err(); err != nil {
			d.lost <- err
		}
	}()
}

// stop ends everything that was started, in the opposite order.
func (d *demo) stop() error {
	d.stopWatching()
	running := d.daemon != nil || d.playground != nil
	if d.daemon != nil {
		d.daemon.Stop(syscall.SIGTERM, 15*time.Second)
	}
	if d.playground != nil {
		d.playground.Stop(syscall.SIGTERM, 45*time.Second)
	}
	if running {
		d.say(story, "everything that was started is stopped; the logs stay in %s", relative(d.dir))
	}
	return d.lock.Close()
}

// lastWords are what the playground said last, without its name.
func (d *demo) lastWords() string {
	lines := strings.Split(child.Tail(d.playground.LogFile(), 1), "\n")
	said := strings.TrimPrefix(lines[len(lines)-1], "playground: ")
	if strings.Contains(said, "already runs") {
		said += "; make playground-down stops the one that make playground started"
	}
	return said
}
