package watcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/signals"
)

// pulling is a pod that waits for an image.
func pulling(namespace, name, image, says string, age time.Duration) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Now().Add(-age))},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Image: image,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: says}}}}}}
}

const (
	away   = "failed to pull and unpack image: dial tcp 10.0.0.1:443: i/o timeout"
	denied = "failed to authorize: 401 Unauthorized"
)

// Pods of other namespaces tell of a registry that is away for everyone; those that fail for a reason of their own do not.
func TestRegistryAwayInOtherNamespaces(t *testing.T) {
	candidate := func(pull signals.PullFail, image string) signals.PodLook {
		return signals.PodLook{At: time.Now(), Candidate: []signals.PodState{{Name: "web-1", Trouble: &signals.Trouble{Cause: signals.ImagePull, Image: image, Pull: pull}}}}
	}
	for _, c := range []struct {
		name string
		look signals.PodLook
		want string
	}{
		{"the same registry", candidate(signals.Unreachable, "registry.example.com/web:2"), "pay/api pay/new"},
		{"another registry", candidate(signals.Unreachable, "other.example.com/web:2"), ""},
		{"no registry named", candidate(signals.Unreachable, "web:2"), "pay/hub"},
		{"an image that is not there", candidate(signals.NotFound, "registry.example.com/web:2"), ""},
		{"nothing is pulled", signals.PodLook{At: time.Now(), Candidate: []signals.PodState{{Name: "web-1"}}}, ""},
	} {
		client := fake.NewClientset(pulling("pay", "api", "registry.example.com/api:1", away, time.Hour), pulling("pay", "hub", "library/api:1", away, time.Hour),
			pulling("pay", "old", "registry.example.com/old:1", denied, 25*time.Hour), pulling("pay", "new", "registry.example.com/new:1", denied, time.Minute),
			pulling("pay", "typo", "registry.example.com/typo:1", "manifest unknown", time.Minute), pulling("shop", "mine", "registry.example.com/mine:1", away, time.Minute))
		w := &Watcher{client: client, log: zap.NewNop(), watches: []*watch{{namespace: ""}, {namespace: ""}}}
		k := bake.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}
		for range 3 {
			look := c.look
			w.inOtherNamespaces(t.Context(), k, &look)
			var names []string
			for _, e := range look.Elsewhere {
				names = append(names, e.Workload)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
		if n := len(client.Actions()); n > 1 {
			t.Errorf("%s: %d requests for three looks", c.name, n)
		}
	}
}

// However many pods wait, so many are looked at.
func TestWaitingPodsAreBounded(t *testing.T) {
	var objects []runtime.Object
	for i := range maxPending + 700 {
		objects = append(objects, pulling(fmt.Sprintf("ns-%d", i%7), fmt.Sprintf("p-%d", i), "web:1", away, time.Minute))
	}
	client := fake.NewClientset(objects...)
	w := &Watcher{client: client, log: zap.NewNop()}
	for i := range 7 {
		w.watches = append(w.watches, &watch{namespace: fmt.Sprintf("ns-%d", i)})
	}
	if got := len(w.waiting(t.Context(), time.Now())); got < maxPending || got > maxPending+500 {
		t.Errorf("%d pods", got)
	}
}

func TestRegistryOf(t *testing.T) {
	for image, want := range map[string]string{"web": "docker.io", "library/web:1": "docker.io", "ghcr.io/a/b@sha256:00": "ghcr.io", "localhost/web": "localhost", "registry:5000/web": "registry:5000"} {
		if got := registryOf(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}
