package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	authv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/gitops"
	"github.com/bakewatch/bakewatch/act/rollback"
	"github.com/bakewatch/bakewatch/act/rollback/helm"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/hands"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/records"
	"github.com/bakewatch/bakewatch/signals/discover"
	"github.com/bakewatch/bakewatch/signals/probe"
	"github.com/bakewatch/bakewatch/watcher"
	"github.com/bakewatch/bakewatch/web"
)

// guard is what only the leader does: watch and bake.
type guard struct {
	namespaces []string
	kube       *rest.Config
	client     kubernetes.Interface
	namespace  string // of the Lease
	identity   string
	live       *policy.Live
	source     *sources
	teller     bake.Teller
	recorder   bake.Recorder // nil: readings are not recorded
	troubles   *web.Troubles
	metrics    *bake.Metrics
	leader     promclient.Gauge
	log        *zap.Logger
	recheck    chan struct{} // that rights are to be checked at once: the policy of now may need others

	mu    sync.Mutex
	loop  *bake.Loop
	watch *watcher.Watcher
}

func newGuard(f runFlags, kube *rest.Config, client kubernetes.Interface, namespace, identity string, live *policy.Live, source *sources, troubles *web.Troubles, reg promclient.Registerer, log *zap.Logger) *guard {
	g := &guard{
		namespaces: f.namespaces, kube: kube, client: client, namespace: namespace, identity: identity,
		live: live, source: source, troubles: troubles, metrics: bake.NewMetrics(reg), log: log, recheck: make(chan struct{}, 1),
		leader: promclient.NewGauge(promclient.GaugeOpts{Name: "bakewatch_leader", Help: "1 while this process leads, 0 while it stands by."}),
	}
	reg.MustRegister(g.leader)
	return g
}

// maxIssue is how many characters of an issue a report may take; GitHub's limit is 65,536.
const maxIssue = 59_000

const leaseName = "bakewatch"

// How long a leader's claim lasts without being renewed. A leader that cannot renew it stops before another may start.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// run stands for election again and again, and guards while it leads. A term remembers nothing of the one before: all that
// counts is read from the cluster anew.
func (g *guard) run(ctx context.Context) error {
	probeCtx, stopProbe := context.WithCancel(ctx)
	defer stopProbe()
	go g.probe(probeCtx)
	for ctx.Err() == nil {
		if err := g.term(ctx); err != nil {
			return err
		}
	}
	return nil
}

// term stands for election once, and returns when leadership is lost or ctx ends, and all that it started has stopped.
func (g *guard) term(ctx context.Context) error {
	standing, stepDown := context.WithCancel(ctx)
	defer stepDown()
	var began atomic.Bool
	led := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: g.namespace, Name: leaseName},
			Client:     g.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: g.identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true, Name: leaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				began.Store(true)
				led <- g.lead(ctx)
				stepDown() // who cannot guard must not keep others from it
			},
			OnStoppedLeading: func() { g.leader.Set(0) },
			OnNewLeader: func(who string) {
				g.log.Info("leader", zap.String("identity", who), zap.Bool("self", who == g.identity))
			},
		},
	})
	if err != nil {
		return fmt.Errorf("set up leader election: %w", err)
	}
	elector.Run(standing)
	if ctx.Err() == nil {
		g.log.Error("no longer leading; standing for election again")
	}
	if !began.Load() {
		return nil
	}
	select {
	case err := <-led:
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			g.troubles.Set("guard", err, true)
			sleep(ctx, retryPeriod)
		}
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the work of the term that ended did not stop within %s; ending the process, to start anew", stopTimeout)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// stopTimeout bounds how long the work of a term may take to stop. Every call it makes heeds its context.
const stopTimeout = 20 * time.Second

// lead guards until ctx ends.
func (g *guard) lead(ctx context.Context) error {
	g.leader.Set(1)
	bakes, err := records.New(g.kube, g.namespaces)
	if err != nil {
		return err
	}
	since, err := g.prepare(ctx, bakes)
	if err != nil {
		return err
	}
	var loop *bake.Loop
	var watch *watcher.Watcher
	watch, err = watcher.New(g.client, g.namespaces, func(k bake.Key) { g.changed(k, loop, watch) }, g.log)
	if err != nil {
		return err
	}
	dyn, err := dynamic.NewForConfig(g.kube)
	if err != nil {
		return fmt.Errorf("make a kubernetes client: %w", err)
	}
	finder := &discover.Finder{Sources: g.source.finders, Router: &discover.Cluster{Client: g.client, Dynamic: dyn}}
	undoer := &rollback.Undoer{Client: g.client}
	loop = bake.NewLoop(bake.Options{
		Watcher:  watch,
		Undoer:   undoer,
		Pauser:   undoer,
		Scaler:   undoer,
		Keeper:   &gitops.Keeper{Dynamic: dyn},
		Reverter: g.reverter(),
		Releases: &helm.Releases{Config: g.kube, Client: g.client, Log: g.log},
		Source:   g.source, Lag: g.source.lag, Finder: finder, Records: bakes, Teller: g.teller, Recorder: g.recorder,
		Policy: g.live.Current, Log: g.log, Metrics: g.metrics, Since: since, Prepare: g.readAhead, Migrations: g.migrations, Alerts: g.source.alerts, MemoryUsed: g.source.memoryUsed,
		Report:  func(b *v1alpha1.Bake) string { return hands.Issue(b, maxIssue) },
		Configs: &rollback.ConfigMaps{Client: g.client},
	})
	go watch.Run(ctx)
	go watch.FollowConfigs(ctx, g.followsConfigs)
	go g.sweepKept(ctx, watch)
	late := time.AfterFunc(5*time.Second, func() {
		g.troubles.Set("watch", errors.New("the first list of workloads has not arrived yet"), true)
	})
	synced := watch.WaitSynced(ctx)
	late.Stop()
	if !synced {
		return nil
	}
	g.troubles.Set("watch", nil, true)
	g.set(loop, watch)
	defer g.set(nil, nil)
	g.troubles.Set("guard", nil, true)
	var flows sync.WaitGroup
	defer flows.Wait()
	flows.Go(func() {
		g.source.flows.Run(ctx, func() []probe.Standing { return standing(g.live.Current(), watch) })
	})
	g.log.Info("guarding", zap.Time("since", since), zap.Int("workloads", len(watch.Keys())))
	return loop.Run(ctx)
}

func (g *guard) set(loop *bake.Loop, watch *watcher.Watcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loop, g.watch = loop, watch
}

// prepare waits until the records can be read, and finds out since when this cluster is guarded: since the Lease was
// made, at the first start.
func (g *guard) prepare(ctx context.Context, bakes *records.Bakes) (since time.Time, err error) {
	for {
		err := bakes.Check(ctx)
		if err == nil {
			since, err = g.firstStart(ctx)
		}
		if ctx.Err() != nil {
			return since, ctx.Err()
		}
		g.troubles.Set("records", err, true)
		if err == nil {
			return since, nil
		}
		select {
		case <-ctx.Done():
			return since, ctx.Err()
		case <-time.After(3 * time.Second):
		}
	}
}

func (g *guard) firstStart(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	lease, err := g.client.CoordinationV1().Leases(g.namespace).Get(ctx, leaseName, metav1.GetOptions{})
	if err != nil {
		return time.Time{}, watcher.Explain(err, "read lease "+g.namespace+"/"+leaseName)
	}
	return lease.CreationTimestamp.Time, nil
}

// probe says why leadership does not come: the election itself only retries.
func (g *guard) probe(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		callCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := g.client.CoordinationV1().Leases(g.namespace).Get(callCtx, leaseName, metav1.GetOptions{})
		cancel()
		if apierrors.IsNotFound(err) {
			err = nil // before the first start
		}
		if ctx.Err() != nil {
			return
		}
		g.troubles.Set("kubernetes", watcher.Explain(err, "reach the API server at "+g.kube.Host), true)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// delivered takes the receipts of the desk to the loop.
func (g *guard) delivered(_ context.Context, bakeID string, r announce.Receipt) {
	g.mu.Lock()
	loop := g.loop
	g.mu.Unlock()
	if loop == nil {
		return
	}
	receipt := v1alpha1.Receipt{Receiver: r.Receiver, Stage: string(r.Stage), ID: r.ID, At: metav1.NewMicroTime(r.At.UTC())}
	if r.Err != nil {
		receipt.Error = announce.Clip(r.Err.Error(), 500)
	}
	loop.Delivered(bakeID, receipt)
}

// policyChanged has every workload looked at again, so that a switch acts at once.
func (g *guard) policyChanged() {
	select {
	case g.recheck <- struct{}{}:
	default: // it is about to be checked
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.loop == nil {
		return
	}
	for _, k := range g.watch.Keys() {
		g.loop.Notice(k)
	}
}

// checkRights asks the API server what this account may not do, and says which feature is missing for it.
func (g *guard) checkRights(ctx context.Context) error {
	for {
		g.troubles.Set("permissions", g.missingRights(ctx), false)
		select {
		case <-ctx.Done():
			return nil
		case <-g.recheck:
		case <-time.After(time.Minute):
		}
	}
}

func (g *guard) missingRights(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	in := g.namespaces
	if len(in) == 0 {
		in = []string{""}
	}
	var missing []string
	for _, ns := range in {
		for _, r := range g.rights() {
			ask := &authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
				Namespace: ns, Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.subresource,
			}}}
			answer, err := g.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, ask, metav1.CreateOptions{})
			if err != nil {
				return nil // the API server is out of reach, which is told elsewhere
			}
			if !answer.Status.Allowed {
				what := r.verb + " " + r.resource
				if r.subresource != "" {
					what += "/" + r.subresource
				}
				if ns != "" {
					what += " in " + ns
				}
				missing = append(missing, what+" (to "+r.why+")")
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("this account may not %s; apply deploy/rbac.yaml, which grants it", strings.Join(missing, ", "))
	}
	return g.missingForGitOps(ctx)
}

// registerPolicyMetrics shows how the last reload of the policy went.
func registerPolicyMetrics(reg promclient.Registerer, live *policy.Live) {
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(promclient.NewGaugeFunc(promclient.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("bakewatch_config_last_reload_successful", "1 if the newest edit of the policy is in force, 0 if it was refused and the last good one stays.", func() float64 {
		if s := live.Status(); s.Err == nil && !s.Attempt.IsZero() {
			return 1
		}
		return 0
	})
	gauge("bakewatch_config_in_force_since_timestamp_seconds", "When the policy in force was loaded, in seconds since the epoch; 0 if there is none.", func() float64 {
		if s := live.Status(); !s.Since.IsZero() {
			return float64(s.Since.Unix())
		}
		return 0
	})
}
