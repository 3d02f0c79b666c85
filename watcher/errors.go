package watcher

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Explain adds to an error of the API server what a person can do about it. doing says what was being done.
func Explain(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: not permitted; apply deploy/rbac.yaml, which grants it: %w", doing, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: the API server does not know this account; check the service account's token or the kubeconfig: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
