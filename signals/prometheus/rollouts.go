package prometheus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// ReplicaSet is one that appeared, as kube-state-metrics told of it.
type ReplicaSet struct {
	Namespace, Deployment, Name string
	Created                     time.Time
	// Before is the ReplicaSet of the same Deployment that had most pods when this one was made; empty: none had any.
	Before string
}

const (
	// rolloutStep and rolloutChunk bound what is asked for at once. A ReplicaSet that is gone within a step is not seen.
	rolloutStep  = 10 * time.Minute
	rolloutChunk = 24 * time.Hour
)

// ReplicaSets are those of Deployments that were made in (since, until], oldest first. It takes the metrics
// kube_replicaset_created, kube_replicaset_owner and kube_replicaset_spec_replicas. known is false when the source has
// no such metrics in all that time.
func (s *Source) ReplicaSets(ctx context.Context, since, until time.Time) (made []ReplicaSet, known bool, err error) {
	const created = `max by (namespace, replicaset, owner_name) (kube_replicaset_owner{owner_kind="Deployment"}` +
		` * on (namespace, replicaset) group_left () max by (namespace, replicaset) (kube_replicaset_created))`
	type id struct{ namespace, name string }
	seen := map[id]bool{}
	for from := since; from.Before(until); from = from.Add(rolloutChunk) {
		to := from.Add(rolloutChunk)
		if to.After(until) {
			to = until
		}
		at := v1.Range{Start: from, End: to.Add(rolloutStep), Step: rolloutStep} // what was made last appears a step later
		matrix, err := s.askRange(ctx, created+" > "+strconv.FormatInt(since.Unix(), 10), at)
		if err != nil {
			return nil, known, fmt.Errorf("prometheus: look for rollouts: %w", err)
		}
		for _, series := range matrix {
			if len(series.Values) == 0 {
				continue
			}
			rs := ReplicaSet{Namespace: string(series.Metric["namespace"]), Deployment: string(series.Metric["owner_name"]), Name: string(series.Metric["replicaset"]),
				Created: time.Unix(int64(series.Values[0].Value), 0).UTC()}
			if k := (id{rs.Namespace, rs.Name}); !seen[k] && !rs.Created.After(until) {
				seen[k] = true
				made = append(made, rs)
			}
		}
		known = known || len(made) > 0
		if !known {
			any, err := s.askRange(ctx, `count (kube_replicaset_created)`, at)
			if err != nil {
				return nil, known, fmt.Errorf("prometheus: look for rollouts: %w", err)
			}
			known = len(any) > 0
		}
	}
	slices.SortFunc(made, func(a, b ReplicaSet) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for i := range made {
		if made[i].Before, err = s.serving(ctx, made[i]); err != nil {
			return nil, known, err
		}
	}
	return made, known, nil
}

// serving is the ReplicaSet that had most pods just before one of the same Deployment was made.
func (s *Source) serving(ctx context.Context, rs ReplicaSet) (string, error) {
	of := fmt.Sprintf("{namespace=%s, owner_kind=\"Deployment\", owner_name=%s}", strconv.Quote(rs.Namespace), strconv.Quote(rs.Deployment))
	query := `topk(1, max by (replicaset) (kube_replicaset_spec_replicas{namespace=` + strconv.Quote(rs.Namespace) + `, replicaset!=` + strconv.Quote(rs.Name) + `}` +
		` and on (namespace, replicaset) kube_replicaset_owner` + of + `) > 0)`
	value, failure := s.query(ctx, query, rs.Created.Add(-time.Second))
	if failure != nil {
		return "", fmt.Errorf("prometheus: look for what ran before %s/%s: %w", rs.Namespace, rs.Name, failure)
	}
	if vector, ok := value.(model.Vector); ok && len(vector) > 0 {
		return string(vector[0].Metric["replicaset"]), nil
	}
	return "", nil
}
