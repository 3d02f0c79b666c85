// Package events puts a Kubernetes Event on the workload for each stage of a bake, where `kubectl describe` shows it.
package events

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/bakewatch/bakewatch/act/announce"
)

const (
	component  = "bakewatch"
	maxMessage = 1024 // bytes; what the API allows for the note of an Event
	maxName    = 253  // bytes; what the API allows for a name
)

// Receiver creates Events, not through a recorder, which merges and drops them, but by a name made of bake and stage, so
// that each exists once however often it is told.
type Receiver struct {
	client   typedcorev1.EventsGetter
	instance string
}

// New returns a Receiver that writes as this instance of the daemon (its pod's name).
func New(client typedcorev1.EventsGetter, instance string) *Receiver {
	return &Receiver{client: client, instance: instance}
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return "events" }

// Tell creates the Event and returns its name. One that exists already is success.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	event := r.event(s, time.Now())
	_, err := r.client.Events(s.Namespace).Create(ctx, event, metav1.CreateOptions{FieldManager: component})
	doing := fmt.Sprintf("creating event %s in namespace %s", event.Name, s.Namespace)
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		return event.Name, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		return "", fmt.Errorf("%s: the namespace is gone or being deleted: %w (%w)", doing, err, announce.ErrFinal)
	case apierrors.IsForbidden(err):
		return "", fmt.Errorf("%s: %w (%w); the daemon's ServiceAccount needs the RBAC rule apiGroups: [\"\"], resources: [events], verbs: [create] in this namespace", doing, err, announce.ErrFinal)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return "", fmt.Errorf("%s: rejected: %w (%w)", doing, err, announce.ErrFinal)
	}
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		err = delayed{err, time.Duration(seconds) * time.Second}
	}
	return "", fmt.Errorf("%s: %w", doing, err)
}

// delayed is an error with the time the API server wants to be left alone.
type delayed struct {
	error
	after time.Duration
}

func (d delayed) Unwrap() error             { return d.error }
func (d delayed) RetryAfter() time.Duration { return d.after }

func (r *Receiver) event(s announce.Story, now time.Time) *corev1.Event {
	at := now
	switch {
	case s.Stage == announce.Started && !s.StartedAt.IsZero():
		at = s.StartedAt
	case s.Stage == announce.Ended && !s.EndedAt.IsZero():
		at = s.EndedAt
	}
	_, bake, _ := strings.Cut(s.Bake, "/")
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name(bake, s.Stage)},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "apps/v1", Kind: s.Kind, Namespace: s.Namespace, Name: s.Workload, UID: types.UID(s.UID),
		},
		Related:             &corev1.ObjectReference{APIVersion: "bakewatch.dev/v1alpha1", Kind: "Bake", Namespace: s.Namespace, Name: bake},
		Type:                severity(s),
		Reason:              reason(s),
		Message:             message(s),
		Source:              corev1.EventSource{Component: component},
		ReportingController: "bakewatch.dev/" + component,
		ReportingInstance:   r.instance,
		FirstTimestamp:      metav1.NewTime(at),
		LastTimestamp:       metav1.NewTime(at),
		Count:               1,
	}
}

// name is <bake>.<stage>; a bake's name that leaves no room for the stage is cut and ends in its hash.
func name(bake string, stage announce.Stage) string {
	suffix := "." + string(stage)
	if len(bake)+len(suffix) > maxName {
		hash := sha256.Sum256([]byte(bake))
		suffix = "-" + hex.EncodeToString(hash[:6]) + suffix
		bake = strings.TrimRight(bake[:maxName-len(suffix)], "-.")
	}
	return bake + suffix
}

func severity(s announce.Story) string {
	if s.Stage == announce.Deciding {
		return corev1.EventTypeWarning
	}
	switch s.Outcome {
	case "RolledBack", "Held", "Inconclusive":
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

func reason(s announce.Story) string {
	switch s.Stage {
	case announce.Started:
		return "RolloutWatched"
	case announce.Suspicion:
		return "EvidenceGathers"
	case announce.Deciding:
		return "RegressionFound"
	case announce.Ended, announce.Resolved:
	}
	return cmp.Or(s.Outcome, "BakeEnded")
}

func message(s announce.Story) string {
	var said []string
	for _, part := range []string{s.Headline, s.Why, s.Recovery} {
		if part = announce.OneLine(part); part != "" {
			said = append(said, part)
		}
	}
	whole := strings.Join(said, " | ")
	if len(whole) <= maxMessage {
		return whole
	}
	const ellipsis = "…"
	return strings.ToValidUTF8(whole[:maxMessage-len(ellipsis)], "") + ellipsis
}
