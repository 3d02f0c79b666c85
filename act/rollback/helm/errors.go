package helm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/watcher"
)

// explain wraps an error of the API server with what was being done, and marks what only a change of rights mends.
func explain(err error, doing string) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w: %s: %w; deploy/helm-rollback.yaml has the rights that rollbacks of Helm releases need", bake.ErrNotPermitted, doing, err)
	}
	return watcher.Explain(err, doing)
}

// passing reports whether an error may be gone when it is tried again: it is not the API server's word on the object.
func passing(err error) bool {
	if err == nil {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	return apierrors.IsInternalError(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err)
}

// blunt is why the API server refused an object, for people. Of a Secret only the kind of refusal is told.
func blunt(i *resource.Info, err error) string {
	if i.Mapping.GroupVersionKind.Kind == "Secret" {
		return string(apierrors.ReasonForError(err))
	}
	return message(err)
}

// message is what the API server said, on one line.
func message(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return oneLine(status.Status().Message)
	}
	return oneLine(err.Error())
}

// overTemplate reports whether a server-side apply met somebody else's fields in the pod template.
func overTemplate(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return strings.HasPrefix(c.Field, ".spec.template.")
	})
}
