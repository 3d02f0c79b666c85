package watcher

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// NewReady reports whether a pod of the revision is ready.
func (w *Watcher) NewReady(ctx context.Context, k bake.Key, r v1alpha1.Revision) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	rs, err := w.client.AppsV1().ReplicaSets(k.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil // revisionHistoryLimit: 0 removes it as soon as a newer one is complete
	case err != nil:
		return false, Explain(err, fmt.Sprintf("read replica set %s/%s", k.Namespace, r.Name))
	}
	return rs.Status.ReadyReplicas > 0, nil
}
