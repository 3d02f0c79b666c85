package agent

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

// PodState is what a pod has served so far, with times in Unix nanoseconds (0: not yet).
type PodState struct {
	behavior.Workload
	Pod          string  `json:"pod"`
	UID          string  `json:"uid"`
	Revision     string  `json:"revision"` // template or revision hash
	Image        string  `json:"image"`
	Node         string  `json:"node"`
	IP           string  `json:"ip"`
	Mode         string  `json:"mode"`
	ErrorRate    float64 `json:"errorRate"`
	Ready        bool    `json:"ready"`
	Restarts     int32   `json:"restarts"`
	Requests     int64   `json:"requests"`
	Errors       int64   `json:"errors"`
	Started      int64   `json:"started"`
	FirstRequest int64   `json:"firstRequest"` // first good response
	FirstBad     int64   `json:"firstBad"`     // first bad response
	Gone         int64   `json:"gone"`         // when the pod was deleted
}

// RevisionState sums the pods of one revision of a workload, those already deleted included.
type RevisionState struct {
	behavior.Workload
	Revision string `json:"revision"`
	Image    string `json:"image"`
	Pods     int    `json:"pods"` // that exist now
	Requests int64  `json:"requests"`
	Errors   int64  `json:"errors"`
	FirstBad int64  `json:"firstBad"`
}

// history keeps what deleted pods have served: after a rollback these are the interesting ones.
type history struct {
	mu   sync.Mutex
	gone []PodState
}

const keepGone = 2000

func newHistory() *history { return &history{} }

func (h *history) add(s PodState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.gone) >= keepGone {
		h.gone = slices.Delete(h.gone, 0, keepGone/10)
	}
	h.gone = append(h.gone, s)
}

func (p *pod) state(gone time.Time) PodState {
	p.mu.Lock()
	ip, restarts := p.ip, p.restarts
	p.mu.Unlock()
	b, _ := behavior.Parse(p.obj.Annotations)
	if proc := p.process(); proc != nil {
		b = *proc.behavior.Load()
	}
	s := PodState{
		Workload: behavior.WorkloadOf(p.obj), Pod: p.obj.Name, UID: string(p.obj.UID), Revision: behavior.RevisionOf(p.obj),
		Image: p.obj.Spec.Containers[0].Image, Node: p.node.name, IP: ip, Mode: string(b.Mode), ErrorRate: b.ErrorRate,
		Restarts: restarts, Requests: p.tally.requests.Load(), Errors: p.tally.errors.Load(), Started: p.started.UnixNano(),
		FirstRequest: p.tally.firstOK.Load(), FirstBad: p.tally.firstError.Load(),
	}
	if gone.IsZero() {
		s.Ready = p.status.isReady()
	} else {
		s.Gone = gone.UnixNano()
	}
	return s
}

// State lists all pods, those that are there and the last of those that are gone, and sums them by revision.
func (a *Agent) State() ([]PodState, []RevisionState) {
	a.mu.Lock()
	pods := make([]PodState, 0, len(a.pods))
	for _, p := range a.pods {
		pods = append(pods, p.state(time.Time{}))
	}
	a.mu.Unlock()
	a.history.mu.Lock()
	pods = append(pods, a.history.gone...)
	a.history.mu.Unlock()
	slices.SortFunc(pods, func(x, y PodState) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Started, y.Started), cmp.Compare(x.Pod, y.Pod))
	})
	return pods, byRevision(pods)
}

func byRevision(pods []PodState) []RevisionState {
	type key struct {
		behavior.Workload
		revision string
	}
	at, out := map[key]int{}, []RevisionState{}
	for _, p := range pods {
		k := key{p.Workload, p.Revision}
		i, seen := at[k]
		if !seen {
			i = len(out)
			at[k] = i
			out = append(out, RevisionState{Workload: p.Workload, Revision: p.Revision, Image: p.Image})
		}
		r := &out[i]
		r.Requests, r.Errors = r.Requests+p.Requests, r.Errors+p.Errors
		if p.Gone == 0 {
			r.Pods++
		}
		if p.FirstBad != 0 && (r.FirstBad == 0 || p.FirstBad < r.FirstBad) {
			r.FirstBad = p.FirstBad
		}
	}
	return out
}
