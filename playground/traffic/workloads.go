package traffic

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

// workload is the traffic of one workload.
type workload struct {
	behavior.Workload
	service  string
	inFlight atomic.Int64
	limit    atomic.Int64

	mu        sync.Mutex
	rps       float64
	credit    float64 // requests owed, in fractions
	ready     []string
	next      int
	everReady bool
}

// found is a workload as the pods show it.
type found struct {
	behavior.Workload
	rps    float64
	ready  []string
	newest *corev1.Pod
}

// ServiceName is what Traefik calls the service of a workload's ingress.
func ServiceName(w behavior.Workload) string {
	return fmt.Sprintf("%s-%s-80@kubernetes", w.Namespace, w.Name)
}

// group sorts pods by workload. How much traffic a workload gets is read from its newest pod, so that a rollout can
// change it. Pods of Jobs serve nobody.
func group(pods []*corev1.Pod) map[string]*found {
	out := map[string]*found{}
	for _, p := range pods {
		w := behavior.WorkloadOf(p)
		if w.Kind == "Job" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		service := ServiceName(w)
		f := out[service]
		if f == nil {
			f = &found{Workload: w}
			out[service] = f
		}
		if f.newest == nil || f.newest.CreationTimestamp.Before(&p.CreationTimestamp) {
			f.newest = p
		}
		if behavior.IsReady(p) {
			f.ready = append(f.ready, p.Status.PodIP)
		}
	}
	for _, f := range out {
		slices.Sort(f.ready)
		if b, err := behavior.Parse(f.newest.Annotations); err == nil {
			f.rps = b.RPS
		} else {
			f.rps = behavior.DefaultRPS
		}
	}
	return out
}

func (w *workload) update(rps float64, ready []string) {
	w.limit.Store(min(maxPerService, max(minPerService, int64(2*rps))))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rps, w.ready, w.everReady = rps, ready, w.everReady || len(ready) > 0
}

// due is how many requests to send now. A workload that never had a ready pod has no users yet.
func (w *workload) due(elapsed time.Duration) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.everReady {
		return 0
	}
	w.credit += w.rps * elapsed.Seconds()
	n := int(w.credit)
	w.credit -= float64(n)
	return n
}

// pick takes the next ready pod in turn.
func (w *workload) pick() (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ready) == 0 {
		return "", false
	}
	w.next = (w.next + 1) % len(w.ready)
	return w.ready[w.next], true
}

func (w *workload) state() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return State{Service: w.service, RPS: w.rps, Ready: len(w.ready)}
}

// sortStates orders states by service.
func sortStates(s []State) {
	slices.SortFunc(s, func(a, b State) int { return cmp.Compare(a.Service, b.Service) })
}
