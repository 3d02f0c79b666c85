// Package cluster runs a real Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler) inside this process, without containers.
//
// The components are used as libraries, not through their commands: those install a signal handler that panics when
// a second one in the same process does the same. Only one cluster runs per process at a time, as the components
// register themselves in process-wide tables.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
)

// Options of a Cluster.
type Options struct {
	Dir  string                           // where all state is kept; absolute
	Port int                              // of the API server, on 127.0.0.1
	Log  func(format string, args ...any) // progress; may be nil
}

// Cluster is a running control plane.
type Cluster struct {
	// Config and Client are for a cluster administrator.
	Config *rest.Config
	Client *kubernetes.Clientset

	opts   Options
	tokens tokens
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed chan error

	etcd    *embed.Etcd
	etcdURL string

	apiMu   sync.Mutex // held while the API server is started or stopped
	apiStop context.CancelFunc
	apiDone chan struct{} // closed once it has ended; nil while it is stopped
}

// Limits of how long starting and stopping may take before it is an error. They are generous: a busy machine is slow.
const (
	readyTimeout = 3 * time.Minute
	stopTimeout  = 20 * time.Second
)

// Start brings up the control plane and returns when it can be used. State of an earlier start in the same directory
// is taken over. The cluster outlives ctx, which bounds the start only; end it with Stop.
//
// If ctx ends during the start, the parts that run are left for the end of the process: an API server that is stopped
// before it is ready panics, while the state on disk does not mind.
func Start(ctx context.Context, opts Options) (c *Cluster, err error) {
	if opts.Log == nil {
		opts.Log = func(string, ...any) {}
	}
	c = &Cluster{opts: opts, failed: make(chan error, 8)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	caller := ctx
	defer func() {
		if err != nil && caller.Err() == nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := os.MkdirAll(c.path("pki"), 0o700); err != nil {
		return c, err
	}
	if err := c.startEtcd(ctx); err != nil {
		return c, fmt.Errorf("start etcd: %w", err)
	}
	opts.Log("etcd is ready")
	if err := c.credentials(); err != nil {
		return c, fmt.Errorf("make the cluster's credentials: %w", err)
	}
	if err := c.StartAPI(ctx); err != nil {
		return c, err
	}
	opts.Log("kube-apiserver is ready")
	if err := c.startControllers(); err != nil {
		return c, fmt.Errorf("start kube-controller-manager: %w", err)
	}
	if err := c.startScheduler(); err != nil {
		return c, fmt.Errorf("start kube-scheduler: %w", err)
	}
	// Pods cannot be made before this account exists, and the controller manager makes it.
	if err := c.poll(ctx, func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	}); err != nil {
		return c, fmt.Errorf("wait for kube-controller-manager: %w", err)
	}
	opts.Log("kube-controller-manager and kube-scheduler work")
	return c, nil
}

// Failed delivers the error of a component that ended although nobody stopped it.
func (c *Cluster) Failed() <-chan error { return c.failed }

// EnsureNamespace creates a namespace unless it is there.
func (c *Cluster) EnsureNamespace(ctx context.Context, name string) error {
	_, err := c.Client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	_, err = c.Client.CoreV1().Namespaces().Create(ctx, namespace(name), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// Stop ends everything. What does not end in time is named in the error and dies with the process.
func (c *Cluster) Stop() error {
	c.cancel()
	done := make(chan struct{})
	go func() {
		c.wg.Wait()
		if c.etcd != nil {
			c.etcd.Close()
		}
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the control plane did not end within %s", stopTimeout)
	}
}

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.opts.Dir}, elem...)...)
}

// run lets a component live in the background. Each returns an error when its context ends, which is no failure.
func (c *Cluster) run(ctx context.Context, name string, f func() error) chan struct{} {
	done := make(chan struct{})
	c.wg.Go(func() {
		defer close(done)
		err := f()
		if ctx.Err() == nil {
			select {
			case c.failed <- fmt.Errorf("%s ended: %w; see klog.log in %s", name, errOr(err), c.opts.Dir):
			default:
			}
		}
	})
	return done
}

func errOr(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// poll repeats a check until it succeeds, a component fails or the time is over.
func (c *Cluster) poll(ctx context.Context, check func(context.Context) error) error {
	for {
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := check(call)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case failed := <-c.failed:
			return failed
		case <-c.ctx.Done():
			return errors.New("stopped")
		case <-ctx.Done():
			return fmt.Errorf("not there in time; last: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func parse(flags cliflag.NamedFlagSets, args []string) error {
	all := pflag.NewFlagSet("component", pflag.ContinueOnError)
	for _, f := range flags.FlagSets {
		all.AddFlagSet(f)
	}
	return all.Parse(args)
}
