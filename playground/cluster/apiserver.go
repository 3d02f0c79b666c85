package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// ErrAPIState is returned when the API server is to be started while it runs, or stopped while it does not.
var ErrAPIState = errors.New("the API server is not in a state for this")

// StartAPI starts the API server and waits until it is ready.
func (c *Cluster) StartAPI(ctx context.Context) error {
	c.apiMu.Lock()
	defer c.apiMu.Unlock()
	if c.apiDone != nil {
		return fmt.Errorf("%w: it runs already", ErrAPIState)
	}
	if err := c.launchAPI(); err != nil {
		return fmt.Errorf("start kube-apiserver: %w", err)
	}
	if c.Client == nil {
		if err := c.connect(); err != nil {
			return fmt.Errorf("connect to kube-apiserver: %w", err)
		}
	}
	if err := c.poll(ctx, func(ctx context.Context) error {
		return c.Client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return fmt.Errorf("wait for kube-apiserver: %w", err)
	}
	return nil
}

// StopAPI stops the API server, so that it is away until StartAPI. Everything else goes on.
func (c *Cluster) StopAPI() error {
	c.apiMu.Lock()
	defer c.apiMu.Unlock()
	if c.apiDone == nil {
		return fmt.Errorf("%w: it is stopped already", ErrAPIState)
	}
	c.apiStop()
	select {
	case <-c.apiDone:
	case <-time.After(stopTimeout):
		return fmt.Errorf("kube-apiserver did not stop within %s", stopTimeout)
	}
	c.apiDone = nil
	return nil
}

func (c *Cluster) launchAPI() error {
	s := options.NewServerRunOptions()
	if err := parse(s.Flags(), []string{
		"--etcd-servers=" + c.etcdURL,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.opts.Port), "--cert-dir=" + c.path("pki"),
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", // no endpoints of its own: it is on loopback
		"--token-auth-file=" + c.tokenFile(), "--authorization-mode=Node,RBAC",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.saKey(), "--service-account-signing-key-file=" + c.saKey(),
		"--kubelet-preferred-address-types=InternalIP",
		"--max-requests-inflight=800", "--max-mutating-requests-inflight=400", "--event-ttl=1h", "--profiling=false",
		// Without these, stopping takes a minute and the controllers back off for half a minute after a restart.
		"--shutdown-delay-duration=0", "--shutdown-watch-termination-grace-period=1s",
	}); err != nil {
		return err
	}
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	// Informers register by name for the whole process, so a second start needs a name of its own.
	name, err := cache.NewInformerName(fmt.Sprintf("kube-apiserver-%d-%d", c.opts.Port, time.Now().UnixNano()))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	complete, err := s.Complete(ctx)
	if err == nil {
		err = utilerrors.NewAggregate(complete.Validate())
	}
	if err != nil {
		name.Release()
		cancel()
		return err
	}
	complete.InformerName = name
	c.apiStop = cancel
	c.apiDone = c.run(ctx, "kube-apiserver", func() error {
		defer name.Release()
		return apiserver.Run(ctx, complete)
	})
	return nil
}

func (c *Cluster) connect() error {
	path := c.path("pki", "admin.kubeconfig")
	if err := c.WriteKubeconfig(path); err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return err
	}
	// The node agent writes the status of every pod with this client; throttled to the default it would fall behind.
	cfg.QPS, cfg.Burst, cfg.UserAgent = 500, 1000, "playground"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	c.Config, c.Client = cfg, client
	return nil
}
