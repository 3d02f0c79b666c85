package backtest

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

// revisionKey is where the Deployment controller writes a ReplicaSet's revision number.
const revisionKey = "deployment.kubernetes.io/revision"

// FromReplicaSets are the rollouts that made ReplicaSets which are still there. A return to an older one made none, and is
// not seen.
func FromReplicaSets(sets []appsv1.ReplicaSet, since time.Time) []Rollout {
	type owner struct{ namespace, name string }
	byOwner := map[owner][]appsv1.ReplicaSet{}
	for _, rs := range sets {
		if c := metav1.GetControllerOf(&rs); c != nil && c.Kind == "Deployment" {
			k := owner{rs.Namespace, c.Name}
			byOwner[k] = append(byOwner[k], rs)
		}
	}
	var out []Rollout
	for k, of := range byOwner {
		slices.SortFunc(of, func(a, b appsv1.ReplicaSet) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		for i, rs := range of {
			r := Rollout{Kind: "Deployment", Namespace: k.namespace, Name: k.name, Started: rs.CreationTimestamp.UTC(), To: rs.Name, CalledTo: called(rs)}
			if i > 0 {
				before := of[i-1]
				r.From, r.CalledFrom, r.Since = before.Name, called(before), before.CreationTimestamp.UTC()
			}
			if i+1 < len(of) {
				r.Ended = of[i+1].CreationTimestamp.UTC()
			}
			if i > 0 && r.Started.After(since) { // the first one is how the workload began
				out = append(out, r)
			}
		}
	}
	return out
}

func called(rs appsv1.ReplicaSet) string {
	if n, err := strconv.ParseInt(rs.Annotations[revisionKey], 10, 64); err == nil {
		return "rev " + strconv.FormatInt(n, 10)
	}
	return rs.Name
}

// FromMetrics are the rollouts that kube-state-metrics told of.
func FromMetrics(sets []prometheus.ReplicaSet) []Rollout {
	var out []Rollout
	for _, rs := range sets {
		if rs.Before == "" {
			continue // the first one is how the workload began
		}
		out = append(out, Rollout{Kind: "Deployment", Namespace: rs.Namespace, Name: rs.Deployment, Started: rs.Created,
			To: rs.Name, From: rs.Before, CalledTo: rs.Name, CalledFrom: rs.Before})
	}
	return out
}

// WithBakes puts what is on record of rollouts in their place, and adds those that are on record only: a Bake knows when
// the first pod was ready, when the rollout was complete, what it was compared with and how it ended.
func WithBakes(rollouts []Rollout, bakes []*v1alpha1.Bake, since time.Time) []Rollout {
	for _, b := range bakes {
		if !b.Spec.StartedAt.After(since) {
			continue
		}
		r := ofBake(b)
		at := slices.IndexFunc(rollouts, func(o Rollout) bool {
			return o.id() == r.id() && o.To == r.To && o.Started.Sub(r.Started).Abs() < time.Minute
		})
		if at < 0 {
			rollouts = append(rollouts, r)
			continue
		}
		rollouts[at] = r
	}
	return rollouts
}

func ofBake(b *v1alpha1.Bake) Rollout {
	spec, st := b.Spec, b.Status
	r := Rollout{Kind: spec.Workload.Kind, Namespace: b.Namespace, Name: spec.Workload.Name, Started: spec.StartedAt.UTC(),
		To: spec.To.Name, CalledTo: "rev " + strconv.FormatInt(spec.To.Number, 10), Until: spec.BaselineUntil.UTC(), Now: string(st.Outcome)}
	if spec.From != nil {
		r.From, r.CalledFrom = spec.From.Name, "rev "+strconv.FormatInt(spec.From.Number, 10)
	}
	if spec.BaselineSince != nil {
		r.Since = spec.BaselineSince.UTC()
	}
	if st.FirstReadyAt != nil {
		r.FirstReady = st.FirstReadyAt.UTC()
	}
	if st.CompletedAt != nil {
		r.Completed = st.CompletedAt.UTC()
	}
	switch {
	case st.Rollback != nil && st.Rollback.PatchedAt != nil:
		r.Ended = st.Rollback.PatchedAt.UTC()
	case st.EndedAt != nil && (st.Outcome == v1alpha1.OutcomeSuperseded || st.Outcome == v1alpha1.OutcomeAbandoned):
		r.Ended = st.EndedAt.UTC()
	case st.EndedAt != nil:
		r.Watched = st.EndedAt.UTC()
	}
	return r
}
