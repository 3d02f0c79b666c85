package cluster

import (
	"strings"

	"k8s.io/component-base/configz"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controlleroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// enabled are the controllers that rollouts, and tools that watch them, need. The one of node life cycles must be
// among them: admission taints every new node as not ready, and only that controller lifts the taint.
var enabled = []string{
	"deployment-controller", "replicaset-controller", "statefulset-controller", "daemonset-controller",
	"job-controller", "cronjob-controller", "ttl-after-finished-controller",
	"node-lifecycle-controller", "taint-eviction-controller", "pod-garbage-collector-controller", "disruption-controller",
	"namespace-controller", "garbage-collector-controller", "resourcequota-controller",
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller", "endpointslice-controller",
}

// Both components register their configuration process-wide under these names and never take it back.
const schedulerConfigz = "componentconfig"

func (c *Cluster) startControllers() error {
	kubeconfig := c.path("pki", "controllers.kubeconfig")
	if err := c.writeKubeconfig(kubeconfig, c.tokens.controllers); err != nil {
		return err
	}
	o, err := controlleroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	all, off, alias := controllers.KnownControllers(), controllers.ControllersDisabledByDefault(), controllers.ControllerAliases()
	flags := o.Flags(all, off, alias)
	if err := parse(flags, []string{
		"--kubeconfig=" + kubeconfig, "--secure-port=0", "--leader-elect=false", "--profiling=false",
		"--use-service-account-credentials", "--service-account-private-key-file=" + c.saKey(), "--root-ca-file=" + c.CAFile(),
		"--allocate-node-cidrs=false", "--controllers=" + strings.Join(enabled, ","),
		"--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20",
		// An outage of the API server that is longer than this would make every node, and so every pod, unready.
		"--node-monitor-grace-period=15m",
	}); err != nil {
		return err
	}
	o.ParsedFlags = &flags
	cfg, err := o.Config(c.ctx, all, off, alias)
	if err != nil {
		return err
	}
	c.run(c.ctx, "kube-controller-manager", func() error {
		defer configz.Delete(controllers.ConfigzName)
		return controllers.Run(c.ctx, cfg.Complete())
	})
	return nil
}

func (c *Cluster) startScheduler() error {
	kubeconfig := c.path("pki", "scheduler.kubeconfig")
	if err := c.writeKubeconfig(kubeconfig, c.tokens.scheduler); err != nil {
		return err
	}
	o := scheduleroptions.NewOptions()
	if err := parse(*o.Flags, []string{"--kubeconfig=" + kubeconfig, "--secure-port=0", "--leader-elect=false",
		"--kube-api-qps=500", "--kube-api-burst=1000", "--profiling=false"}); err != nil {
		return err
	}
	completed, s, err := scheduler.Setup(c.ctx, o)
	if err != nil {
		return err
	}
	c.run(c.ctx, "kube-scheduler", func() error {
		defer configz.Delete(schedulerConfigz)
		return scheduler.Run(c.ctx, completed, s)
	})
	return nil
}
