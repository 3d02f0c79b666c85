package prometheus

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/bakewatch/bakewatch/signals"
)

// others are the names of the other workloads that a question is to count. Where they are to be found, the newest part
// of the question tells; what is asked for it here is remembered for when its turn comes.
func (s *Source) others(ctx context.Context, q signals.Question, newest []span) ([]string, error) {
	switch {
	case q.By != signals.ByPod:
		return nil, nil
	case len(q.OtherNames) > 0 || q.Others <= 0:
		return q.OtherNames, nil
	}
	requests, _, err := s.askBoth(ctx, q, newest)
	if err != nil {
		return nil, err
	}
	return largest(requests, newest, q.Workload, q.Others), nil
}

// largest are the names of the workloads that served most requests in the windows, but for one's own; at most as many as
// that, sorted.
func largest(requests *answer, windows []span, own string, most int) []string {
	whole := span{since: windows[0].since, from: windows[0].from, to: windows[len(windows)-1].to}
	served := map[string]float64{}
	pod, workload := "", ""
	for i := range requests.series {
		s := &requests.series[i]
		if s.pod != pod { // the series of a pod are next to each other
			pod, workload = s.pod, signals.WorkloadOf(s.pod)
		}
		if l := s.look(whole); workload != "" && workload != own && !l.empty() {
			served[workload] += s.growth(max(l.lo, l.in-1), l.hi)
		}
	}
	names := slices.SortedFunc(maps.Keys(served), func(a, b string) int {
		return cmp.Or(cmp.Compare(served[b], served[a]), cmp.Compare(a, b))
	})
	names = names[:min(len(names), most)]
	slices.Sort(names)
	return names
}

// tellOthers counts, for each window, the named workloads that have series in view.
func tellOthers(q signals.Query, names []string, windows []span, requests, errs *answer) []map[string]signals.Counts {
	out := make([]map[string]signals.Counts, len(windows))
	for _, name := range names {
		prefix := signals.PodPrefix(name)
		of := func(pod string) bool { return signals.WorkloadOf(pod) == name }
		pods := newGroup(requests.ofPods(prefix), errs.ofPods(prefix), false, of).as(q, errs)
		for i, w := range windows {
			t := pods.count(w, nil)
			if t.heard == 0 || t.lacks || t.badRequests || t.badErrors {
				continue
			}
			var total signals.Counts
			for _, c := range t.pods {
				total = total.Add(c)
			}
			if out[i] == nil {
				out[i] = make(map[string]signals.Counts, len(names))
			}
			out[i][name] = total
		}
	}
	return out
}
