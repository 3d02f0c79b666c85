package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/playground/child"
	"github.com/bakewatch/bakewatch/playground/ports"
)

// demo is the stage and what was found out on it so far.
type demo struct {
	options
	*narrator
	dir     string // of the demo's own files
	kubectl string // its path
	lock    *os.File

	addresses  addresses
	client     kubernetes.Interface
	dynamic    dynamic.Interface
	playground *child.Process
	daemon     *child.Process
	lost       chan error // a child ended that should run

	v1Template   corev1.PodTemplateSpec // as the API server has it
	annotation   annotation             // of v2's bake
	alert        alert
	held         int      // facts that hold
	failed       []string // names of those that do not
	stopWatching func()
}

// addresses is where the playground's parts are found.
type addresses struct {
	Kubeconfig   string `json:"kubeconfig"`
	Prometheus   string `json:"prometheus"`
	Alertmanager string `json:"alertmanager"`
	Grafana      string `json:"grafana"`
	Webhook      string `json:"webhook"`
	Datadog      string `json:"datadog"`
	Control      string `json:"control"`
	PID          int    `json:"pid"`
}

// newDemo finds every reason not to start before anything is started.
func newDemo(o options, n *narrator) (*demo, error) {
	d := &demo{options: o, narrator: n, lost: make(chan error, 2), stopWatching: func() {}}
	var err error
	if d.runDir, err = filepath.Abs(o.runDir); err != nil {
		return nil, err
	}
	d.dir = filepath.Join(d.runDir, "demo")
	if d.kubectl, err = beside("kubectl"); err != nil {
		return nil, err
	}
	for _, path := range []string{o.bakewatch, filepath.Join(o.deploy, "kustomization.yaml")} {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w; build bakewatch first, and run this from the repository's root", err)
		}
	}
	if err := d.chooseListen(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.runDir, 0o700); err != nil {
		return nil, err
	}
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	// Nobody else uses the directory: what runs in it was left by a demo that was killed.
	if err := child.KillStale(d.dir); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return nil, err
	}
	return d, os.MkdirAll(d.dir, 0o700)
}

func (d *demo) chooseListen() error {
	if d.listen == "" {
		d.listen = "127.0.0.1:18081"
		if d.ports == "free" {
			port, err := ports.Free()
			if err != nil {
				return err
			}
			d.listen = fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", d.listen)
	if err != nil {
		return fmt.Errorf("the address of bakewatch's metrics cannot be used (%w): stop what listens there, or choose another with --listen", err)
	}
	return l.Close()
}

// takeLock makes sure that there is one demo in a directory at a time. The kernel lets go of it when this process ends.
func (d *demo) takeLock() error {
	f, err := os.OpenFile(filepath.Join(d.runDir, "demo.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return fmt.Errorf("another demo runs in %s: end it, or choose another --dir", d.runDir)
	}
	d.lock = f
	return nil
}

// perform plays the story, and gives up when its time is over or a child is lost.
func (d *demo) perform(ctx context.Context) error {
	playing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	overdue := time.AfterFunc(d.timeout, func() { cancel(fmt.Errorf("not over after %s", d.timeout)) })
	defer overdue.Stop()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case err := <-d.lost:
			cancel(err)
		case <-over:
		}
	}()
	err := d.story(playing)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case playing.Err() != nil:
		return context.Cause(playing)
	}
	return err
}
