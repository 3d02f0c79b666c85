// Package agent is the node agent of the playground: it owns some Node objects and gives every pod bound to them a
// life of its own, with a real HTTP server on a loopback address instead of containers.
package agent

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// PodPort is the port every pod serves on.
const PodPort = "8080"

// Options of an Agent.
type Options struct {
	Client    kubernetes.Interface
	Nodes     int    // how many Node objects to own
	PodPrefix string // first two octets of the pods' addresses, such as "127.10"
	Version   string // Kubernetes version the nodes report
	// Lines, if set, takes each line that a container writes. It must not block.
	Lines func(namespace, pod, container string, at time.Time, text string)
	// Crash and drain times; zero means the defaults. Tests shorten them.
	Timing Timing
}

// Timing is how long the steps of a pod's life take.
type Timing struct {
	Create   time.Duration // from bound to the container started
	Crash    time.Duration // a crashing container lives this long
	OOM      time.Duration // from ready until the memory is used up
	Backoff  time.Duration // first wait of CrashLoopBackOff and ImagePullBackOff, doubled each time
	MaxWait  time.Duration // longest of those waits
	Drain    time.Duration // a pod that is being deleted serves this much longer
	Sync     time.Duration // from a ConfigMap's change until the pods that have it mounted read it
	Complete time.Duration // a pod that is to end by itself (of a Job) runs this long
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&t.Create, 300*time.Millisecond)
	set(&t.Crash, 500*time.Millisecond)
	set(&t.OOM, 3*time.Second)
	set(&t.Backoff, 2*time.Second)
	set(&t.MaxWait, 5*time.Minute)
	set(&t.Drain, time.Second)
	set(&t.Complete, 2*time.Second)
	set(&t.Sync, 2*time.Second)
	return t
}

// Agent runs the pods of its nodes.
type Agent struct {
	opts      Options
	nodes     []node
	addresses *addresses
	history   *history

	factory  informers.SharedInformerFactory
	informer cache.SharedIndexInformer

	configMaps    corelisters.ConfigMapLister
	configsSynced cache.InformerSynced

	mu   sync.Mutex
	pods map[types.UID]*pod
	wg   sync.WaitGroup
}

// New prepares an agent; nothing runs before Start.
func New(opts Options) (*Agent, error) {
	opts.Timing = opts.Timing.withDefaults()
	addrs, err := newAddresses(opts.PodPrefix)
	if err != nil {
		return nil, err
	}
	if opts.Nodes < 1 || opts.Nodes > maxNodes {
		return nil, fmt.Errorf("%d nodes: choose from 1 to %d", opts.Nodes, maxNodes)
	}
	a := &Agent{opts: opts, addresses: addrs, history: newHistory(), pods: map[types.UID]*pod{}}
	for i := 1; i <= opts.Nodes; i++ {
		a.nodes = append(a.nodes, node{name: fmt.Sprintf("node-%d", i), ip: addrs.node(i), zone: zones[i%len(zones)]})
	}
	a.factory = informers.NewSharedInformerFactory(opts.Client, 0)
	a.informer = a.factory.Core().V1().Pods().Informer()
	configMaps := a.factory.Core().V1().ConfigMaps()
	a.configMaps, a.configsSynced = configMaps.Lister(), configMaps.Informer().HasSynced
	return a, nil
}

// Pods lists the pods of the cluster from the agent's cache.
func (a *Agent) Pods() corelisters.PodLister { return a.factory.Core().V1().Pods().Lister() }

// OnPodChange calls f after any pod has changed. It must not block.
func (a *Agent) OnPodChange(f func()) error {
	_, err := a.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { f() }, UpdateFunc: func(any, any) { f() }, DeleteFunc: func(any) { f() },
	})
	return err
}

// Start creates the nodes and begins to run pods until the context ends; Wait returns when all have stopped.
func (a *Agent) Start(ctx context.Context) error {
	if err := a.serveKubelet(ctx); err != nil {
		return err
	}
	for _, n := range a.nodes {
		if err := a.register(ctx, n); err != nil {
			return fmt.Errorf("create node %s: %w", n.name, err)
		}
		a.wg.Go(func() { a.heartbeat(ctx, n) })
	}
	_, err := a.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.observe(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { a.observe(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if p, ok := o.(*corev1.Pod); ok {
				a.vanished(p.UID)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	a.factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), a.informer.HasSynced, a.configsSynced) {
		return fmt.Errorf("list pods: %w", context.Cause(ctx))
	}
	return nil
}

// Wait blocks until every pod has stopped, which follows soon after the end of the context given to Start.
func (a *Agent) Wait() {
	a.factory.Shutdown()
	a.wg.Wait()
}

func (a *Agent) owns(p *corev1.Pod) (node, bool) {
	for _, n := range a.nodes {
		if n.name == p.Spec.NodeName {
			return n, true
		}
	}
	return node{}, false
}

// observe takes a pod as the API server shows it: starts it, ends it, or repairs a status that someone else changed.
func (a *Agent) observe(ctx context.Context, obj *corev1.Pod) {
	n, ours := a.owns(obj)
	if !ours {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pods[obj.UID]
	ended := obj.Status.Phase == corev1.PodSucceeded || obj.Status.Phase == corev1.PodFailed
	switch {
	case p == nil && obj.DeletionTimestamp != nil:
		// Left over from before a restart of the agent: nothing runs any more, so nothing has to be drained.
		a.wg.Go(func() { a.remove(ctx, obj.Namespace, obj.Name, obj.UID) })
	case p == nil && ended:
	case p == nil:
		p = newPod(a, n, obj)
		a.pods[obj.UID] = p
		a.wg.Go(func() { p.run(ctx) })
	case obj.DeletionTimestamp != nil:
		if p.terminating.CompareAndSwap(false, true) {
			a.wg.Go(func() { p.terminate(ctx, obj) })
		}
	default:
		p.status.repair(obj)
	}
}

// vanished stops a pod whose object is gone.
func (a *Agent) vanished(uid types.UID) {
	a.mu.Lock()
	p := a.pods[uid]
	delete(a.pods, uid)
	a.mu.Unlock()
	if p != nil {
		p.stop()
		a.history.add(p.state(time.Now()))
	}
}

// remove deletes a pod's object for good, as a kubelet does once nothing of the pod runs, and keeps trying while the
// API server is away.
func (a *Agent) remove(ctx context.Context, namespace, name string, uid types.UID) {
	opts := deleteNow(uid)
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := a.opts.Client.CoreV1().Pods(namespace).Delete(call, name, opts)
		cancel()
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || !sleep(ctx, wait) {
			return
		}
	}
}

// callTimeout bounds every single call to the API server.
const callTimeout = 10 * time.Second

// sleep waits and says whether the whole time has passed before the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func podAddr(ip string) string { return net.JoinHostPort(ip, PodPort) }
