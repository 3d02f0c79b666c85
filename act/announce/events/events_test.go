package events_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/events"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
)

func TestOneEventAStage(t *testing.T) {
	client := fake.NewClientset()
	r := events.New(client.CoreV1(), "bakewatch-0")
	for _, stage := range []announce.Stage{announce.Started, announce.Deciding, announce.Ended} {
		for range 2 {
			id, err := r.Tell(t.Context(), fakes.Story(stage))
			if want := "web-7f3a-7." + string(stage); id != want || err != nil {
				t.Fatalf("got %q (%v), want %q", id, err, want)
			}
		}
	}
	list, err := client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 3 {
		t.Fatalf("%d events, want 3 (%v)", len(list.Items), err)
	}
	ended, err := client.CoreV1().Events("shop").Get(t.Context(), "web-7f3a-7.ended", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := fakes.Story(announce.Ended)
	at := metav1.NewTime(s.EndedAt)
	want := &corev1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: "shop", Name: "web-7f3a-7.ended"},
		InvolvedObject:      corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "0f0e"},
		Related:             &corev1.ObjectReference{APIVersion: "bakewatch.dev/v1alpha1", Kind: "Bake", Namespace: "shop", Name: "web-7f3a-7"},
		Type:                "Warning",
		Reason:              "RolledBack",
		Message:             s.Headline + " | " + s.Why + " | " + s.Recovery,
		Source:              corev1.EventSource{Component: "bakewatch"},
		ReportingController: "bakewatch.dev/bakewatch", ReportingInstance: "bakewatch-0",
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}
	ended.ManagedFields, ended.TypeMeta = nil, metav1.TypeMeta{} // the fake's own
	if diff := cmp.Diff(want, ended); diff != "" {
		t.Error(diff)
	}
}

func TestTypeAndReason(t *testing.T) {
	for _, c := range []struct {
		stage                 announce.Stage
		outcome, kind, reason string
	}{
		{announce.Started, "", "Normal", "RolloutWatched"},
		{announce.Deciding, "", "Warning", "RegressionFound"},
		{announce.Ended, "Passed", "Normal", "Passed"},
		{announce.Ended, "RolledBack", "Warning", "RolledBack"},
		{announce.Ended, "Held", "Warning", "Held"},
		{announce.Ended, "Inconclusive", "Warning", "Inconclusive"},
		{announce.Ended, "Superseded", "Normal", "Superseded"},
		{announce.Ended, "Abandoned", "Normal", "Abandoned"},
		{announce.Ended, "", "Normal", "BakeEnded"},
	} {
		client := fake.NewClientset()
		s := fakes.Story(c.stage)
		s.Outcome = c.outcome
		id, err := events.New(client.CoreV1(), "").Tell(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.CoreV1().Events("shop").Get(t.Context(), id, metav1.GetOptions{})
		if err != nil || got.Type != c.kind || got.Reason != c.reason {
			t.Errorf("%s %s: got %s %s (%v), want %s %s", c.stage, c.outcome, got.Type, got.Reason, err, c.kind, c.reason)
		}
	}
}

func TestBounds(t *testing.T) {
	client := fake.NewClientset()
	s := fakes.Story(announce.Deciding)
	s.Bake = "shop/" + strings.Repeat("a", 253)
	s.Headline = strings.Repeat("ü", 2000)
	id, err := events.New(client.CoreV1(), "").Tell(t.Context(), s)
	if err != nil || len(id) > 253 || !strings.HasSuffix(id, ".deciding") {
		t.Fatalf("got %d bytes: %q (%v)", len(id), id, err)
	}
	got, err := client.CoreV1().Events("shop").Get(t.Context(), id, metav1.GetOptions{})
	if err != nil || len(got.Message) > 1024 || !utf8.ValidString(got.Message) || got.LastTimestamp.IsZero() {
		t.Errorf("got %d bytes of message (%v)", len(got.Message), err)
	}
	s.Bake = "shop/" + strings.Repeat("a", 252) + "b"
	if other, err := events.New(client.CoreV1(), "").Tell(t.Context(), s); err != nil || other == id {
		t.Errorf("two bakes share the name %q (%v)", other, err)
	}
}

func TestErrors(t *testing.T) {
	resource := schema.GroupResource{Resource: "events"}
	terminating := apierrors.NewForbidden(resource, "x", errors.New("being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, c := range map[string]struct {
		err   error
		final bool
		says  string
	}{
		"forbidden":         {apierrors.NewForbidden(resource, "x", errors.New("no")), true, "resources: [events], verbs: [create]"},
		"terminating":       {terminating, true, "being deleted"},
		"no such namespace": {apierrors.NewNotFound(resource, "shop"), true, "gone"},
		"invalid":           {apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, "x", nil), true, "rejected"},
		"unauthorized":      {apierrors.NewUnauthorized("token expired"), false, "token expired"},
		"server timeout":    {apierrors.NewServerTimeout(resource, "create", 3), false, "creating event"},
		"internal":          {apierrors.NewInternalError(errors.New("etcd")), false, "etcd"},
		"network":           {errors.New("connection refused"), false, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			client.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.err })
			_, err := events.New(client.CoreV1(), "").Tell(t.Context(), fakes.Story(announce.Started))
			if err == nil || errors.Is(err, announce.ErrFinal) != c.final || !strings.Contains(err.Error(), c.says) {
				t.Errorf("final should be %t: %v", c.final, err)
			}
			if name == "server timeout" {
				asks, ok := errors.AsType[interface {
					error
					RetryAfter() time.Duration
				}](err)
				if !ok || asks.RetryAfter() != 3*time.Second {
					t.Errorf("what the API server asks for is lost: %v", err)
				}
			}
		})
	}
}
